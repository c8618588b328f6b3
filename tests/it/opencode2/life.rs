//! OpenCode 2 that lies, dies and is answered behind us.

use hal_o_swarm::agent::backend::Action;
use hal_o_swarm::protocol::session::Status;
use serde_json::json;

use super::stage::{set, stand_in};
use crate::opencode::desk::Record;
use crate::opencode::stage::Stage;
use crate::play::kill;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lies_does_no_harm() {
    let stage = set().await;
    let session = stage.play("lie unknown\nlie twice\nlie old\nsay after all that").await;
    let (renamed, texts) = (
        stage.desk.look(|record| {
            let updates = record.of(session.as_str(), "session.updated");
            updates.iter().filter(|event| event.data["info"]["title"] == "told twice").count()
        }),
        stage.texts(&session),
    );
    assert_eq!(renamed, 1, "one that comes twice is told once");
    assert!(texts.contains(&"in July's words".to_owned()), "the shapes before 2.0 are read: {texts:?}");
    assert_eq!(texts.last().map(String::as_str), Some("after all that"));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_the_stream_is_cut_is_read_from_the_messages() {
    let stage = set().await;
    let session = stage.begin("say before\nlie cut\nsay while nobody listens\nusage 10 10").await;
    let is_told = |record: &Record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let said = |words: &str| parts.iter().filter(|event| event.data["part"]["text"] == words).count();
        (said("before") > 0 && said("while nobody listens") > 0 && said("billed") > 0).then_some(())
    };
    stage.desk.wait("all that was said", is_told).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    let gaps = stage.desk.look(|record| record.events.iter().filter(|event| event.kind == "gap").count());
    assert_eq!(gaps, 0, "nothing is missing");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_killed_leaves_no_tool_and_its_turn_is_cut_off() {
    let stage = set().await;
    let session = stage.begin("bash exec sleep 3018").await;
    stage.wait_processes("sleep 3018", 1).await;
    stage.servers().into_iter().for_each(kill);
    stage.wait_processes("sleep 3018", 0).await;
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    let why = stage.desk.look(|record| record.sessions[&session].error.clone().unwrap());
    assert!(why.contains("the coding agent stopped in mid-turn"), "{why}");
    stage.say(&session, "say goes on").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_here_gave_stops_the_turn_and_is_named() {
    let stage = Stage::set_through(json!({"bash": "ask"}), |_, _| stand_in()).await;
    let session = stage.begin("bash touch made").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let request = stage.desk.look(|record| record.sessions[&session].asks[0].id.clone());
    let url = format!("http://127.0.0.1:{}/api/session/{session}/permission/{request}/reply", stage.port);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = client.post(url).basic_auth("opencode", Some(stage.home.password()));
    let answer = call.json(&json!({"decision": "once"})).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let is_named = |record: &Record| {
        let error = record.sessions[&session].error.clone()?;
        error.contains("was answered outside (once), not through the supervisor").then_some(())
    };
    stage.desk.wait("the answer to be named", is_named).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_password_nor_keys_are_told() {
    let stage = set().await;
    let session = stage.play("say hello").await;
    let password = stage.home.password();
    let told = stage.desk.look(|record| format!("{:?} {:?}", record.events, record.health));
    for secret in [password.as_str(), "the-key-of-the-stand-in"] {
        assert!(!told.contains(secret), "{secret}");
    }
    stage.act(Action::Look { session_id: session }).await.unwrap();
    stage.strike().await;
}
