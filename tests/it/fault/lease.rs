//! A mirror whose file system gives no leases, and one whose disk has no room while the store's has.

use std::os::unix::fs::symlink;

use serde_json::Value;

use super::disk::Disk;
use super::means::{can, shim};
use crate::mirror::stage::{Talker, sqlite};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

fn trouble(world: &World, words: &str) -> String {
    wait_until(&format!("readyz says {words:?} of the mirror"), PATIENCE, || {
        let ready = world.get("/readyz");
        assert!(ready.status.is_success(), "a mirror in trouble makes nobody unready: {}", ready.body);
        let said = ready.body["components"]["mirror"]["error"].as_str().unwrap_or_default().to_owned();
        if said.contains(words) { Ok(said) } else { Err(ready.body.to_string()) }
    })
}

fn is_in_step(world: &World) {
    wait_until("the mirror is in step", PATIENCE, || {
        let mirror = world.get("/readyz").body["components"]["mirror"].clone();
        if mirror["error"] == Value::Null { Ok(()) } else { Err(mirror.to_string()) }
    });
    world.until_mirrored();
}

/// Both hold the same numbers.
fn is_the_same(world: &World) {
    let stored = world.count_events("");
    world.until_sql("SELECT count(*) FROM events", &stored.to_string());
    assert_eq!(sqlite(&world.mirror(), "PRAGMA integrity_check").unwrap(), "ok");
}

#[test]
fn without_leases_it_says_so_and_all_but_plain_copies_goes_on() {
    let mut world = World::empty();
    let Some(shim) = shim(world.path(), "lease") else { return };
    world.environment = vec![("LD_PRELOAD".to_owned(), shim.to_string_lossy().into_owned())];
    world.start_supervisor();
    world.environment.clear();
    world.supervisor().line_with("this file system gives no leases");
    let talker = Talker::start(&world);
    talker.until_said(1_000);
    let said = trouble(&world, "no plain copies: this file system gives no leases");
    world.ctl_says(&["backup", "now"]);
    assert!(world.ctl_says(&["backup", "verify"]).contains("events: "));
    talker.until_said(talker.said() + 500);
    println!("{said}; {} said", talker.end());
    world.until_mirrored();
    is_the_same(&world);
    world.sql("DELETE FROM events WHERE seq % 2 = 0");
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    wait_until("what an operator deletes is gone from the store", PATIENCE, || {
        let events = world.events("type=peer.tick");
        let left = events.iter().filter(|event| event["seq"].as_u64().unwrap() % 2 == 0).count();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    });
}

#[test]
fn a_mirror_without_room_is_behind_and_catches_up_when_there_is_some() {
    const SCENE: &str = "a full disk under the mirror alone";
    if !can(SCENE, &["mkfs.ext4", "mount", "umount"]) {
        return;
    }
    let Some(disk) = Disk::make(SCENE) else { return };
    let mut world = World::empty();
    symlink(disk.path(), world.path().join("supervisor")).unwrap();
    world.start_supervisor();
    world.end_supervisor();
    let elsewhere = world.path().join("elsewhere.redb");
    std::fs::copy(world.store(), &elsewhere).unwrap();
    std::fs::remove_file(world.store()).unwrap();
    symlink(&elsewhere, world.store()).unwrap();
    world.start_supervisor();
    let talker = Talker::start(&world);
    talker.until_said(300);
    trouble(&world, "");
    let full = disk.fill();
    let said = trouble(&world, "full");
    let before = talker.said();
    talker.until_said(before + 1_000);
    let ready = world.get("/readyz");
    assert_eq!(ready.body["components"]["database"]["status"], "ok", "{}", ready.body);
    assert!(disk.path().join("supervisor.redb.ballast").exists(), "the store has not felt it");
    drop(full);
    println!("{said}; {} said meanwhile", talker.end() - before);
    is_in_step(&world);
    is_the_same(&world);
}
