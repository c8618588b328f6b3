//! `hal-supervisor store`: check, rebuild, export, import, restore, compact.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::process::Signal;

use super::agree::full;
use super::stage::{dump, sqlite};
use crate::fault::means::can_give_away;
use crate::world::{World, text};

impl World {
    /// Runs `hal-supervisor store` on this world's files: its exit code, and what it said.
    pub fn store_does(&self, words: &[&str]) -> (i32, String) {
        let config = self.path().join("supervisor.json");
        let mut command = self.hal(&["supervisor", "store", "--config", &config.to_string_lossy()]);
        let output = command.args(words).output().unwrap();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        println!("store {}: {}\n{said}", words.join(" "), output.status);
        (output.status.code().expect("it ends by itself"), said)
    }

    pub fn store_did(&self, words: &[&str]) -> String {
        let (code, said) = self.store_does(words);
        assert_eq!(code, 0, "{said}");
        said
    }
}

/// A world that was stopped when everything was there, and what its API said.
fn stopped() -> (World, Vec<Vec<serde_json::Value>>) {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    world.ctl_says(&["backup", "now"]);
    let picture = world.whole_picture();
    let (code, said) = world.store_does(&["check"]);
    assert!(code == 75 && said.contains("stop it first"), "{code} {said}");
    world.end_supervisor();
    (world, picture)
}

/// Every file beside the store with its bytes.
fn everything(world: &World) -> Vec<(String, Vec<u8>)> {
    let all = fs::read_dir(world.path().join("supervisor")).unwrap().map(Result::unwrap);
    let mut all: Vec<_> = all
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "supervisor.redb")
        .collect();
    all.sort();
    all
}

fn harm(path: &Path, at: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[0xA5; 5_000], at).unwrap();
}

#[test]
fn a_check_finds_what_is_wrong_and_a_rebuild_puts_it_right() {
    let (mut world, picture) = stopped();
    let said = world.store_did(&["check"]);
    assert!(said.contains("both agree") && said.contains("all whole"), "{said}");

    harm(&world.mirror(), 40_000);
    let (code, said) = world.store_does(&["check"]);
    assert!(code == 1 && said.contains("supervisor.db is not a whole copy"), "{said}");
    world.store_did(&["rebuild", "mirror"]);
    assert!(world.store_did(&["check"]).contains("both agree"));

    harm(&world.store(), 60_000);
    harm(&world.store(), 0);
    assert_eq!(world.store_does(&["check"]).0, 1);
    world.store_did(&["rebuild", "store"]);
    assert!(world.store_did(&["check"]).contains("both agree"));
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
    assert!(!world.supervisor().said().contains("restored"));
}

#[test]
fn an_export_is_all_there_is_and_an_import_of_it_brings_all_back() {
    let (mut world, picture) = stopped();
    world.store_did(&["export", "all.db"]);
    let (code, said) = world.store_does(&["export", "all.db"]);
    assert!(code == 1 && said.contains("is there already"), "{said}");
    let all = world.path().join("all.db");
    assert_eq!(dump(&all).lines().count(), dump(&world.mirror()).lines().count());
    assert_eq!(sqlite(&all, "PRAGMA integrity_check").unwrap(), "ok");

    world.start_supervisor();
    world.sql("DELETE FROM events");
    world.until_events("", 0);
    world.end_supervisor();
    let said = world.store_did(&["import", "all.db"]);
    assert!(said.contains(&format!("{} events", picture[3].len())), "{said}");
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
}

#[test]
fn a_restore_takes_the_newest_backup_unless_told_otherwise() {
    let (mut world, picture) = stopped();
    world.start_supervisor();
    world.sql("DELETE FROM events");
    world.until_events("", 0);
    world.end_supervisor();
    let (code, said) = world.store_does(&["restore", "nothing.db"]);
    assert!(code == 1 && said.contains("it is not there"), "{said}");
    let said = world.store_did(&["restore"]);
    assert!(said.contains("supervisor.db.backup") && said.contains("set aside"), "{said}");
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let (world, picture) = stopped();
    world.store_did(&["check"]);
    let before = everything(&world);
    let events = format!("{} events", picture[3].len());
    for (words, told) in [
        (&["rebuild", "mirror"][..], "set aside"),
        (&["rebuild", "store"], &events),
        (&["export", "x.db"], "x.db"),
        (&["import", "supervisor/supervisor.db.backup"], &events),
        (&["restore"], &events),
        (&["compact"], "bytes"),
    ] {
        let said = world.store_did(&[words, &["--dry-run"]].concat());
        assert!(said.contains(told) && said.contains("would be"), "{said}");
        assert!(everything(&world) == before, "{words:?} did something");
        assert!(!world.path().join("x.db").exists());
    }
    assert!(world.store_did(&["check"]).contains("both agree"));
}

#[test]
fn compacting_gives_room_back() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "burst 20000");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    world.sql("DELETE FROM events");
    world.until_events("type=echo.tick", 0);
    world.end_supervisor();
    let size = || world.store().metadata().unwrap().blocks();
    let before = size();
    world.store_did(&["compact"]);
    assert!(size() < before / 2, "{} of {before}", size());
    assert_eq!(world.store_does(&["dance"]).0, 2);
}

#[test]
fn what_root_does_leaves_files_that_the_supervisors_user_can_use() {
    const SOMEBODY: u32 = 65_534;
    if !can_give_away("root works in the supervisor's folder") {
        return;
    }
    let (world, _) = stopped();
    let folder = world.path().join("supervisor");
    std::os::unix::fs::chown(&folder, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    world.store_did(&["rebuild", "mirror"]);
    world.store_did(&["restore"]);
    let ours = fs::read_dir(&folder).unwrap().map(Result::unwrap);
    for entry in ours.filter(|entry| entry.file_name().to_string_lossy().starts_with("supervisor.")) {
        assert_eq!(entry.metadata().unwrap().uid(), SOMEBODY, "{:?}", entry.file_name());
    }
}
