//! M1 to M4: what keeping `supervisor.db` in step costs. The mirror's thread waits while somebody else has the file
//! open, as it would for a `cp`; so a turn without it is one in which we have. In turns A B B A, and it catches up
//! between two turns, which no turn counts.

use std::fs::File;
use std::time::Duration;

use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::kernel::processor_seconds;
use crate::patience::wait_until;
use crate::report::{Line, Verdict, median, spread};
use crate::world::World;

const AGENTS: usize = 50;
const ROUNDS: usize = 3;

/// Offered, in events a second.
const RATES: [(&str, u64); 3] = [("M1", 2_000), ("M2", 10_000), ("M3", 20_000)];

/// One turn: long enough for several windows, and shorter than the mirror's patience.
const TURN: Duration = Duration::from_secs(5);

/// Events in a turn at saturation: some seconds' worth.
const EVENTS: u64 = 102_400;

/// How long it may take to catch up.
const LONG: Duration = Duration::from_secs(300);

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    let mut fleet = Fleet::join(&world, "mirror", AGENTS);
    fleet.say(&world, EVENTS / 4);
    until_in_step(&world);
    let mut lines = Vec::new();
    for (number, rate) in RATES {
        let turns = in_turns(&world, |_| {
            let before = processor_seconds(world.supervisor().pid());
            let members = std::mem::take(&mut fleet);
            fleet = world.run(members.keep_saying(rate, TURN));
            let delay = fleet.take_delays().value_at_quantile(0.5) as f64 / 1e3;
            let cpu = (processor_seconds(world.supervisor().pid()) - before) / TURN.as_secs_f64();
            [delay, cpu]
        });
        lines.push(at_rate(number, rate, &turns));
    }
    let turns = in_turns(&world, |_| [fleet.say(&world, EVENTS), 0.0]);
    lines.push(at_saturation(&turns));
    lines
}

/// What turns have found, with and without the mirror.
#[derive(Default)]
struct Turns {
    with: Vec<[f64; 2]>,
    without: Vec<[f64; 2]>,
}

impl Turns {
    /// The medians of one of the two, with and without, the median of their ratios, and the same with its spread.
    fn of(&self, which: usize) -> (f64, f64, f64, String) {
        let pick = |turns: &[[f64; 2]]| turns.iter().map(|turn| turn[which]).collect::<Vec<_>>();
        let (mut with, mut without) = (pick(&self.with), pick(&self.without));
        let mut ratios: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
        let (low, high) = spread(&ratios);
        let ratio = median(&mut ratios);
        (median(&mut with), median(&mut without), ratio, format!("{ratio:.2} ({low:.2}..{high:.2})"))
    }
}

/// With, without, without, with; so many times.
fn in_turns(world: &World, mut turn: impl FnMut(bool) -> [f64; 2]) -> Turns {
    let mut turns = Turns::default();
    for is_held in [false, true, true, false].repeat(ROUNDS) {
        let held =
            is_held.then(|| File::open(world.path().join("supervisor/supervisor.db")).expect("it is there"));
        let before = (rows(world), events(world));
        let found = turn(is_held);
        if is_held { &mut turns.without } else { &mut turns.with }.push(found);
        // A turn without it in which it has caught up nevertheless would measure nothing.
        let (mirrored, said) = (rows(world) - before.0, events(world) - before.1);
        assert!(!is_held || mirrored < said / 2.0, "the mirror was not held off: {mirrored} of {said}");
        drop(held);
        until_in_step(world);
    }
    turns
}

fn until_in_step(world: &World) {
    let events = events(world);
    wait_until("the mirror is in step", LONG, || match rows(world) {
        rows if rows >= events => Ok(()),
        rows => Err(format!("it has {rows} rows of {events}")),
    });
}

fn events(world: &World) -> f64 {
    world.metric("hal_o_swarm_events_total ")
}

fn rows(world: &World) -> f64 {
    world.metric("hal_o_swarm_mirror_rows ")
}

fn at_rate(number: &'static str, rate: u64, turns: &Turns) -> Line {
    let (delay, bare, ratio, delays) = turns.of(0);
    let (cpu, bare_cpu, _, cpus) = turns.of(1);
    Line {
        number,
        what: format!("cost of the mirror at {rate}/s offered: time until acknowledged p50, and processor"),
        goal: "1.2 in time".to_owned(),
        dream: "1.05".to_owned(),
        measured: format!(
            "{delay:.2} ms with, {bare:.2} ms without; {:.0} % of a core with, {:.0} % without",
            cpu * 100.0,
            bare_cpu * 100.0
        ),
        ratio: format!("{delays} in time, {cpus} in processor"),
        verdict: Verdict::of(ratio <= 1.05, ratio <= 1.2),
        numbers: json!({"with": turns.with, "without": turns.without}),
    }
}

fn at_saturation(turns: &Turns) -> Line {
    let (rate, bare, ratio, shown) = turns.of(0);
    Line {
        number: "M4",
        what: format!("cost of the mirror at saturation, {AGENTS} agents: events a second"),
        goal: "0.65".to_owned(),
        dream: "0.9".to_owned(),
        measured: format!("{rate:.0}/s with, {bare:.0}/s without"),
        ratio: shown,
        verdict: Verdict::of(ratio >= 0.9, ratio >= 0.65),
        numbers: json!({"with": turns.with, "without": turns.without}),
    }
}
