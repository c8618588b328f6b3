//! P10: what people ask most, while the store is full and events keep coming. The load is open: what counts is when
//! an answer was due to be asked for.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Plan;
use crate::cold::fill;
use crate::fleet::Fleet;
use crate::report::{Line, Verdict, ms};
use crate::world::{TOKEN, World};

/// Questions of each kind, and between two of them.
const QUESTIONS: u32 = 500;
const EVERY: Duration = Duration::from_millis(20);

/// Events a second meanwhile.
const INGEST: u64 = 1_000;

/// The longest time a histogram can hold, in microseconds.
const LONGEST: u64 = 120_000_000;

/// A question: what it is called, its path, and its goal and dream in milliseconds.
type Question = (&'static str, String, u64, u64);

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    let millions = if plan.full { 10 } else { 1 };
    fill(&world, millions * 1_000_000);
    let sessions = world.data("/api/v1/sessions?limit=1");
    let session = sessions[0]["id"].as_str().expect("there are sessions").to_owned();
    let whole = if plan.full { "" } else { " (--full: 10 million)" };
    let questions: [Question; 3] = [
        ("session list", "/api/v1/sessions?limit=100".to_owned(), 20, 10),
        ("tail page", "/api/v1/events?limit=100".to_owned(), 10, 5),
        ("tail page of a session", format!("/api/v1/events?limit=100&session_id={session}"), 10, 5),
    ];
    let mut fleet = Fleet::join(&world, "meanwhile", 10);
    let mut lines = Vec::new();
    for (name, path, goal, dream) in questions {
        let (members, seen) = world
            .run(async { tokio::join!(fleet.keep_saying(INGEST, EVERY * QUESTIONS), ask(&world, &path)) });
        fleet = members;
        let what = format!("{name}, {millions} million events, {INGEST} events/s meanwhile{whole}");
        lines.push(line(what, &seen, goal, dream));
    }
    lines.push(Line::skipped("P10", "30-day cost", "cost: later issue"));
    lines
}

/// Asks at its times: how long each answer took.
async fn ask(world: &World, path: &str) -> Histogram<u64> {
    let http = reqwest::Client::new();
    let url = format!("{}{path}", world.url("http"));
    let begun = Instant::now();
    let mut asked = JoinSet::new();
    for number in 0..QUESTIONS {
        let due = begun + EVERY * number;
        sleep_until(due).await;
        let question = http.get(&url).bearer_auth(TOKEN);
        asked.spawn(async move {
            let answer = question.send().await.expect("the supervisor answers");
            assert_eq!(answer.status(), reqwest::StatusCode::OK);
            answer.bytes().await.expect("it answers to the end");
            due.elapsed()
        });
    }
    let mut seen = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order");
    for time in asked.join_all().await {
        seen.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
    }
    seen
}

fn line(what: String, seen: &Histogram<u64>, goal: u64, dream: u64) -> Line {
    let at = |quantile: f64| Duration::from_micros(seen.value_at_quantile(quantile));
    let within = |limit: u64| at(0.99) <= Duration::from_millis(limit);
    Line {
        number: "P10",
        what,
        goal: format!("p99 {goal} ms"),
        dream: format!("{dream} ms"),
        measured: format!("p50 {}, p99 {}", ms(at(0.5)), ms(at(0.99))),
        ratio: "-".to_owned(),
        verdict: Verdict::of(within(dream), within(goal)),
        numbers: json!({"p50_us": seen.value_at_quantile(0.5), "p99_us": seen.value_at_quantile(0.99), "samples": seen.len()}),
    }
}
