//! What sessions use is what the fake model has billed, to the token, whatever the sums do.

use hal_o_swarm::protocol::session::{SessionId, Status, Tokens};

use super::stage::Stage;
use crate::opencode::desk::Record;
use crate::play::{kill, wait_until};

/// What all answers of a session add up to, as they were told last.
fn answers(record: &Record, session: &SessionId) -> Tokens {
    let mut last = std::collections::BTreeMap::new();
    for event in record.of(session.as_str(), "message.updated") {
        let info = &event.data["info"];
        if info["role"] == "assistant" {
            last.insert(info["id"].as_str().unwrap().to_owned(), info.clone());
        }
    }
    last.values().fold(Tokens::default(), |tokens, info| {
        let told = &info["tokens"];
        let count = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
        tokens.plus(&Tokens {
            input: count(&told["input"]),
            output: count(&told["output"]),
            reasoning: count(&told["reasoning"]),
            cache_read: count(&told["cache"]["read"]),
            cache_write: count(&told["cache"]["write"]),
        })
    })
}

fn billed(stage: &Stage, session: &SessionId) -> Tokens {
    let bill = stage.model.bill(session.as_str());
    Tokens {
        input: bill.input,
        output: bill.output,
        reasoning: bill.reasoning,
        cache_read: bill.cached,
        cache_write: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_errors_an_overflow_a_summary_and_a_resume_are_billed_as_they_are_told() {
    let Some(mut stage) = Stage::set("the bill of Codex").await else { return };
    let session = stage.begin("usage 1234 56 7000 89 touch one\nusage 10 20 30 40").await;
    stage.allow(&session).await;
    stage.wait_turns(&session, 1).await;
    let told = |stage: &Stage| stage.desk.look(|record| answers(record, &session));
    assert_eq!(told(&stage), billed(&stage, &session), "tools");
    stage.say(&session, "error 500 1").await;
    stage.wait_turns(&session, 2).await;
    assert_eq!(told(&stage), billed(&stage, &session), "an error that was overcome");
    let sum = |stage: &Stage| stage.desk.look(|record| record.sessions[session.as_str()].tokens);
    assert_eq!(sum(&stage), billed(&stage, &session), "the session's own sum");
    stage.say(&session, "overflow 1").await;
    stage.wait_turns(&session, 3).await;
    stage.say(&session, "usage 11 12 13 14").await;
    stage.wait_turns(&session, 4).await;
    assert_eq!(sum(&stage), billed(&stage, &session), "sums that begin anew, and a summary");
    stage.say(&session, "usage 5 6 7 8 true\nslow 1000 50").await;
    stage.allow(&session).await;
    let before = stage.desk.look(|record| record.live.len());
    stage.desk.wait("words", |record| (record.live.len() > before + 2).then_some(())).await;
    kill(stage.home.servers()[0]);
    stage.desk.wait_status(session.as_str(), Status::Error).await;
    wait_until("its end", || stage.home.servers().is_empty()).await;
    stage.say(&session, "usage 21 22 23 24").await;
    stage.wait_turns(&session, 6).await;
    assert_eq!(sum(&stage), billed(&stage, &session), "a resume after kill -9");
    let memory = stage.desk.look(Record::memory);
    stage.backend.stop().await;
    stage.open_again(memory);
    stage.say(&session, "usage 31 32 33 34").await;
    stage.wait_turns(&session, 7).await;
    assert_eq!(sum(&stage), billed(&stage, &session), "another agent");
    stage.strike().await;
}
