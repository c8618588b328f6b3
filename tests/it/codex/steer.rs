//! Stepping in: answering once and twice, a word to a running turn, stopping, killing; and what is not there.

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::protocol::session::{AskKind, SessionId, Status};
use serde_json::json;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_allowed_denied_and_answered_once_only() {
    let Some(stage) = Stage::set("permissions of Codex").await else { return };
    let session = stage.begin("bash touch allowed").await;
    stage.desk.wait_status(session.as_str(), Status::Waiting).await;
    let ask = stage.desk.look(|record| record.sessions[session.as_str()].asks[0].clone());
    assert_eq!(
        (ask.kind, ask.what.as_str(), ask.about.as_str()),
        (AskKind::Permission, "touch allowed", "shell")
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
    stage.asked(&session).await;
    let deny = Action::AnswerPermission {
        session_id: session.clone(),
        request_id: None,
        reply: "reject".into(),
        message: "say not this one".into(),
    };
    stage.act(deny).await.unwrap();
    stage.wait_turns(&session, 2).await;
    assert!(!stage.project.join("denied").exists());
    assert!(stage.texts(&session).contains(&"not this one".to_owned()), "the model is told why");
    stage.desk.look(|record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let last = parts.iter().rev().find(|event| event.data["part"]["type"] == "tool").unwrap();
        assert_eq!(last.data["part"]["state"]["cause"], "refused", "{}", last.data);
        let replies = record.of(session.as_str(), "permission.replied");
        let words: Vec<&str> = replies.iter().filter_map(|event| event.data["reply"].as_str()).collect();
        assert_eq!(words, ["once", "reject"]);
    });

    stage.say(&session, "bash touch always").await;
    stage.asked(&session).await;
    stage.answer(&session, None, "always").await.unwrap();
    stage.wait_turns(&session, 3).await;
    stage.say(&session, "bash touch always").await;
    stage.wait_turns(&session, 4).await;
    let asked = stage.desk.look(|record| record.of(session.as_str(), "permission.asked").len());
    assert_eq!(asked, 3, "what is allowed for good is not asked again");
    assert!(!stage.home.path(".codex/rules").exists(), "no rule is written");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_and_may_be_left_open() {
    let Some(stage) = Stage::set("questions of Codex").await else { return };
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
    });
    stage.say(&session, "question").await;
    stage.asked(&session).await;
    stage.act(answer(Vec::new())).await.unwrap();
    stage.wait_turns(&session, 2).await;
    assert_eq!(stage.desk.look(|record| record.of(session.as_str(), "question.rejected").len()), 1);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_turn_hears_what_is_said_to_it_and_a_stopped_one_takes_it_along() {
    let Some(stage) = Stage::set("aborts of Codex").await else { return };
    let session = stage.begin("slow 1000 50").await;
    stage.desk.wait("words", |record| (record.live.len() > 2).then_some(())).await;
    let output = stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    assert_eq!(output, "the turn was stopped");
    stage.wait_turns(&session, 1).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    let output = stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    assert_eq!(output, "no turn was running");

    stage.say(&session, "bash touch never").await;
    stage.asked(&session).await;
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
    let before = stage.desk.look(|record| record.live.len());
    stage.say(&session, "slow 20 50").await;
    stage.desk.wait("words", |record| (record.live.len() > before + 2).then_some(())).await;
    stage.say(&session, "say and this").await;
    stage.wait_turns(&session, 4).await;
    let said = stage.texts(&session);
    let count = |words: &str| said.iter().filter(|text| text.as_str() == words).count();
    let cut = said.iter().filter(|text| text.starts_with("word1 word2")).count();
    assert_eq!((cut, count("and this")), (3, 1), "what was written before it was cut off is kept: {said:?}");
    assert_eq!(count("never this"), 0, "what waited is not worked on after a stop: {said:?}");
    let turns = stage.desk.look(|record| record.of(session.as_str(), "session.idle").len());
    assert_eq!(turns, 4, "the running turn has heard it");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_process_and_the_conversation_can_go_on() {
    let Some(stage) = Stage::set("a kill of Codex").await else { return };
    let session = stage
        .begin("bash nohup sleep 3001 >/dev/null 2>&1 & setsid sleep 3002 >/dev/null 2>&1 & sleep 3004")
        .await;
    let other = stage.begin("bash touch here; sleep 3005").await;
    stage.allow(&session).await;
    stage.allow(&other).await;
    for name in ["sleep 3002", "sleep 3004", "sleep 3005"] {
        stage.wait_processes(name, 1).await;
    }
    let output = stage.act(Action::Kill { session_id: session.clone() }).await.unwrap();
    assert!(output.contains("processes were ended"), "{output}");
    for name in ["sleep 3001", "sleep 3002", "sleep 3004"] {
        assert_eq!(stage.processes_of(name), Vec::<i32>::new(), "{name}");
    }
    assert_eq!(stage.processes_of("sleep 3005").len(), 1, "another session goes on");
    assert_eq!(stage.home.servers().len(), 1);
    stage.desk.wait_status(session.as_str(), Status::Ended).await;
    stage.say(&session, "say back again").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    assert!(stage.texts(&session).contains(&"back again".to_owned()));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused() {
    let Some(stage) = Stage::set("refusals of Codex").await else { return };
    let mut nowhere = stage.create("say hello");
    if let Action::Create { directory, .. } = &mut nowhere {
        *directory = "/does/not/exist".into();
    }
    let error = stage.act(nowhere).await.unwrap_err();
    assert!(matches!(&error, BackendError::NoSuch(why) if why.contains("/does/not/exist")), "{error}");
    let mut builder = stage.create("say hello");
    if let Action::Create { agent, .. } = &mut builder {
        *agent = "builder".into();
    }
    let error = stage.act(builder).await.unwrap_err();
    assert_eq!(error.to_string(), "Codex has no kind of agent \"builder\": leave the agent out");
    let deed = Action::Prompt { session_id: SessionId::new("nonsense"), message: "say hello".into() };
    assert_eq!(stage.act(deed).await.unwrap_err().to_string(), "Codex has no session nonsense");
    stage.strike().await;
}
