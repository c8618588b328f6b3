//! One identity, two agents: a copied journal, and an owner who was paused and wakes up. Only one of them writes.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::means::{during, stored};
use crate::event::ticks;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Copies a folder of files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// An agent that says it is `web-1`, with a place and a project of its own.
fn config_of(world: &World, place: &str, project: &str) -> Value {
    std::fs::create_dir_all(world.path().join(place).join(project)).unwrap();
    let mut config = world.agent_config(place, project);
    config["node_id"] = json!("web-1");
    config
}

fn node(world: &World) -> Value {
    world.data("/api/v1/nodes/web-1")
}

/// Waits until the node `web-1` has this project, which tells the two agents apart.
fn wait_for_owner(world: &World, project: &str) -> Value {
    wait_until(&format!("the one with {project} is admitted"), PATIENCE, || {
        let node = node(world);
        let is_so = node["status"] == "online" && node["projects"][0]["name"] == project;
        if is_so { Ok(node) } else { Err(node.to_string()) }
    })
}

/// Ticks of a whole turn, each once.
fn all_there(world: &World, id: &str, count: u64) {
    world.wait_for_session(id, "idle");
    assert!(ticks(world, id).into_iter().eq(1..=count), "each of {count} once, in order");
}

/// No event is there twice, and no number is twice in one incarnation.
fn nothing_twice(world: &World) {
    let events = world.events("node_id=web-1");
    let mut ids: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "some events are there twice");
}

/// Waits until the one that is refused has said why, naming both addresses.
fn is_refused(world: &World, agent: &str) {
    let address = node(world)["address"].as_str().unwrap().to_owned();
    let line = world.agent(agent).line_with(&address);
    assert_eq!(line.matches("127.0.0.1:").count().min(2), 2, "the sentence names both addresses: {line}");
}

#[test]
fn two_agents_with_one_identity_and_only_one_writes() {
    let mut world = World::with_node();
    let before = world.start_session("shop", "burst 100");
    all_there(&world, &before, 100);
    let (status, said) = world.take_agent("web-1").end_with(Signal::TERM);
    assert!(status.success(), "{said}");
    world.wait_for_node("web-1", "offline");
    copy(&world.path().join("web-1/data"), &world.path().join("twin/data"));

    // The copy comes first: from now on its journal has the newest epoch.
    let twin = config_of(&world, "twin", "yard");
    world.start_agent_with("twin", &twin);
    let admitted = wait_for_owner(&world, "yard");
    let running = world.start_session("yard", "pace 3000 500");
    world.start_agent_again("web-1");
    is_refused(&world, "web-1");
    wait_until("the supervisor says that a node was cloned", PATIENCE, || {
        let cloned = world.events("node_id=web-1&type=node.cloned");
        let told = cloned.first().ok_or("no node.cloned yet")?;
        let data = &told["data"];
        assert!(data["address"].is_string() && data["other"].is_string() && data["epoch"].is_u64(), "{told}");
        Ok(())
    });
    let alerts = world.events("type=alert.raised");
    let alert = alerts.iter().find(|alert| alert["data"]["name"] == "node.cloned");
    assert!(alert.is_some_and(|alert| alert["data"]["text"].is_string()), "a person is told: {alerts:?}");

    all_there(&world, &running, 3_000);
    let now = node(&world);
    assert_eq!(now["epoch"], admitted["epoch"], "the refused one has not interrupted the other: {now}");
    let own = world.start_session("yard", "burst 500");
    all_there(&world, &own, 500);
    let (status, said) = world.take_agent("twin").end_with(Signal::TERM);
    assert!(status.success(), "{said}");

    wait_until("the refused one is admitted with a new incarnation", PATIENCE, || {
        let successor = wait_for_owner(&world, "shop");
        let is_new = successor["journal"]["incarnation"] != admitted["journal"]["incarnation"];
        if is_new { Ok(()) } else { Err(successor.to_string()) }
    });
    let after = world.start_session("shop", "burst 700");
    all_there(&world, &after, 700);
    // What the refused one had stored of its own: that its backend began to work.
    let starts = world.count_events("node_id=web-1&type=backend.started");
    assert_eq!(starts, 3, "the first run, the copy's, and the refused one's");
    assert_eq!(stored(&world, &before), 100, "the shared past is there once");
    nothing_twice(&world);
}

#[test]
fn a_paused_owner_that_wakes_up_cannot_write() {
    let mut world = World::with_node();
    let before = world.start_session("shop", "burst 100");
    all_there(&world, &before, 100);
    // Over by the time it wakes up, so that it has something to say at once.
    let interrupted = world.start_session("shop", "run 4; burst 50");
    world.wait_for_session(&interrupted, "running");
    wait_until("all it holds is acknowledged", PATIENCE, || {
        let node = node(&world);
        let is_so = node["journal"]["held"] == node["journal"]["acknowledged"];
        if is_so { Ok(()) } else { Err(node.to_string()) }
    });
    let first = node(&world);
    world.agent("web-1").signal(Signal::STOP);
    copy(&world.path().join("web-1/data"), &world.path().join("successor/data"));
    world.wait_for_node("web-1", "offline");
    let successor = config_of(&world, "successor", "yard");
    world.start_agent_with("successor", &successor);
    let second = wait_for_owner(&world, "yard");
    assert!(second["epoch"].as_u64() > first["epoch"].as_u64(), "{second}");

    let own = world.start_session("yard", "pace 2000 500");
    world.agent("web-1").signal(Signal::CONT);
    is_refused(&world, "web-1");
    during(Duration::from_secs(1), || assert_eq!(node(&world)["epoch"], second["epoch"]));
    assert_eq!(stored(&world, &interrupted), 0, "the paused one has written");
    all_there(&world, &own, 2_000);
    let (status, said) = world.take_agent("successor").end_with(Signal::TERM);
    assert!(status.success(), "{said}");

    wait_for_owner(&world, "shop");
    wait_until("what the paused one did is there", PATIENCE, || match stored(&world, &interrupted) {
        50 => Ok(()),
        some => Err(format!("{some} of 50")),
    });
    nothing_twice(&world);
}
