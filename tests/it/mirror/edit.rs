//! What operators change with SQL reaches the store, exactly, and is written down.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::json;

use super::agree::full;
use super::stage::Talker;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// The runbook's own words.
const DELETE_OLD: &str = "DELETE FROM events WHERE timestamp < datetime('now', '-30 days');";

#[test]
fn old_events_deleted_by_the_runbook_are_gone_from_the_api_within_a_second() {
    let world = World::with_node();
    let id = world.start_session("shop", "burst 400");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    let all = world.count_events("");
    world.sql(
        "UPDATE events SET timestamp = datetime('now', '-31 days') WHERE seq <= \
         (SELECT seq FROM events WHERE type = 'echo.tick' ORDER BY seq LIMIT 1 OFFSET 299)",
    );
    let old: u64 = world
        .sql("SELECT count(*) FROM events WHERE timestamp < datetime('now', '-30 days')")
        .parse()
        .unwrap();
    assert!(old >= 300);
    let month_ago = hal_o_swarm::base::clock::now().minus(std::time::Duration::from_secs(30 * 86_400));
    world.until_events(&format!("until={month_ago}"), old);

    world.sql(DELETE_OLD);
    let begun = std::time::Instant::now();
    world.until_events("", all - old);
    println!("gone from the API {:?} after sqlite3 ended", begun.elapsed());
    world.until_events(&format!("session_id={id}&type=echo.tick"), 100);
    let left = super::super::event::ticks(&world, &id);
    assert!(left.into_iter().eq(301..=400), "the others are there, in order");
    let pages = world.pages(&format!("/api/v1/events?limit=7&session_id={id}"));
    assert_eq!(pages.len() as u64, world.count_events(&format!("session_id={id}")));
    world.until_sql(
        "SELECT sum(json_extract(args, '$.rows')) FROM audit_log WHERE action = 'delete events' \
                  AND actor = 'operator via supervisor.db' AND result = 'done'",
        &old.to_string(),
    );
    let next = world.start_session("shop", "say on");
    world.wait_for_session(&next, "idle");
}

#[test]
fn holes_anywhere_leave_pages_counts_and_times_right() {
    let world = World::with_node();
    let id = world.start_session("shop", "burst 300");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    let before = world.events("");
    world.sql("DELETE FROM events WHERE seq % 3 = 0 AND seq < (SELECT max(seq) FROM events)");
    let last = before.last().unwrap()["seq"].as_u64().unwrap();
    let kept: Vec<_> =
        before.into_iter().filter(|e| e["seq"].as_u64().unwrap() % 3 != 0 || e["seq"] == last).collect();
    world.until_events("", kept.len() as u64);
    assert_eq!(world.events(""), kept);
    let mut down = world.pages("/api/v1/events?limit=7&");
    down.reverse();
    assert_eq!(down, kept);
    let middle = kept[kept.len() / 2]["timestamp"].as_str().unwrap();
    let expected = kept.iter().filter(|e| e["timestamp"].as_str().unwrap() >= middle).count() as u64;
    assert_eq!(world.count_events(&format!("since={middle}")), expected);
}

#[test]
fn values_changed_rows_added_and_removed_reach_every_table() {
    let mut world = full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let sessions = world.pages("/api/v1/sessions?limit=100");
    let id = |at: usize| sessions[at]["id"].as_str().unwrap().to_owned();

    world.sql(&format!(
        "UPDATE sessions SET project = 'moved', tokens = 77, cost = 1.25 WHERE id = '{}'",
        id(0)
    ));
    world.sql(&format!("UPDATE sessions SET status = 'ended' WHERE id = '{}'", id(1)));
    world.sql(&format!("DELETE FROM sessions WHERE id = '{}'", id(2)));
    world.sql("INSERT INTO sessions (id, node_id, project, status, tokens) VALUES ('by-hand', 'web-1', 'shop', 'ended', 5)");
    wait_until("the sessions are so", PATIENCE, || {
        let of = |id: &str| world.get(&format!("/api/v1/sessions/{id}"));
        let (moved, ended, gone, new) = (of(&id(0)), of(&id(1)), of(&id(2)), of("by-hand"));
        let moved_is = &moved.body["data"];
        let is_so = moved_is["project"] == "moved"
            && moved_is["tokens"] == 77
            && moved_is["cost"] == 1.25
            && moved_is["title"] == sessions[0]["title"]
            && ended.body["data"]["status"] == "ended"
            && gone.status == StatusCode::NOT_FOUND
            && new.body["data"]["tokens"] == 5;
        if is_so { Ok(()) } else { Err(format!("{moved:?}\n{ended:?}\n{gone:?}\n{new:?}")) }
    });

    world.sql("UPDATE nodes SET hostname = 'renamed' WHERE id = 'web-1'");
    world.sql("INSERT INTO nodes (id, hostname) VALUES ('paper', 'nowhere')");
    wait_until("the nodes are so", PATIENCE, || {
        let nodes = world.pages("/api/v1/nodes?limit=1");
        let is_so = nodes.iter().any(|node| node["hostname"] == "renamed")
            && nodes.iter().any(|node| node["id"] == "paper" && node["status"] == "offline");
        if is_so { Ok(()) } else { Err(format!("{nodes:?}")) }
    });
    world.sql("DELETE FROM nodes WHERE id = 'paper'");
    wait_until("the node is gone", PATIENCE, || match world.pages("/api/v1/nodes?x=").len() {
        1 => Ok(()),
        many => Err(many.to_string()),
    });

    let command = world.pages("/api/v1/commands?limit=100")[0]["command_id"].as_str().unwrap().to_owned();
    world.sql(&format!("UPDATE commands SET result = 'looked at' WHERE id = '{command}'"));
    wait_until("the command is so", PATIENCE, || {
        let shown = world.data(&format!("/api/v1/commands/{command}"));
        if shown["output"] == "looked at" { Ok(()) } else { Err(shown.to_string()) }
    });
    world.sql(&format!("DELETE FROM commands WHERE id = '{command}'"));
    wait_until("the command is gone", PATIENCE, || {
        let status = world.get(&format!("/api/v1/commands/{command}")).status;
        if status == StatusCode::NOT_FOUND { Ok(()) } else { Err(status.to_string()) }
    });
}

#[test]
fn events_changed_and_added_are_found_where_they_belong() {
    let world = World::with_node();
    let id = world.start_session("shop", "burst 20");
    world.wait_for_session(&id, "idle");
    let other = world.start_session("shop", "say b");
    world.wait_for_session(&other, "idle");
    world.until_mirrored();
    let of = |session: &str| world.count_events(&format!("session_id={session}"));
    let (before, before_other) = (of(&id), of(&other));
    world.sql(&format!(
        "UPDATE events SET session_id = '{other}', data = '{{\"by\":\"hand\"}}' WHERE seq = \
         (SELECT min(seq) FROM events WHERE type = 'echo.tick')"
    ));
    world.until_events(&format!("session_id={id}"), before - 1);
    world.until_events(&format!("session_id={other}"), before_other + 1);
    let moved = world.events(&format!("session_id={other}&type=echo.tick"));
    assert_eq!(moved[0]["data"], json!({"by": "hand"}));

    // Deleted and put back, as out of a copy: under the same number.
    world.sql("CREATE TABLE kept AS SELECT * FROM events WHERE type = 'echo.tick'");
    let all = world.events("");
    world.sql("DELETE FROM events WHERE type = 'echo.tick'");
    world.until_events("type=echo.tick", 0);
    world.sql("INSERT INTO events SELECT * FROM kept; DROP TABLE kept;");
    world.until_events("type=echo.tick", 20);
    assert_eq!(world.events(""), all);

    world.sql(&format!("INSERT INTO events (type, session_id, node_id) VALUES ('note', '{id}', 'web-1')"));
    world.until_events(&format!("type=note&session_id={id}"), 1);
    let note = world.events("type=note")[0].clone();
    world.until_sql("SELECT seq FROM events WHERE type = 'note'", &note["seq"].to_string());
}

#[test]
fn what_makes_no_sense_is_refused_written_down_and_put_back() {
    let world = full();
    world.sql("UPDATE events SET data = 'no JSON' WHERE seq = 1");
    world.sql("UPDATE sessions SET status = 'dancing'");
    world.sql("DELETE FROM nodes WHERE id = 'web-1'");
    world.until_sql("SELECT json_valid(data) FROM events WHERE seq = 1", "1");
    world.until_sql("SELECT count(*) FROM sessions WHERE status = 'dancing'", "0");
    world.until_sql("SELECT count(*) FROM nodes", "1");
    world.until_sql(
        "SELECT count(DISTINCT action) FROM audit_log WHERE result = 'refused' AND error <> ''",
        "3",
    );
    world.wait_for_node("web-1", "online");
}

#[test]
fn costs_are_kept_through_a_new_mirror() {
    let mut world = full();
    world.sql("INSERT INTO costs (id, provider, model, date, tokens, cost_usd) VALUES ('x', 'p', 'm', '2026-01-31', 9, 0.5)");
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    world.sql("UPDATE costs SET cost_usd = 0.75 WHERE id = 'x'");
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'update costs'", "1");
    world.end_supervisor();
    std::fs::remove_file(world.mirror()).unwrap();
    world.start_supervisor();
    wait_until("there is a mirror again", PATIENCE, || {
        if world.mirror().exists() { Ok(()) } else { Err("not yet".into()) }
    });
    assert_eq!(
        world.sql("SELECT provider, model, date, tokens, cost_usd FROM costs WHERE id = 'x'"),
        "p|m|2026-01-31|9|0.75"
    );
}

#[test]
fn nothing_an_operator_does_stands_in_the_way() {
    let world = World::supervised();
    let talker = Talker::start(&world);
    talker.until_said(2_000);
    for statement in [
        "PRAGMA integrity_check;",
        "VACUUM;",
        "ANALYZE;",
        "PRAGMA journal_mode=WAL;",
        "SELECT COUNT(*) FROM sessions;",
        DELETE_OLD,
    ] {
        let said = talker.said();
        let shown = world.sql(statement);
        println!("{statement} {shown:?}");
        if statement.contains("integrity") {
            assert_eq!(shown, "ok");
        }
        talker.until_said(said + 100);
    }
    let mut shell = Command::new("sqlite3")
        .arg(world.mirror())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut typed = shell.stdin.take().unwrap();
    writeln!(typed, "SELECT count(*) FROM events;\nDELETE FROM events WHERE seq <= 100;").unwrap();
    typed.flush().unwrap();
    // An operator's open shell: his change comes through nevertheless, and ingest goes on.
    let said = talker.said();
    wait_until("what was deleted in an open shell is gone", PATIENCE, || {
        let first = world.events_first();
        if first > 100 { Ok(()) } else { Err(first.to_string()) }
    });
    talker.until_said(said + 1_000);
    drop(typed);
    assert!(shell.wait().unwrap().success());
    let said = talker.end();
    world.until_events("type=peer.tick", said - count_of_first(&world));
    world.until_mirrored();
    world.until_counts_agree();
    assert_eq!(world.sql("PRAGMA integrity_check"), "ok");
}

/// The ticks among the first hundred events: the others are the supervisor's own.
fn count_of_first(world: &World) -> u64 {
    let first = &world.get("/api/v1/events?order=asc&limit=1&type=peer.tick").body["data"][0];
    first["node_seq"].as_u64().unwrap() - 1
}

impl World {
    fn events_first(&self) -> u64 {
        self.get("/api/v1/events?order=asc&limit=1").body["data"][0]["seq"].as_u64().unwrap()
    }
}

#[test]
fn a_node_and_a_session_that_come_back_after_they_were_deleted_double_and_lose_nothing() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "burst 50");
    world.wait_for_session(&id, "idle");
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let before = world.count_events("type=echo.tick");
    assert_eq!(before, 50);
    world.until_mirrored();
    world.sql(&format!(
        "DELETE FROM nodes; DELETE FROM sessions WHERE id = '{id}'; DELETE FROM events WHERE seq IN \
         (SELECT seq FROM events WHERE type = 'echo.tick' ORDER BY seq LIMIT 10)"
    ));
    world.until_events("type=echo.tick", 40);
    wait_until("both are gone", PATIENCE, || match world.pages("/api/v1/nodes?x=").len() {
        0 => Ok(()),
        many => Err(many.to_string()),
    });
    world.end_supervisor();
    world.start_supervisor();
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    let back = world.start_session("shop", "say more");
    world.wait_for_session(&back, "idle");
    assert_eq!(world.count_events("type=echo.tick"), 40, "none came twice");
    world.sql(&format!("INSERT INTO sessions (id, node_id, project) VALUES ('{id}', 'web-1', 'shop')"));
    wait_until("its events are found", PATIENCE, || {
        let reply = world.get(&format!("/api/v1/events?session_id={id}&type=echo.tick&limit=1"));
        if reply.body["meta"]["total"] == 40 { Ok(()) } else { Err(reply.body.to_string()) }
    });
    // Counted by the index alone, which has no entries of what was deleted.
    let of = format!("session_id={id}");
    wait_until("both ways of counting agree", PATIENCE, || {
        let (counted, listed) = (world.count_events(&of), world.events(&of).len() as u64);
        if counted == listed { Ok(()) } else { Err(format!("{counted} counted, {listed} listed")) }
    });
}

#[test]
fn what_the_supervisor_keeps_for_itself_can_be_read_and_edited_and_outlives_both_files() {
    let mut world = full();
    world.sql("INSERT INTO state (id, data) VALUES ('thread/one', '\"1\"'), ('thread/two', '\"2\"')");
    world.sql("INSERT INTO state (id, data) VALUES ('thread/bad', 'no JSON')");
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
    world.sql("UPDATE state SET data = '\"3\"' WHERE id = 'thread/two'");
    let all = "SELECT group_concat(id || data, ' ') FROM (SELECT * FROM state WHERE id LIKE 'thread/%' ORDER BY id)";
    world.until_sql(all, "thread/one\"1\" thread/two\"3\"");
    for lost in [world.store(), world.mirror()] {
        world.until_mirrored();
        world.end_supervisor();
        std::fs::remove_file(lost).unwrap();
        world.start_supervisor();
        world.until_sql(all, "thread/one\"1\" thread/two\"3\"");
    }
    world.sql("DELETE FROM state");
    world.until_sql("SELECT count(*) FROM state", "0");
    world.until_sql("SELECT count(*) FROM _hal_oplog", "0");
}
