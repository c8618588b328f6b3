//! What is seen of the supervisor itself.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::lasting::Memory;
use super::{CPU_HIGH, Findings, LOOK, LimitsInForce, OOM};
use crate::hub::input::{Input, RaisedAlert, Severity};
use crate::knock::{Knocked, knock};
use crate::refused_agents::QUIET;
use crate::shared::Shared;
use hal_base::clock::{self, Stopwatch};
use hal_base::{id, memory};
use hal_protocol::command::CommandId;
use hal_rules::watch::WatchLimits;

/// Whatever is not answered within this is slow, whatever the configuration says.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the supervisor takes to answer: its hub, and whoever comes to its listeners.
async fn ask(shared: &Shared, listeners: &[SocketAddr]) -> Duration {
    let doors = join_all(listeners.iter().map(|listener| knock(*listener, LONGEST)));
    let (hub, doors) = tokio::join!(ask_the_hub(shared), doors);
    let took = doors.into_iter().map(|door| match door {
        Knocked::Answered(took) => took,
        Knocked::Silent => LONGEST,
        Knocked::NoWay => Duration::ZERO,
    });
    took.fold(hub, Duration::max)
}

/// How long an answer takes, as far as is known.
#[derive(Debug, Default)]
pub struct ResponseTime(Mutex<Answers>);

#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    /// The last answer took so long; `None`: there was none yet.
    last: Option<Duration>,
    /// When the question was asked that is not answered yet.
    asked: Option<Stopwatch>,
}

impl ResponseTime {
    /// Asks for ever, beside the looks: an answer may take longer than they wait for each other.
    pub async fn keep_asking(&self, shared: &Shared, listeners: &[SocketAddr], limits: &LimitsInForce) {
        loop {
            if limits.load().is_on {
                self.answers().asked = Some(Stopwatch::start());
                let took = ask(shared, listeners).await;
                *self.answers() = Answers { last: Some(took), asked: None };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The last answer's time, or that of the one that is still to come where that is longer.
    fn now(&self) -> Option<Duration> {
        let Answers { last, asked } = *self.answers();
        last.map(|last| asked.map_or(last, |asked| last.max(asked.elapsed())))
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question about a command that does not exist waits for all that came before.
async fn ask_the_hub(shared: &Shared) -> Duration {
    let asked = Stopwatch::start();
    let (reply, answer) = oneshot::channel();
    let question = Input::Await { id: CommandId::new(id::fresh()), reply };
    let answered = async {
        if shared.hub.send(question).await.is_ok() {
            let _ = answer.await;
        }
    };
    let _ = tokio::time::timeout(LONGEST, answered).await;
    asked.elapsed()
}

/// Looks at everything that is the supervisor's own.
pub fn look(
    shared: &Shared,
    limits: &WatchLimits,
    response: &ResponseTime,
    seen: &mut Memory,
    found: &mut Findings,
) {
    look_at_strangers(shared, seen, found);
    let mut put = |name, verdict| drop(found.insert((name, String::new()), verdict));
    put("connections.refused", limits.refused(seen.in_a_minute(shared.metrics.refused())));
    let memory = memory::measure();
    put("memory.high", limits.memory("hal-supervisor", memory.used, memory.limit));
    let percent = seen.cpu.percent().filter(|percent| *percent > limits.cpu_percent as f64);
    put(
        CPU_HIGH,
        percent.and_then(|percent| limits.cpu("hal-supervisor", percent, seen.lasts(CPU_HIGH, ""))),
    );
    let folder = shared.hub.store().path().parent().map(Path::to_owned).unwrap_or_default();
    if let Ok(disk) = rustix::fs::statvfs(&folder) {
        let (free, size) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
        put("disk.low", limits.disk(folder.display(), free, size));
    }
    let spaces = shared.growing.last();
    let is_said = shared.hub.view().stored.open_alert("disk.filling", "").is_some();
    if let Some(verdict) = limits.filling(&spaces, is_said, clock::now()).filter(|_| !spaces.is_empty()) {
        put("disk.filling", verdict);
    }
    if let Some(took) = response.now() {
        put("response.slow", limits.slow(took));
    }
    let mirror = shared.mirror.now();
    put("mirror.behind", limits.mirror(mirror.lag, mirror.trouble.as_deref()));
    put("backup.unrehearsed", shared.rehearsals.finding());
    put("metrics.unscraped", limits.unscraped(shared.scrapes.since()));
    look_at_killed(shared, seen);
}

/// Whoever is not let in. One that an earlier process knew is over when it was quiet for long enough in this one.
fn look_at_strangers(shared: &Shared, seen: &Memory, found: &mut Findings) {
    let refused = shared.refused_agents.findings();
    let view = shared.hub.view();
    let open = view.stored.alerts.values().filter(|alert| alert.is_open() && alert.name == "agent.refused");
    let has_time_passed = seen.running.elapsed() >= QUIET;
    for alert in open {
        let is_over = has_time_passed || shared.refused_agents.was_put_right(&alert.about);
        if is_over && !refused.contains_key(&alert.about) {
            found.insert(("agent.refused", alert.about.clone()), None);
        }
    }
    found.extend(refused.into_iter().map(|(source, finding)| (("agent.refused", source), finding)));
}

fn look_at_killed(shared: &Shared, seen: &mut Memory) {
    let more = memory::killed().map_or(0, |now| seen.more_killed("", now));
    if more > 0 {
        let text = format!(
            "the kernel ended {more} processes of hal-supervisor's control group because memory ran out: raise MemoryMax, or \
             find the cause with `journalctl -k -g oom`"
        );
        shared.hub.raise(RaisedAlert { name: OOM, severity: Severity::High, text });
    }
}
