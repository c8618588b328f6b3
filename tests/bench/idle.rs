//! P5: what an agent takes that has nothing to do: resident memory and processor time, as the kernel counts them.

use std::time::Duration;

use serde_json::json;

use crate::Plan;
use crate::report::{Line, Verdict};
use crate::world::World;

/// How long it is looked at. The kernel counts in hundredths of a second, so this can tell 0.05 %.
const LOOK: Duration = Duration::from_secs(20);

/// The kernel's clock for /proc: ticks a second.
const TICKS: f64 = 100.0;

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 30;
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    let pid = world.agent("web-1").pid();
    // The first seconds belong to the start.
    std::thread::park_timeout(Duration::from_secs(3));
    let before = ticks(pid);
    std::thread::park_timeout(LOOK);
    let cpu = (ticks(pid) - before) / TICKS / LOOK.as_secs_f64() * 100.0;
    let rss = resident_mib(pid);
    vec![Line {
        number: "P5",
        what: format!("an idle agent, {} s", LOOK.as_secs()),
        goal: "<= 12 MiB, <= 0.2 % CPU".to_owned(),
        dream: "7 MiB".to_owned(),
        measured: format!("{rss:.1} MiB, {cpu:.2} % CPU"),
        ratio: "-".to_owned(),
        verdict: Verdict::of(rss <= 7.0 && cpu <= 0.2, rss <= 12.0 && cpu <= 0.2),
        numbers: json!({"rss_mib": rss, "cpu_percent": cpu}),
    }]
}

/// Processor time of a process so far, its own and the kernel's for it.
fn ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the agent runs");
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<f64>().ok()).sum()
}

/// Resident memory of a process in MiB.
fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the agent runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}
