//! Turns of OpenCode 2: what is told of them, and when a session is idle.

use hal_o_swarm::agent::backend::{Action, BackendError};
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};

use super::stage::set;
use crate::opencode::desk::Record;
use crate::opencode::stage::Stage;

fn ends(record: &Record, session: &SessionId) -> usize {
    record.of(session.as_str(), "session.idle").len()
}

/// What a session has cost, in millionths of a dollar, by itself and by the sum of its steps.
fn cost(stage: &Stage, session: &SessionId) -> (Option<u64>, u64) {
    stage.desk.look(|record| {
        let steps = record.of(session.as_str(), "message.updated");
        let costs = steps.iter().filter_map(|event| event.data["info"]["cost"].as_f64());
        let sum = costs.map(|dollars| (dollars * 1e6).round() as u64).sum();
        (record.sessions[session].cost_micros, sum)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_told_step_by_step_and_costs_what_its_steps_cost() {
    let stage = set().await;
    let session = stage.play("bash sleep 1; echo made; exit 3\nusage 1000 100\nsay all of it").await;
    assert_eq!(stage.texts(&session).last().map(String::as_str), Some("all of it"));
    let tools = stage.desk.look(|record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        let tools = parts.iter().filter(|event| event.data["part"]["type"] == "tool");
        tools.map(|event| event.data["part"].clone()).collect::<Vec<_>>()
    });
    let last = tools.last().unwrap();
    assert_eq!((&last["kind"], &last["state"]["status"]), (&"execute".into(), &"completed".into()), "{last}");
    assert_eq!((&last["state"]["metadata"]["exit"], &last["tool"]), (&3.into(), &"shell".into()), "{last}");
    // Three steps: 100/20 tokens, 1000/100, 100/20, at 3 and 15 dollars a million.
    assert_eq!(cost(&stage, &session), (Some(600 + 4500 + 600), 600 + 4500 + 600));
    let context = stage.desk.look(|record| record.sessions[&session].context.unwrap());
    assert_eq!((context.used, context.limit), (120, Some(100_000)));
    stage.desk.look(|record| assert_eq!(ends(record, &session), 1));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_idle_while_a_helper_works_in_the_background() {
    let stage = set().await;
    let session = stage.begin("later slow 40 50").await;
    let helper = |record: &Record| {
        let all = record.sessions.values();
        all.clone().find(|one| one.parent_id.as_ref() == Some(&session)).map(|one| one.id.clone())
    };
    let helper = stage.desk.wait("the helper", helper).await;
    let is_over = |record: &Record| (ends(record, &helper) == 1).then(|| ends(record, &session));
    let before = stage.desk.wait("the end of the helper", is_over).await;
    assert_eq!(before, 0, "its own execution has ended long ago, and it is woken when the helper is done");
    stage.desk.wait_event(session.as_str(), "session.idle").await;
    let told = stage.desk.look(|record| {
        let parts = record.of(session.as_str(), "message.part.updated");
        parts.iter().any(|event| event.data["part"]["synthetic"] == true)
    });
    assert!(told, "it was woken by what nobody has said");
    stage.desk.look(|record| assert_eq!(ends(record, &session), 1, "it is told idle once"));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_ends_helpers_and_background_commands_and_an_abort_leaves_the_commands() {
    let stage = set().await;
    let session = stage.begin("shell exec sleep 3017\nlater slow 2000 50\nslow 2000 50").await;
    stage.wait_processes("sleep 3017", 1).await;
    stage.desk.wait("helper and words", |record| (record.live.len() > 10).then_some(())).await;
    let outcome = stage.act(Action::Abort { session_id: session.clone() }).await.unwrap();
    assert_eq!(outcome, "the turn was stopped; 1 background commands run on, a kill ends them");
    let word = stage.act(Action::Look { session_id: session.clone() }).await.unwrap();
    assert_eq!(word, "running", "what runs on may wake it");
    let outcome = stage.act(Action::Kill { session_id: session.clone() }).await.unwrap();
    assert!(outcome.starts_with("1 background commands were ended; "), "{outcome}");
    stage.wait_processes("sleep 3017", 0).await;
    stage.desk.wait_status(session.as_str(), Status::Ended).await;
    stage.say(&session, "say is back").await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_twice_is_done_once_and_another_text_is_refused() {
    let stage = set().await;
    let command = CommandId::new("one-command");
    let create = stage.create("say once");
    let first = stage.backend.carry_out(&command, create.clone()).await.unwrap();
    let again = stage.backend.carry_out(&command, create).await.unwrap();
    assert_eq!(first, again);
    let session = SessionId::new(first);
    stage.desk.wait_event(session.as_str(), "session.idle").await;
    stage.say(&session, "say the end").await;
    stage.wait_turns(&session, 2).await;
    assert_eq!(stage.texts(&session), ["say once", "once", "say the end", "the end"]);
    let other = Action::Prompt { session_id: session.clone(), message: "say another".into() };
    let refused = stage.backend.carry_out(&command, other).await.unwrap_err();
    assert!(matches!(&refused, BackendError::Refused(why) if why.contains("another prompt")), "{refused}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_checked_before_a_start_though_the_lists_are_empty_at_first() {
    let stage = set().await;
    let ask = async |model: &str, agent: &str| {
        let Action::Create { directory, prompt, title, .. } = stage.create("say it") else { unreachable!() };
        let (model, agent) = (model.to_owned(), agent.to_owned());
        stage.act(Action::Create { directory, prompt, title, model, agent }).await
    };
    let no_model = ask("fake/fake-2", "").await.unwrap_err().to_string();
    assert!(no_model.contains("fake/fake-1"), "{no_model}");
    let no_agent = ask("", "plam").await.unwrap_err().to_string();
    assert!(no_agent.contains("plan"), "{no_agent}");
    ask("fake/fake-1", "plan").await.unwrap();
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_s_question_is_answered_by_its_session_and_one_turned_down_stops_the_turn() {
    let stage = set().await;
    let session = stage.begin("task question").await;
    let waits = |record: &Record| record.sessions.values().any(|one| !one.asks.is_empty()).then_some(());
    stage.desk.wait("the helper's question", waits).await;
    let word = stage.act(Action::Look { session_id: session.clone() }).await.unwrap();
    assert_eq!(word, "waiting");
    let (session_id, answers) = (session.clone(), vec![vec!["Blue".to_owned()]]);
    stage.act(Action::AnswerQuestion { session_id, request_id: None, answers }).await.unwrap();
    stage.wait_turns(&session, 1).await;
    let chosen = stage.desk.look(|record| {
        let replied = record.events.iter().find(|event| event.kind == "question.replied").unwrap();
        (replied.data["answers"].clone(), replied.data["outside"].clone())
    });
    assert_eq!(chosen, (serde_json::json!([["Blue"]]), serde_json::Value::Null));
    let other = stage.begin("question").await;
    stage.desk.wait_status(other.as_str(), Status::Waiting).await;
    let (session_id, answers) = (other.clone(), Vec::new());
    stage.act(Action::AnswerQuestion { session_id, request_id: None, answers }).await.unwrap();
    stage.desk.wait_status(other.as_str(), Status::Idle).await;
    stage.strike().await;
}
