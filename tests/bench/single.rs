//! P16: single events, one a frame, at a steady pace: what each costs the disk and the processor, and how long it waits to
//! be acknowledged. The mirror is on. Beside it F, read before and after.

use std::time::Duration;

use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::kernel::{bytes_written, processor_seconds, thread_seconds};
use crate::peers::{self, Needed};
use crate::report::{Line, Verdict, ms};
use crate::world::World;
use crate::yardstick::sync_time;

const AGENTS: usize = 10;

/// Events a second.
const RATES: [u64; 4] = [10, 100, 1_000, 5_000];

/// The rate at which others are looked at.
const BESIDE: u64 = 1_000;

/// How long each is kept up; what is done once a second counts fully.
const LOOK: Duration = Duration::from_secs(20);

/// Events that are there before.
const HISTORY: u64 = 200_000;

/// The same, `--full`.
const FULL_HISTORY: u64 = 10_000_000;

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    let history = if plan.full { FULL_HISTORY } else { HISTORY };
    let mut fleet = Fleet::join(&world, "single", AGENTS);
    fleet.say(&world, history);
    wait_for_the_mirror(&world, history);
    let mut lines = Vec::new();
    for rate in RATES {
        let (line, after) = at(&world, fleet, rate, history);
        lines.push(line);
        fleet = after;
    }
    lines.extend(peers::measure(world.path(), BESIDE, LOOK / 2).iter().map(beside));
    lines
}

/// What somebody else needed for the same.
fn beside(needed: &Needed) -> Line {
    let quantile = |q: f64| Duration::from_micros(needed.seen.value_at_quantile(q));
    let measured = format!(
        "{:.1} KiB, {:.0} us; acknowledged p50 {}, p99 {}",
        needed.kib,
        needed.us,
        ms(quantile(0.5)),
        ms(quantile(0.99))
    );
    println!("  {}: {measured}", needed.name);
    Line {
        number: "P16",
        what: format!("beside it, {BESIDE}/s: {}", needed.name),
        goal: "-".to_owned(),
        dream: "-".to_owned(),
        measured,
        ratio: "-".to_owned(),
        verdict: Verdict::Beside,
        numbers: json!({"kib": needed.kib, "us": needed.us, "p50_us": needed.seen.value_at_quantile(0.5)}),
    }
}

fn wait_for_the_mirror(world: &World, events: u64) {
    let lag = || world.metric("hal_o_swarm_mirror_lag_seconds");
    // A window is begun at least twice a second.
    std::thread::park_timeout(Duration::from_secs(1));
    for _ in 0..events / 100 + 600 {
        if lag() == 0.0 {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    println!("  the mirror is still {:.0} s behind", lag());
}

fn at(world: &World, mut fleet: Fleet, rate: u64, history: u64) -> (Line, Fleet) {
    let pid = world.supervisor().pid();
    let sync = sync_time(world.path());
    fleet.take_delays();
    let commits = || world.metric("hal_o_swarm_commits_total");
    let before = (bytes_written(pid), processor_seconds(pid), thread_seconds(pid, "hub"), commits());
    let mut fleet = world.run(fleet.keep_saying_singly(rate, LOOK));
    // What is done a second later belongs to it.
    std::thread::park_timeout(Duration::from_secs(2));
    let seen = fleet.take_delays();
    let events = seen.len() as f64;
    let bytes = (bytes_written(pid) - before.0) as f64 / events / 1024.0;
    let each = |seconds: f64| seconds * 1e6 / events;
    let processor = each(processor_seconds(pid) - before.1);
    let hub = each(thread_seconds(pid, "hub") - before.2);
    let syncs = (commits() - before.3) / events;
    let quantile = |q: f64| Duration::from_micros(seen.value_at_quantile(q));
    let (p50, p99, p999) = (quantile(0.5), quantile(0.99), quantile(0.999));
    let line = Line {
        number: "P16",
        what: format!("single events at {rate}/s, {history} there before, mirror in step"),
        goal: "at 1,000/s: 1 sync on the way, 16 KB, 150 us".to_owned(),
        dream: "1, 7 KB, 60 us".to_owned(),
        measured: format!(
            "{syncs:.2} syncs on the way, {bytes:.1} KiB, {processor:.0} us ({hub:.0} us the hub); acknowledged p50 {}, p99 {}, p99.9 {}; F = {}",
            ms(p50),
            ms(p99),
            ms(p999),
            ms(sync)
        ),
        ratio: format!("{:.1} F", p50.as_secs_f64() / sync.as_secs_f64()),
        verdict: Verdict::of(bytes <= 7.0 && processor <= 60.0, bytes <= 16.0 && processor <= 150.0),
        numbers: json!({"rate": rate, "events": events, "kib": bytes, "us": processor, "hub_us": hub, "syncs": syncs,
            "p50_us": p50.as_micros() as u64, "p99_us": p99.as_micros() as u64, "p999_us": p999.as_micros() as u64}),
    };
    println!("  {}", line.measured);
    (line, fleet)
}
