//! Survival: supervisor and agent are killed in the middle of things, and afterwards everything is there once.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::event::ticks;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Enough that a kill falls into the middle of it.
const BURST: u64 = 20_000;

/// Begins a burst and waits until some of it, and not all, is stored. Gives the session and how much that was.
fn in_the_middle_of_a_burst(world: &World) -> (String, u64) {
    let id = world.start_session("shop", &format!("burst {BURST}"));
    let stored = wait_until("the burst has begun", PATIENCE, || {
        let stored = world.count_events(&format!("session_id={id}&type=echo.tick"));
        if stored > 0 { Ok(stored) } else { Err("nothing is stored yet".to_owned()) }
    });
    assert!(stored < BURST, "the burst was over before anything could be killed");
    (id, stored)
}

fn numbers_without_holes(world: &World, node: &str) {
    let events = world.events(&format!("node_id={node}"));
    let seqs: Vec<u64> =
        events.iter().filter_map(|event| event["node_seq"].as_u64()).filter(|seq| *seq > 0).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{node} has holes or doubles");
    let gaps = events.iter().filter(|event| event["type"] == "gap").count();
    assert_eq!(gaps, 0, "nothing was given up");
}

#[test]
fn a_supervisor_killed_in_a_burst_misses_nothing() {
    let mut world = World::with_node();
    let (id, _) = in_the_middle_of_a_burst(&world);
    world.kill_supervisor();
    world.start_supervisor();
    let again = world.count_events(&format!("session_id={id}&type=echo.tick"));
    if again < BURST {
        // Once more, while the node is sending what it still holds.
        world.kill_supervisor();
        world.start_supervisor();
    }
    world.wait_for_node("web-1", "online");
    world.wait_for_session(&id, "idle");
    assert!(ticks(&world, &id).into_iter().eq(1..=BURST), "each tick once, in order");
    numbers_without_holes(&world, "web-1");
}

#[test]
fn an_agent_killed_in_a_burst_loses_nothing_that_it_had_stored() {
    let mut world = World::with_node();
    let (id, stored) = in_the_middle_of_a_burst(&world);
    world.take_agent("web-1").kill();
    world.wait_for_node("web-1", "offline");
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    // The turn died with its agent; the record says so instead of running for ever.
    let session = wait_until("the turn is known to be over", PATIENCE, || {
        let session = world.data(&format!("/api/v1/sessions/{id}"));
        let over =
            session["status"] == "error" || session["status"] == "idle" || session["status"] == "ended";
        if over { Ok(session) } else { Err(session.to_string()) }
    });
    let seen = ticks(&world, &id);
    assert!(
        seen.iter().copied().eq(1..=seen.len() as u64),
        "a beginning of the burst, each tick once: {session}"
    );
    assert!(seen.len() as u64 >= stored, "{stored} were stored here, {} are left", seen.len());
    numbers_without_holes(&world, "web-1");
    let next = world.start_session("shop", "say still here");
    world.wait_for_session(&next, "idle");
}

#[test]
fn a_turn_goes_on_while_the_supervisor_is_away() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "run 2");
    world.wait_for_session(&id, "running");
    world.kill_supervisor();
    world.start_supervisor();
    let session = world.wait_for_session(&id, "idle");
    assert_eq!(session.get("error"), None, "{session}");
    assert_eq!(world.count_events(&format!("session_id={id}&type=session.interrupted")), 0);
}

#[test]
fn words_to_a_busy_session_are_on_record_once_they_are_done() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "run 600");
    world.wait_for_session(&id, "running");
    world.done(&json!({"type": "prompt_session", "session_id": id, "args": {"message": "say later"}}));
    world.take_agent("web-1").kill();
    world.start_agent_again("web-1");
    world.wait_for_session(&id, "error");
    let parts = world.events(&format!("session_id={id}&type=message.part.updated"));
    let said = parts.iter().filter(|event| event["data"]["part"]["text"] == "say later").count();
    assert_eq!(said, 1, "it was said to be done");
}

#[test]
fn a_question_outlives_the_supervisor() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "ask rm -rf build");
    world.wait_for_session(&id, "waiting");
    world.kill_supervisor();
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    world.wait_for_session(&id, "waiting");
    world.done(&json!({"type": "answer_permission", "session_id": id, "args": {"reply": "once"}}));
    world.wait_for_session(&id, "idle");
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let mut world = World::with_node();
    for prompt in ["say a", "fail b", "cost 0.5"] {
        let id = world.start_session("shop", prompt);
        world.wait_for_session(&id, if prompt.starts_with("fail") { "error" } else { "idle" });
    }
    let (status, said) = world.take_agent("web-1").end_with(Signal::TERM);
    assert!(status.success(), "{said}");
    world.wait_for_node("web-1", "offline");
    let before = picture(&world);
    world.kill_supervisor();
    world.start_supervisor();
    assert_eq!(picture(&world), before, "after a kill");
    world.end_supervisor();
    world.start_supervisor();
    assert_eq!(picture(&world), before, "after an end in order");
}

/// All that a supervisor without connected nodes shows.
fn picture(world: &World) -> Vec<Vec<Value>> {
    let mut nodes = world.pages("/api/v1/nodes?x=");
    for node in &mut nodes {
        // Heartbeats are not worth a write: these come again with the next one, or connection.
        for volatile in ["last_heartbeat", "resources", "clock_ahead_ms", "journal", "came_in"] {
            node.as_object_mut().unwrap().remove(volatile);
        }
    }
    let sessions = world.pages("/api/v1/sessions?limit=100");
    let commands = world.pages("/api/v1/commands?limit=100");
    vec![nodes, sessions, commands, world.events("")]
}

#[test]
fn a_command_begun_on_a_journal_that_is_lost_is_unknown_and_never_begun_again() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "run 60");
    world.wait_for_session(&id, "running");
    let asked = world.ask(&json!({"type": "prompt_session", "session_id": id, "timeout": 0,
        "args": {"message": "say only once"}}));
    let command = asked.body["data"]["command_id"].as_str().unwrap().to_owned();
    let state = |world: &World| world.data(&format!("/api/v1/commands/{command}"))["state"].clone();
    wait_until("the node has begun it", PATIENCE, || {
        let state = state(&world);
        if state == "running" || state == "done" { Ok(()) } else { Err(state.to_string()) }
    });
    world.take_agent("web-1").kill();
    std::fs::write(world.path().join("web-1/data/agent.redb"), "no journal at all ".repeat(1000)).unwrap();
    world.start_agent_again("web-1");
    wait_until("the fault fires", PATIENCE, || {
        let files = std::fs::read_dir(world.path().join("web-1/data")).unwrap();
        let names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let is_aside = names.iter().any(|name| name.starts_with("agent.redb.corrupt."));
        if is_aside { Ok(()) } else { Err(format!("{names:?}")) }
    });
    // Its node may just have said that it was done.
    wait_until("the command has ended", PATIENCE, || match state(&world) {
        ended if ended == "unknown" || ended == "done" => Ok(()),
        other => Err(other.to_string()),
    });
    let next = world.start_session("shop", "say after");
    world.wait_for_session(&next, "idle");
    let said = world.events("node_id=web-1&type=message.part.updated");
    let times = said.iter().filter(|event| event["data"]["part"]["text"] == "say only once").count();
    assert!(times <= 1, "it was begun {times} times");
}
