//! Approvals: asked, seen, answered once, arrived or not; and the receipt that says so.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::whole::Whole;
use crate::world::{Reply, TOKEN, World};

/// A supervisor with these rules for approvals, and the node `web-1`.
fn limited(rules: &Value) -> World {
    let mut world = World::empty();
    let mut config = world.supervisor_config(0);
    config["approvals"] = rules.clone();
    let path = world.write("supervisor.json", &config.to_string());
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    world.start_agent("web-1", "shop");
    world
}

/// The one approval that somebody waits with.
fn wanted(world: &World) -> Value {
    wait_until("somebody waits", PATIENCE, || {
        let list = world.get("/api/v1/approvals?status=wanted").body;
        list["data"].get(0).cloned().ok_or_else(|| list.to_string())
    })
}

fn approval(world: &World, id: &str) -> Value {
    world.data(&format!("/api/v1/approvals/{id}"))
}

fn wait_for_state(world: &World, id: &str, state: &str) -> Value {
    wait_until(&format!("{id} is {state}"), PATIENCE, || {
        let now = approval(world, id);
        if now["state"] == state { Ok(now) } else { Err(now.to_string()) }
    })
}

fn answer(world: &World, id: &str, body: &Value) -> Reply {
    world.request(Method::POST, &format!("/api/v1/approvals/{id}/answer"), Some(TOKEN), &[], Some(body))
}

/// The receipt's words in their order, and that its times do not run backwards.
fn stages(approval: &Value) -> Vec<String> {
    let steps = approval["receipt"].as_array().unwrap();
    let times: Vec<&str> = steps.iter().map(|step| step["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    steps.iter().map(|step| step["stage"].as_str().unwrap().to_owned()).collect()
}

fn id_of(approval: &Value) -> String {
    approval["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_permission_is_answered_once_and_has_its_receipt() {
    let world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build; say gone");
    let asked = wanted(&world);
    let id = id_of(&asked);
    assert_eq!((&asked["session_id"], &asked["what"]), (&json!(session), &json!("rm -rf build")), "{asked}");
    assert!(asked["directory"].as_str().unwrap().ends_with("web-1/shop"), "{asked}");
    let first = answer(&world, &id, &json!({"reply": "once"}));
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    world.wait_for_session(&session, "idle");
    let again = answer(&world, &id, &json!({"reply": "once"}));
    assert_eq!(again.status, StatusCode::OK, "the same again is fine: {}", again.body);
    let other = answer(&world, &id, &json!({"reply": "reject"}));
    assert_eq!(
        (other.status, &other.body["code"]),
        (StatusCode::CONFLICT, &json!("CONFLICT")),
        "{}",
        other.body
    );
    assert!(
        other.body["error"].as_str().unwrap().contains("already answered by token at 20"),
        "{}",
        other.body
    );
    let old_way = world.ask(&json!({"type": "answer_permission", "session_id": session,
        "args": {"reply": "reject", "request_id": asked["request_id"]}}));
    assert_eq!(old_way.status, StatusCode::CONFLICT, "{}", old_way.body);
    let over = wait_for_state(&world, &id, "settled");
    assert_eq!(stages(&over), ["asked", "answered", "reached", "moved_on"], "{over}");
    let replies = world.events(&format!("session_id={session}&type=permission.replied"));
    assert_eq!(replies.len(), 1, "the node was told once: {replies:?}");
    let told = world.events(&format!("session_id={session}&type=approval.*"));
    let kinds: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["approval.asked", "approval.answered", "approval.settled"]);
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'answer_permission'", "1");
    assert_eq!(world.data("/api/v1/approvals"), json!([]), "nobody waits any more");
}

#[test]
fn no_question_changes_what_is_recorded() {
    let world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build");
    let id = id_of(&wanted(&world));
    let (asked, events) = (approval(&world, &id), world.events(""));
    let document = world.get("/api/v1/openapi.json").body;
    let paths =
        document["paths"].as_object().unwrap().iter().filter(|(_, methods)| methods["get"].is_object());
    let mut questions = 0;
    for (path, _) in paths.filter(|(path, _)| !path.ends_with("/stream")) {
        let name = match path.split('/').nth(3) {
            Some("sessions") => session.as_str(),
            Some("approvals") => &id,
            Some("nodes") => "web-1",
            _ => "1",
        };
        let path = path.replace("{id}", name).replace("{name}", name).replace("{period}", "today");
        world.get(&path);
        questions += 1;
    }
    assert!(questions > 20, "{document}");
    world.ctl_says(&["approvals", "list"]);
    world.ctl_says(&["approvals", "get", &id]);
    world.ctl_says(&["nodes", "get", "web-1"]);
    // What a question had left behind would be taken in before the answer.
    assert_eq!(answer(&world, &id, &json!({"reply": "once"})).status, StatusCode::OK);
    let over = wait_for_state(&world, &id, "settled");
    assert_eq!(stages(&over), ["asked", "answered", "reached", "moved_on"], "{over}");
    assert_eq!(over["receipt"][0], asked["receipt"][0]);
    let after = world.events("");
    assert_eq!(after[..events.len()], events[..]);
    assert_eq!(after[events.len()]["type"], "approval.answered", "nothing between: {after:?}");
    world.until_sql("SELECT count(*) FROM audit_log", "2");
}

#[test]
fn a_reply_that_is_no_word_of_ours_allows_nothing() {
    let world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build");
    let id = id_of(&wanted(&world));
    let bodies = [
        json!({"reply": 0}),
        json!({"reply": 1}),
        json!({"reply": "0"}),
        json!({"reply": null}),
        json!({"reply": ["once"]}),
        json!({"reply": "yes"}),
        json!({"reply": "once", "mesage": "but slowly"}),
        json!({"reply": "once", "message": "but slowly"}),
        json!({"reply": "answers", "answers": [["once"]]}),
        json!({}),
        json!([0]),
    ];
    for body in bodies {
        let reply = answer(&world, &id, &body);
        assert!(reply.status.is_client_error(), "{body}: {} {}", reply.status, reply.body);
    }
    for args in [json!({"reply": 0}), json!({"reply": 1}), json!({"reply": "once", "requestid": "x"})] {
        let reply = world.ask(&json!({"type": "answer_permission", "session_id": session, "args": args}));
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{args}: {}", reply.body);
    }
    let asked = approval(&world, &id);
    assert_eq!((&asked["state"], stages(&asked)), (&json!("waiting"), vec!["asked".to_owned()]), "{asked}");
    assert_eq!(world.count_events(&format!("session_id={session}&type=permission.replied")), 0);
}

#[test]
fn an_answer_by_the_old_words_is_the_same_answer() {
    let world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build");
    let id = id_of(&wanted(&world));
    world.ctl_says(&["sessions", "allow", &session]);
    let over = wait_for_state(&world, &id, "settled");
    assert_eq!(over["answer"]["reply"], "once", "{over}");
    let (code, sentence) = world.ctl_fails(&["approvals", "deny", &id]);
    assert!(code == 1 && sentence.contains("already answered by token at"), "{code} {sentence}");
}

#[test]
fn two_answers_at_once_are_one_answer_and_one_refusal() {
    let world = World::with_node();
    for round in 0..10 {
        let session = world.start_session("shop", "ask rm -rf build");
        let id = id_of(&wanted(&world));
        let replies = std::thread::scope(|scope| {
            let ask = |reply: &'static str| {
                let (world, id) = (&world, &id);
                scope.spawn(move || answer(world, id, &json!({ "reply": reply })).status)
            };
            let both = [ask("once"), ask("reject")];
            both.map(|one| one.join().unwrap())
        });
        let taken = replies.iter().filter(|status| **status == StatusCode::OK).count();
        let refused = replies.iter().filter(|status| **status == StatusCode::CONFLICT).count();
        assert_eq!((taken, refused), (1, 1), "round {round}: {replies:?}");
        wait_for_state(&world, &id, "settled");
        assert_eq!(world.events(&format!("session_id={session}&type=permission.replied")).len(), 1);
    }
}

#[test]
fn an_answer_that_does_not_arrive_is_an_alert_and_can_be_given_again() {
    let mut world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build");
    let id = id_of(&wanted(&world));
    world.take_agent("web-1").kill();
    world.wait_for_node("web-1", "offline");
    let lost = world.ask(&json!({"type": "answer_permission", "session_id": session, "expires": 1,
        "args": {"reply": "once"}}));
    assert_eq!(lost.body["data"]["state"], "expired", "the fault has fired: {}", lost.body);
    let shown = approval(&world, &id);
    assert_eq!(shown["state"], "undelivered", "{shown}");
    assert!(stages(&shown).contains(&"undelivered".to_owned()), "{shown}");
    let alerts = world.data("/api/v1/alerts?name=approval.undelivered");
    assert_eq!((&alerts[0]["about"], &alerts[0]["severity"]), (&json!(id), &json!("high")), "{alerts}");
    // Once more, for a node that is away: it is on its way, and that is shown.
    let (code, sentence) = world.ctl_fails(&["approvals", "approve", &id, "--timeout", "1s"]);
    assert!(code == 6 && sentence.contains("was sent to node web-1"), "{code} {sentence}");
    assert_eq!(approval(&world, &id)["state"], "answered");
    assert_eq!(
        world.data("/api/v1/alerts?name=approval.undelivered"),
        json!([]),
        "a new answer is on its way"
    );
    // The turn died with its agent: the node refuses the answer, and that is shown, too.
    world.start_agent_again("web-1");
    let over = wait_for_state(&world, &id, "lapsed");
    assert_eq!(stages(&over).iter().filter(|stage| *stage == "undelivered").count(), 2, "{over}");
    let alerts = world.data("/api/v1/alerts?name=approval.overtaken");
    assert_eq!(alerts[0]["about"], json!(id), "{alerts}");
}

#[test]
fn an_approval_and_its_receipt_outlive_the_supervisor() {
    let mut world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build");
    let id = id_of(&wanted(&world));
    world.ctl_says(&["approvals", "snooze", &id, "--for", "1h"]);
    world.kill_supervisor();
    world.start_supervisor();
    assert_eq!(stages(&approval(&world, &id)), ["asked", "snoozed"]);
    world.wait_for_node("web-1", "online");
    world.ctl_says(&["approvals", "approve", &id]);
    world.wait_for_session(&session, "idle");
    let over = wait_for_state(&world, &id, "settled");
    world.kill_supervisor();
    world.start_supervisor();
    assert_eq!(approval(&world, &id), over);
    assert_eq!(
        answer(&world, &id, &json!({"reply": "once"})).status,
        StatusCode::OK,
        "the same again is fine"
    );
}

#[test]
fn a_question_is_answered_or_turned_down() {
    let world = World::with_node();
    let session = world.start_session("shop", "question Which colour?");
    let asked = wanted(&world);
    assert_eq!(asked["questions"][0]["options"][0]["label"], "Yes", "{asked}");
    let id = id_of(&asked);
    let wrong = answer(&world, &id, &json!({"reply": "once"}));
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.body);
    world.ctl_says(&["approvals", "answer", &id, "Yes"]);
    world.wait_for_session(&session, "idle");
    let replied = world.events(&format!("session_id={session}&type=question.replied"));
    assert_eq!(replied[0]["data"]["answers"], json!([["Yes"]]));
    let second = world.start_session("shop", "question Which colour?");
    let id = id_of(&wanted(&world));
    world.ctl_says(&["approvals", "deny", &id]);
    world.wait_for_session(&second, "idle");
    assert_eq!(world.count_events(&format!("session_id={second}&type=question.rejected")), 1);
}

#[test]
fn time_is_up_and_it_is_denied_unless_it_was_put_off() {
    let world = limited(&json!({"time_limit": "2s"}));
    let session = world.start_session("shop", "ask rm -rf build");
    let late = wanted(&world);
    let over = wait_for_state(&world, &id_of(&late), "settled");
    assert_eq!(
        (&over["answer"]["reply"], &over["answer"]["by"]),
        (&json!("reject"), &json!("time limit")),
        "{over}"
    );
    world.wait_for_session(&session, "idle");
    world.start_session("shop", "ask rm -rf build");
    let id = id_of(&wanted(&world));
    world.ctl_says(&["approvals", "snooze", &id, "--for", "1h"]);
    let put_off = approval(&world, &id);
    assert_eq!(put_off["deadline"], put_off["snoozed_until"], "{put_off}");
    world.ctl_says(&["approvals", "snooze", &id, "--for", "0"]);
    wait_until("it is told again", PATIENCE, || {
        let told = world.events("type=approval.asked");
        let again = told.iter().filter(|event| event["data"]["again"] == true).count();
        if again == 1 { Ok(()) } else { Err(format!("{told:?}")) }
    });
}

#[test]
fn a_true_coding_agent_gets_its_answer_and_the_receipt_tells_why_it_asked() {
    let whole = Whole::begin(json!({"bash": "ask"}));
    let session = whole.start("think the shelf is bare");
    whole.wait(&session, "idle");
    whole.world.ctl_says(&[
        "sessions",
        "prompt",
        &session,
        "bash echo kettle > made.txt && echo tea > cup.txt",
    ]);
    whole.wait(&session, "waiting");
    let list = whole.world.ctl_says(&["approvals", "list", "-o", "wide"]);
    assert!(list.contains("echo kettle > made.txt"), "{list}");
    let id = id_of(&wanted(&whole.world));
    let sheet = whole.world.ctl_says(&["approvals", "get", &id, "-o", "table"]);
    assert!(
        sheet.contains("echo kettle > made.txt && echo tea > cup.txt")
            && sheet.contains("projects/shop")
            && sheet.contains("the shelf is bare"),
        "{sheet}"
    );
    whole.world.ctl_says(&["approvals", "approve", &id]);
    whole.wait(&session, "idle");
    let over = wait_for_state(&whole.world, &id, "settled");
    assert_eq!(stages(&over), ["asked", "answered", "reached", "moved_on"], "{over}");
    println!("{}", whole.world.ctl_says(&["approvals", "get", &id, "-o", "table"]));
}

#[test]
fn who_has_seen_it_is_noted_only_when_somebody_says_so() {
    let world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build; say done");
    world.wait_for_session(&session, "waiting");
    let receipt = || world.data("/api/v1/approvals")[0]["receipt"].as_array().unwrap().clone();
    let id = world.data("/api/v1/approvals")[0]["id"].clone();
    assert_eq!(receipt().len(), 1, "reading notes nothing");
    let seen = |ids: Value| {
        world.request(Method::POST, "/api/v1/approvals/seen", Some(TOKEN), &[], Some(&json!({ "ids": ids })))
    };
    assert_eq!(seen(json!([id, "none-such"])).body["data"]["known"], 1);
    wait_until("it is noted", PATIENCE, || {
        let lines = receipt();
        if lines.len() == 2 { Ok(()) } else { Err(format!("{lines:?}")) }
    });
    assert_eq!((&receipt()[1]["stage"], &receipt()[1]["by"]), (&json!("seen"), &json!("token")));
    assert_eq!(seen(json!(vec!["x"; 101])).status, StatusCode::BAD_REQUEST);
    seen(json!([id]));
    world.ctl_says(&["approvals", "allow", id.as_str().unwrap()]);
    let last = world.data("/api/v1/approvals?status=all")[0]["receipt"].clone();
    assert_eq!(last.as_array().unwrap().iter().filter(|line| line["stage"] == "seen").count(), 1, "{last}");
}
