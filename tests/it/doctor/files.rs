//! The supervisor's files: damaged, foreign, on a full disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::time::Instant;

use serde_json::{Value, json};

use super::stage::{Machine, harm};
use crate::fault::means::can_give_away;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

const CORRUPTION: &str = "Supervisor Database Corruption";

/// A machine with a session's events in a supervisor that is stopped, and how many there were.
fn stopped() -> (Machine, u64) {
    let mut machine = Machine::around(World::with_node());
    machine.world.start_session("shop", "say hello");
    machine.world.until_mirrored();
    drop(machine.world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    machine.world.wait_for_node("web-1", "offline");
    machine.world.until_mirrored();
    machine.world.ctl_says(&["backup", "now"]);
    let events = machine.world.count_events("");
    assert!(events > 3);
    machine.crash("");
    (machine, events)
}

#[test]
fn a_damaged_database_is_healed_by_a_restart() {
    let (machine, events) = stopped();
    harm(&machine.world.mirror(), 0);
    let begun = Instant::now();
    let said = machine.doctor(&[]);
    let damaged = said.found("store.damaged", "high", CORRUPTION);
    assert!(damaged["evidence"].to_string().contains("file is not a database"), "{damaged:#}");
    assert!(damaged["what"].to_string().contains("loses nothing"), "{damaged:#}");
    let mended = machine.doctor(&["--fix", "--yes"]);
    assert_eq!(mended.code, 0, "{}", mended.all);
    assert!(!mended.has("store.damaged"));
    machine.serves();
    assert_eq!(machine.world.count_events("type=session.created"), 1);
    assert!(machine.world.count_events("") >= events);
    println!("from fault to healthy: {:?}", begun.elapsed());
}

#[test]
fn when_both_stores_are_damaged_the_newest_backup_is_restored() {
    let (machine, events) = stopped();
    harm(&machine.world.mirror(), 0);
    harm(&machine.world.store(), 0);
    let begun = Instant::now();
    let said = machine.doctor(&[]);
    let damaged = said.found("store.damaged", "critical", CORRUPTION);
    assert!(damaged["commands"].to_string().contains("store restore"), "{damaged:#}");
    let mended = machine.doctor(&["--fix", "--yes"]);
    let orders = ["stop", "reset-failed", "restart"].map(|verb| format!("systemctl {verb} hal-supervisor"));
    assert_eq!(machine.orders(), orders, "{}", mended.all);
    let outcomes: Vec<&Value> =
        mended.report["fixes"].as_array().unwrap().iter().map(|fix| &fix["outcome"]).collect();
    assert_eq!(outcomes, ["helped", "helped"], "{}", mended.all);
    assert!(!mended.has("store.damaged"), "{}", mended.all);
    machine.serves();
    assert_eq!(machine.world.count_events("type=session.created"), 1);
    assert!(machine.world.count_events("") >= events);
    println!("from fault to healthy: {:?}", begun.elapsed());
    // The supervisor says itself what it has done, until somebody knows.
    wait_until("doctor tells of it", PATIENCE, || {
        let said = machine.doctor(&[]);
        if said.has("alert.store.replaced") { Ok(()) } else { Err(said.all) }
    });
}

#[test]
fn without_a_backup_nothing_is_done_to_two_damaged_stores() {
    let (machine, _) = stopped();
    let folder = machine.world.path().join("supervisor");
    for entry in fs::read_dir(&folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".backup") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    harm(&machine.world.mirror(), 0);
    harm(&machine.world.store(), 0);
    let said = machine.doctor(&["--fix"]);
    assert!(said.finding("store.damaged")["fix"].is_null(), "{}", said.all);
}

#[test]
fn a_disk_with_little_room_is_found() {
    let machine = Machine::supervised();
    assert!(
        !machine.doctor(&[]).has("disk.low"),
        "or this machine's disk is full and the scene proves nothing"
    );
    machine.configure(|config| config["alerts"] = json!({"disk_free_percent": 99}));
    let said = machine.doctor(&[]);
    let low = said.finding("disk.low");
    assert!(["high", "critical"].contains(&low["severity"].as_str().unwrap()), "{low:#}");
    assert!(
        low["what"].to_string().contains("MiB free") && low["commands"].to_string().contains("df -h"),
        "{low:#}"
    );
    assert_eq!(said.code, 3);
}

#[test]
fn files_of_root_are_given_back_to_the_service() {
    if !can_give_away("files of root are given back") {
        return;
    }
    const NOBODY: u32 = 65534;
    let machine = Machine::supervised();
    machine.world.until_mirrored();
    let folder = machine.world.path().join("supervisor");
    chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    for file in ["supervisor.redb", "supervisor.redb.ballast", "supervisor.db-wal", "supervisor.db-shm"] {
        let _ = chown(folder.join(file), Some(NOBODY), Some(NOBODY));
    }
    assert_eq!(fs::metadata(machine.world.mirror()).unwrap().uid(), 0, "the fault is there");
    let said = machine.doctor(&[]);
    let owner = said.found("store.owner", "medium", "Supervisor Process Crashed");
    assert!(owner["commands"].to_string().contains("sudo chown 65534:65534 "), "{owner:#}");
    // What root's supervisor makes meanwhile is root's again, and is given back as well when somebody looks again.
    wait_until("the files are given back", PATIENCE, || {
        let mended = machine.doctor(&["--fix", "--yes"]);
        let is_given = fs::metadata(machine.world.mirror()).unwrap().uid() == NOBODY;
        let is_well = is_given && mended.code == 0 && !mended.has("store.owner");
        if is_well { Ok(()) } else { Err(mended.all) }
    });
}

#[test]
fn a_missing_backup_is_made() {
    let machine = Machine::supervised();
    machine.configure(|config| config["backup"] = json!({"interval": "1s"}));
    machine.world.ctl_says(&["backup", "now"]);
    // The one that is there was made in another year.
    let folder = machine.world.path().join("supervisor");
    let stamped = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains(".backup.2");
    let made = fs::read_dir(&folder).unwrap().flatten().find(stamped).expect("a backup was made").path();
    fs::rename(&made, folder.join("supervisor.db.backup.20200101T000000Z")).unwrap();
    machine.configure(|_| {});
    let said = machine.doctor(&[]);
    said.found("backup.old", "medium", "Lost Session Data");
    let mended = machine.doctor(&["--fix", "--yes"]);
    assert_eq!((mended.code, mended.has("backup.old")), (0, false), "{}", mended.all);
    let is_new =
        |entry: &fs::DirEntry| stamped(entry) && !entry.file_name().to_string_lossy().contains(".2020");
    assert_eq!(fs::read_dir(&folder).unwrap().flatten().filter(is_new).count(), 1);
}

#[test]
fn sessions_that_somebody_has_deleted_are_missed_and_not_brought_back() {
    let machine = Machine::around(World::with_node());
    let pid = machine.world.supervisor().pid();
    machine.unit("hal-supervisor", "active", "running", &format!("MainPID={pid}\n"));
    let id = machine.world.start_session("shop", "say hello");
    machine.world.wait_for_session(&id, "idle");
    machine.world.until_mirrored();
    machine.world.ctl_says(&["backup", "now"]);
    let well = machine.doctor(&[]);
    assert!(!well.has("sessions.missing") && !well.all.contains("was not asked"), "{}", well.all);
    machine.world.sql("DELETE FROM sessions");
    machine.world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    let said = machine.doctor(&[]);
    let missing = said.found("sessions.missing", "high", "Lost Session Data");
    assert!(
        missing["what"].to_string().contains("holds 1 sessions, and the supervisor knows 0"),
        "{missing:#}"
    );
    assert!(missing["fix"].is_null(), "somebody may have wanted it: {missing:#}");
}
