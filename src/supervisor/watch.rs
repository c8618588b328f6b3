//! Self-monitoring: looks at the supervisor and its nodes again and again, and tells the hub what is not well, and what is
//! well again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::hub::input::{Input, Symptom};
use super::hub::live::NodeRef;
use super::hub::view::View;
use super::shared::Shared;
use hal_base::clock::{self, Stopwatch, Time};
use hal_base::{id, memory};
use hal_protocol::command::CommandId;
use hal_rules::alert::is_due;
use hal_rules::watch::{WatchFinding, WatchLimits};

/// How often the supervisor and its nodes are checked.
const LOOK: Duration = Duration::from_secs(2);

/// A question to the hub that is not answered within this is slow, whatever the configuration says.
const LONGEST: Duration = Duration::from_secs(60);

/// Connections that are turned away are counted over this.
const MINUTE: Duration = Duration::from_secs(60);

/// What is watched, by the names of the alerts. Only these are resolved from here.
const WATCHED: [&str; 10] = [
    "node.offline",
    "node.memory",
    "node.disk",
    "node.clock",
    "memory.high",
    "disk.low",
    "disk.filling",
    "response.slow",
    "connections.refused",
    "mirror.behind",
];

/// The limits in force.
pub type LimitsInForce = Arc<ArcSwap<WatchLimits>>;

/// What one look has found, by alert and what it is about.
type Findings = BTreeMap<(&'static str, String), WatchFinding>;

/// Watches for ever.
pub async fn watch(shared: Shared, limits: LimitsInForce) {
    let began = clock::now();
    let mut refused = VecDeque::from([(Stopwatch::start(), 0)]);
    loop {
        tokio::time::sleep(LOOK).await;
        let limits = limits.load_full();
        let mut found = Findings::new();
        if limits.is_on {
            let took = ask_the_hub(&shared).await;
            look_at_self(&shared, &limits, took, &mut found);
            found.insert(
                ("connections.refused", String::new()),
                limits.refused(in_a_minute(&mut refused, shared.metrics.refused())),
            );
            look_at_nodes(&shared.hub.view(), &limits, began, clock::now(), &mut found);
        }
        if tell(&shared, found).await.is_err() || remind(&shared, limits.reminder).await.is_err() {
            return;
        }
    }
}

/// Has what people are to hear of again said again.
async fn remind(shared: &Shared, every: Duration) -> Result<(), super::hub::Stopped> {
    let (view, now) = (shared.hub.view(), clock::now());
    for alert in view.stored.alerts.values().filter(|alert| is_due(alert, every, now)) {
        shared.hub.send(Input::Remind(alert.id)).await?;
    }
    Ok(())
}

/// How long the hub takes to answer: a question about a command that does not exist waits for all that came before.
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

fn look_at_self(shared: &Shared, limits: &WatchLimits, took: Duration, found: &mut Findings) {
    let mut put = |name, verdict| drop(found.insert((name, String::new()), verdict));
    let memory = memory::measure();
    put("memory.high", limits.memory("hal-supervisor", memory.used, memory.limit));
    let folder = shared.hub.store().path().parent().map(std::path::Path::to_owned).unwrap_or_default();
    if let Ok(disk) = rustix::fs::statvfs(&folder) {
        let (free, size) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
        put("disk.low", limits.disk(folder.display(), free, size));
    }
    let spaces = shared.growing.last();
    let is_said = shared.hub.view().stored.open_alert("disk.filling", "").is_some();
    if let Some(verdict) = limits.filling(&spaces, is_said, clock::now()).filter(|_| !spaces.is_empty()) {
        put("disk.filling", verdict);
    }
    put("response.slow", limits.slow(took));
    let mirror = shared.mirror.now();
    put("mirror.behind", limits.mirror(mirror.lag, mirror.trouble.as_deref()));
}

/// How many there were in the last minute, from a count that only grows.
fn in_a_minute(counts: &mut VecDeque<(Stopwatch, u64)>, now: u64) -> u64 {
    counts.push_back((Stopwatch::start(), now));
    while counts.len() > 1 && counts.front().is_some_and(|(at, _)| at.elapsed() > MINUTE) {
        counts.pop_front();
    }
    counts.front().map_or(0, |(_, then)| now.saturating_sub(*then))
}

/// That a node is well is noted only where it was not: nearly all of them are, all the time.
fn look_at_nodes(view: &View, limits: &WatchLimits, began: Time, now: Time, found: &mut Findings) {
    let open = view.stored.alerts.values().filter(|alert| alert.is_open());
    let known: BTreeSet<(&str, &str)> = open.map(|it| (it.name.as_str(), it.about.as_str())).collect();
    for node in view.every_node() {
        let sessions = view.stored.open_of_node(node.record.id.as_str());
        look_at_node(node, sessions, limits, (began, now), &mut |name, verdict| {
            let about = node.record.id.as_str();
            if verdict.is_some() || known.contains(&(name, about)) {
                found.insert((name, about.to_owned()), verdict);
            }
        });
    }
}

fn look_at_node(
    NodeRef { record, link }: NodeRef<'_>,
    sessions: u64,
    limits: &WatchLimits,
    (began, now): (Time, Time),
    put: &mut dyn FnMut(&'static str, WatchFinding),
) {
    let node = record.id.as_str();
    let vitals = link.vitals();
    if !link.online {
        // While the supervisor was down nobody could be heard. Only being heard of ends it.
        if let Some(verdict) = limits.offline(node, now.since(vitals.heard.max(began)), sessions) {
            put("node.offline", Some(verdict));
        }
        return;
    }
    put("node.offline", None);
    let used = &vitals.resources;
    put(
        "node.memory",
        limits.memory(format_args!("hal-agent on {node}"), used.limited_memory, used.memory_limit),
    );
    put("node.disk", limits.disk(format_args!("node {node}"), used.disk_free, used.disk_total));
    put("node.clock", limits.skew(node, vitals.clock_ahead_ms));
}

/// Tells the hub what has changed: what is bad and not known, and what is known and not bad any more. What a node that
/// is away was known for stays, until it is heard of or forgotten.
async fn tell(shared: &Shared, found: Findings) -> Result<(), super::hub::Stopped> {
    let view = shared.hub.view();
    let mut news = Vec::new();
    for ((name, about), verdict) in &found {
        let known = view.stored.open_alert(name, about);
        match verdict {
            Some((severity, text)) if known.is_none_or(|known| known.severity < *severity) => {
                news.push((*name, about.clone(), Some((*severity, text.clone()))));
            }
            None if known.is_some() => news.push((*name, about.clone(), None)),
            _ => {}
        }
    }
    for alert in view.stored.alerts.values().filter(|alert| alert.is_open() && alert.lasting) {
        let Some(name) = WATCHED.into_iter().find(|name| *name == alert.name) else { continue };
        let is_gone = !alert.about.is_empty() && !view.stored.nodes.contains_key(alert.about.as_str());
        let is_off = found.is_empty();
        if is_gone || is_off {
            news.push((name, alert.about.clone(), None));
        }
    }
    for (name, about, verdict) in news {
        let (severity, text) =
            verdict.map_or_else(Default::default, |(severity, text)| (severity, Some(text)));
        shared.hub.send(Input::Symptom(Symptom { name: name.to_owned(), about, severity, text })).await?;
    }
    Ok(())
}
