//! Stepping in: answering, stopping, killing; and what is said to those who ask for what is not there.

use hal_o_swarm::agent::backend::{Action, BackendError, ReconcileOutcome};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{AskKind, SessionId, Status};
use serde_json::json;

use super::stage::Stage;
use crate::play::wait_until;
use crate::tool::all_processes;

fn answer(session: &SessionId, reply: &str) -> Action {
    Action::AnswerPermission {
        session_id: session.clone(),
        request_id: None,
        reply: reply.into(),
        message: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_allowed_or_rejected_and_a_question_answered() {
    let stage = Stage::set_with(json!({"*": "allow", "bash": "ask"})).await;
    let session = stage.begin("bash touch allowed").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let ask = stage.desk.look(|record| record.sessions[session.as_str()].asks[0].clone());
    assert_eq!(
        (ask.kind, ask.what.as_str(), ask.about.as_str()),
        (AskKind::Permission, "touch allowed", "bash")
    );
    let word = stage.act(Action::Look { session_id: session.clone() }).await.unwrap();
    assert_eq!(word, "waiting");
    assert_eq!(stage.act(answer(&session, "once")).await.unwrap(), "once: touch allowed");
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.project.join("allowed").exists());

    stage.say(&session, "bash touch rejected").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    stage.act(answer(&session, "reject")).await.unwrap();
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(!stage.project.join("rejected").exists());
    let error = stage.act(answer(&session, "once")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("session {session} waits for no permission"));

    stage.say(&session, "question").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let deed = Action::AnswerQuestion {
        session_id: session.clone(),
        request_id: None,
        answers: vec![vec!["Red".into()]],
    };
    assert_eq!(stage.act(deed).await.unwrap(), "answered: Which colour?");
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_aborted_in_mid_stream_and_the_session_goes_on() {
    let stage = Stage::set().await;
    let session = stage.begin("slow 1000 100").await;
    stage.desk.wait("words", |record| (record.live.len() > 2).then_some(())).await;
    let output = stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    assert_eq!(output, "the turn was stopped");
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.say(&session, "say still here").await;
    stage
        .desk
        .wait("the answer", |record| {
            let parts = record.of(session.as_str(), "message.part.updated");
            parts.iter().any(|event| event.data["part"]["text"] == "still here").then_some(())
        })
        .await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    let output = stage.act(Action::Abort { session_id: session }).await.unwrap();
    assert_eq!(output, "no turn was running");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_process_and_the_conversation_can_go_on() {
    let stage = Stage::set().await;
    // The one without an environment can only be known by its parent. Its number tells it from other scenes' ones.
    let bare = format!("sleep 1{}", std::process::id());
    let prompt = format!(
        "bash nohup sleep 1001 >/dev/null 2>&1 & setsid sleep 1002 >/dev/null 2>&1 & env -i {bare} & sleep 1004"
    );
    let is_bare = |(_, command): &(i32, String)| *command == bare;
    let session = stage.begin(&prompt).await;
    stage.wait_processes("sleep 1002", 1).await;
    stage.wait_processes("sleep 1004", 1).await;
    // The shell has gone on to the last command before this one is more than a fork of it.
    wait_until("the one without an environment", || all_processes().filter(is_bare).count() == 1).await;
    let output = stage.act(Action::Kill { session_id: session.clone() }).await.unwrap();
    assert!(output.contains("processes were ended"), "{output}");
    for name in ["sleep 1001", "sleep 1002", "sleep 1004"] {
        assert_eq!(stage.processes_of(name), Vec::<i32>::new(), "{name}");
    }
    assert_eq!(all_processes().filter(is_bare).count(), 0);
    stage.desk.wait_status(session.as_str(), Status::Ended).await;
    assert_eq!(stage.servers().len(), 1, "opencode itself goes on");
    stage.say(&session, "say back again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_and_what_was_done_is_found() {
    let stage = Stage::set().await;
    let nowhere = Action::Create {
        directory: "/does/not/exist".into(),
        prompt: "say hello".into(),
        title: String::new(),
        model: String::new(),
        agent: String::new(),
    };
    let error = stage.act(nowhere).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::NoSuch(_)) && error.to_string().contains("/does/not/exist"),
        "{error}"
    );
    for id in ["ses_nope", "nonsense", "ses_/../../global"] {
        let deed = Action::Prompt { session_id: SessionId::new(id), message: "say hello".into() };
        let error = stage.act(deed).await.unwrap_err();
        assert_eq!(error.to_string(), format!("opencode has no session {id}"));
    }
    let mut deed = stage.create("say hello");
    if let Action::Create { model, .. } = &mut deed {
        *model = "fake/fake-2".into();
    }
    let error = stage.act(deed).await.unwrap_err();
    assert!(error.to_string().contains("did you mean \"fake/fake-1\""), "{error}");

    let command = CommandId::new(fresh());
    let deed = stage.create("say hello");
    assert_eq!(stage.backend.reconcile(&command, &deed).await, ReconcileOutcome::NotDone);
    let session = stage.backend.carry_out(&command, deed.clone()).await.unwrap();
    assert_eq!(stage.backend.reconcile(&command, &deed).await, ReconcileOutcome::Done(session.clone()));
    let command = CommandId::new(fresh());
    let deed = Action::Prompt { session_id: SessionId::new(session), message: "say more".into() };
    assert_eq!(stage.backend.reconcile(&command, &deed).await, ReconcileOutcome::NotDone);
    stage.backend.carry_out(&command, deed.clone()).await.unwrap();
    assert_eq!(stage.backend.reconcile(&command, &deed).await, ReconcileOutcome::Done(String::new()));
    stage.strike().await;
}
