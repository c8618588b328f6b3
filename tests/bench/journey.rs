//! P2 and P3: how long an event travels from the node's echo to a reader behind the commit, and how long a command
//! travels from a person through supervisor and agent and back. The load is open: what counts is when a thing was
//! meant to be sent. Beside them F, read before and after each slice.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use hal_o_swarm::base::clock::Time;

use crate::Plan;
use crate::fleet::Fleet;
use crate::report::{Line, Verdict, median, ms};
use crate::stream::Stream;
use crate::world::{TOKEN, World};
use crate::yardstick::sync_time;

/// Times F is read, and a slice measured, and a slice measured, and F is read.
const ROUNDS: usize = 5;

/// One slice.
const SLICE: Duration = Duration::from_secs(3);

/// Events a second, in front of P2 and behind P3.
const EVENTS_PER_SECOND: u64 = 1_000;

/// Ticks in a turn: coding agents say things in small bursts.
const TICKS: u64 = 10;

/// Sessions that take turns.
const SESSIONS: usize = 16;

/// Commands a second.
const COMMANDS_PER_SECOND: u32 = 20;

/// The longest time a histogram can hold, in microseconds.
const LONGEST: u64 = 120_000_000;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are in order")
}

fn at(histogram: &Histogram<u64>, quantile: f64) -> Duration {
    Duration::from_micros(histogram.value_at_quantile(quantile))
}

/// F P P F, five times: the median of F, and all that the slices have seen.
fn in_turns(world: &World, mut slice: impl FnMut(&mut Histogram<u64>)) -> (Duration, Histogram<u64>) {
    let mut syncs = Vec::new();
    let mut seen = histogram();
    for _ in 0..ROUNDS {
        syncs.push(sync_time(world.path()).as_secs_f64());
        slice(&mut seen);
        slice(&mut seen);
        syncs.push(sync_time(world.path()).as_secs_f64());
    }
    (Duration::from_secs_f64(median(&mut syncs)), seen)
}

/// P2: from the moment the true agent notes an event until a reader hears of it, which is after both have synced it.
pub fn measure_events(plan: &Plan) -> Vec<Line> {
    let world = world(plan);
    let sessions: Vec<String> = (0..SESSIONS).map(|_| world.start_session("shop", "say ready")).collect();
    let per_turn = events_of_a_turn(&world, &sessions[0]);
    let every = Duration::from_secs_f64(per_turn as f64 / EVENTS_PER_SECOND as f64);
    let mut heard = 0;
    let (sync, seen) =
        in_turns(&world, |seen| heard += world.run(slice_of_events(&world, &sessions, every, seen)));
    let rate = f64::from(heard) / (SLICE.as_secs_f64() * 2.0 * ROUNDS as f64);
    let (p50, p99) = (at(&seen, 0.5), at(&seen, 0.99));
    let allowed = |extra: u64| p50 <= 2 * sync + Duration::from_millis(extra);
    vec![Line {
        number: "P2",
        what: format!(
            "event noted by the agent -> committed and told to a reader, {rate:.0}/s in turns of {per_turn}"
        ),
        goal: format!("p50 <= 2F + 6 ms = {}", ms(2 * sync + Duration::from_millis(6))),
        dream: "2F + 1 ms".to_owned(),
        measured: format!("p50 {}, p99 {}; F = {}", ms(p50), ms(p99), ms(sync)),
        ratio: format!("{:.1} F", p50.as_secs_f64() / sync.as_secs_f64()),
        verdict: Verdict::of(allowed(1), allowed(6)),
        numbers: numbers(&seen, sync),
    }]
}

/// P3: halctl's own request, a durable command to the true agent and its outcome, with others' events behind it.
pub fn measure_commands(plan: &Plan) -> Vec<Line> {
    let world = world(plan);
    let session = world.start_session("shop", "say ready");
    let mut fleet = Some(Fleet::join(&world, "behind", 10));
    let (sync, seen) = in_turns(&world, |seen| {
        let members = fleet.take().expect("it comes back after each slice");
        let (members, ()) = world.run(async {
            tokio::join!(
                members.keep_saying(EVENTS_PER_SECOND, SLICE),
                slice_of_commands(&world, &session, seen)
            )
        });
        fleet = Some(members);
    });
    let (p50, p99) = (at(&seen, 0.5), at(&seen, 0.99));
    let allowed = |extra: u64| p50 <= 3 * sync + Duration::from_micros(extra);
    vec![Line {
        number: "P3",
        what: format!("HTTP command -> supervisor -> agent -> back, {EVENTS_PER_SECOND} events/s behind it"),
        goal: format!("p50 <= 3F + 2 ms = {}, p99 <= 25 ms", ms(3 * sync + Duration::from_millis(2))),
        dream: "3F + 0.5 ms, p99 10 ms".to_owned(),
        measured: format!("p50 {}, p99 {}; F = {}", ms(p50), ms(p99), ms(sync)),
        ratio: format!("{:.1} F", p50.as_secs_f64() / sync.as_secs_f64()),
        verdict: Verdict::of(
            allowed(500) && p99 <= Duration::from_millis(10),
            allowed(2_000) && p99 <= Duration::from_millis(25),
        ),
        numbers: numbers(&seen, sync),
    }]
}

fn numbers(seen: &Histogram<u64>, sync: Duration) -> Value {
    let quantiles: Vec<Value> =
        [0.5, 0.9, 0.99, 0.999, 1.0].map(|q| json!({"quantile": q, "us": seen.value_at_quantile(q)})).into();
    json!({"quantiles": quantiles, "samples": seen.len(), "sync_us": sync.as_micros() as u64})
}

fn world(plan: &Plan) -> World {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    world
}

/// How many events a turn brings, so that the load can be set.
fn events_of_a_turn(world: &World, session: &str) -> u64 {
    world.wait_for_session(session, "idle");
    let before = world.count_events("node_id=web-1");
    let prompt = json!({"type": "prompt_session", "session_id": session, "args": {"message": format!("burst {TICKS}")}});
    world.done(&prompt);
    crate::patience::wait_until("the turn is over", Duration::from_secs(10), || {
        let idles = world.count_events(&format!("session_id={session}&type=session.idle"));
        if idles >= 2 { Ok(()) } else { Err(format!("{idles} turns are over")) }
    });
    (world.count_events("node_id=web-1") - before).max(1)
}

/// Turns at their times, and a reader that notes how old each event is when it comes. Gives how many came.
async fn slice_of_events(
    world: &World,
    sessions: &[String],
    every: Duration,
    seen: &mut Histogram<u64>,
) -> u32 {
    let mut stream = Stream::open(&format!("{}/api/v1/stream?node_id=web-1", world.url("http")), TOKEN).await;
    let (begun, mut due) = (Instant::now(), Instant::now());
    let mut turns = JoinSet::new();
    let mut heard = 0;
    while begun.elapsed() < SLICE {
        if Instant::now() >= due {
            let session = &sessions[turns.len() % sessions.len()];
            let message = json!({"type": "prompt_session", "session_id": session, "timeout": 0,
                "args": {"message": format!("burst {TICKS}")}});
            turns.spawn(world.asking(&message));
            due += every;
        }
        let Ok(said) = timeout(due.saturating_duration_since(Instant::now()), stream.next()).await else {
            continue;
        };
        let noted = said.data["occurred_at"].as_str().and_then(Time::parse);
        let Some(noted) = noted.filter(|_| said.data["node_seq"].as_u64() > Some(0)) else { continue };
        seen.saturating_record(micros_since(noted).max(1));
        heard += 1;
    }
    turns.join_all().await;
    heard
}

/// How long ago that was by this machine's clock, which the agent shares; it notes whole milliseconds.
fn micros_since(noted: Time) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let noted = Duration::from_millis(u64::try_from(noted.0).unwrap_or(0));
    u64::try_from(now.saturating_sub(noted).as_micros()).unwrap_or(LONGEST)
}

/// Commands at their times; each counts from when it was meant to be sent.
async fn slice_of_commands(world: &World, session: &str, seen: &mut Histogram<u64>) {
    let body = json!({"type": "session_status", "session_id": session});
    let every = Duration::from_secs(1) / COMMANDS_PER_SECOND;
    let begun = Instant::now();
    let mut asked = JoinSet::new();
    for number in 0..COMMANDS_PER_SECOND * u32::try_from(SLICE.as_secs()).expect("a slice is short") {
        let due = begun + every * number;
        sleep_until(due).await;
        let asking = world.asking(&body);
        asked.spawn(async move {
            let state = asking.await;
            assert_eq!(state, "done", "the command was carried out");
            due.elapsed()
        });
    }
    for time in asked.join_all().await {
        seen.saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST));
    }
}
