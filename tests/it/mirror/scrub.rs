//! Rows that are not what was written are found by comparing, and healed from the other file.

use std::fs;

use reqwest::StatusCode;
use rustix::process::Signal;

use super::agree::full;
use super::stage::Talker;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Puts other bytes of the same length in every place of a file; how many there were.
fn put_over(world: &World, is_mirror: bool, old: &str, new: &str) -> usize {
    assert_eq!(old.len(), new.len());
    let path = if is_mirror { world.mirror() } else { world.store() };
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, part)| *part == old.as_bytes())
        .map(|(at, _)| at)
        .collect();
    for at in &places {
        bytes[*at..at + old.len()].copy_from_slice(new.as_bytes());
    }
    fs::write(path, bytes).unwrap();
    places.len()
}

fn until_alerted(world: &World, name: &str) -> String {
    wait_until(&format!("there is an alert {name}"), PATIENCE, || {
        let alerts = world.events("type=alert.raised");
        let found = alerts.iter().find(|alert| alert["data"]["name"] == name);
        found.map(|alert| alert["data"]["text"].to_string()).ok_or(format!("{alerts:?}"))
    })
}

#[test]
fn a_row_of_the_mirror_that_is_not_what_was_written_is_written_again() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    let picture = world.whole_picture();
    let seq = world.events("type=echo.tick")[6]["seq"].to_string();
    let right = world.sql(&format!("SELECT data FROM events WHERE seq = {seq}"));
    world.end_supervisor();
    let wrong = right.replacen(|letter: char| letter.is_ascii_digit(), "8", 1);
    let wrong = if wrong == right { right.replacen('8', "9", 1) } else { wrong };
    assert!(put_over(&world, true, &right, &wrong) > 0);
    assert_eq!(world.sql("PRAGMA quick_check"), "ok", "SQLite does not notice");
    world.start_supervisor();
    let alert = until_alerted(&world, "mirror.healed");
    assert!(alert.contains("supervisor.db"), "{alert}");
    world.until_sql(&format!("SELECT data FROM events WHERE seq = {seq}"), &right);
    let mut now = world.whole_picture();
    now[3].retain(|event| event["type"] != "alert.raised");
    assert_eq!(now, picture, "the store is as it was");
}

#[test]
fn a_column_that_only_follows_from_others_is_written_again_too() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    let seq = world.events("type=echo.tick")[6]["seq"].to_string();
    let said = format!("SELECT ts_us FROM events WHERE seq = {seq}");
    let right = world.sql(&said);
    world.end_supervisor();
    // Without the triggers it is no operator's edit, but damage.
    let wrong = std::process::Command::new("sqlite3")
        .args(["-cmd", ".dbconfig enable_trigger off"])
        .arg(world.mirror())
        .arg(format!("UPDATE events SET ts_us = ts_us + 72 WHERE seq = {seq}"))
        .output()
        .unwrap();
    assert!(wrong.status.success(), "{wrong:?}");
    assert_ne!(world.sql(&said), right);
    assert_eq!(world.sql("SELECT count(*) FROM _hal_oplog"), "0");
    world.start_supervisor();
    until_alerted(&world, "mirror.healed");
    world.until_sql(&said, &right);
}

#[test]
fn a_row_of_the_store_that_cannot_be_read_comes_back_from_the_mirror() {
    let mut world = World::supervised();
    let talker = Talker::start(&world);
    talker.until_said(400);
    talker.end();
    world.until_mirrored();
    let whole = world.events("type=peer.tick");
    let seq = whole[136]["seq"].as_u64().unwrap();
    let node_seq = whole[136]["node_seq"].to_string();
    world.end_supervisor();
    assert!(put_over(&world, false, &format!(r#"{{"n":{node_seq},"#), &format!(r#"{{"N":{node_seq},"#)) > 0);
    world.start_supervisor();
    let of_row = format!("/api/v1/events?order=asc&limit=1&cursor={}", seq - 1);
    let first = world.get(&of_row).status;
    println!("before it is healed: {first}");
    until_alerted_by_log(&world);
    wait_until("it can be read again", PATIENCE, || match world.get("/api/v1/events?limit=1000").status {
        StatusCode::OK => Ok(()),
        other => Err(other.to_string()),
    });
    assert_eq!(world.events("type=peer.tick"), whole);
    until_alerted(&world, "store.healed");
    // The store is sound again.
    world.end_supervisor();
    world.start_supervisor();
    assert_eq!(world.events("type=peer.tick"), whole);
    assert!(!world.supervisor().said().contains("damaged"), "{}", world.supervisor().said());
}

#[test]
fn rows_of_sessions_nodes_and_commands_that_cannot_be_read_come_back_one_by_one() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(Signal::TERM));
    world.wait_for_node("web-1", "offline");
    world.until_mirrored();
    let picture = world.whole_picture();
    let (sessions, commands) = (picture[1].len(), picture[2].len());
    let audit = world.sql("SELECT * FROM audit_log ORDER BY seq");
    world.end_supervisor();
    // How a project's directory and backend stand in the rows of nodes and of sessions, and in no other.
    let directory = picture[1][0]["directory"].as_str().unwrap();
    let right = format!("{directory}\u{4}echo\0");
    assert!(put_over(&world, false, &right, &right.replacen('/', "|", 1)) > sessions);
    assert!(put_over(&world, false, r#"{"prompt":"#, r#"{"PROMPT":"#) >= commands);
    world.start_supervisor();
    let alert = until_alerted(&world, "store.healed");
    assert!(alert.contains("rows of the store were not what was written"), "{alert}");
    let mut now = world.whole_picture();
    now[3].retain(|event| event["type"] != "alert.raised");
    assert_eq!(now, picture);
    assert_eq!(world.sql("SELECT * FROM audit_log ORDER BY seq"), audit);
    let files = fs::read_dir(world.path().join("supervisor")).unwrap();
    let names: Vec<String> =
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.contains("corrupt") || name.contains("suspect")), "{names:?}");
    // Nothing is left to be healed.
    world.end_supervisor();
    world.start_supervisor();
    assert!(!world.supervisor().said().contains("damaged"), "{}", world.supervisor().said());
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    let id = world.start_session("shop", "say more");
    world.wait_for_session(&id, "idle");
}

fn until_alerted_by_log(world: &World) {
    world.supervisor().line_with("store.healed");
}
