//! An event: something a session, or the system, did.
//!
//! A closed enum says what can happen ([`what::What`]); an event is parsed into it once, where it comes in, and carried
//! parsed. The types that people filter and route by are [`kind::Kind`]. Events from outside that have no word of ours
//! are kept under their own name, with their data as it is.
//!
//! - `what`, `part`, `failure`: what is told, as rules, folded views and screens read it.
//! - `form`, `write`: the stored form, which is also what is sent, read and written. `former`: what events of versions up
//!   to 0.1 mean that lack our own words. `readable`: data that everybody can read.
//!
//! `tests/fixtures/events` holds one of each type as versions up to 0.1 have stored it.
//!
//! # The stored form
//!
//! | type | data (the part we rely on) |
//! |---|---|
//! | `session.created`, `session.updated` | `info: {id, title, directory, parentID?, cost, tokens{input,output,reasoning,cache{read,write}}, model?, time{created}}` |
//! | `session.deleted` | |
//! | `session.status` | `status: {type: busy \| idle \| retry, attempt?, message?, next? (ms)}` |
//! | `session.idle` | the turn is over |
//! | `session.error` | `error: {name, kind, data: {message, statusCode?}}` |
//! | `session.compacted` | |
//! | `message.updated` | `info: {id, role: user \| assistant, parentID?, cost, tokens, contextLimit?, modelID, providerID, error?, finish?, time{created, completed?}}` |
//! | `message.part.updated` | `part: {id, messageID, type: text \| reasoning \| tool \| patch \| file \| ..}`; of a tool `{tool, kind, callID, state{status, input, title, output, error, cause?, metadata{exit}}}` |
//! | `permission.asked`, `permission.replied` | `id, permission, patterns, metadata{command, filepath, diff}, tool{messageID, callID}` / `requestID, reply, outside?` |
//! | `question.asked`, `question.replied`, `question.rejected` | `id, questions` / `requestID, answers` |
//! | `todo.updated` | `todos: [{content, status}]` |
//! | `file.edited` | `file` |
//!
//! `kind` of an error is one of [`failure::FailureKind`], `kind` of a tool one of [`part::ToolKind`], `cause` one of
//! [`part::ToolCause`]: said by the backend, which alone knows the coding agent's own words for it. A path that a route uses
//! (`event.data.error.name`) means the same over old events and new ones.
//!
//! Ours, from the agent: `session.ended {reason}`, `session.interrupted {reason}`, `backend.started`,
//! `backend.stopped {reason, output}`, `project.error {error}`, `project.ok`, `gap {from, to, reason}`,
//! `journal.blocked {reason, seconds}`, `agent.restarted {reason}`. From the supervisor: `node.online {address, epoch}`, `node.offline {reason}`,
//! `node.cloned {address, other, epoch}`, `node.removed {by, last_heard, sessions}`, `node.renamed {was, address}`,
//! `clock.jumped {by_ms}`, `gap {incarnation, from, to, count, reason}`,
//! `alert.raised {name, severity, text}`, `alert.resolved {name, text}`,
//! `notice.undelivered {channel, id, name, why}`; of sessions `session.paused {by}`,
//! `session.resumed {by}`, `session.handover {step: begun | over, continued_by?}`, `session.stood {commit, is_dirty,
//! message_id, by}`, `policy.decided {policy, act, situation, why, attempt, dry_run, facts}`, `policy.failed`,
//! `policy.exhausted`, `project.completed`, `project.ready`; and `halt.set {project, by}`, `halt.released`. An event that the agent wrote itself
//! because it found it missing carries `"repaired": true` in its data.
//!
//! # Our words by kind
//!
//! Where each word comes from at each kind of coding agent; `the same` is the same name in the same form. What a kind does
//! not tell is `not told`, and what stands after it is what is known instead. A page of a conversation is folded from the
//! rows from `session.created` to `background child`; a kind that fills fewer of them shows less. All from runs, except the
//! names of items and updates of Codex and ACP that no run has shown: they are from the published schemas.
//!
//! | our word | opencode 1 | opencode 2 | Claude Code | Codex | ACP |
//! |---|---|---|---|---|---|
//! | `session.created` | the same | `session.created` | not told: what we asked | answer to `thread/start` | answer to `session/new` |
//! | `session.updated`: title, sums | the same | `session.renamed`, `session.usage.updated` | `result`: sums; title not told | `thread/tokenUsage/updated`: sums; title not told | `session_info_update`, `usage_update` |
//! | `session.deleted` | the same | the same | not told | not told | not told |
//! | `session.status` busy | the same | `session.execution.started` | `session_state_changed` running | `thread/status/changed` active | not told: a `session/prompt` is open |
//! | `session.status` retry | the same | `session.retry.scheduled` | `system/api_retry` | `error` that will retry | not told; two agents with an extension |
//! | turn end: `session.idle` | the same | `session.execution.succeeded`, `.failed`, `.interrupted` | `session_state_changed` idle | `turn/completed` | answer to `session/prompt` |
//! | `session.error` | the same | `session.execution.failed` | `result` with `is_error` | `turn/completed` failed | error of `session/prompt`, or an empty turn |
//! | .. aborted | a name of its own | `session.execution.interrupted` user | `terminal_reason` aborted_streaming | `turn/completed` interrupted | `stopReason` cancelled |
//! | .. rate_limited | the provider's sentence | `provider.rate-limit` | `rate_limit`, HTTP 429 | `usageLimitExceeded`, HTTP 429 | `errorKind` of some agents |
//! | .. overflow | a name of its own | not told: an invalid request | `terminal_reason` prompt_too_long | `contextWindowExceeded` | the sentence of the failure |
//! | .. auth | a name of its own, HTTP 401 | `provider.auth` | `authentication_failed` | `httpConnectionFailed` 401 | code -32000 |
//! | .. output_limit | a name of its own | not told: `finish` length | not told | not told | `stopReason` max_tokens |
//! | .. content_filter | a name of its own | `provider.content-filter` | not told | not told | `stopReason` refusal |
//! | `session.interrupted` | not told: a look finds it | `session.execution.interrupted` shutdown | not told: the process ends | not told: the process ends | not told: the process ends |
//! | `session.compacted` | the same | `session.compaction.ended` | `compact_boundary` | item `contextCompaction` | `compaction_update` completed |
//! | `message.updated`, a person's | the same | `session.inbox.delivered` | `command_lifecycle` queued | answer to `turn/start` | not told: what we said |
//! | `message.updated`, an answer | the same, several in a turn | `session.step.started`, `.ended`, `.failed` | `message_start`, `message_delta` of `stream_event` | its first item; `thread/tokenUsage/updated` ends it | not told: the turn |
//! | usage: cost | of each message | of each step, and the sum | `model_usage_since_last_result` | not told | `usage_update`, the sum, of some agents |
//! | usage: tokens | of each message | of each step, and the sum | `message_delta`, `model_usage_since_last_result` | `thread/tokenUsage/updated`, the sum | answer to `session/prompt` |
//! | usage: context | tokens of the last message, limit of the model | tokens of the last step, limit of the model | tokens of the last answer, limit of `result` | `thread/tokenUsage/updated` | `usage_update`: used, size |
//! | part, text | the same | `session.text.ended` | text of `assistant` | item `agentMessage` | `agent_message_chunk`, gathered |
//! | part, thought | the same | `session.reasoning.ended` | thinking of `assistant` | item `reasoning` | `agent_thought_chunk`, gathered |
//! | `message.part.delta` | the same | `session.text.delta` | `content_block_delta` of `stream_event` | `item/agentMessage/delta` | `agent_message_chunk` |
//! | part, tool that runs | the same | `session.tool.called` | `tool_use` of `assistant` | `item/started` | `tool_call` |
//! | part, tool that is over | the same | `session.tool.success`, `.failed` | `tool_result` | `item/completed` | `tool_call_update` |
//! | .. what it does | its name | its name | its name | type of the item | `kind` |
//! | .. exit of a command | told | told | how the result begins | told | not told |
//! | .. refused by a person | how the error begins | `session.tool.failed` after our answer | not told: what we answered | `status` declined | not told: what we answered |
//! | .. stopped with its turn | how the error begins | `session.tool.failed` aborted | `tool_result_meta` user-rejected | not told: the turn was stopped | not told: the turn was stopped |
//! | part, files changed; `file.edited` | the same | files of `session.step.ended` | what its tools were given | item `fileChange` | not told |
//! | `permission.asked` | the same | `permission.asked` | `can_use_tool` | `item/commandExecution/requestApproval` | `session/request_permission` |
//! | `permission.replied` | the same | `permission.replied` | not told: what we answered | not told: what we answered | not told: what we answered |
//! | `question.asked` | the same | `form.created` | `can_use_tool` of its tool for that | `item/tool/requestUserInput` | `elicitation/create` |
//! | `question.replied`, `question.rejected` | the same | `form.replied`, `form.cancelled` | not told: what we answered | not told: what we answered | not told: what we answered |
//! | `todo.updated` | the same | not told | not told | not told | `plan` |
//! | background child | `session.created` with a parent | `session.created` with a parent; wakes its parent | `task_started`, `task_notification`; wakes its parent | item `subAgentActivity`: what it asks and uses is the session's | not told |

pub mod failure;
pub mod form;
pub mod former;
pub mod kind;
pub mod part;
pub mod readable;
pub mod what;
pub mod write;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::node::{NodeId, ProjectName};
use super::session::SessionId;
use hal_base::clock::Time;
use what::What;

pub use readable::{readable, readable_data};

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

impl Event {
    /// What it tells.
    pub fn what(&self) -> What {
        form::read(&self.kind, &self.data)
    }
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
    #[serde(deserialize_with = "readable::read_data")]
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

impl EventView {
    /// What it tells.
    pub fn what(&self) -> What {
        form::read(&self.kind, &self.data)
    }
}

/// JSON text from anything that can be written as JSON.
///
/// # Panics
/// Never for the types of this program: they have text keys and no failing parts.
pub fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("our words are always writable as JSON")
}
