//! The words of rules: names of events and alerts, and what each noun has.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::facts::{AlertFacts, CostFacts, EventFacts, NodeFacts, SessionFacts};
use hal_protocol::event::kind::Kind;

/// Events that a route may name alone.
pub const EVENTS: [&str; 46] = [
    Kind::AgentRestarted.as_str(),
    Kind::ApprovalAnswered.as_str(),
    Kind::ApprovalAsked.as_str(),
    Kind::ApprovalLapsed.as_str(),
    Kind::ApprovalSettled.as_str(),
    Kind::ApprovalSnoozed.as_str(),
    Kind::ApprovalTimeUp.as_str(),
    Kind::ApprovalUndelivered.as_str(),
    Kind::BackendStarted.as_str(),
    Kind::BackendStopped.as_str(),
    Kind::BudgetInterrupted.as_str(),
    Kind::BudgetReached.as_str(),
    Kind::BudgetWarning.as_str(),
    Kind::ClockJumped.as_str(),
    Kind::CostDiscrepancy.as_str(),
    Kind::Gap.as_str(),
    Kind::HaltReleased.as_str(),
    Kind::HaltSet.as_str(),
    Kind::JournalBlocked.as_str(),
    Kind::PartUpdated.as_str(),
    Kind::MessageUpdated.as_str(),
    Kind::NodeOnline.as_str(),
    Kind::NodeRemoved.as_str(),
    Kind::PermissionAsked.as_str(),
    Kind::PermissionReplied.as_str(),
    Kind::PolicyDecided.as_str(),
    Kind::PolicyExhausted.as_str(),
    Kind::PolicyFailed.as_str(),
    Kind::ProjectError.as_str(),
    Kind::ProjectOk.as_str(),
    Kind::QuestionAsked.as_str(),
    Kind::QuestionRejected.as_str(),
    Kind::QuestionReplied.as_str(),
    Kind::SessionCompacted.as_str(),
    Kind::SessionCreated.as_str(),
    Kind::SessionDeleted.as_str(),
    Kind::SessionEnded.as_str(),
    Kind::SessionError.as_str(),
    Kind::SessionHandover.as_str(),
    Kind::SessionIdle.as_str(),
    Kind::SessionInterrupted.as_str(),
    Kind::SessionPaused.as_str(),
    Kind::SessionResumed.as_str(),
    Kind::SessionStatus.as_str(),
    Kind::SessionUpdated.as_str(),
    Kind::TodoUpdated.as_str(),
];

/// Alerts that a route may name alone. A word that is both means the alert.
pub const ALERTS: [&str; 51] = [
    "agent.refused",
    "agent.restarts",
    "approval.outside",
    "approval.overtaken",
    "approval.undelivered",
    "backend.down",
    "backend.unfit",
    "backup.damaged",
    "backup.failed",
    "backup.late",
    "backup.size",
    "backup.unrehearsed",
    "channel.failing",
    "channel.shut_out",
    "clock.jumped",
    "command.slow",
    "connections.refused",
    "cpu.high",
    "disk.filling",
    "disk.full",
    "disk.low",
    "events.gap",
    "halt.incomplete",
    "heartbeat.failing",
    "incident.open",
    "journal.blocked",
    "listener.blocked",
    "memory.high",
    "memory.oom",
    "metrics.unscraped",
    "mirror.behind",
    "mirror.healed",
    "node.clock",
    "node.cloned",
    "node.disk",
    "node.memory",
    "node.offline",
    "node.renamed",
    "nodes.all_offline",
    "notice.undelivered",
    "project.down",
    "response.slow",
    "retention.failed",
    "retention.size",
    "session.waiting",
    "state.unreadable",
    "store.failed",
    "store.healed",
    "store.lost",
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
