//! Stepping in: answering once and twice, stopping, killing; and what is said of what is not there.

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::protocol::session::{AskKind, SessionId, Status};
use serde_json::json;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_allowed_denied_and_answered_once_only() {
    let Some(stage) = Stage::set("permissions of Claude Code").await else { return };
    let session = stage.begin("bash touch allowed").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let ask = stage.desk.look(|record| record.sessions[session.as_str()].asks[0].clone());
    assert_eq!(
        (ask.kind, ask.what.as_str(), ask.about.as_str()),
        (AskKind::Permission, "touch allowed", "Bash")
    );
    let word = stage.act(Action::Look { session_id: session.clone() }).await.unwrap();
    assert_eq!(word, "waiting");
    let first = stage.answer(&session, Some(ask.id.clone()), "once").await.unwrap();
    assert_eq!(first, "once: touch allowed");
    let twice = stage.answer(&session, Some(ask.id.clone()), "reject").await.unwrap_err();
    assert_eq!(twice.to_string(), format!("session {session} waits for no permission {}", ask.id));
    stage.wait_turns(&session, 1).await;
    assert!(stage.project.join("allowed").exists());

    stage.say(&session, "bash touch denied").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let deny = Action::AnswerPermission {
        session_id: session.clone(),
        request_id: None,
        reply: "reject".into(),
        message: "not this one".into(),
    };
    stage.act(deny).await.unwrap();
    stage.wait_turns(&session, 2).await;
    assert!(!stage.project.join("denied").exists());
    stage.desk.look(|record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let last = parts.iter().rev().find(|event| event.data["part"]["type"] == "tool").unwrap();
        assert_eq!(last.data["part"]["state"]["cause"], "refused", "{}", last.data);
        let replies = record.of(session.as_str(), "permission.replied");
        let words: Vec<&str> = replies.iter().filter_map(|event| event.data["reply"].as_str()).collect();
        assert_eq!(words, ["once", "reject"]);
    });

    stage.say(&session, "bash touch always").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    stage.answer(&session, None, "always").await.unwrap();
    stage.wait_turns(&session, 3).await;
    stage.say(&session, "bash touch always").await;
    stage.wait_turns(&session, 4).await;
    let asked = stage.desk.look(|record| record.of(session.as_str(), "permission.asked").len());
    assert_eq!(asked, 3, "what is allowed for good is not asked again");
    assert!(!stage.project.join(".claude").exists(), "nothing is written into the project");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_and_may_be_left_open() {
    let Some(stage) = Stage::set("questions of Claude Code").await else { return };
    let session = stage.begin("question").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let answer = |answers: Vec<Vec<String>>| Action::AnswerQuestion {
        session_id: session.clone(),
        request_id: None,
        answers,
    };
    let said = stage.act(answer(vec![vec!["Red".into()]])).await.unwrap();
    assert_eq!(said, "answered: Which colour?");
    stage.wait_turns(&session, 1).await;
    stage.desk.look(|record| {
        let asked = &record.of(session.as_str(), "question.asked")[0].data["questions"][0];
        assert_eq!(
            (&asked["question"], &asked["options"][1]["label"]),
            (&json!("Which colour?"), &json!("Blue"))
        );
        assert_eq!(record.of(session.as_str(), "question.replied")[0].data["answers"], json!([["Red"]]));
        let parts = record.of(session.as_str(), "message.part.updated");
        let told = parts.iter().any(|event| {
            let output = event.data["part"]["state"]["output"].as_str();
            output.is_some_and(|output| output.contains("\"Which colour?\"=\"Red\""))
        });
        assert!(told, "the model is told the answer");
    });
    stage.say(&session, "question").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    stage.act(answer(Vec::new())).await.unwrap();
    stage.wait_turns(&session, 2).await;
    assert_eq!(stage.desk.look(|record| record.of(session.as_str(), "question.rejected").len()), 1);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_aborted_and_what_was_said_to_a_running_one_has_its_own() {
    let Some(stage) = Stage::set("aborts of Claude Code").await else { return };
    let session = stage.begin("slow 1000 50").await;
    stage.desk.wait("words", |record| (record.live.len() > 2).then_some(())).await;
    let output = stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    assert_eq!(output, "the turn was stopped");
    stage.wait_turns(&session, 1).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    let output = stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    assert_eq!(output, "no turn was running");

    stage.say(&session, "bash touch never").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    stage.wait_turns(&session, 2).await;
    let asks = stage.desk.look(|record| record.sessions[session.as_str()].asks.clone());
    assert_eq!(asks, [], "what it asked is not asked any more");

    let before = stage.desk.look(|record| record.live.len());
    stage.say(&session, "slow 1000 50").await;
    stage.desk.wait("words", |record| (record.live.len() > before + 2).then_some(())).await;
    stage.say(&session, "say never this").await;
    stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    stage.wait_turns(&session, 3).await;
    stage.say(&session, "slow 20 50").await;
    stage.say(&session, "say and this").await;
    stage.wait_turns(&session, 4).await;
    let said = stage.texts(&session);
    assert!(
        said.iter().any(|text| text.contains("word20")) && said.contains(&"and this".to_owned()),
        "{said:?}"
    );
    let answers = said.iter().filter(|text| text.as_str() == "never this").count();
    assert_eq!(answers, 0, "what waited is not worked on after a stop: {said:?}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_process_and_the_conversation_can_go_on() {
    let Some(stage) = Stage::set("a kill of Claude Code").await else { return };
    let session = stage
        .begin("bash nohup sleep 2001 >/dev/null 2>&1 & setsid sleep 2002 >/dev/null 2>&1 & sleep 2004")
        .await;
    let other = stage.begin("bash touch here; sleep 2005").await;
    stage.allow(&session).await;
    stage.allow(&other).await;
    for name in ["sleep 2002", "sleep 2004", "sleep 2005"] {
        stage.wait_processes(name, 1).await;
    }
    let output = stage.act(Action::Kill { session_id: session.clone() }).await.unwrap();
    assert!(output.contains("processes were ended"), "{output}");
    for name in ["sleep 2001", "sleep 2002", "sleep 2004"] {
        assert_eq!(stage.home.processes(|command| command == name), Vec::<i32>::new(), "{name}");
    }
    assert_eq!(stage.home.processes(|command| command == "sleep 2005").len(), 1, "another session goes on");
    assert_eq!(stage.programs().len(), 1);
    stage.desk.wait_status(session.as_str(), Status::Ended).await;
    stage.say(&session, "say back again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.texts(&session).contains(&"back again".to_owned()));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused() {
    let Some(stage) = Stage::set("refusals of Claude Code").await else { return };
    let mut nowhere = stage.create("say hello");
    if let Action::Create { directory, .. } = &mut nowhere {
        *directory = "/does/not/exist".into();
    }
    let error = stage.act(nowhere).await.unwrap_err();
    assert!(matches!(&error, BackendError::NoSuch(why) if why.contains("/does/not/exist")), "{error}");
    let deed = Action::Prompt { session_id: SessionId::new("nonsense"), message: "say hello".into() };
    assert_eq!(stage.act(deed).await.unwrap_err().to_string(), "Claude Code has no session nonsense");
    stage.strike().await;
}
