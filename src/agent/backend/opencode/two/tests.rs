//! Frames that a true server has sent in July 2026, before 2.0.0, folded: `tests/fixtures/opencode2`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tokio::time::Instant;

use super::state::{Fold, Told};
use super::wire::Frame;
use hal_protocol::event::failure::FailureKind;
use hal_protocol::event::part::{Content, ToolCause, ToolState};
use hal_protocol::event::what::{TurnTold, What};

#[derive(Deserialize)]
struct Recorded {
    scenario: String,
    event: Frame,
}

/// What each scenario tells. Of some only one frame of each kind was kept.
async fn told() -> BTreeMap<String, Vec<Told>> {
    let text = include_str!("../../../../../tests/fixtures/opencode2/july.jsonl");
    let mut out: BTreeMap<String, (Fold, Vec<Told>)> = BTreeMap::new();
    for line in text.lines() {
        let Recorded { scenario, event } = serde_json::from_str(line).unwrap();
        let (fold, told) = out.entry(scenario).or_default();
        told.extend(fold.fold(&event, Instant::now()));
    }
    out.into_iter().map(|(scenario, (_, told))| (scenario, told)).collect()
}

fn events(told: &[Told]) -> Vec<&What> {
    told.iter()
        .filter_map(|one| match one {
            Told::Event(_, what) => Some(what),
            Told::Live(..) => None,
        })
        .collect()
}

fn tools(told: &[Told]) -> Vec<(ToolState, Option<ToolCause>, Option<i64>)> {
    let tool = |what: &&What| match what {
        What::Part(part) => match &part.content {
            Content::Tool(tool) => Some((tool.state, tool.cause, tool.exit)),
            _ => None,
        },
        _ => None,
    };
    events(told).iter().filter_map(tool).collect()
}

fn idles(told: &[Told]) -> usize {
    events(told).iter().filter(|what| ***what == What::Idle).count()
}

#[tokio::test]
async fn a_true_turn_is_told_once_with_its_tool_its_words_and_its_price() {
    let all = told().await;
    let turn = &all["turn with a shell tool (title call included)"];
    assert_eq!(idles(turn), 1);
    let ended: Vec<_> = tools(turn).into_iter().filter(|(state, ..)| state.is_over()).collect();
    assert_eq!(ended, [(ToolState::Completed, None, Some(3))], "a command's exit is no failure of the tool");
    let costs: Vec<f64> = events(turn)
        .iter()
        .filter_map(|what| match what {
            What::Message(told) if told.has_ended => told.cost,
            _ => None,
        })
        .collect();
    assert_eq!((costs.len(), costs[0]), (2, 0.007743), "one for each step");
    let says = |what: &&&What| matches!(what, What::Part(part) if matches!(&part.content, Content::Text(words) if words.text == "tool finished, all done"));
    assert_eq!(events(turn).iter().filter(says).count(), 1);
}

#[tokio::test]
async fn what_true_frames_say_of_refusals_failures_and_retries_is_understood() {
    let all = told().await;
    let cause = |scenario: &str| tools(&all[scenario]).last().and_then(|(_, cause, _)| *cause);
    assert_eq!(cause("permission reject"), Some(ToolCause::Refused));
    assert_eq!(cause("deny rule"), Some(ToolCause::Refused));
    let failures = |scenario: &str| {
        let failed = |what: &&What| match what {
            What::Failed(Some(failure)) => Some((failure.kind, failure.http_status)),
            _ => None,
        };
        events(&all[scenario]).iter().filter_map(failed).collect::<Vec<_>>()
    };
    assert_eq!(failures("permission reject"), [(FailureKind::Aborted, None)], "nobody shut anything down");
    assert_eq!(failures("interrupt while streaming"), [(FailureKind::Aborted, None)]);
    assert_eq!(failures("provider 401"), [(FailureKind::Auth, Some(401))]);
    assert_eq!(failures("content filter"), [(FailureKind::ContentFilter, None)]);
    assert_eq!(failures("429: retries, then failed"), [(FailureKind::RateLimited, Some(429))], "once");
    let retries = events(&all["429: retries, then failed"]);
    let retry = |what: &&&What| matches!(what, What::Status(Some(TurnTold::Retry(_))));
    assert_eq!(retries.iter().filter(retry).count(), 4);
    let asked = events(&all["question = form"]);
    let What::QuestionAsked(asked) = asked[0] else { panic!("{asked:?}") };
    let labels: Vec<&str> = asked.questions[0].options.iter().map(|option| option.label.as_str()).collect();
    assert_eq!((asked.questions[0].question.as_str(), labels), ("Which colour?", vec!["Red", "Blue"]));
}

#[tokio::test]
async fn a_session_that_wakes_by_itself_is_idle_after_each_execution_that_leaves_nothing_behind() {
    let all = told().await;
    assert_eq!(idles(&all["queue and steer while busy"]), 1, "one execution answers all that was said");
    let woken = &all["subagent in the background: parent wakes by itself"];
    let hidden = |what: &&&What| matches!(what, What::Part(part) if matches!(&part.content, Content::Text(words) if words.is_hidden));
    assert_eq!(events(woken).iter().filter(hidden).count(), 1, "nobody has said what woke it");
    let compacted = |what: &&&What| matches!(what, What::Compacted);
    let overflow = events(&all["overflow: compaction, then the error again"]);
    assert_eq!(overflow.iter().filter(compacted).count(), 1);
}
