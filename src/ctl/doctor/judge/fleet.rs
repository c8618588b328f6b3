//! What the supervisor tells of itself and its nodes.

use std::time::Duration;

use crate::doctor::facts::{DoctorFacts, SupervisorAnswers};
use crate::doctor::finding::{Finding, Incident};
use hal_protocol::alert::{Alert, Severity};
use hal_protocol::default;
use hal_protocol::node::{Node, NodeStatus};

/// Events that a node holds and the supervisor does not have: more is no passing burst.
const FAR_BEHIND: u64 = 10_000;

/// Alerts that say what doctor finds by itself.
const KNOWN: [&str; 9] = [
    "node.offline",
    "node.memory",
    "node.disk",
    "node.clock",
    "memory.high",
    "disk.low",
    "response.slow",
    "mirror.behind",
    "backup.size",
];

/// Nodes that are away.
pub fn offline(facts: &DoctorFacts) -> Vec<Finding> {
    let Some(SupervisorAnswers { nodes, .. }) = &facts.told else { return Vec::new() };
    let is_away = |node: &&Node| {
        node.status == NodeStatus::Offline && facts.now.since(node.last_heartbeat) > facts.limits.node_offline
    };
    let away: Vec<&Node> = nodes.iter().filter(is_away).collect();
    if nodes.len() > 1 && away.len() == nodes.len() {
        let port = facts.port.as_ref().map_or(default::PORT, |port| port.number);
        let what =
            format!("all {} nodes are offline: the supervisor cannot be reached from them", nodes.len());
        return vec![
            Finding::new("nodes.offline", Severity::High, Incident::Unreachable, what)
                .shown(
                    away.iter().map(|node| format!("{} was last seen at {}", node.id, node.last_heartbeat)),
                )
                .helped([
                    format!("sudo ss -tlnp | grep {port}"),
                    "sudo ufw status".to_owned(),
                    format!("sudo iptables -L -n | grep {port}"),
                ]),
        ];
    }
    away.into_iter()
        .map(|node| {
            let minutes = facts.now.since(node.last_heartbeat).as_secs() / 60;
            let (id, many) = (&node.id, node.sessions);
            let what = format!("node {id} was last seen {minutes} minutes ago; {many} sessions are on it");
            let place = if node.hostname.is_empty() { id.to_string() } else { node.hostname.clone() };
            Finding::new("node.offline", Severity::High, Incident::AgentConnect, what)
                .about(id)
                .shown([format!("last seen at {} from {}", node.last_heartbeat, node.address)])
                .helped([
                    format!("ssh {place} 'sudo halctl doctor'"),
                    format!("ssh {place} 'sudo systemctl restart hal-agent'"),
                ])
        })
        .collect()
}

/// Everything else about nodes, when all of them were asked for.
pub fn nodes(facts: &DoctorFacts) -> Vec<Finding> {
    let Some(told) = &facts.told else { return Vec::new() };
    let mut found: Vec<Finding> = lost(told);
    found.extend(told.nodes.iter().flat_map(unguarded));
    found.extend(told.nodes.iter().flat_map(unasked));
    if facts.is_fleet {
        found.extend(told.nodes.iter().flat_map(|node| unwell(facts, node)));
    }
    if let Some((severity, what)) =
        facts.limits.mirror(Duration::from_secs_f64(told.mirror_lag.max(0.0)), None)
    {
        let finding = Finding::new("mirror.behind", severity, Incident::Latency, what);
        found.push(finding.helped(["halctl alerts list --name mirror.behind", "uptime"]));
    }
    found
}

/// Numbers that nobody can explain.
fn lost(told: &SupervisorAnswers) -> Vec<Finding> {
    let holes = told.nodes.iter().filter(|node| node.journal.missing > 0);
    holes
        .map(|node| {
            let what = format!(
                "{} events of node {} are missing and nothing explains it",
                node.journal.missing, node.id
            );
            Finding::new("node.missing", Severity::Critical, Incident::LostData, what)
                .about(&node.id)
                .helped([format!("halctl events list --node-id {} --type gap", node.id)])
        })
        .collect()
}

/// Projects in which a coding agent asks nobody, or nothing holds its commands.
fn unguarded(node: &Node) -> Vec<Finding> {
    let such = node.backends.iter().filter(|backend| !backend.unguarded.is_empty());
    let told = such.map(|backend| {
        let (id, kind, projects) = (&node.id, &backend.kind, backend.unguarded.join(", "));
        let what = format!(
            "{kind} asks nobody, or nothing holds its commands, in {projects} on node {id}, as configured there"
        );
        Finding::new("node.unguarded", Severity::Low, Incident::Upkeep, what)
            .about(id)
            .helped([format!("halctl backends list --node-id {id}")])
    });
    told.collect()
}

/// Projects in which a coding agent runs what the checkout says, and nobody was ever asked.
fn unasked(node: &Node) -> Vec<Finding> {
    let such = node.backends.iter().filter(|backend| !backend.unasked.is_empty());
    let told = such.map(|backend| {
        let (id, kind, projects) = (&node.id, &backend.kind, backend.unasked.join(", "));
        let what = format!(
            "{kind} runs what the checkout says (hooks, servers, plugins) in {projects} on node {id}, as it did before \
             this was asked: set \"trusted\" to true or false for each in the configuration there"
        );
        Finding::new("node.unasked", Severity::Low, Incident::Upkeep, what)
            .about(id)
            .helped([format!("halctl backends list --node-id {id}")])
    });
    told.collect()
}

fn unwell(facts: &DoctorFacts, node: &Node) -> Vec<Finding> {
    let (id, limits, seen) = (&node.id, &facts.limits, &node.resources);
    let ssh = |line: &str| vec![format!("ssh {id} '{line}'")];
    let mut found = Vec::new();
    let mut tell = |name: &str, incident, verdict: Option<(Severity, String)>, help: Vec<String>| {
        found.extend(
            verdict
                .map(|(severity, what)| Finding::new(name, severity, incident, what).about(id).helped(help)),
        );
    };
    if node.status == NodeStatus::Online {
        let whose = format!("node {id}");
        let memory = limits.memory(&whose, seen.limited_memory, seen.memory_limit);
        tell(
            "node.memory",
            Incident::AgentMemory,
            memory,
            vec![format!("halctl sessions list --node-id {id}")],
        );
        let disk = limits.disk(&whose, seen.disk_free, seen.disk_total);
        tell("node.disk", Incident::Corruption, disk, ssh("df -h"));
        let skew = limits.skew(id.as_str(), node.clock_ahead_ms);
        tell("node.clock", Incident::Latency, skew, ssh("sudo timedatectl set-ntp true"));
    }
    let behind = (node.journal.lag > FAR_BEHIND).then(|| {
        (Severity::Medium, format!("node {id} has {} events that are not delivered yet", node.journal.lag))
    });
    tell("node.lag", Incident::Latency, behind, vec![format!("halctl nodes get {id}")]);
    let version = node.version.split(' ').next().unwrap_or_default();
    let differs = (!version.is_empty() && version != env!("CARGO_PKG_VERSION")).then(|| {
        (
            Severity::Low,
            format!("the agent of node {id} is version {version}, this is {}", env!("CARGO_PKG_VERSION")),
        )
    });
    tell("node.version", Incident::Upkeep, differs, ssh("sudo apt install --only-upgrade hal-o-swarm"));
    for project in &node.projects {
        if let Some(error) = &project.error {
            let what = format!("nothing can be started in {} on node {id}: {error}", project.name);
            found.push(
                Finding::new("node.project", Severity::Medium, Incident::AgentCrashed, what)
                    .about(format!("{id}/{}", project.name))
                    .helped([format!("ssh {id} 'sudo halctl doctor'")]),
            );
        }
    }
    found
}

/// Alerts that nobody has acknowledged and that say something new.
pub fn alerts(facts: &DoctorFacts) -> Vec<Finding> {
    let Some(SupervisorAnswers { alerts, .. }) = &facts.told else { return Vec::new() };
    let news = alerts.iter().filter(|alert| !KNOWN.contains(&alert.name.as_str()));
    news.map(|alert| {
        Finding::new(format!("alert.{}", alert.name), alert.severity, incident(alert), &alert.text)
            .about(&alert.about)
            .shown([format!("alert {} since {}, {} times", alert.id, alert.started_at, alert.count)])
            .helped([format!("halctl alerts get {}", alert.id), format!("halctl alerts ack {}", alert.id)])
    })
    .collect()
}

fn incident(alert: &Alert) -> Incident {
    match alert.name.as_str() {
        "store.failed" | "mirror.healed" | "store.healed" | "store.lost" | "disk.full" | "disk.filling" => {
            Incident::Corruption
        }
        "store.replaced" | "events.gap" | "backup.failed" => Incident::LostData,
        "connections.refused" | "node.cloned" => Incident::AgentConnect,
        "listener.blocked" => Incident::Unreachable,
        "journal.blocked" | "clock.jumped" => Incident::Latency,
        name if name.contains("cost") => Incident::Cost,
        name if name.contains("restart") => Incident::SupervisorCrashed,
        _ => Incident::Upkeep,
    }
}
