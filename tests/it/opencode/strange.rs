//! What others do to opencode: answers from outside, another opencode at the same database, a clock that was set back.

use std::process::{Command, Stdio};

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::base::clock::now;
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::{Value, json};

use super::stage::Stage;
use crate::mirror::stage::sqlite;

/// Asks opencode for something as whoever knows its password can.
async fn ask_opencode(stage: &Stage, path: &str, body: Value) {
    let url = format!("http://127.0.0.1:{}{path}", stage.port);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).basic_auth("opencode", Some(stage.home.password())).json(&body);
    let answer = request.query(&[("directory", &stage.project)]).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
}

/// Moves all messages of a session in time: for opencode it is as if the clock had been set the other way.
fn move_messages(stage: &Stage, session: &SessionId, by: i64) {
    let created = format!("json_extract(data, '$.time.created') + {by}");
    database(
        stage,
        &format!(
            "UPDATE message SET time_created = {created}, data = json_set(data, '$.time.created', {created}) \
             WHERE session_id = '{session}'"
        ),
    );
}

fn database(stage: &Stage, sql: &str) -> String {
    let file = stage.home.path(".local/share/opencode/opencode.db");
    let said = sqlite(&file, &format!("PRAGMA busy_timeout = 10000; {sql}")).unwrap();
    // The first line is the pragma's.
    said.lines().skip(1).collect()
}

fn allow(session: &SessionId, reply: &str) -> Action {
    Action::AnswerPermission {
        session_id: session.clone(),
        request_id: None,
        reply: reply.into(),
        message: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_behind_the_last_message_is_refused_or_waits_and_a_turn_without_an_answer_has_failed() {
    let stage = Stage::set().await;
    let session = stage.play("say hello").await;
    move_messages(&stage, &session, 3_600_000);
    let calls = stage.model.bill(session.as_str()).calls;
    let deed = Action::Prompt { session_id: session.clone(), message: "say swallowed".into() };
    let error = stage.act(deed).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, BackendError::Refused(_)), "{said}");
    assert!(said.contains("is 35") && said.contains("Set the clock right"), "{said}");
    // Somebody else says it, and nothing stops them: the turn is no good one.
    let body = json!({"parts": [{"type": "text", "text": "say swallowed"}]});
    ask_opencode(&stage, &format!("/session/{session}/prompt_async"), body).await;
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    let why = stage.desk.look(|record| record.sessions[session.as_str()].error.clone().unwrap());
    assert!(why.contains("ended without an answer"), "{why}");
    assert_eq!(
        stage.model.bill(session.as_str()).calls,
        calls,
        "the fault has fired: the model was not asked"
    );
    // A clock that is a little behind is waited for.
    let last: i64 = database(&stage, "SELECT max(time_created) FROM message").parse().unwrap();
    move_messages(&stage, &session, now().0 + 4_000 - last);
    stage.say(&session, "say late but heard").await;
    stage
        .desk
        .wait("the answer", |record| {
            let parts = record.of(session.as_str(), "message.part.updated");
            parts.iter().any(|event| event.data["part"]["text"] == "late but heard").then_some(())
        })
        .await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_opencode_does_is_told_with_what_it_cost() {
    let stage = Stage::set().await;
    let ours = stage.play("say ours").await;
    let run = |words: &[&str]| {
        let mut command = Command::new(stage.home.binary());
        command.arg("run").args(words).current_dir(&stage.project).envs(stage.home.environment());
        // It takes the shell's word for where it is.
        command.env("PWD", &stage.project);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut child = run(&["--title", "elsewhere", "say theirs"]);
    let theirs = stage
        .desk
        .wait("the other session", |record| {
            record.sessions.values().find(|session| session.title == "elsewhere").map(|one| one.id.clone())
        })
        .await;
    let costs = |record: &super::desk::Record| {
        let bill = stage.model.bill(theirs.as_str());
        (bill.calls > 0 && record.sessions[&theirs].cost_micros == Some(bill.cost_micros)).then_some(())
    };
    stage.desk.wait("what it cost", costs).await;
    assert!(tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap().success());
    // The same in a session of ours, that another opencode goes on with.
    let before = stage.model.bill(ours.as_str()).calls;
    let mut child = run(&["--session", ours.as_str(), "say more of it"]);
    let goes_on = |record: &super::desk::Record| {
        let bill = stage.model.bill(ours.as_str());
        (bill.calls > before && record.sessions[&ours].cost_micros == Some(bill.cost_micros)).then_some(())
    };
    stage.desk.wait("what it cost then", goes_on).await;
    assert!(tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap().success());
    let ids = super::record::kept(&stage);
    let once: std::collections::BTreeSet<&String> = ids.iter().collect();
    assert_eq!(once.len(), ids.len(), "some were kept twice");
    assert_eq!(stage.desk.look(|record| record.pictures.len()), 1, "without opening the stream again");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_outside_stops_the_turn_and_ours_do_not() {
    let stage = Stage::set_with(json!({"*": "allow", "bash": "ask"})).await;
    let outside = |record: &super::desk::Record| -> Vec<Value> {
        let is_it = |event: &&super::desk::Kept| event.data["outside"] == true;
        record.events.iter().filter(is_it).map(|event| event.data.clone()).collect()
    };
    let session = stage.begin("bash touch allowed").await;
    for (prompt, reply) in [("", "once"), ("bash touch always", "always"), ("bash rm never", "reject")] {
        if !prompt.is_empty() {
            stage.say(&session, prompt).await;
        }
        stage.desk.wait_status(session.as_str(), Status::Waiting).await;
        stage.act(allow(&session, reply)).await.unwrap();
        stage.desk.wait_status(session.as_str(), Status::Idle).await;
    }
    assert_eq!(stage.desk.look(outside), Vec::<Value>::new());
    // It stops in the middle of a command that somebody else has allowed.
    stage.say(&session, "bash mkdir theirs && sleep 600").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let asked = stage.desk.look(|record| record.sessions[session.as_str()].asks[0].id.clone());
    ask_opencode(&stage, &format!("/permission/{asked}/reply"), json!({"reply": "always"})).await;
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    let why = stage.desk.look(|record| record.sessions[session.as_str()].error.clone().unwrap());
    assert!(why.contains(&asked) && why.contains("answered outside (always)"), "{why}");
    assert!(why.contains("its turn was stopped"), "{why}");
    let told = stage.desk.look(outside);
    assert_eq!((told.len(), &told[0]["requestID"]), (1, &json!(asked)), "{told:?}");
    stage.wait_processes("sleep 600", 0).await;
    // What it was always allowed is asked again.
    stage.say(&session, "bash mkdir again").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    stage.act(allow(&session, "once")).await.unwrap();
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}
