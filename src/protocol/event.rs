//! An event: something a session, or the system, did.
//!
//! The vocabulary is opencode's where it has a word, with the same `data` shapes, because that is what people in
//! this field read already; every other backend is mapped to it. `tests/fixtures/events` holds one of each.
//!
//! | type | data (the part we rely on) |
//! |---|---|
//! | `session.created`, `session.updated` | `info: {id, title, directory, parentID?, cost, tokens{input,output,reasoning,cache{read,write}}, model?, time{created}}` |
//! | `session.deleted` | |
//! | `session.status` | `status: {type: busy \| idle \| retry, attempt?, message?, next? (ms)}` |
//! | `session.idle` | the turn is over |
//! | `session.error` | `error: {name, data: {message}}` |
//! | `session.compacted` | |
//! | `message.updated` | `info: {id, role: user \| assistant, parentID?, cost, tokens, modelID, providerID, error?, finish?, time{created, completed?}}` |
//! | `message.part.updated` | `part: {id, messageID, type: text \| reasoning \| tool \| step-finish \| ..}` |
//! | `permission.asked`, `permission.replied` | `id, permission, patterns, metadata` / `requestID, reply` |
//! | `question.asked`, `question.replied`, `question.rejected` | `id, questions` / `requestID, answers` |
//! | `todo.updated` | `todos: [{content, status}]` |
//!
//! Ours, from the agent: `session.ended {reason}`, `session.interrupted {reason}`, `backend.started`,
//! `backend.stopped {reason, output}`, `project.error {error}`, `project.ok`, `gap {from, to, reason}`,
//! `journal.blocked {reason, seconds}`, `agent.restarted {reason}`. From the supervisor: `node.online {address, epoch}`, `node.offline {reason}`,
//! `node.cloned {address, other, epoch}`, `clock.jumped {by_ms}`, `gap {incarnation, from, to, count, reason}`,
//! `alert.raised {name, severity, text}`, `alert.resolved {name, text}`,
//! `notice.undelivered {channel, id, name, why}`; of sessions `session.paused {by}`,
//! `session.resumed {by}`, `session.handover {step: begun | over, continued_by?}`, `session.stood {commit, is_dirty,
//! message_id, by}`, `policy.decided {policy, act, situation, why, attempt, dry_run, facts}`, `policy.failed`,
//! `policy.exhausted`, `project.completed`, `project.ready`; and `halt.set {project, by}`, `halt.released`. An event that the agent wrote itself
//! because it found it missing carries `"repaired": true` in its data.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::node::{NodeId, ProjectName};
use super::session::SessionId;
use crate::base::clock::Time;

/// A durable event as a node reports it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the node's journal: 1, 2, 3 .. without holes within an incarnation.
    pub seq: u64,
    /// Its identity: the backend's where it gives one.
    pub id: String,
    /// What happened; see the table above.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The project concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// When the node saw it, in Unix milliseconds by the node's clock.
    pub occurred_at: Time,
    /// The rest, as JSON text.
    pub data: Box<RawValue>,
}

/// A stored event, as `halctl events` and the API show it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in this supervisor's store: the order of all nodes' events.
    pub seq: u64,
    /// Its identity.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The session concerned; empty when none is.
    #[serde(default)]
    pub session_id: String,
    /// Where it happened.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// The project concerned; empty when none is.
    #[serde(default)]
    pub project: String,
    /// The rest.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
    /// When this supervisor stored it (RFC 3339); never runs backwards.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Time,
    /// When it happened by the node's clock (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub occurred_at: Time,
    /// Its number in the node's journal; 0 for the supervisor's own.
    #[serde(default)]
    pub node_seq: u64,
}

/// JSON text from anything that can be written as JSON.
///
/// # Panics
/// Never for the types of this program: they have text keys and no failing parts.
pub fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("our words are always writable as JSON")
}
