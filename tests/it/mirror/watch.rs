//! Backups are watched: one that is late, one that is damaged, and one before the store changes its shape.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::agree::full;
use super::stage::sqlite;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

fn until_alerted(world: &World, name: &str) -> String {
    wait_until(&format!("there is an alert {name}"), PATIENCE, || {
        let alerts = world.events("type=alert.raised");
        let found = alerts.iter().find(|alert| alert["data"]["name"] == name);
        found.map(|alert| alert["data"]["text"].to_string()).ok_or(format!("{alerts:?}"))
    })
}

fn newest(world: &World) -> PathBuf {
    world.mirror().with_added_extension("backup")
}

fn until_metric(world: &World, name: &str, expected: f64) {
    wait_until(&format!("{name} is {expected}"), PATIENCE, || {
        let value = world.metric(&format!("hal_o_swarm_{name} "));
        if value == expected { Ok(()) } else { Err(value.to_string()) }
    });
}

#[test]
fn a_backup_that_is_damaged_after_it_was_made_is_noticed() {
    let mut world = World::empty();
    world.start_with("backup", &json!({"enabled": false, "interval": "2s"}));
    assert_eq!(world.metric("hal_o_swarm_backup_newest_timestamp_seconds "), 0.0);
    wait_until("one is made", PATIENCE, || {
        let made = world.ctl(&["backup", "now"]);
        if made.status.success() { Ok(()) } else { Err(crate::world::text(&made.stderr)) }
    });
    until_metric(&world, "backup_newest_verified", 1.0);
    let bytes = fs::metadata(newest(&world)).unwrap().len();
    until_metric(&world, "backup_newest_bytes", bytes as f64);
    let made = world.metric("hal_o_swarm_backup_newest_timestamp_seconds ");
    assert!((made - hal_o_swarm::base::clock::now().0 as f64 / 1e3).abs() < 600.0, "{made}");
    let disk = world.metric("hal_o_swarm_disk_bytes{word=\"backups\"} ");
    assert!(disk >= bytes as f64, "{disk}");

    let file = fs::OpenOptions::new().write(true).open(newest(&world)).unwrap();
    file.write_all_at(&[0xA5; 9_000], 8_192).unwrap();
    let alert = until_alerted(&world, "backup.damaged");
    assert!(alert.contains("halctl backup now"), "{alert}");
    until_metric(&world, "backup_newest_verified", 0.0);
    // A start notices it, too.
    world.end_supervisor();
    world.start_with("backup", &json!({"enabled": false, "interval": "2s"}));
    wait_until("it is told again", PATIENCE, || {
        let alerts = world.events("type=alert.raised");
        let told = alerts.iter().filter(|alert| alert["data"]["name"] == "backup.damaged").count();
        if told == 2 { Ok(()) } else { Err(format!("{alerts:?}")) }
    });
    world.ctl_says(&["backup", "now"]);
    until_metric(&world, "backup_newest_verified", 1.0);
}

#[test]
fn a_damaged_backup_is_replaced_before_its_time() {
    const EVERY: f64 = 30.0;
    let mut world = World::empty();
    world.start_with("backup", &json!({"interval": format!("{EVERY}s")}));
    wait_until("one is made", PATIENCE, || {
        let made = world.ctl(&["backup", "now"]);
        if made.status.success() { Ok(()) } else { Err(crate::world::text(&made.stderr)) }
    });
    let made = || world.metric("hal_o_swarm_backup_newest_timestamp_seconds ");
    let first = made();
    let file = fs::OpenOptions::new().write(true).open(newest(&world)).unwrap();
    file.write_all_at(&[0xA5; 9_000], 8_192).unwrap();
    assert!(until_alerted(&world, "backup.damaged").contains("another one is made"));
    let second = wait_until("another one is made", PATIENCE, || match made() {
        now if now > first => Ok(now),
        now => Err(now.to_string()),
    });
    assert!(second - first < EVERY, "it was due anyway, {} s later", second - first);
    assert_eq!(sqlite(&newest(&world), "PRAGMA integrity_check").unwrap(), "ok");
}

#[test]
fn backups_that_fail_are_counted_and_after_two_intervals_there_is_an_alert() {
    let mut world = World::supervised();
    world.until_mirrored();
    world.end_supervisor();
    let obstacle = world.mirror().with_added_extension("backup.new");
    fs::create_dir_all(obstacle.join("in-the-way")).unwrap();
    world.start_with("backup", &json!({"interval": "1s"}));
    let alert = until_alerted(&world, "backup.late");
    assert!(alert.contains("there is none"), "{alert}");
    assert!(world.metric("hal_o_swarm_backup_failures_total ") >= 1.0);
    fs::remove_dir_all(obstacle).unwrap();
    until_metric(&world, "backup_newest_verified", 1.0);
}

/// The store as a version before the last change of its shape left it: without one table.
fn make_older(store: &Path) {
    let database = redb::Database::open(store).unwrap();
    let state: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("state");
    let txn = database.begin_write().unwrap();
    assert!(txn.delete_table(state).unwrap(), "the table was there");
    txn.commit().unwrap();
}

fn backups(world: &World) -> Vec<Value> {
    world.pages("/api/v1/backups?x=")
}

#[test]
fn a_backup_is_made_before_the_store_changes_its_shape_and_without_it_nothing_changes() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    let (picture, said) = (world.whole_picture(), world.count_events(""));
    world.end_supervisor();
    make_older(&world.store());
    let old = fs::read(world.store()).unwrap();

    let obstacle = world.mirror().with_added_extension("backup.new");
    fs::create_dir_all(obstacle.join("in-the-way")).unwrap();
    world.start_supervisor_by(world.supervisor_command());
    let status = wait_until("it refuses to start", PATIENCE, || {
        let said = world.supervisor().said();
        world.supervisor_mut().ended().ok_or(said)
    });
    assert!(!status.success() && world.supervisor().said().contains("backup.new"), "{status}");
    let tables = |store: &Path| {
        let database = redb::Database::open(store).unwrap();
        let txn = redb::ReadableDatabase::begin_read(&database).unwrap();
        let names: Vec<String> =
            txn.list_tables().unwrap().map(|table| redb::TableHandle::name(&table).to_owned()).collect();
        names
    };
    assert!(!tables(&world.store()).contains(&"state".to_owned()), "its shape was not changed");
    fs::remove_dir_all(obstacle).unwrap();
    fs::write(world.store(), old).unwrap();

    world.start_supervisor();
    world.supervisor().line_with("backed up before the store is upgraded");
    assert_eq!(world.whole_picture(), picture);
    let made = backups(&world);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(sqlite(&newest(&world), "PRAGMA integrity_check").unwrap(), "ok");
    assert_eq!(sqlite(&newest(&world), "SELECT count(*) FROM events").unwrap(), said.to_string());
    // It is made once.
    world.end_supervisor();
    assert!(tables(&world.store()).contains(&"state".to_owned()));
    world.start_supervisor();
    assert_eq!(backups(&world).len(), 1);
}
