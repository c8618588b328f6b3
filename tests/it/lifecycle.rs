//! A session hands its work over to another; a halt lasts; what is archived is out of the way; projects wait for others.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hal_o_swarm::base::clock::now;
use hal_o_swarm::protocol::event::{Event, raw};
use hal_o_swarm::protocol::frame::{CommandResult, Events, FromAgent, Heartbeat, ToAgent};
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::whole::Whole;
use crate::world::{TOKEN, World, text};

/// The text of the first message that a person or program said to a session.
fn first_prompt(world: &World, id: &str) -> String {
    let texts = |event: &Value| event["data"]["part"]["text"].as_str().map(str::to_owned);
    let events = world.events(&format!("session_id={id}&type=message.part.updated"));
    events.iter().find_map(texts).unwrap_or_default()
}

/// What halctl says of a session in one key.
fn told(world: &World, id: &str, key: &str) -> String {
    let session = world.data(&format!("/api/v1/sessions/{id}"));
    session["marks"][key].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_true_coding_agent_hands_over_and_the_new_session_knows_where_the_old_one_stopped() {
    let whole = Whole::begin(json!({"*": "allow"}));
    let old = whole.start("say the kettle is on the stove");
    whole.wait(&old, "idle");
    let new = whole.world.ctl_says(&["sessions", "restart", &old]).trim().to_owned();
    assert_ne!(new, old);
    whole.wait(&new, "idle");
    let prompt = first_prompt(&whole.world, &new);
    let head = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(whole.home.path("projects/shop"))
        .output();
    let head = String::from_utf8(head.unwrap().stdout).unwrap().trim().to_owned();
    let over = whole.world.events(&format!("session_id={old}&type=session.handover"));
    let message = over.last().unwrap()["data"]["message_id"].as_str().unwrap().to_owned();
    let of_old = whole.world.events(&format!("session_id={old}&type=message.updated"));
    let is_of_old = |event: &Value| event["data"]["info"]["id"].as_str() == Some(&message);
    assert!(of_old.iter().any(is_of_old), "{message} is none of the old session's messages");
    for part in [old.as_str(), message.as_str(), head.as_str(), ".context/PROGRESS.md", "CURRENT_TASK.md"] {
        assert!(prompt.contains(part), "{part} is not in the first prompt:\n{prompt}");
    }
    let asked = whole.world.ctl_says(&["sessions", "logs", &old]);
    assert!(asked.contains("the kettle is on the stove"), "the old conversation can be read: {asked}");
    assert!(asked.contains(".context/PROGRESS.md"), "it was asked to write down where it stands: {asked}");
    assert_eq!((told(&whole.world, &old, "continued_by"), told(&whole.world, &new, "continues")), (new, old));
}

#[test]
fn a_restart_that_is_under_way_goes_on_after_the_supervisor_was_killed() {
    let mut world = World::with_node();
    let old = world.start_session("shop", "run 600");
    world.wait_for_session(&old, "running");
    let body = json!({"type": "restart_session", "session_id": old, "timeout": 1});
    let command = world.ask(&body).body["data"]["command_id"].as_str().unwrap().to_owned();
    wait_until("it is under way", PATIENCE, || {
        match world.count_events(&format!("session_id={old}&type=session.handover")) {
            0 => Err(String::new()),
            _ => Ok(()),
        }
    });
    world.kill_supervisor();
    world.start_supervisor();
    // The old one is busy for ten minutes: its minute must pass.
    let done = wait_until("it is done", PATIENCE * 4, || {
        let command = world.data(&format!("/api/v1/commands/{command}"));
        if command["state"] == "done" { Ok(command) } else { Err(command.to_string()) }
    });
    let new = done["output"].as_str().unwrap();
    world.wait_for_session(&old, "ended");
    assert_eq!(told(&world, &old, "continued_by"), new);
    let sessions = world.pages("/api/v1/sessions?limit=100");
    assert_eq!(sessions.len(), 2, "none was begun twice: {sessions:#?}");
}

#[test]
fn a_halt_stops_what_runs_and_lets_nothing_begin_until_it_is_released() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "run 600");
    world.wait_for_session(&id, "running");
    let halted = world.ctl(&["sessions", "halt", "--all"]);
    let said = text(&halted.stderr);
    assert!(halted.status.success() && said.contains("everything is halted: no turn runs"), "{said}");
    let session = world.data(&format!("/api/v1/sessions/{id}"));
    assert_eq!(session["status"], "idle", "it is said when it is so");
    for line in [
        vec!["sessions", "start", "--project", "shop", "say no"],
        vec!["sessions", "prompt", id.as_str(), "say no"],
        vec!["sessions", "restart", id.as_str()],
    ] {
        let (_, sentence) = world.ctl_fails(&line);
        assert!(sentence.contains("everything is halted by"), "{line:?}: {sentence}");
    }
    world.kill_supervisor();
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    let (_, sentence) = world.ctl_fails(&["sessions", "start", "--project", "shop", "say no"]);
    assert!(sentence.contains("halted"), "a halt survives a restart: {sentence}");
    assert!(world.ctl_says(&["sessions", "list"]).contains("halted by"), "lists show it");
    assert!(
        world.ctl_says(&["alerts", "list"]).contains("work.halted"),
        "it is an alert, so doctor shows it"
    );
    assert_eq!(world.data("/api/v1/halts").as_array().map(Vec::len), Some(1));
    world.ctl_says(&["sessions", "halt", "--all", "--release"]);
    let after = world.start_session("shop", "say yes");
    world.wait_for_session(&after, "idle");
    assert_eq!(world.pages("/api/v1/sessions?limit=100").len(), 2, "what was refused was not begun later");
    world.ctl_says(&["sessions", "archive", &after]);
    assert!(!world.ctl_says(&["sessions", "list"]).contains(&after));
    assert!(world.ctl_says(&["sessions", "list", "--all"]).contains(&after));
}

/// A node with one session at work, `stuck`, that no abort stops. The turn is over when the node says so, and a kill
/// helps only where it is willing.
struct Stubborn {
    /// Whether a kill helps.
    yields: Arc<AtomicBool>,
    /// What it was asked, in order.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stubborn {
    fn join(world: &World) -> Self {
        let (yields, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (kill_helps, heard) = (Arc::clone(&yields), Arc::clone(&asked));
        let url = format!("{}/ws/agent", world.url("ws"));
        world.run(async move {
            let (mut peer, _) = Peer::join(&url, TOKEN, "mule").await;
            let mut seq = 0;
            let busy = json!({"sessionID": "stuck", "status": {"type": "busy"}});
            peer.say(&event(&peer, &mut seq, "session.created", &json!({"info": {"id": "stuck"}})))
                .await
                .unwrap();
            peer.say(&event(&peer, &mut seq, "session.status", &busy)).await.unwrap();
            tokio::spawn(async move {
                let mut beats = tokio::time::interval(Duration::from_secs(1));
                loop {
                    let frame = tokio::select! {
                        frame = peer.hear() => frame,
                        _ = beats.tick() => {
                            peer.say(&FromAgent::Heartbeat(Heartbeat::default())).await.unwrap();
                            continue;
                        }
                    };
                    let Ok(frame) = frame else { return };
                    let ToAgent::Command(command) = frame else { continue };
                    heard.lock().unwrap().push(command.verb.clone());
                    let is_done = command.verb == "kill_session" && kill_helps.load(Ordering::SeqCst);
                    if is_done {
                        let over = json!({"sessionID": "stuck", "reason": "killed"});
                        peer.say(&event(&peer, &mut seq, "session.ended", &over)).await.unwrap();
                    }
                    let result = CommandResult {
                        command_id: Some(command.command_id),
                        status: if is_done { "success" } else { "failure" }.to_owned(),
                        state: None,
                        output: String::new(),
                        error: (!is_done).then(|| "GET /permission answers 400".to_owned()),
                        stood: None,
                    };
                    peer.say(&FromAgent::CommandResult(result)).await.unwrap();
                }
            });
        });
        world.wait_for_session("stuck", "running");
        Self { yields, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn event(peer: &Peer, seq: &mut u64, kind: &str, data: &Value) -> FromAgent {
    *seq += 1;
    let event = Event {
        seq: *seq,
        id: format!("mule-{seq}"),
        kind: kind.to_owned(),
        session_id: Some("stuck".into()),
        project: Some("shop".into()),
        occurred_at: now(),
        data: raw(data),
    };
    FromAgent::Events(Events { incarnation: peer.incarnation().to_owned(), events: vec![event] })
}

/// The text of an open alert of this name, if there is one.
fn alert_text(world: &World, name: &str) -> Option<String> {
    let alerts = world.data(&format!("/api/v1/alerts?name={name}&status=open"));
    alerts[0]["text"].as_str().map(str::to_owned)
}

#[test]
fn a_halt_whose_turns_run_on_says_so_and_names_them() {
    let world = World::supervised();
    let mule = Stubborn::join(&world);
    let (code, sentence) = world.ctl_fails(&["sessions", "halt", "--all"]);
    assert_eq!(code, 1, "{sentence}");
    for part in ["1 turn did not stop: session stuck on node mule", "GET /permission answers 400"] {
        assert!(sentence.contains(part), "{part} is not in {sentence}");
    }
    assert!(!sentence.contains("on node :"), "no node is named that is none: {sentence}");
    let asked = mule.asked();
    assert_eq!(asked.first().map(String::as_str), Some("abort_session"));
    assert_eq!(
        asked.last().map(String::as_str),
        Some("kill_session"),
        "it was killed after a while: {asked:?}"
    );
    let halted = alert_text(&world, "work.halted").unwrap();
    assert!(halted.contains("1 turn has not stopped yet"), "{halted}");
    let left = alert_text(&world, "halt.incomplete").unwrap();
    assert!(left.contains("session stuck on node mule"), "{left}");

    mule.yields.store(true, Ordering::SeqCst);
    let again = world.ctl(&["sessions", "halt", "--all"]);
    let said = text(&again.stderr);
    assert!(again.status.success() && said.contains("everything is halted: no turn runs"), "{said}");
    assert_eq!(alert_text(&world, "halt.incomplete"), None, "it is over");
    let halted = alert_text(&world, "work.halted").unwrap();
    assert!(halted.ends_with("no turn runs or begins"), "{halted}");
}

#[test]
fn a_pause_is_said_to_be_one_when_the_turn_has_stopped() {
    let world = World::supervised();
    let mule = Stubborn::join(&world);
    let (code, sentence) = world.ctl_fails(&["sessions", "pause", "stuck"]);
    assert_eq!(code, 1, "{sentence}");
    assert!(sentence.contains("session stuck is paused") && sentence.contains("did not stop"), "{sentence}");
    assert!(alert_text(&world, "halt.incomplete").is_some());
    mule.yields.store(true, Ordering::SeqCst);
    world.ctl_says(&["sessions", "pause", "stuck"]);
    assert_eq!(world.data("/api/v1/sessions/stuck")["status"], "ended");
    assert_eq!(alert_text(&world, "halt.incomplete"), None, "it is over");
}

#[test]
fn a_project_that_is_complete_lets_those_begin_that_wait_for_it() {
    let mut world = World::empty();
    let mut config = world.supervisor_config(0);
    config["dependencies"] =
        json!({"web": {"after": ["api"], "prompt": "say the api is there"}, "docs": ["web"]});
    let file = world.write("supervisor.json", &config.to_string());
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &file.to_string_lossy()]));
    world.wait_for_supervisor();
    world.start_agent("node-a", "api");
    world.start_agent("node-w", "web");
    let api = world.start_session("api", "say not yet");
    world.wait_for_session(&api, "idle");
    world.ctl_says(&["sessions", "prompt", &api, "done the api"]);
    let web = wait_until("a session of web begins", PATIENCE, || {
        let sessions = world.data("/api/v1/sessions?project=web");
        sessions[0]["id"].as_str().map(str::to_owned).ok_or_else(|| sessions.to_string())
    });
    world.wait_for_session(&web, "idle");
    assert!(first_prompt(&world, &web).contains("the api is there"));
    world.ctl_says(&["sessions", "prompt", &web, "done the pages"]);
    wait_until("a person is told of docs", PATIENCE, || {
        let alerts = world.ctl_says(&["alerts", "list", "--name", "project.ready"]);
        if alerts.contains("project docs can begin: web complete") { Ok(()) } else { Err(alerts) }
    });
    assert_eq!(world.count_events("type=project.completed"), 2);
    assert_eq!(world.pages("/api/v1/sessions?project=web").len(), 1);
}
