//! P4 and P9: ten thousand idle agents on one supervisor, and all of them back after it was killed.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Plan;
use crate::crowd::Crowd;
use crate::kernel::{processor_seconds, raise_descriptors, resident_kib};
use crate::report::{Line, Verdict};
use crate::world::World;

const AGENTS: usize = 10_000;

/// Descriptors of this process that are no agent's.
const OTHERS: u64 = 200;

/// How long the crowd is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Seconds between heartbeats: what a supervisor asks for unless told otherwise.
const HEARTBEAT: u32 = 10;

/// P4 and P9.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let fit = usize::try_from(raise_descriptors().saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    let agents = AGENTS.min(fit);
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = HEARTBEAT;
    world.start_supervisor();
    let alone = resident_kib(world.supervisor().pid()).0;
    let begun = Instant::now();
    let crowd = Crowd::gather(&world, agents);
    println!("  {agents} agents came in within {:.1} s", begun.elapsed().as_secs_f64());
    let idle = idle(&world, agents, alone);
    let begun = Instant::now();
    world.kill_supervisor();
    crowd.wait_until_cut();
    world.start_supervisor();
    crowd.wait_until_back();
    vec![idle, back(&world, agents, begun.elapsed())]
}

fn idle(world: &World, agents: usize, alone: f64) -> Line {
    let pid = world.supervisor().pid();
    // The first seconds belong to the coming in.
    std::thread::park_timeout(Duration::from_secs(5));
    let before = processor_seconds(pid);
    std::thread::park_timeout(LOOK);
    let cpu = (processor_seconds(pid) - before) / LOOK.as_secs_f64() * 100.0;
    let each = (resident_kib(pid).0 - alone) / agents as f64;
    Line {
        number: "P4",
        what: format!("{agents} idle agents on one supervisor, heartbeat and ping every {HEARTBEAT} s"),
        goal: "<= 40 KiB each, <= 8 % of a core".to_owned(),
        dream: "24 KiB, 3 %".to_owned(),
        measured: format!("{each:.1} KiB each, {cpu:.1} % of a core"),
        ratio: "-".to_owned(),
        verdict: Verdict::of(each <= 24.0 && cpu <= 3.0, each <= 40.0 && cpu <= 8.0),
        numbers: json!({"agents": agents, "kib_each": each, "cpu_percent": cpu}),
    }
}

fn back(world: &World, agents: usize, took: Duration) -> Line {
    let peak = resident_kib(world.supervisor().pid()).1 / 1024.0;
    Line {
        number: "P9",
        what: format!("{agents} agents back after kill -9 of the supervisor, counted from the kill"),
        goal: "45 s".to_owned(),
        dream: "20 s".to_owned(),
        measured: format!("{:.1} s; supervisor at most {peak:.0} MiB", took.as_secs_f64()),
        ratio: "-".to_owned(),
        verdict: Verdict::of(took <= Duration::from_secs(20), took <= Duration::from_secs(45)),
        numbers: json!({"agents": agents, "seconds": took.as_secs_f64(), "peak_mib": peak}),
    }
}
