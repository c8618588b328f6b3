//! Commands: done once, or refused with a sentence, or too late; never twice.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::world::{Reply, TOKEN, World};

fn with_key(world: &World, key: &str, body: &Value) -> Reply {
    world.request(Method::POST, "/api/v1/commands", Some(TOKEN), &[("Idempotency-Key", key)], Some(body))
}

fn wait_for_state(world: &World, id: &str, state: &str) -> Value {
    wait_until(&format!("command {id} is {state}"), PATIENCE, || {
        let command = world.data(&format!("/api/v1/commands/{id}"));
        if command["state"] == state { Ok(command) } else { Err(command.to_string()) }
    })
}

#[test]
fn the_same_key_twice_is_one_command_with_one_effect() {
    let world = World::with_node();
    let body = json!({"type": "create_session", "project": "shop", "args": {"prompt": "say once"}});
    let first = with_key(&world, "key-1", &body).body;
    let second = with_key(&world, "key-1", &body).body;
    assert_eq!(first["data"]["state"], "done", "{first}");
    assert_eq!(first["data"]["command_id"], second["data"]["command_id"]);
    assert_eq!(first["data"]["output"], second["data"]["output"]);
    assert_eq!(world.get("/api/v1/sessions").body["meta"]["total"], 1);
    let other =
        json!({"type": "create_session", "project": "shop", "args": {"prompt": "say something else"}});
    let conflict = with_key(&world, "key-1", &other);
    assert_eq!(
        (conflict.status, &conflict.body["code"]),
        (StatusCode::CONFLICT, &json!("CONFLICT")),
        "{}",
        conflict.body
    );
    assert_ne!(with_key(&world, "key-2", &body).body["data"]["command_id"], first["data"]["command_id"]);
}

#[test]
fn the_same_key_at_the_same_moment_is_one_command() {
    // So often that some of them meet in one commit.
    const ROUNDS: usize = 12;
    let world = World::with_node();
    let body = json!({"type": "create_session", "project": "shop", "args": {"prompt": "say once"}});
    for round in 1..=ROUNDS {
        let key = format!("key-{round}");
        let replies: Vec<Value> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| with_key(&world, &key, &body).body)).collect();
            asked.into_iter().map(|reply| reply.join().unwrap()).collect()
        });
        for reply in &replies {
            assert_eq!(reply["data"]["state"], "done", "{reply}");
            assert_eq!(reply["data"]["command_id"], replies[0]["data"]["command_id"]);
        }
        assert_eq!(world.get("/api/v1/sessions").body["meta"]["total"], round);
    }
}

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    let world = World::with_node();
    let id = world.start_session("shop", "say hello");
    let create = |project: &str, node: &str| json!({"type": "create_session", "project": project, "node_id": node, "args": {"prompt": "say x"}});
    let abort = json!({"type": "abort_session", "session_id": format!("{id}x")});
    let misspelt = json!({"type": "abort_sesion", "session_id": id});
    let cases = [
        (create("shpo", ""), StatusCode::NOT_FOUND, "\"shop\""),
        (create("shop", "web-2"), StatusCode::NOT_FOUND, "\"web-1\""),
        (abort, StatusCode::NOT_FOUND, id.as_str()),
        (misspelt, StatusCode::BAD_REQUEST, "abort_session"),
        (json!({"type": "prompt_session", "session_id": id}), StatusCode::BAD_REQUEST, "message"),
        (json!({"type": ""}), StatusCode::BAD_REQUEST, "type is required"),
    ];
    for (body, status, words) in cases {
        let reply = world.ask(&body);
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        assert!(
            reply.body["error"].as_str().is_some_and(|error| error.contains(words)),
            "{body}: {}",
            reply.body
        );
    }
    let reply = world.request(
        Method::POST,
        "/api/v1/commands",
        Some(TOKEN),
        &[("content-type", "application/json")],
        None,
    );
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
}

#[test]
fn a_command_waits_for_its_node() {
    let mut world = World::with_node();
    world.take_agent("web-1").kill();
    world.wait_for_node("web-1", "offline");
    let asked = world.ask(
        &json!({"type": "create_session", "project": "shop", "timeout": 0, "args": {"prompt": "say late"}}),
    );
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    let command = &asked.body["data"];
    assert_eq!((&command["state"], &command["status"]), (&json!("queued"), &json!("pending")), "{command}");
    world.start_agent_again("web-1");
    let command = wait_for_state(&world, command["command_id"].as_str().unwrap(), "done");
    world.wait_for_session(command["output"].as_str().unwrap(), "idle");
    assert_eq!(world.get("/api/v1/sessions").body["meta"]["total"], 1);
}

#[test]
fn a_command_that_is_too_late_has_no_effect() {
    let mut world = World::with_node();
    world.take_agent("web-1").kill();
    world.wait_for_node("web-1", "offline");
    let asked = world.ask(&json!({"type": "create_session", "project": "shop", "timeout": 0, "expires": 1, "args": {"prompt": "say never"}}));
    let id = asked.body["data"]["command_id"].as_str().unwrap().to_owned();
    let command = wait_for_state(&world, &id, "expired");
    assert_eq!(command["status"], "timeout");
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    // Had it been kept for the node, it would be done before this one.
    world.start_session("shop", "say now");
    assert_eq!(world.get("/api/v1/sessions").body["meta"]["total"], 1);
    assert_eq!(world.data(&format!("/api/v1/commands/{id}"))["state"], "expired");
}

#[test]
fn a_long_turn_does_not_hold_up_other_commands() {
    let world = World::with_node();
    let long = world.start_session("shop", "run 600");
    let create = json!({"type": "create_session", "project": "shop", "args": {"prompt": "say quick"}});
    let many = world
        .run(async { tokio::join!(world.asking(&create), world.asking(&create), world.asking(&create)) });
    assert_eq!(many, ("done".into(), "done".into(), "done".into()));
    world.wait_for_session(&long, "running");
}

#[test]
fn whoever_waits_hears_the_outcome_and_not_a_state_before_it() {
    let world = World::with_node();
    let id = world.start_session("shop", "say ready");
    let body = json!({"type": "session_status", "session_id": id});
    world.run(async {
        // Others' events keep the hub at its commits, so that an outcome and whoever waits for it meet in one batch.
        let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, "talker").await;
        let talk = async {
            for first in (1..).step_by(200) {
                peer.say_events(first..=first + 199).await;
                peer.hear_ack(first + 199).await;
            }
        };
        let ask = async {
            for _ in 0..150 {
                assert_eq!(world.asking(&body).await, "done");
            }
        };
        tokio::select! {
            () = talk => {}
            () = ask => {}
        }
    });
}

#[test]
fn a_cancelled_command_is_never_done_and_one_that_is_done_cannot_be_cancelled() {
    let mut world = World::with_node();
    let body =
        json!({"type": "create_session", "project": "shop", "args": {"prompt": "say no"}, "timeout": 0});
    world.take_agent("web-1").kill();
    world.wait_for_node("web-1", "offline");
    let queued = world.ask(&body).body["data"]["command_id"].as_str().unwrap().to_owned();
    let said = world.ctl_says(&["commands", "cancel", &queued]);
    assert!(said.contains("was cancelled"), "{said}");
    let ended = world.data(&format!("/api/v1/commands/{queued}"));
    assert_eq!(ended["state"], "failed", "{ended}");
    let (code, sentence) = world.ctl_fails(&["commands", "cancel", &queued]);
    assert!(code == 1 && sentence.contains("has ended"), "{code} {sentence}");
    assert_eq!(world.ctl_fails(&["commands", "cancel", "nonsense"]).0, 4);
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    world.start_session("shop", "say yes");
    assert_eq!(world.get("/api/v1/sessions").body["meta"]["total"], 1, "the cancelled one never began");
}
