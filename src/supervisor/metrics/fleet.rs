//! Nodes, their coding agents, and what waits for people, in Prometheus' words: as they are when somebody asks.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::hub::live::NodeRef;
use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::alert::{AlertState, Severity};
use hal_protocol::notice::NoticeState;
use hal_rules::stalled::{Stalled, stalled};
use hal_rules::watch::WatchLimits;

/// Nodes with values of their own, by name; a label must not grow without end.
const MOST_NODES: usize = 1_000;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfNode {
    node: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfBackend {
    node: String,
    backend: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfChannel {
    channel: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSeverity {
    severity: &'static str,
}

type Number = Gauge<f64, AtomicU64>;

/// The gauges.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    alerts: Family<OfSeverity, Gauge>,
    acknowledged: Family<OfSeverity, Gauge>,
    approvals: Gauge,
    approvals_oldest: Number,
    queue: Family<OfChannel, Gauge>,
    undelivered: Family<OfChannel, Gauge>,
    online: Family<OfNode, Gauge>,
    expected: Family<OfNode, Gauge>,
    /// What the configuration says of nodes.
    pub(super) limits: ArcSwap<WatchLimits>,
    lag: Family<OfNode, Gauge>,
    connections: Family<OfNode, Counter>,
    started: Family<OfNode, Number>,
    cpu: Family<OfNode, Number>,
    agent_cpu: Family<OfNode, Number>,
    sizes: [Family<OfNode, Number>; 5],
    backends: Family<OfBackend, Gauge>,
}

/// The names of the sizes of a node, in their order, and what they are.
const SIZES: [(&str, &str); 5] = [
    ("node_memory_used_bytes", "Memory in use on a node"),
    ("node_memory_size_bytes", "Memory that a node has"),
    ("node_agent_memory_bytes", "Resident memory of a node's hal-agent"),
    ("node_disk_free_bytes", "Free space on the disk of a node's journal"),
    ("node_disk_size_bytes", "Size of that disk"),
];

impl Fleet {
    /// Registers the metrics under their names.
    pub(super) fn name(&self, of: &mut Registry) {
        of.register("alerts_firing", "Alerts that nobody has acknowledged, by severity", self.alerts.clone());
        let acknowledged = "Alerts that somebody has acknowledged and that go on, by severity";
        of.register("alerts_acknowledged", acknowledged, self.acknowledged.clone());
        let approvals = "Permissions and questions that wait for an answer";
        of.register("approvals_waiting", approvals, self.approvals.clone());
        let oldest = "For how long the oldest of them waits; 0: none does";
        of.register("approvals_oldest_age_seconds", oldest, self.approvals_oldest.clone());
        of.register("channel_queue", "Notifications that wait on a channel", self.queue.clone());
        let undelivered = "Notifications that a channel has given up";
        of.register("channel_undelivered", undelivered, self.undelivered.clone());
        of.register("node_online", "1: the node is connected", self.online.clone());
        let expected = "0: the configuration says that the node comes and goes";
        of.register("node_expected", expected, self.expected.clone());
        let lag = "Events that a node has stored and that are not committed here";
        of.register("node_lag_events", lag, self.lag.clone());
        of.register("node_connections", "How often a node has connected", self.connections.clone());
        let started = "When a node's hal-agent was started; it changes with each restart";
        of.register("node_agent_start_time_seconds", started, self.started.clone());
        of.register("node_cpu_ratio", "Use of all cores of a node, 0 to 1", self.cpu.clone());
        let agent_cpu = "Use of its hal-agent, 1 is a core";
        of.register("node_agent_cpu_ratio", agent_cpu, self.agent_cpu.clone());
        for (family, (name, help)) in self.sizes.iter().zip(SIZES) {
            of.register(name, help, family.clone());
        }
        let backends = "1: a coding agent works on a node that is connected";
        of.register("backend_running", backends, self.backends.clone());
    }

    /// As it is now.
    pub(super) fn look_at(&self, view: &View, now: Time) {
        self.look_at_alerts(view);
        let waiting = view.open_approvals().into_iter().filter(|one| one.state.wants_answer());
        let since: Vec<Time> = waiting.map(|one| one.asked_at).collect();
        self.approvals.set(as_i64(since.len()));
        self.approvals_oldest.set(since.iter().min().map_or(0.0, |since| now.since(*since).as_secs_f64()));
        for way in &view.settings.routing.channels {
            let (mut waits, mut given_up) = (0, 0);
            for row in view.queue(&way.name) {
                *(if row.state == NoticeState::Undelivered { &mut given_up } else { &mut waits }) += 1;
            }
            let of = OfChannel { channel: way.name.clone() };
            self.queue.get_or_create(&of).set(waits);
            self.undelivered.get_or_create(&of).set(given_up);
        }
        self.forget_nodes();
        view.every_node().take(MOST_NODES).for_each(|node| self.look_at_node(node));
    }

    fn look_at_alerts(&self, view: &View) {
        for (family, state) in
            [(&self.alerts, AlertState::Firing), (&self.acknowledged, AlertState::Acknowledged)]
        {
            for severity in Severity::ALL {
                let is_one = |alert: &&std::sync::Arc<hal_protocol::alert::Alert>| {
                    alert.status == state && alert.severity == severity
                };
                let count = view.stored.alerts.values().filter(is_one).count();
                family.get_or_create(&OfSeverity { severity: severity.as_str() }).set(as_i64(count));
            }
        }
    }

    /// Nodes that were removed are not measured any more.
    fn forget_nodes(&self) {
        self.online.clear();
        self.expected.clear();
        self.lag.clear();
        self.connections.clear();
        self.backends.clear();
        for family in [&self.started, &self.cpu, &self.agent_cpu].into_iter().chain(&self.sizes) {
            family.clear();
        }
    }

    fn look_at_node(&self, NodeRef { record, link }: NodeRef<'_>) {
        let of = OfNode { node: record.id.to_string() };
        let vitals = link.vitals();
        self.online.get_or_create(&of).set(i64::from(link.online));
        self.expected.get_or_create(&of).set(i64::from(self.limits.load().expects(&of.node)));
        let lag = vitals.held.saturating_sub(record.committed);
        self.lag.get_or_create(&of).set(i64::try_from(lag).unwrap_or(i64::MAX));
        self.connections.get_or_create(&of).inc_by(record.epoch);
        let down: BTreeMap<_, _> = stalled(record.id.as_str(), &record.projects);
        for project in &record.projects {
            let is_down = down.contains_key(&(Stalled::Backend, project.backend.clone()));
            let of = OfBackend { node: of.node.clone(), backend: project.backend.clone() };
            self.backends.get_or_create(&of).set(i64::from(link.online && !is_down));
        }
        // What a node that is away was like when it was last heard of is no measurement of now.
        if !link.online {
            return;
        }
        let seen = &vitals.resources;
        if seen.agent_started_ms > 0 {
            self.started.get_or_create(&of).set(seen.agent_started_ms as f64 / 1e3);
        }
        self.cpu.get_or_create(&of).set(f64::from(seen.cpu_percent) / 100.0);
        self.agent_cpu.get_or_create(&of).set(f64::from(seen.agent_cpu_percent) / 100.0);
        let sizes = [seen.memory_used, seen.memory_total, seen.agent_rss, seen.disk_free, seen.disk_total];
        for (family, size) in self.sizes.iter().zip(sizes) {
            family.get_or_create(&of).set(size as f64);
        }
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
