//! P5: what an agent takes that has nothing to do: resident memory and processor time, as the kernel counts them.

use std::time::Duration;

use serde_json::json;

use crate::Plan;
use crate::kernel::{private_kib, processor_seconds, resident_kib};
use crate::report::{Line, Verdict};
use crate::world::World;

/// How long it is looked at. The kernel counts in hundredths of a second, so this can tell 0.05 %.
const LOOK: Duration = Duration::from_secs(20);

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 30;
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    let pid = world.agent("web-1").pid();
    // The first seconds belong to the start.
    std::thread::park_timeout(Duration::from_secs(3));
    let before = processor_seconds(pid);
    std::thread::park_timeout(LOOK);
    let cpu = (processor_seconds(pid) - before) / LOOK.as_secs_f64() * 100.0;
    let rss = resident_kib(pid).0 / 1024.0;
    // What the supervisor has mapped of the same file is not private.
    drop(world.kill_supervisor());
    let private = private_kib(pid) / 1024.0;
    vec![Line {
        number: "P5",
        what: format!("an idle agent, {} s", LOOK.as_secs()),
        goal: "<= 12 MiB, <= 0.2 % CPU".to_owned(),
        dream: "7 MiB".to_owned(),
        measured: format!("{rss:.1} MiB, {private:.1} MiB private without a supervisor, {cpu:.2} % CPU"),
        ratio: "-".to_owned(),
        verdict: Verdict::of(rss <= 7.0 && cpu <= 0.2, rss <= 12.0 && cpu <= 0.2),
        numbers: json!({"rss_mib": rss, "private_mib": private, "cpu_percent": cpu}),
    }]
}
