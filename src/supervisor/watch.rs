//! Self-monitoring: looks at the supervisor and its nodes again and again, and tells the hub what is not well, and what is
//! well again.
//!
//! - `own`: what is seen of the supervisor itself. `nodes`: of its nodes. `lasting`: for how long something has been so.

mod lasting;
mod nodes;
mod own;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use self::lasting::Memory;
use self::own::ResponseTime;
use super::hub::input::{Input, Symptom};
use super::hub::view::View;
use super::shared::Shared;
use hal_base::clock;
use hal_protocol::alert::Alert;
use hal_rules::alert::is_due;
use hal_rules::watch::{WatchFinding, WatchLimits};

/// How often the supervisor and its nodes are checked.
const LOOK: Duration = Duration::from_secs(2);

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The supervisor, or all nodes together.
    Own,
    /// A node, or `NODE/..` something on it: it is over when the node is forgotten.
    Node,
    /// Whoever is not let in.
    Stranger,
}

/// What is watched, by the names of the alerts. Only these are resolved from here.
const WATCHED: [(&str, Whose); 18] = [
    ("agent.refused", Whose::Stranger),
    ("backend.down", Whose::Node),
    ("backup.unrehearsed", Whose::Own),
    ("command.slow", Whose::Node),
    ("connections.refused", Whose::Own),
    // Of the supervisor, and of the agents of nodes.
    (CPU_HIGH, Whose::Node),
    ("disk.filling", Whose::Own),
    ("disk.low", Whose::Own),
    ("memory.high", Whose::Own),
    ("metrics.unscraped", Whose::Own),
    ("mirror.behind", Whose::Own),
    ("node.clock", Whose::Node),
    ("node.disk", Whose::Node),
    ("node.memory", Whose::Node),
    ("node.offline", Whose::Node),
    ("nodes.all_offline", Whose::Own),
    ("project.down", Whose::Node),
    ("response.slow", Whose::Own),
];

/// The alert of a daemon that uses a whole core.
const CPU_HIGH: &str = "cpu.high";

/// The alert of a process that the kernel has ended for want of memory.
const OOM: &str = "memory.oom";

/// The limits in force.
pub type LimitsInForce = Arc<ArcSwap<WatchLimits>>;

/// What one look has found, by alert and what it is about.
type Findings = BTreeMap<(&'static str, String), WatchFinding>;

/// Watches for ever.
pub async fn watch(shared: Shared, limits: LimitsInForce, listeners: Vec<SocketAddr>) {
    let response = ResponseTime::default();
    tokio::select! {
        () = response.keep_asking(&shared, &listeners, &limits) => {}
        () = keep_looking(&shared, &limits, &response) => {}
    }
}

async fn keep_looking(shared: &Shared, limits: &LimitsInForce, response: &ResponseTime) {
    let mut memory = Memory::begin(clock::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let limits = limits.load_full();
        shared.metrics.set_limits(limits.clone());
        let mut found = Findings::new();
        if limits.is_on {
            own::look(shared, &limits, response, &mut memory, &mut found);
            let view = shared.hub.view();
            let ended = nodes::look(&view, &limits, &mut memory, clock::now(), &mut found);
            for (node, alert) in ended {
                shared.hub.raise_about(node, alert);
            }
        }
        if tell(shared, &limits, found).await.is_err() || remind(shared, limits.reminder).await.is_err() {
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

/// Tells the hub what has changed: what is bad and not known, and what is known and not bad any more. What a node that
/// is away was known for stays, until it is heard of or forgotten.
async fn tell(shared: &Shared, limits: &WatchLimits, found: Findings) -> Result<(), super::hub::Stopped> {
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
        let Some((name, whose)) = WATCHED.into_iter().find(|(name, _)| *name == alert.name) else { continue };
        if found.is_empty() || is_forgotten(alert, whose, &view, limits) {
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

/// True when there is no such node any more, nor should there be one.
fn is_forgotten(alert: &Alert, whose: Whose, view: &View, limits: &WatchLimits) -> bool {
    let node = nodes::node_of(&alert.about);
    whose == Whose::Node
        && !node.is_empty()
        && !view.stored.nodes.contains_key(node)
        && !limits.nodes.contains_key(node)
}
