//! M5: the mirror after a burst, and an operator's `DELETE` of most of it while agents go on talking.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::patience::wait_until;
use crate::report::{Line, Verdict, ms};
use crate::world::{TOKEN, World};

const AGENTS: usize = 20;

/// Events that are deleted; a fifth as many without `--full`.
const ROWS: u64 = 1_000_000;

/// Events a second meanwhile.
const RATE: u64 = 1_000;

/// How long they go on.
const TALK: Duration = Duration::from_secs(30);

/// How long it may take to catch up.
const LONG: Duration = Duration::from_secs(600);

/// Measures both.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    let rows = if plan.full { ROWS } else { ROWS / 5 };
    let mut fleet = Fleet::join(&world, "delete", AGENTS);
    let burst = catch_up(&world, &mut fleet, rows + rows / 10);
    let before = events(&world);
    let database = world.path().join("supervisor/supervisor.db");
    let shell = std::thread::spawn(move || delete(&database, rows));
    fleet.take_delays();
    let url = format!("{}/api/v1/events?limit=1&order=asc", world.url("http"));
    let watcher = std::thread::spawn(move || until_gone(&url, rows));
    let mut fleet = world.run(fleet.keep_saying(RATE, TALK));
    let seen = fleet.take_delays();
    let ((in_shell, committed), gone) = (shell.join().expect("it ended"), watcher.join().expect("it ended"));
    let after = gone.duration_since(committed);
    let quantile = |q: f64| Duration::from_micros(seen.value_at_quantile(q));
    let p99 = quantile(0.99);
    let deleted = Line {
        number: "M5",
        what: format!("an operator's DELETE of {rows} events, {RATE}/s meanwhile, {before} there"),
        goal: "in the store within 10 s, p99 <= 25 ms".to_owned(),
        dream: "5 s, 10 ms".to_owned(),
        measured: format!(
            "{:.1} s after it was committed ({:.1} s in sqlite3); acknowledged p50 {}, p99 {}",
            after.as_secs_f64(),
            in_shell.as_secs_f64(),
            ms(quantile(0.5)),
            ms(p99)
        ),
        ratio: "-".to_owned(),
        verdict: Verdict::of(
            after.as_secs() < 5 && p99 <= Duration::from_millis(10),
            after.as_secs() < 10 && p99 <= Duration::from_millis(25),
        ),
        numbers: json!({"seconds": after.as_secs_f64(), "p99_us": p99.as_micros() as u64}),
    };
    vec![burst, deleted]
}

/// Says so many events at once, and waits until the mirror has them.
fn catch_up(world: &World, fleet: &mut Fleet, rows: u64) -> Line {
    let begun = Instant::now();
    fleet.say(world, rows);
    let taken_in = begun.elapsed().as_secs_f64();
    wait_until("the mirror is in step", LONG, || match world.metric("hal_o_swarm_mirror_rows ") {
        there if there >= rows as f64 => Ok(()),
        there => Err(format!("{there} rows")),
    });
    let all = begun.elapsed().as_secs_f64();
    let rate = rows as f64 / all;
    println!("  {rate:.0} rows a second into the mirror");
    Line {
        number: "M5",
        what: format!("{rows} events at once, until the mirror has them"),
        goal: "-".to_owned(),
        dream: "-".to_owned(),
        measured: format!("taken in within {taken_in:.1} s, in the mirror after {all:.1} s: {rate:.0}/s"),
        ratio: "-".to_owned(),
        verdict: Verdict::Beside,
        numbers: json!({"rows_per_second": rate}),
    }
}

/// As an operator does; gives how long it took, and when it was committed.
fn delete(database: &Path, rows: u64) -> (Duration, Instant) {
    let sql = format!("DELETE FROM events WHERE seq <= {rows};");
    let begun = Instant::now();
    let done = Command::new("sqlite3").args(["-cmd", ".timeout 60000"]).arg(database).arg(&sql).status();
    assert!(done.expect("sqlite3 is here").success());
    (begun.elapsed(), Instant::now())
}

/// When the oldest event that the store has is a later one.
fn until_gone(url: &str, rows: u64) -> Instant {
    let token = format!("Authorization: Bearer {TOKEN}");
    wait_until("all are gone from the store", LONG, || {
        let out = Command::new("curl").args(["-s", "-H", &token, url]).output().expect("curl is here");
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
        match said["data"][0]["seq"].as_u64().unwrap_or(0) {
            first if first > rows => Ok(()),
            first => Err(format!("the first is {first}")),
        }
    });
    Instant::now()
}

fn events(world: &World) -> f64 {
    world.metric("hal_o_swarm_events_total ")
}
