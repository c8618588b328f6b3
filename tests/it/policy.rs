//! Policies step in by themselves, once, and never where a person has the word.

use std::process::Command;

use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Each policy is for sessions with the label of its name, so that a scene decides whom it may touch.
fn policies() -> Value {
    let rule = |name: &str, rest: Value| {
        let mut rule = json!({"enabled": true, "scope": {"labels": [name]}, "cooldown_seconds": 0});
        rule.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        (name.to_owned(), rule)
    };
    let mut all = json!({"check_interval_seconds": 1});
    all.as_object_mut().unwrap().extend([
        rule("kill_on_cost", json!({"cost_threshold_usd": 1.0})),
        rule("session_timeout", json!({"total_seconds": 1})),
        rule("error_loop", json!({"errors": 3})),
        rule("restart_on_compaction", json!({"compaction_count": 2})),
        rule("stuck", json!({"same_failure": 3, "unchanged_seconds": 1, "tokens": 0, "action": "abort"})),
        rule("rate_limited", json!({"window_seconds": 1, "message": "say on and on"})),
        rule(
            "resume_on_idle",
            json!({"idle_threshold_seconds": 1, "max_retries": 1, "message": "say go on"}),
        ),
    ]);
    all
}

/// What starts a supervisor with these policies.
fn command(world: &World, policies: &Value) -> Command {
    let mut config = world.supervisor_config(world.port());
    config["policies"] = policies.clone();
    let file = world.write("supervisor.json", &config.to_string());
    world.hal(&["supervisor", "--config", &file.to_string_lossy()])
}

fn begin(policies: &Value) -> World {
    let mut world = World::empty();
    world.start_supervisor_by(command(&world, policies));
    world.wait_for_supervisor();
    world.start_agent("web-1", "shop");
    world
}

fn decisions(world: &World, id: &str) -> Vec<Value> {
    let events = world.events(&format!("session_id={id}&type=policy.decided"));
    events.iter().map(|event| event["data"].clone()).collect()
}

/// The session of a policy, in the situation that it is for.
fn in_trouble(world: &World, policy: &str) -> String {
    let script = match policy {
        "kill_on_cost" => "cost 2.5",
        "error_loop" => "fail no such tool",
        "restart_on_compaction" => "say halfway there; compact; compact",
        "stuck" => "bad make; bad make; bad make; run 600",
        "rate_limited" => "fail 429 too many requests",
        _ => "say hello",
    };
    let id = world.start_session("shop", script);
    if policy == "error_loop" {
        for _ in 0..2 {
            world.wait_for_session(&id, "error");
            world.ctl_says(&["sessions", "prompt", &id, script]);
        }
    }
    let status = match policy {
        "stuck" => "running",
        "error_loop" | "rate_limited" => "error",
        _ => "idle",
    };
    world.wait_for_session(&id, status);
    id
}

const ALL: [(&str, &str); 7] = [
    ("kill_on_cost", "kill"),
    ("session_timeout", "kill"),
    ("error_loop", "pause"),
    ("restart_on_compaction", "restart"),
    ("stuck", "abort"),
    ("rate_limited", "prompt"),
    ("resume_on_idle", "prompt"),
];

fn wait_for_decision(world: &World, id: &str, policy: &str) -> Value {
    wait_until(&format!("{policy} acts"), PATIENCE * 2, || match decisions(world, id).as_slice() {
        [] => Err(world.ctl_says(&["policies", "explain", id])),
        [first, ..] => Ok(first.clone()),
    })
}

#[test]
fn each_policy_steps_in_once_and_a_restart_of_the_supervisor_makes_it_no_second_time() {
    let policies = policies();
    let mut world = begin(&policies);
    let sessions: Vec<String> = ALL.iter().map(|(policy, _)| in_trouble(&world, policy)).collect();
    // One that waits for a person and one that a person has paused, both in the same trouble.
    let waiting = in_trouble(&world, "kill_on_cost");
    world.ctl_says(&["sessions", "prompt", &waiting, "ask rm -rf build"]);
    world.wait_for_session(&waiting, "waiting");
    let paused = in_trouble(&world, "kill_on_cost");
    world.ctl_says(&["sessions", "pause", &paused]);
    for spared in [&waiting, &paused] {
        world.ctl_says(&["sessions", "label", spared, "kill_on_cost"]);
    }
    for ((policy, _), id) in ALL.iter().zip(&sessions) {
        world.ctl_says(&["sessions", "label", id, policy]);
    }
    for ((policy, act), id) in ALL.iter().zip(&sessions) {
        let decided = wait_for_decision(&world, id, policy);
        assert_eq!((&decided["policy"], &decided["act"]), (&json!(policy), &json!(act)), "{decided}");
        assert!(decided["facts"]["state"].is_string() && decided["refused"].is_null(), "{decided}");
        let order = decided["command_id"].as_str().unwrap();
        wait_until(&format!("the order of {policy} is done"), PATIENCE * 3, || {
            let order = world.data(&format!("/api/v1/commands/{order}"));
            if order["state"] == "done" { Ok(()) } else { Err(order.to_string()) }
        });
    }
    let explained = world.ctl_says(&["policies", "explain", &waiting]);
    assert!(explained.contains("the session waits for a person"), "{explained}");
    let explained = world.ctl_says(&["policies", "explain", &paused]);
    assert!(explained.contains("has paused the session"), "{explained}");
    world.kill_supervisor();
    world.start_supervisor_by(command(&world, &policies));
    world.wait_for_supervisor();
    world.wait_for_node("web-1", "online");
    // When a new one is acted on, all have been looked at again.
    let witness = in_trouble(&world, "kill_on_cost");
    world.ctl_says(&["sessions", "label", &witness, "kill_on_cost"]);
    wait_for_decision(&world, &witness, "kill_on_cost");
    for ((policy, _), id) in ALL.iter().zip(&sessions) {
        let decided = decisions(&world, id);
        assert_eq!(decided.len(), 1, "{policy}: {decided:#?}");
    }
    assert_eq!((decisions(&world, &waiting).len(), decisions(&world, &paused).len()), (0, 0));
    let told = world.ctl_says(&["policies", "test", "--since", "1h"]);
    for ((policy, _), id) in ALL.iter().zip(&sessions) {
        let of_it: Vec<&str> = told.lines().filter(|line| line.contains(id.as_str())).collect();
        let is_it = |line: &&&str| line.contains(policy) && line.contains("then: the same");
        assert_eq!(of_it.iter().filter(is_it).count(), 1, "{policy} on {id}:\n{told}");
    }
    let changed = json!({"policies": {"kill_on_cost": {"enabled": true, "cost_threshold_usd": 100.0}}});
    let file = world.write("changed.json", &changed.to_string());
    let told = world.ctl_says(&["policies", "test", "--since", "1h", "--config", &file.to_string_lossy()]);
    assert!(!told.contains("session_id: "), "nothing is so dear: {told}");
}

#[test]
fn a_dry_run_decides_and_does_nothing() {
    let mut policies = policies();
    policies["session_timeout"]["dry_run"] = json!(true);
    let world = begin(&policies);
    let id = in_trouble(&world, "session_timeout");
    world.ctl_says(&["sessions", "label", &id, "session_timeout"]);
    let decided = wait_for_decision(&world, &id, "session_timeout");
    assert_eq!((&decided["dry_run"], &decided["command_id"]), (&json!(true), &Value::Null), "{decided}");
    assert_eq!(world.wait_for_session(&id, "idle")["status"], "idle");
    let listed = world.ctl_says(&["policies", "list"]);
    assert!(
        listed.lines().any(|line| line.contains("session_timeout") && line.contains("dry run")),
        "{listed}"
    );
}
