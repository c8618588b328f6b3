//! P1: durable ingest. A hundred agents send as fast as they may; an event counts when it is acknowledged, which is
//! after the sync. Beside it E: the same rows in batches of the same size in a bare store, in turns A B B A.

use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::report::{Line, Verdict, median, spread};
use crate::world::World;
use crate::yardstick::BareStore;

const AGENTS: usize = 100;
const ROUNDS: usize = 5;

/// Events in one turn: about a second's worth.
const EVENTS: u64 = 51_200;

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    let mut fleet = Fleet::join(&world, "ingest", AGENTS);
    let mut bare = BareStore::new(world.path());
    fleet.say(&world, EVENTS);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut batches = Vec::new();
    for _ in 0..ROUNDS {
        let (first, batch) = turn(&world, &mut fleet);
        let second = bare.rate(EVENTS as usize, batch as usize, AGENTS);
        let third = bare.rate(EVENTS as usize, batch as usize, AGENTS);
        let (fourth, again) = turn(&world, &mut fleet);
        ratios.extend([first / second, fourth / third]);
        ours.extend([first, fourth]);
        theirs.extend([second, third]);
        batches.extend([batch, again]);
    }
    let (rate, bare, ratio, batch) =
        (median(&mut ours), median(&mut theirs), median(&mut ratios), median(&mut batches));
    let ((low, high), (least, most)) = (spread(&ours), spread(&ratios));
    vec![Line {
        number: "P1",
        what: format!("durable ingest, {AGENTS} agents, 300-byte events, {batch:.0} a commit"),
        goal: "0.5 E and 20,000/s".to_owned(),
        dream: "0.75 E and 50,000/s".to_owned(),
        measured: format!("{rate:.0}/s ({low:.0}..{high:.0}); E = {bare:.0}/s"),
        ratio: format!("{ratio:.2} E ({least:.2}..{most:.2})"),
        verdict: Verdict::of(ratio >= 0.75 && rate >= 50_000.0, ratio >= 0.5 && rate >= 20_000.0),
        numbers: json!({"events_per_second": ours, "bare_per_second": theirs, "ratios": ratios, "events_per_commit": batch}),
    }]
}

/// One turn of the fleet: events a second, and how many the supervisor put into a commit.
fn turn(world: &World, fleet: &mut Fleet) -> (f64, f64) {
    let counters = || (world.metric("hal_o_swarm_events_total"), world.metric("hal_o_swarm_commits_total"));
    let before = counters();
    let rate = fleet.say(world, EVENTS);
    let after = counters();
    (rate, (after.0 - before.0) / (after.1 - before.1).max(1.0))
}
