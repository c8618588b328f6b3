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
    assert!(code == 1 && sentence.contains("has already ended"), "{code} {sentence}");
    assert_eq!(world.ctl_fails(&["commands", "cancel", "nonsense"]).0, 4);
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    world.start_session("shop", "say yes");
    assert_eq!(world.get("/api/v1/sessions").body["meta"]["total"], 1, "the cancelled one never began");
}

/// A request of the API that is refused with a sentence which holds these words.
fn refused(world: &World, method: Method, path: &str, body: Option<&Value>, words: &str) {
    let reply = world.request(method, path, Some(TOKEN), &[], body);
    let body = body.map(ToString::to_string).unwrap_or_default();
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", reply.body);
    let sentence = reply.body["error"].as_str().unwrap_or_default();
    assert!(sentence.contains(words), "{path} {body}: {sentence:?} does not say {words:?}");
}

#[test]
fn what_people_misspell_is_refused_naming_the_nearest() {
    let world = World::with_node();
    let create = |more: Value| {
        let mut body = json!({"type": "create_session", "project": "shop"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let posts = [
        ("commands", create(json!({"prompt": "say x"})), r#"{"args": {"prompt": ..}}"#),
        ("commands", create(json!({"timout": 3, "args": {"prompt": "say x"}})), r#"did you mean "timeout"?"#),
        ("commands", create(json!({"args": {"promt": "say x"}})), r#"did you mean "prompt"?"#),
        ("commands", create(json!({"args": {"prompt": "say x", "node_id": "web-1"}})), "beside `args`"),
        ("commands", create(json!({"args": {"prompt": " "}})), "the prompt is empty"),
        ("commands", create(json!({"args": {"prompt": ["say x"]}})), "expected a text"),
        ("commands", json!({"type": "halt_work", "args": {"release": "yes"}}), "expected true or false"),
        (
            "silences",
            json!({"matches": "node.offline", "second": 5, "seconds": 60}),
            r#"did you mean "seconds"?"#,
        ),
        ("approvals/x/answer", json!({"reply": "once", "timout": 5}), r#"did you mean "timeout"?"#),
        ("approvals/x/snooze", json!({"seconds": 5, "for": 5}), r#"no field "for""#),
        ("store/diff", json!({"tabels": ["events"]}), r#"did you mean "tables"?"#),
        ("store/diff", json!({"since": 9_223_372_036_854_775_807_i64}), "expected a time"),
        ("budgets/day/raise", json!({"by_micro": 5}), r#"did you mean "by_micros"?"#),
    ];
    for (path, body, words) in posts {
        let status = world.request(Method::POST, &format!("/api/v1/{path}"), Some(TOKEN), &[], Some(&body));
        // A value that does not fit is 422, as it always was.
        if status.status == StatusCode::UNPROCESSABLE_ENTITY {
            assert!(status.body["error"].as_str().unwrap().contains(words), "{body}: {}", status.body);
            continue;
        }
        refused(&world, Method::POST, &format!("/api/v1/{path}"), Some(&body), words);
    }
    let budget = json!({"limit_micros": 5, "periode": "day"});
    refused(&world, Method::PUT, "/api/v1/budgets/day", Some(&budget), r#"did you mean "period"?"#);
    let queries = [
        ("sessions?statsu=idle", r#"did you mean "status"?"#),
        ("events?sesion_id=x", r#"did you mean "session_id"?"#),
        ("stream?lives=true", r#"did you mean "live"?"#),
        ("nodes?online=true", r#"no parameter "online""#),
        ("nodes/web-1?verbose=1", r#"no parameter "verbose""#),
        ("cost/today?form=2026-01-01", r#"no parameter "form""#),
        ("cost?form=2026-01-01", r#"did you mean "from"?"#),
    ];
    for (path, words) in queries {
        refused(&world, Method::GET, &format!("/api/v1/{path}"), None, words);
    }
    assert_eq!(world.data("/api/v1/sessions"), json!([]), "nothing was begun");
    let all = world.pages("/api/v1/nodes?limit=1");
    assert_eq!(all.len(), 1, "what halctl has always sent is taken: {all:?}");
}

#[test]
fn a_project_is_a_nodes_own_unless_the_configuration_says_that_it_is_shared() {
    let create = json!({"type": "create_session", "project": "shop", "args": {"prompt": "say secret"}});
    for is_shared in [false, true] {
        let mut world = World::empty();
        let mut config = world.supervisor_config(0);
        if is_shared {
            config["projects"] = json!({"shared": ["shop"]});
        }
        let path = world.write("supervisor.json", &config.to_string());
        let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
        world.start_supervisor_by(command);
        world.wait_for_supervisor();
        world.start_agent("web-1", "shop");
        world.take_agent("web-1").kill();
        world.wait_for_node("web-1", "offline");
        world.start_agent("web-2", "shop");
        let reply = world.ask(&create);
        if is_shared {
            assert_eq!((reply.status, &reply.body["data"]["node_id"]), (StatusCode::OK, &json!("web-2")));
            continue;
        }
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
        let sentence = reply.body["error"].as_str().unwrap();
        let names_all =
            ["web-1", "web-2", "node_id", "projects.shared"].iter().all(|word| sentence.contains(word));
        assert!(names_all, "{sentence}");
        assert_eq!(world.data("/api/v1/sessions"), json!([]), "nobody has the prompt");
        let named = json!({"type": "create_session", "project": "shop", "node_id": "web-2",
            "args": {"prompt": "say hello"}});
        assert_eq!(world.done(&named)["node_id"], "web-2");
    }
}
