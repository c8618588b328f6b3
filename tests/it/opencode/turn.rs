//! What a turn is: text, tools, costs, errors, helpers.

use hal_o_swarm::protocol::session::Status;

use super::desk::Record;
use super::stage::Stage;
use crate::opencode_home::{Billed, CONTEXT_LIMIT};

/// What the record says a session has cost, in the words of the ledger.
fn recorded(record: &Record, session: &str) -> (u64, u64, u64, u64, Option<u64>) {
    let session = &record.sessions[session];
    let tokens = session.tokens;
    (tokens.input, tokens.output, tokens.cache_read, tokens.reasoning, session.cost_micros)
}

fn billed(bill: Billed) -> (u64, u64, u64, u64, Option<u64>) {
    (bill.input, bill.output, bill.cached, bill.reasoning, Some(bill.cost_micros))
}

/// Waits until the record and the ledger agree: the last cost is told just after the turn.
async fn wait_for_costs(stage: &Stage, session: &str) {
    let what = format!("the cost of {session} to be {:?}", stage.model.bill(session));
    stage
        .desk
        .wait(&what, |record| (recorded(record, session) == billed(stage.model.bill(session))).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_told_whole_and_costs_what_the_model_billed() {
    let stage = Stage::set().await;
    let session = stage.play("bash echo hello from the tool\nusage 1000 150 400 50").await;
    let id = session.as_str();
    wait_for_costs(&stage, id).await;
    let bill = stage.model.bill(id);
    assert_eq!((bill.calls, bill.title_calls), (2, 0), "{:?}", stage.model.sessions());
    stage.desk.look(|record| {
        let known = &record.sessions[id];
        assert_eq!(known.title, "bash echo hello from the tool");
        assert_eq!(known.directory, stage.project.to_str().unwrap());
        assert_eq!(known.model.as_ref().unwrap().id, "fake-1");
        assert_eq!(known.context.unwrap().limit, Some(CONTEXT_LIMIT));
        assert_eq!(known.context.unwrap().used, 1600);
        let parts = record.of(id, "message.part.updated");
        let output = |part: &serde_json::Value| part["state"]["output"].as_str().map(str::to_owned);
        let outputs: Vec<_> = parts.iter().filter_map(|event| output(&event.data["part"])).collect();
        assert_eq!(outputs, ["hello from the tool\n"]);
        let texts: Vec<_> = parts.iter().filter_map(|event| event.data["part"]["text"].as_str()).collect();
        assert!(texts.contains(&"Billed as told."), "{texts:?}");
        assert!(record.live.iter().any(|(kind, _)| kind == "message.part.delta"));
        assert!(record.events.iter().all(|event| event.kind != "message.part.delta"));
    });
    // More turns of the same session: its reasoning, its list of things to do.
    stage.say(&session, "think this over").await;
    let is_thought = |event: &&super::desk::Kept| event.data["part"]["text"] == "this over";
    let thought =
        |record: &Record| record.of(id, "message.part.updated").into_iter().find(is_thought).map(drop);
    stage.desk.wait("the thought", thought).await;
    stage.say(&session, "todo").await;
    stage
        .desk
        .wait("the list of things to do", |record| (record.sessions[id].todo.len() == 2).then_some(()))
        .await;
    wait_for_costs(&stage, id).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_told_apart_and_overcome() {
    let stage = Stage::set().await;
    let refused = stage.begin("error 400").await;
    stage.desk.wait_status(refused.as_str(), Status::Error).await;
    stage.desk.look(|record| {
        let error = record.sessions[refused.as_str()].error.clone().unwrap();
        assert!(error.contains("told to say 400"), "{error}");
    });
    let retried = stage.begin("error 500 1").await;
    stage.desk.wait_status(retried.as_str(), Status::Retrying).await;
    stage.desk.wait_status(retried.as_str(), Status::Idle).await;
    let long = stage.play("say something first").await;
    stage.say(&long, "overflow").await;
    stage.desk.wait_event(long.as_str(), "session.compacted").await;
    stage.desk.wait_status(long.as_str(), Status::Idle).await;
    stage.desk.look(|record| assert_eq!(record.sessions[long.as_str()].compactions, 1));
    wait_for_costs(&stage, long.as_str()).await;
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_is_a_session_with_a_parent_and_its_own_costs() {
    let stage = Stage::set().await;
    let parent = stage.play("task bash echo from the helper").await;
    let child = stage
        .desk
        .wait("the helper", |record| {
            let child = record.sessions.values().find(|one| one.parent_id.as_ref() == Some(&parent));
            child.map(|child| child.id.clone())
        })
        .await;
    stage.desk.wait_status(child.as_str(), Status::Idle).await;
    wait_for_costs(&stage, parent.as_str()).await;
    wait_for_costs(&stage, child.as_str()).await;
    assert!(stage.model.bill(child.as_str()).calls >= 2);
    stage.strike().await;
}
