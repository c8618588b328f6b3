//! M5: the mirror after a burst, and an operator's `DELETE` of most of it while agents go on talking.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::patience::wait_until;
use crate::report::{Line, Verdict, ms};
use crate::world::World;

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
    let begun = Instant::now();
    fleet.say(&world, rows + rows / 10);
    let took_in = begun.elapsed();
    let mirrored = || world.metric("hal_o_swarm_mirror_rows ");
    wait_until("the mirror is in step", LONG, || match mirrored() {
        there if there >= rows as f64 * 1.1 => Ok(()),
        there => Err(format!("{there} rows")),
    });
    let caught_up = begun.elapsed();
    let rate = rows as f64 * 1.1 / caught_up.as_secs_f64();
    println!("  {rate:.0} rows a second into the mirror");
    let before = events(&world);
    let database = world.path().join("supervisor/supervisor.db");
    let sql = format!(".timeout 60000\nDELETE FROM events WHERE seq <= {rows};");
    let shell = std::thread::spawn(move || {
        let begun = Instant::now();
        let done = Command::new("sqlite3").arg(&database).arg(&sql).status().expect("sqlite3 is here");
        assert!(done.success());
        (begun.elapsed(), Instant::now())
    });
    fleet.take_delays();
    let url = world.url("http");
    let first = std::thread::spawn(move || {
        // The oldest event that the store has, asked for once in a while.
        let ask = || {
            let out = Command::new("curl")
                .args(["-s", "-H", &format!("Authorization: Bearer {}", crate::world::TOKEN)])
                .arg(format!("{url}/api/v1/events?limit=1&order=asc"))
                .output()
                .expect("curl is here");
            let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
            said["data"][0]["seq"].as_u64().unwrap_or(0)
        };
        wait_until("all are gone from the store", LONG, || match ask() {
            first if first > rows => Ok(()),
            first => Err(format!("the first is {first}")),
        });
        Instant::now()
    });
    let mut fleet = world.run(fleet.keep_saying(RATE, TALK));
    let seen = fleet.take_delays();
    let ((in_shell, committed), gone) = (shell.join().expect("it ended"), first.join().expect("it ended"));
    let after = gone.duration_since(committed);
    let p99 = Duration::from_micros(seen.value_at_quantile(0.99));
    vec![
        Line {
            number: "M5",
            what: format!("{} events at once, until the mirror has them", rows + rows / 10),
            goal: "-".to_owned(),
            dream: "-".to_owned(),
            measured: format!(
                "taken in within {:.1} s, in the mirror after {:.1} s: {rate:.0}/s",
                took_in.as_secs_f64(),
                caught_up.as_secs_f64()
            ),
            ratio: "-".to_owned(),
            verdict: Verdict::Beside,
            numbers: json!({"rows_per_second": rate}),
        },
        Line {
            number: "M5",
            what: format!("an operator's DELETE of {rows} events, {RATE}/s meanwhile, {before} there"),
            goal: "in the store within 10 s, p99 <= 25 ms".to_owned(),
            dream: "5 s, 10 ms".to_owned(),
            measured: format!(
                "{:.1} s after it was committed ({:.1} s in sqlite3); acknowledged p50 {}, p99 {}",
                after.as_secs_f64(),
                in_shell.as_secs_f64(),
                ms(Duration::from_micros(seen.value_at_quantile(0.5))),
                ms(p99)
            ),
            ratio: "-".to_owned(),
            verdict: Verdict::of(
                after.as_secs() < 5 && p99 <= Duration::from_millis(10),
                after.as_secs() < 10 && p99 <= Duration::from_millis(25),
            ),
            numbers: json!({"seconds": after.as_secs_f64(), "p99_us": p99.as_micros() as u64}),
        },
    ]
}

fn events(world: &World) -> f64 {
    world.metric("hal_o_swarm_events_total ")
}
