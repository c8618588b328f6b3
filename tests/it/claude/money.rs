//! What sessions use and cost is what the fake model has billed, to the millionth of a dollar and the token.

use hal_o_swarm::protocol::session::{Session, SessionId, Status, Tokens};

use super::stage::Stage;
use crate::opencode::desk::Record;

/// What tokens of the model cost that Claude Code takes by itself, in tenths of a millionth of a dollar.
fn tenths(tokens: &Tokens) -> u64 {
    tokens.input * 40 + tokens.output * 200 + tokens.cache_read * 2 + tokens.cache_write * 50
}

/// What all answers of a session and its helpers add up to, as they were told last: tokens, and millionths of a dollar.
fn answers(record: &Record, root: &SessionId) -> (Tokens, f64) {
    let is_its = |id: &str| id == root.as_str() || id.starts_with(&format!("{root}_"));
    let mut last = std::collections::BTreeMap::new();
    for event in record.events.iter().filter(|event| event.kind == "message.updated") {
        let info = &event.data["info"];
        if info["role"] == "assistant" && event.session.as_deref().is_some_and(is_its) {
            last.insert(info["id"].as_str().unwrap().to_owned(), info.clone());
        }
    }
    last.values().fold((Tokens::default(), 0.0), |(tokens, cost), info| {
        let told = &info["tokens"];
        let count = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
        let one = Tokens {
            input: count(&told["input"]),
            output: count(&told["output"]),
            reasoning: 0,
            cache_read: count(&told["cache"]["read"]),
            cache_write: count(&told["cache"]["write"]),
        };
        (tokens.plus(&one), cost + info["cost"].as_f64().unwrap_or_default() * 1e6)
    })
}

fn billed(stage: &Stage, session: &SessionId) -> Tokens {
    let bill = stage.model.bill(session.as_str());
    Tokens {
        input: bill.input,
        output: bill.output,
        reasoning: 0,
        cache_read: bill.cached,
        cache_write: bill.reasoning,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_a_helper_an_error_and_a_resume_are_billed_as_they_are_told() {
    let Some(stage) = Stage::set("the bill of Claude Code").await else { return };
    let session = stage.begin("usage 1234 56 7000 89 touch one\nusage 10 20 30 40").await;
    stage.allow(&session).await;
    stage.wait_turns(&session, 1).await;
    stage.say(&session, "error 500 1").await;
    stage.wait_turns(&session, 2).await;
    let agree = |what: &str| {
        let bill = billed(&stage, &session);
        let (told, cost) = stage.desk.look(|record| answers(record, &session));
        assert_eq!(told, bill, "{what}");
        assert_eq!((cost * 10.0).round() as u64, tenths(&bill), "{what}");
    };
    agree("tools and an error");
    stage.say(&session, "task usage 500 60 70 80\nsay main goes on").await;
    stage.wait_turns(&session, 3).await;
    stage.desk.wait_status(session.as_str(), Status::Idle).await;
    agree("a helper");
    crate::play::kill(stage.programs()[0]);
    crate::play::wait_until("its end", || stage.programs().is_empty()).await;
    stage.say(&session, "usage 11 12 13 14").await;
    stage.wait_turns(&session, 4).await;
    agree("a resume after kill -9");
    let sum = |held: &Session| (held.tokens, held.cost_micros);
    let (tokens, cost) = stage.desk.look(|record| {
        let its = record.sessions.values().filter(|held| held.parent_id.is_none()).map(sum);
        its.fold((Tokens::default(), 0), |(tokens, cost), one| {
            (tokens.plus(&one.0), cost + one.1.unwrap_or(0))
        })
    });
    let helper = stage.desk.look(|record| {
        let helper = record.sessions.keys().find(|id| id.as_str().contains('_')).cloned().unwrap();
        answers(record, &helper)
    });
    let bill = billed(&stage, &session);
    assert_eq!(tokens.plus(&helper.0), bill, "the session's own sum, and its helper's");
    assert!((cost as f64 + helper.1 - tenths(&bill) as f64 / 10.0).abs() <= 1.0, "{cost} and {}", helper.1);
    stage.strike().await;
}
