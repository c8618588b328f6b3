//! Sessions: begun, watched, waited for, helped, stopped, as an operator does it.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;
use crate::world::{TOKEN, World, text};

fn types(world: &World, id: &str) -> Vec<String> {
    let events = world.events(&format!("session_id={id}"));
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_is_started_waited_for_and_read() {
    let world = World::with_node();
    let id =
        world.ctl_says(&["sessions", "start", "--project", "shop", "say good morning"]).trim().to_owned();
    world.ctl_says(&["sessions", "wait", &id, "--until", "idle", "--timeout", "30s"]);
    let logs = world.ctl_says(&["sessions", "logs", &id]);
    assert!(logs.contains("say good morning") && logs.matches("good morning").count() >= 2, "{logs}");
    let session = world.data(&format!("/api/v1/sessions/{id}"));
    assert_eq!((&session["node_id"], &session["project"]), (&json!("web-1"), &json!("shop")));
    assert_eq!((&session["status"], &session["backend"]), (&json!("idle"), &json!("echo")));
    assert!(session["events"].as_u64() > Some(0), "{session}");
}

#[test]
fn a_question_is_allowed_and_the_turn_goes_on() {
    let world = World::with_node();
    let id = world.start_session("shop", "ask rm -rf build");
    world.ctl_says(&["sessions", "wait", &id, "--until", "waiting", "--timeout", "30s"]);
    let session = world.data(&format!("/api/v1/sessions/{id}"));
    assert_eq!(session["asks"].as_array().map(Vec::len), Some(1), "{session}");
    assert_eq!(session["asks"][0]["kind"], "permission");
    assert_eq!(session["asks"][0]["what"], "rm -rf build");
    world.ctl_says(&["sessions", "allow", &id]);
    let session = world.wait_for_session(&id, "idle");
    assert_eq!(session["asks"].as_array().map_or(0, Vec::len), 0, "{session}");
    let replies = world.events(&format!("session_id={id}&type=permission.replied"));
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0]["data"]["reply"], "once");
}

#[test]
fn a_question_is_denied() {
    let world = World::with_node();
    let id = world.start_session("shop", "ask rm -rf build");
    world.wait_for_session(&id, "waiting");
    world.ctl_says(&["sessions", "deny", &id, "--message", "keep it"]);
    world.ctl_says(&["sessions", "wait", &id, "--until", "idle,error", "--timeout", "30s"]);
    let replies = world.events(&format!("session_id={id}&type=permission.replied"));
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0]["data"]["reply"], "reject");
    let (_, sentence) = world.ctl_fails(&["sessions", "allow", &id]);
    assert!(!sentence.trim().is_empty(), "nothing waits any more, and that is said");
}

#[test]
fn a_running_turn_is_aborted() {
    let world = World::with_node();
    let id = world.start_session("shop", "run 600");
    world.wait_for_session(&id, "running");
    world.ctl_says(&["sessions", "abort", &id]);
    let session = world.wait_for_session(&id, "idle");
    assert_eq!(session.get("error"), None, "a turn that a person stopped has not failed: {session}");
}

#[test]
fn a_killed_session_has_ended_and_can_be_resumed() {
    let world = World::with_node();
    let id = world.start_session("shop", "run 600");
    world.wait_for_session(&id, "running");
    world.ctl_says(&["sessions", "kill", &id]);
    world.wait_for_session(&id, "ended");
    world.ctl_says(&["sessions", "resume", &id, "say here again"]);
    world.wait_for_session(&id, "idle");
    assert!(world.ctl_says(&["sessions", "logs", &id]).contains("here again"));
}

#[test]
fn a_failed_turn_says_why() {
    let world = World::with_node();
    let id = world.start_session("shop", "fail the kettle is empty");
    let session = world.wait_for_session(&id, "error");
    assert!(session["error"].as_str().unwrap().contains("the kettle is empty"), "{session}");
    let (code, _) = world.ctl_fails(&["sessions", "wait", &id, "--until", "idle", "--timeout", "30s"]);
    assert_eq!(code, 5, "the session went another way");
    world.ctl_says(&["sessions", "prompt", &id, "say better now"]);
    assert_eq!(world.wait_for_session(&id, "idle").get("error"), None);
}

#[test]
fn waiting_too_long_has_a_code_of_its_own() {
    let world = World::with_node();
    let id = world.start_session("shop", "run 600");
    let (code, _) = world.ctl_fails(&["sessions", "wait", &id, "--until", "idle", "--timeout", "1s"]);
    assert_eq!(code, 6);
    let (code, sentence) = world.ctl_fails(&["sessions", "get", &format!("{id}x")]);
    assert!(code == 4 && sentence.contains(&id), "the nearest name is told: {code} {sentence}");
}

#[test]
fn cost_is_kept_exactly_and_unknown_is_not_zero() {
    let world = World::with_node();
    let dear = world.start_session("shop", "cost 0.25");
    let session = world.wait_for_session(&dear, "idle");
    assert_eq!((&session["cost_micros"], &session["cost"]), (&json!(250_000), &json!(0.25)), "{session}");
    let free = world.start_session("shop", "say nothing dear");
    let session = world.wait_for_session(&free, "idle");
    assert_ne!(session["cost_micros"], json!(250_000), "{session}");
}

#[test]
fn lists_are_filtered_counted_and_paged() {
    let mut world = World::with_node();
    world.start_agent("web-2", "blog");
    let (a, b) = (world.start_session("shop", "say a"), world.start_session("shop", "run 600"));
    let c = world.start_session("blog", "say c");
    world.wait_for_session(&a, "idle");
    world.wait_for_session(&b, "running");
    world.wait_for_session(&c, "idle");

    let all = world.ctl_says(&["sessions", "list"]);
    assert_eq!(all.lines().count(), 3, "a line for each session and none else:\n{all}");
    assert_eq!(all.lines().filter(|line| line.contains("node_id: web-1")).count(), 2, "{all}");
    let with = |filter: &[&str]| -> BTreeSet<String> {
        let said = world.ctl_says(&[&["sessions", "list", "-o", "name"], filter].concat());
        said.lines().map(str::to_owned).collect()
    };
    assert_eq!(with(&["--node-id", "web-2"]), BTreeSet::from([c.clone()]));
    assert_eq!(with(&["--project", "shop"]), BTreeSet::from([a.clone(), b.clone()]));
    assert_eq!(with(&["--status", "running"]), BTreeSet::from([b.clone()]));
    assert_eq!(with(&["--limit", "2"]).len(), 2);
    let far = world.ctl_says(&["--supervisor-url", &world.url("ws"), "sessions", "list"]);
    assert_eq!(far.lines().count(), 3, "ws is the same server:\n{far}");

    let first = world.get("/api/v1/sessions?limit=2").body;
    assert_eq!(
        (&first["meta"]["total"], first["data"].as_array().map(Vec::len)),
        (&json!(3), Some(2)),
        "{first}"
    );
    let ids: Vec<Value> =
        world.pages("/api/v1/sessions?limit=1").iter().map(|session| session["id"].clone()).collect();
    assert_eq!(ids, [json!(c), json!(b), json!(a)], "newest first, each once");
}

#[test]
fn a_session_of_a_lost_node_is_unreachable_and_keeps_its_last_state() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "run 600");
    world.wait_for_session(&id, "running");
    world.take_agent("web-1").kill();
    let session = world.wait_for_session(&id, "unreachable");
    assert_eq!(session["last_known"], "running");
}

#[test]
fn a_turn_begins_and_ends_once() {
    let world = World::with_node();
    let id = world.start_session("shop", "say one");
    world.wait_for_session(&id, "idle");
    world.done(&json!({"type": "prompt_session", "session_id": id, "args": {"message": "say two"}}));
    world.ctl_says(&["sessions", "wait", &id, "--until", "idle", "--timeout", "30s"]);
    let seen = types(&world, &id);
    assert_eq!(seen.iter().filter(|kind| *kind == "session.created").count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|kind| *kind == "session.idle").count(), 2, "{seen:?}");
}

#[test]
fn lists_are_ordered_and_chosen_by_label_and_by_several_statuses() {
    let world = World::with_node();
    let cheap = world.start_session("shop", "cost 0.25");
    let dear = world.start_session("shop", "cost 1.5");
    let busy = world.start_session("shop", "run 600");
    for id in [&cheap, &dear] {
        world.wait_for_session(id, "idle");
    }
    world.wait_for_session(&busy, "running");
    world.ctl_says(&["sessions", "label", &dear, "night", "big"]);
    world.ctl_says(&["sessions", "label", &cheap, "night"]);
    let names = |words: &[&str]| -> Vec<String> {
        let said = world.ctl_says(&[&["sessions", "list", "-o", "name"], words].concat());
        said.lines().map(str::to_owned).collect()
    };
    assert_eq!(names(&["-l", "night", "--sort", "cost"]), [cheap.as_str(), dear.as_str()]);
    assert_eq!(names(&["-l", "night", "--sort", "-cost"]), [dear.as_str(), cheap.as_str()]);
    assert_eq!(names(&["-l", "night,big"]), [dear.as_str()]);
    assert_eq!(names(&["--status", "running,ended"]), [busy.as_str()]);
    assert_eq!(names(&["--status", "running,idle"]).len(), 3);
    let (code, sentence) = world.ctl_fails(&["sessions", "list", "--sort", "cots"]);
    assert!(code == 2 && sentence.contains("did you mean \"cost\"?"), "{code}: {sentence}");
    assert_eq!(world.ctl_says(&["top", "-o", "name"]).trim(), busy, "only what is at work");
}

#[test]
fn a_watched_list_tells_what_changed() {
    let world = World::with_node();
    let id = world.start_session("shop", "run 600");
    world.wait_for_session(&id, "running");
    let mut command = world.hal(&["ctl", "sessions", "list", "--watch"]);
    command.env("HALCTL_SUPERVISOR_URL", world.url("http")).env("HALCTL_AUTH_TOKEN", TOKEN);
    let watching = Program::start("the watched list", command);
    watching.line_with("status: running");
    world.ctl_says(&["sessions", "kill", &id]);
    watching.line_with("status: ended");
    watching.end_with(Signal::INT);
}

#[test]
fn lines_typed_to_an_attached_session_are_said_to_it() {
    let world = World::with_node();
    let id = world.start_session("shop", "say first words");
    world.wait_for_session(&id, "idle");
    let mut command = world.hal(&["ctl", "sessions", "attach", &id]);
    command.env("HALCTL_SUPERVISOR_URL", world.url("http")).env("HALCTL_AUTH_TOKEN", TOKEN);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut attached = command.spawn().unwrap();
    let mut typing = attached.stdin.take().unwrap();
    writeln!(typing, "say second words\n/frob").unwrap();
    wait_until("it is said", PATIENCE, || {
        let logs = world.ctl_says(&["sessions", "logs", &id]);
        if logs.matches("second words").count() >= 2 { Ok(()) } else { Err(logs) }
    });
    writeln!(typing, "/detach").unwrap();
    let output = attached.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("first words"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("/frob was not sent"), "{}", text(&output.stderr));
}
