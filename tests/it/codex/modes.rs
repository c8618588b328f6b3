//! What holds in a project: when it asks, what its commands may write, and what answers.

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::json;

use super::stage::Stage;
use crate::codex_home::MODEL;

/// Exits of the commands that a session has run.
fn exits(stage: &Stage, session: &SessionId) -> Vec<serde_json::Value> {
    stage.desk.look(|record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let ended = parts.iter().filter(|event| event.data["part"]["state"]["status"] == "completed");
        ended.map(|event| event.data["part"]["state"]["metadata"]["exit"].clone()).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_said_so_is_asked_nothing_and_held_by_nothing() {
    let scene = "Codex unguarded";
    let Some(stage) = Stage::set_with(scene, Some("never"), Some("danger-full-access")).await else { return };
    let session = stage.play("bash touch free").await;
    assert!(stage.project.join("free").exists());
    assert_eq!(exits(&stage, &session), [json!(0)]);
    assert_eq!(stage.desk.look(|record| record.of(session.as_str(), "permission.asked").len()), 0);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_holds_what_is_not_asked_for() {
    let Some(stage) = Stage::set_with("Codex in a sandbox", Some("never"), Some("read-only")).await else {
        return;
    };
    let session = stage.play("bash touch held").await;
    assert!(!stage.project.join("held").exists(), "{:?}", exits(&stage, &session));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_named_with_its_provider_and_one_that_is_not_there_is_refused() {
    let Some(mut stage) = Stage::set("models of Codex").await else { return };
    let create = |name: &str| {
        let mut create = stage.create("say hello");
        if let Action::Create { model, .. } = &mut create {
            *model = name.into();
        }
        create
    };
    assert_ne!(MODEL, "gpt-5.6-sol", "it is another one than the user's");
    let session = SessionId::new(stage.act(create("fake/gpt-5.6-sol")).await.unwrap());
    stage.wait_turns(&session, 1).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    let model = |stage: &Stage| {
        let model = stage.desk.look(|record| record.sessions[session.as_str()].model.clone());
        model.map(|model| format!("{}/{}", model.provider, model.id))
    };
    assert_eq!(model(&stage).as_deref(), Some("fake/gpt-5.6-sol"));
    let error = stage.act(create("nowhere/none")).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Refused(why) if why.starts_with("Codex refuses thread/start: ")),
        "{error}"
    );
    let memory = stage.desk.look(crate::opencode::desk::Record::memory);
    stage.backend.stop().await;
    stage.open_again(memory);
    stage.say(&session, "say goes on").await;
    stage.wait_turns(&session, 2).await;
    assert_eq!(model(&stage).as_deref(), Some("fake/gpt-5.6-sol"), "it goes on with it");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_it_cannot_read_is_one_sentence() {
    let Some(stage) = Stage::set("a broken configuration of Codex").await else { return };
    std::fs::write(stage.home.path(".codex/config.toml"), "model = ").unwrap();
    let error = stage.act(stage.create("say hello")).await.unwrap_err().to_string();
    assert!(error.contains("config.toml") && !error.contains('\n'), "{error}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_open_elsewhere_says_so() {
    let Some(stage) = Stage::set("a session of Codex that is open elsewhere").await else { return };
    let session = stage.play("say first").await;
    let memory = stage.desk.look(crate::opencode::desk::Record::memory);
    // With other data it leaves alone what this one runs, as a person's own Codex does.
    let place = stage.home.path("elsewhere");
    std::fs::create_dir_all(&place).unwrap();
    let other = stage.open_elsewhere(&place, memory);
    let say = Action::Prompt { session_id: session.clone(), message: "say second".into() };
    let error =
        other.carry_out(&hal_o_swarm::protocol::command::CommandId::new("other"), say).await.unwrap_err();
    assert!(error.to_string().contains("another Codex works on this session"), "{error}");
    other.stop().await;
    stage.say(&session, "say third").await;
    stage.wait_turns(&session, 2).await;
    stage.strike().await;
}
