//! The store and its mirror say the same, and each makes the other anew without losing anything.

use std::fs;

use serde_json::{Value, json};

use super::stage::{TABLES, Talker, dump, sqlite};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// A world in which every table has rows.
pub fn full() -> World {
    let world = World::with_node();
    for prompt in ["say a", "fail b", "cost 0.5", "burst 300", "ask rm -rf build"] {
        let id = world.start_session("shop", prompt);
        let until = if prompt.starts_with("fail") { "error" } else { "idle" };
        world.wait_for_session(&id, if prompt.starts_with("ask") { "waiting" } else { until });
    }
    let asked = json!({"type": "create_session", "project": "shop", "args": {"prompt": "say once"},
        "idempotency_key": "once"});
    world.done(&asked);
    world.until_mirrored();
    world
}

#[test]
fn every_row_is_there_as_an_operator_would_ask_for_it() {
    let world = full();
    for (table, path) in
        [("events", "events"), ("sessions", "sessions"), ("nodes", "nodes"), ("commands", "commands")]
    {
        let shown = world.get(&format!("/api/v1/{path}?limit=1")).body["meta"]["total"].clone();
        world.until_sql(&format!("SELECT count(*) FROM {table}"), &shown.to_string());
    }
    let rows = world.sql(
        "SELECT json_object('seq', seq, 'id', id, 'session_id', session_id, 'node_id', node_id, 'type', type, \
         'data', json(data), 'timestamp', replace(timestamp, ' ', 'T') || 'Z', 'occurred_at', \
         replace(occurred_at, ' ', 'T') || 'Z', 'project', project, 'node_seq', node_seq) FROM events ORDER BY seq",
    );
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows, world.events(""));
    for session in world.pages("/api/v1/sessions?limit=100") {
        let id = session["id"].as_str().unwrap();
        let expected = format!(
            "{}|{}|{}|{}",
            session["node_id"].as_str().unwrap(),
            session["project"].as_str().unwrap(),
            session["status"].as_str().unwrap(),
            session["tokens"]
        );
        world.until_sql(
            &format!("SELECT node_id, project, status, tokens FROM sessions WHERE id = '{id}'"),
            &expected,
        );
    }
    assert_eq!(world.sql("SELECT count(*) FROM sessions WHERE cost = 0.5"), "1");
    let spent = "SELECT sum(cost_usd), min(date) = date('now') FROM costs WHERE cost_usd > 0";
    assert_eq!(world.sql(spent), "0.5|1", "the ledger of costs");
    assert_eq!(world.sql("SELECT hostname, status FROM nodes").split('|').nth(1), Some("online"));
    assert_eq!(world.sql("SELECT count(*) > 5 FROM audit_logs WHERE action = 'create_session'"), "1");
    assert_eq!(world.sql("SELECT count(*) FROM events WHERE timestamp < datetime('now', '-1 minute')"), "0");
    assert_eq!(world.sql("SELECT count(*) FROM events WHERE timestamp > datetime('now', '+1 minute')"), "0");
}

#[test]
fn a_node_that_leaves_is_offline_in_the_mirror_and_its_sessions_are_unreachable() {
    let mut world = full();
    let ended = world.take_agent("web-1").end_with(rustix::process::Signal::TERM);
    assert!(ended.0.success(), "{}", ended.1);
    world.until_sql("SELECT status FROM nodes", "offline");
    world.until_sql("SELECT count(*) FROM sessions WHERE status <> 'unreachable'", "0");
    world.start_agent_again("web-1");
    world.until_sql("SELECT status FROM nodes", "online");
    world.until_sql("SELECT count(*) FROM sessions WHERE status = 'unreachable'", "0");
}

/// Ends the supervisor and gives every row of its mirror.
fn rows_at_the_end(world: &mut World) -> String {
    world.end_supervisor();
    assert!(!world.mirror().with_extension("db-wal").exists(), "nothing is left beside it");
    dump(&world.mirror())
}

#[test]
fn each_makes_the_other_anew_without_a_difference() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let picture = world.whole_picture();
    let rows = rows_at_the_end(&mut world);
    assert!(rows.lines().count() > 320, "{} rows", rows.lines().count());

    fs::remove_file(world.mirror()).unwrap();
    world.start_supervisor();
    world.until_mirrored();
    assert_eq!(rows_at_the_end(&mut world), rows, "a mirror made from the store");

    fs::remove_file(world.store()).unwrap();
    // Nobody is told that it is lost: its ballast is gone with it.
    fs::remove_file(world.store().with_added_extension("ballast")).unwrap();
    world.start_supervisor();
    assert_eq!(world.whole_picture(), picture, "a store made from the mirror");
    let idle = world.pages("/api/v1/sessions?limit=100")[0]["id"].as_str().unwrap().to_owned();
    let of_one = world.events(&format!("session_id={idle}"));
    assert_eq!(of_one.len() as u64, world.count_events(&format!("session_id={idle}")));
    assert!(!of_one.is_empty(), "events are found by their session");
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    let again = json!({"type": "create_session", "project": "shop", "args": {"prompt": "say once"},
        "idempotency_key": "once"});
    let before = world.pages("/api/v1/commands?limit=100").len();
    world.done(&again);
    assert_eq!(world.pages("/api/v1/commands?limit=100").len(), before, "the key is known");
}

#[test]
fn it_keeps_up_with_two_thousand_events_a_second() {
    let world = World::supervised();
    let talker = Talker::start(&world);
    talker.until_said(4_000);
    let mut lags = Vec::new();
    while talker.said() < 20_000 {
        lags.push(world.metric("hal_o_swarm_mirror_lag_seconds "));
        talker.until_said(lags.len() as u64 * 500);
    }
    let said = talker.end();
    lags.sort_by(f64::total_cmp);
    println!("lag of the mirror: median {:.3} s, worst {:.3} s", lags[lags.len() / 2], lags[lags.len() - 1]);
    world.until_sql("SELECT count(*) >= 4000 FROM events WHERE type = 'peer.tick'", "1");
    wait_until("every acknowledged event is in the mirror", PATIENCE, || {
        let found =
            sqlite(&world.mirror(), "SELECT count(*), max(node_seq) FROM events WHERE type = 'peer.tick'")?;
        let many: u64 = found.split('|').next().unwrap_or_default().parse().unwrap_or(0);
        if many >= said { Ok(()) } else { Err(found) }
    });
    let counts = TABLES.map(|(table, _)| format!("(SELECT count(*) FROM {table})")).join(" + ");
    world.until_mirrored();
    let rows = world.sql(&format!("SELECT {counts}"));
    wait_until("the rows are counted", PATIENCE, || {
        let counted = world.metric("hal_o_swarm_mirror_rows ").to_string();
        if counted == rows { Ok(()) } else { Err(counted) }
    });
}
