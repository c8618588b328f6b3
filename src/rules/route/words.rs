//! The words of rules: names of events and alerts, and what each noun has.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::facts::{AlertFacts, CostFacts, EventFacts, NodeFacts, SessionFacts};

/// Events that a route may name alone.
pub const EVENTS: [&str; 46] = [
    "agent.restarted",
    "approval.answered",
    "approval.asked",
    "approval.lapsed",
    "approval.settled",
    "approval.snoozed",
    "approval.time_up",
    "approval.undelivered",
    "backend.started",
    "backend.stopped",
    "budget.interrupted",
    "budget.reached",
    "budget.warning",
    "clock.jumped",
    "cost.discrepancy",
    "gap",
    "halt.released",
    "halt.set",
    "journal.blocked",
    "message.part.updated",
    "message.updated",
    "node.online",
    "node.removed",
    "permission.asked",
    "permission.replied",
    "policy.decided",
    "policy.exhausted",
    "policy.failed",
    "project.error",
    "project.ok",
    "question.asked",
    "question.rejected",
    "question.replied",
    "session.compacted",
    "session.created",
    "session.deleted",
    "session.ended",
    "session.error",
    "session.handover",
    "session.idle",
    "session.interrupted",
    "session.paused",
    "session.resumed",
    "session.status",
    "session.updated",
    "todo.updated",
];

/// Alerts that a route may name alone. A word that is both means the alert.
pub const ALERTS: [&str; 37] = [
    "agent.restarts",
    "approval.outside",
    "approval.overtaken",
    "approval.undelivered",
    "backup.damaged",
    "backup.failed",
    "backup.late",
    "backup.size",
    "channel.failing",
    "channel.shut_out",
    "clock.jumped",
    "connections.refused",
    "disk.full",
    "disk.low",
    "events.gap",
    "halt.incomplete",
    "journal.blocked",
    "listener.blocked",
    "memory.high",
    "mirror.behind",
    "mirror.healed",
    "node.clock",
    "node.cloned",
    "node.disk",
    "node.memory",
    "node.offline",
    "node.renamed",
    "notice.undelivered",
    "response.slow",
    "retention.failed",
    "retention.size",
    "session.waiting",
    "state.unreadable",
    "store.failed",
    "store.healed",
    "store.replaced",
    "supervisor.restarts",
];

/// How the name of an alert begins that a route raises; the route's own name follows.
pub const RAISED_BY: &str = "route.";

/// Severities, as numbers that can be compared.
pub const SEVERITIES: [(&str, i64); 4] = [("low", 1), ("medium", 2), ("high", 3), ("critical", 4)];

/// Seconds since the session did anything, as a word of its own.
pub const STUCK: &str = "stuck";

/// The nouns with what each has.
pub fn nouns() -> BTreeMap<&'static str, Vec<String>> {
    BTreeMap::from([
        ("alert", fields(&AlertFacts::default())),
        ("cost", fields(&CostFacts::default())),
        ("event", fields(&EventFacts::default())),
        ("node", fields(&NodeFacts::default())),
        ("session", fields(&SessionFacts::default())),
    ])
}

fn fields(facts: &impl Serialize) -> Vec<String> {
    match json!(facts) {
        Value::Object(object) => object.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

/// True when a name is this pattern, or begins as it does before its `.*`.
pub fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(begin) => name.strip_prefix(begin).is_some_and(|rest| rest.starts_with('.')),
        None => pattern == name,
    }
}
