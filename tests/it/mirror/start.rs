//! Every file that may lie at `supervisor.db` when the supervisor starts.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use super::agree::full;
use super::stage::{Talker, dump, sqlite};
use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;
use crate::world::World;

fn cp(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// Writes garbage over a part of a file.
fn damage(path: &Path, at: u64, many: usize) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&vec![0xA5; many]).unwrap();
}

/// The files beside the store with this in their name.
fn beside(world: &World, word: &str) -> Vec<String> {
    let all = fs::read_dir(world.path().join("supervisor")).unwrap();
    all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(word) && !name.ends_with(".wal"))
        .collect()
}

fn until_made(world: &World) {
    wait_until("the mirror is made", PATIENCE, || sqlite(&world.mirror(), "SELECT count(*) FROM events"));
    world.until_mirrored();
}

#[test]
fn a_restored_copy_is_taken_exactly_and_what_was_before_is_set_aside() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    let backup = world.path().join("backup.db");
    cp(&world.mirror(), &backup);
    let picture = world.whole_picture();
    let talker = Talker::start(&world);
    talker.until_said(500);
    talker.end();
    world.until_mirrored();
    let newer = world.count_events("") - picture[3].len() as u64;

    world.end_supervisor();
    cp(&backup, &world.mirror());
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
    let said = world.supervisor().line_with("was restored");
    assert!(said.contains(&format!("newer_events={newer}")), "{said}, not {newer}");
    assert_eq!(beside(&world, "supervisor.redb.replaced.").len(), 1);
    until_made(&world);
    // The second start finds its own.
    world.end_supervisor();
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
    assert_eq!(beside(&world, "supervisor.redb.replaced.").len(), 1);
    assert!(!world.supervisor().said().contains("restored"));
}

#[test]
fn a_copy_restored_after_a_kill_is_not_spoilt_by_the_log_beside_it() {
    let mut world = World::supervised();
    let talker = Talker::start(&world);
    talker.until_said(1_000);
    let backup = world.path().join("backup.db");
    cp(&world.mirror(), &backup);
    let rows = dump(&backup);
    talker.until_said(4_000);
    world.kill_supervisor();
    talker.end();
    // Whatever the kill has left, a log of another moment lies there now.
    cp(&backup, &world.mirror());
    fs::write(world.mirror().with_extension("db-wal"), vec![7; 65_536]).unwrap();
    world.start_supervisor();
    until_made(&world);
    let shown: Vec<u64> = world.events("").iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let kept: Vec<u64> = sqlite(&backup, "SELECT seq FROM events ORDER BY seq")
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    assert_eq!(shown, kept);
    world.end_supervisor();
    // One more: the audit record that says what of the chain is not in it any more.
    assert_eq!(dump(&world.mirror()).lines().count(), rows.lines().count() + 1);
}

#[test]
fn a_damaged_mirror_is_named_set_aside_and_made_anew_while_the_supervisor_serves() {
    for (at, many) in [(0, 200), (9_000, 40_000)] {
        let mut world = full();
        drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
        world.wait_for_node("web-1", "offline");
        let picture = world.whole_picture();
        world.end_supervisor();
        damage(&world.mirror(), at, many);
        assert!(sqlite(&world.mirror(), "PRAGMA integrity_check").is_err_or_not_ok());
        world.start_supervisor();
        assert_eq!(world.whole_picture(), picture);
        world.supervisor().line_with("database disk image is malformed");
        wait_until("it is made anew", PATIENCE, || {
            let found = sqlite(&world.mirror(), "PRAGMA integrity_check")?;
            let set_aside = beside(&world, "supervisor.db.corrupt.").len();
            if found == "ok" && set_aside == 1 { Ok(()) } else { Err(format!("{found} {set_aside}")) }
        });
        world.until_mirrored();
        world.until_counts_agree();
    }
}

trait NotOk {
    fn is_err_or_not_ok(&self) -> bool;
}

impl NotOk for Result<String, String> {
    fn is_err_or_not_ok(&self) -> bool {
        !matches!(self, Ok(said) if said == "ok")
    }
}

#[test]
fn an_empty_file_and_a_foreign_one_change_nothing_in_the_store() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let picture = world.whole_picture();
    world.end_supervisor();
    fs::write(world.mirror(), "").unwrap();
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
    world.supervisor().line_with("is empty");
    until_made(&world);
    world.end_supervisor();

    fs::remove_file(world.mirror()).unwrap();
    sqlite(&world.mirror(), "CREATE TABLE lost_and_found (rootpgno, pgno, nfield, id, c0)").unwrap();
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture);
    until_made(&world);
    assert_eq!(beside(&world, "supervisor.db.foreign.").len(), 1);
}

#[test]
fn a_damaged_store_is_made_anew_from_its_mirror() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let picture = world.whole_picture();
    world.end_supervisor();
    damage(&world.store(), 0, 512);
    world.start_supervisor();
    let alert = until_alerted(&world);
    assert!(
        alert.contains("rebuilt from supervisor.db") && alert.contains("supervisor.redb.corrupt."),
        "{alert}"
    );
    assert_eq!(without_alerts(&world), picture);
    assert_eq!(beside(&world, "supervisor.redb.corrupt.").len(), 1);
    until_made(&world);
}

/// What the alert of a store that was replaced says.
fn until_alerted(world: &World) -> String {
    world.until_events("type=alert.raised", 1);
    world.events("type=alert.raised")[0]["data"]["text"].as_str().unwrap().to_owned()
}

fn without_alerts(world: &World) -> Vec<Vec<serde_json::Value>> {
    let mut picture = world.whole_picture();
    picture[3].retain(|event| event["type"] != "alert.raised");
    picture
}

#[test]
fn a_store_that_is_lost_is_missed_and_comes_back_from_its_mirror() {
    for is_emptied in [true, false] {
        let mut world = full();
        drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
        world.wait_for_node("web-1", "offline");
        let picture = world.whole_picture();
        world.end_supervisor();
        match is_emptied {
            true => fs::write(world.store(), "").unwrap(),
            false => fs::remove_file(world.store()).unwrap(),
        }
        world.start_supervisor();
        let alert = until_alerted(&world);
        assert!(alert.contains("was lost") && alert.contains("rebuilt from supervisor.db"), "{alert}");
        assert_eq!(without_alerts(&world), picture);
        until_made(&world);
    }
}

#[test]
fn with_both_damaged_the_words_of_the_error_bring_the_newest_backup_back() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    let picture = world.whole_picture();
    cp(&world.mirror(), &world.path().join("supervisor/supervisor.db.backup"));
    world.end_supervisor();
    damage(&world.store(), 0, 4_096);
    damage(&world.mirror(), 9_000, 40_000);
    let (status, said) = Program::start("supervisor", world.supervisor_command()).end();
    assert!(!status.success());
    let command = said.split("restore the newest backup: ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let command: Vec<&str> = command.split(" (or").next().unwrap().split_whitespace().collect();
    assert!(said.contains("database disk image is malformed"), "{said}");
    assert_eq!((command[0], command.len()), ("cp", 3));
    cp(Path::new(command[1]), Path::new(command[2]));
    world.start_supervisor();
    until_alerted(&world);
    assert_eq!(without_alerts(&world), picture);
    until_made(&world);
}

#[test]
fn what_is_edited_while_the_supervisor_is_down_counts_too() {
    let mut world = full();
    let all = world.count_events("");
    world.end_supervisor();
    world.sql(
        "DELETE FROM events WHERE type = 'echo.tick'; UPDATE sessions SET title = 'x' WHERE 0;"
            .split("UPDATE")
            .next()
            .unwrap(),
    );
    world.start_supervisor();
    world.until_events("type=echo.tick", 0);
    assert!(world.count_events("") >= all - 300);
}

#[test]
fn kills_at_any_moment_leave_both_whole() {
    const KILLS: u64 = 20;
    let mut world = World::supervised();
    for round in 1..=KILLS {
        let talker = Talker::start(&world);
        let before = world.count_events("type=peer.tick");
        talker.until_said(before + 100 + 37 * round);
        world.kill_supervisor();
        let said = talker.end();
        world.start_supervisor();
        let stored = world.count_events("type=peer.tick");
        assert!(stored >= before.max(said), "round {round}: {said} acknowledged, {stored} stored");
        let log = world.supervisor().said();
        assert!(!log.contains("restored") && !log.contains("malformed"), "{log}");
    }
    world.until_mirrored();
    world.until_counts_agree();
    assert_eq!(world.sql("PRAGMA integrity_check"), "ok");
    assert!(beside(&world, "replaced").is_empty() && beside(&world, "corrupt").is_empty());
}

#[test]
fn a_copy_put_in_place_while_the_supervisor_runs_is_taken_too() {
    for way in ["cp", "mv"] {
        let mut world = full();
        drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
        world.wait_for_node("web-1", "offline");
        world.until_mirrored();
        let backup = world.path().join("backup.db");
        cp(&world.mirror(), &backup);
        let picture = world.whole_picture();
        let talker = Talker::start(&world);
        talker.until_said(300);
        talker.end();
        wait_until("the talker is offline", PATIENCE, || {
            let node = world.data("/api/v1/nodes/talker");
            if node["status"] == "offline" { Ok(()) } else { Err(node.to_string()) }
        });
        world.until_mirrored();
        assert!(Command::new(way).arg(&backup).arg(world.mirror()).status().unwrap().success());
        world.supervisor().line_with("was restored while the supervisor runs");
        assert_eq!(world.whole_picture(), picture, "{way}");
        until_made(&world);
        world.start_agent_again("web-1");
        world.wait_for_node("web-1", "online");
        let id = world.start_session("shop", "say more");
        world.wait_for_session(&id, "idle");
        world.until_mirrored();
        world.end_supervisor();
        world.start_supervisor();
        assert_eq!(beside(&world, "supervisor.redb.replaced.").len(), 1, "{way}");
        assert!(world.get(&format!("/api/v1/sessions/{id}")).status.is_success());
    }
}

#[test]
fn a_mirror_removed_while_the_supervisor_runs_is_made_again() {
    let world = full();
    fs::remove_file(world.mirror()).unwrap();
    let id = world.start_session("shop", "say more");
    world.wait_for_session(&id, "idle");
    until_made(&world);
    world.until_counts_agree();
}

#[test]
fn of_a_recovered_file_what_it_lacks_is_kept_and_what_was_changed_in_it_counts() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let all = world.count_events("");
    world.end_supervisor();
    // What `.recover` makes of a damaged file: the same but for some rows, with nothing noted of their loss.
    let triggers = world.sql(
        "SELECT group_concat('DROP TRIGGER ' || name || ';', ' ') FROM sqlite_master WHERE type = 'trigger'",
    );
    world.sql(&triggers);
    world.sql("DELETE FROM events WHERE seq % 5 = 0; DELETE FROM sessions WHERE rowid = 2; UPDATE events SET project = 'changed' WHERE seq = 6;");
    let recovered = world.path().join("recovered.db");
    world.sql(&format!("VACUUM INTO '{}'", recovered.display()));
    assert!(Command::new("mv").arg(&recovered).arg(world.mirror()).status().unwrap().success());
    world.start_supervisor();
    assert_eq!(world.count_events(""), all, "nothing is lost");
    world.supervisor().line_with("has lost rows");
    until_made(&world);
    assert_eq!(world.events("")[5]["project"], "changed");
    assert_eq!(world.sql("SELECT count(*) FROM events"), all.to_string());
    assert_eq!(world.sql("SELECT count(*) > 20 FROM sqlite_master WHERE type = 'trigger'"), "1");
    assert_eq!(beside(&world, "supervisor.db.salvaged.").len(), 1);
}
