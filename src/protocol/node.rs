//! A node: a machine with a hal-agent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::backend::NodeBackend;
use hal_base::clock::Time;
use hal_base::text_id;

text_id! {
    /// The name of a node; the agent chooses it (`node_id` in its configuration, else the host's name).
    NodeId
}

text_id! {
    /// The name of a project; unique on its node.
    ProjectName
}

/// Whether a node's agent is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeStatus {
    /// The agent is connected and has sent something recently.
    Online,
    /// The agent is not connected, or was not heard from for too long.
    #[default]
    Offline,
}

impl NodeStatus {
    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

/// What an agent needs from its machine, measured at each heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Resources {
    /// Use of all cores together, 0 to 100.
    pub cpu_percent: f32,
    /// Bytes of memory in use.
    pub memory_used: u64,
    /// Bytes of memory there are.
    pub memory_total: u64,
    /// Bytes free on the disk that holds the agent's data.
    pub disk_free: u64,
    /// Bytes that disk has.
    pub disk_total: u64,
    /// Resident bytes of the agent itself.
    pub agent_rss: u64,
    /// Bytes that count towards the limit of the agent and the coding agents that it runs.
    pub limited_memory: u64,
    /// That limit; 0: there is none.
    pub memory_limit: u64,
    /// Use of the agent itself, in percent of one core.
    pub agent_cpu_percent: f32,
    /// When the agent was started, in milliseconds since 1970; 0: not known.
    pub agent_started_ms: i64,
    /// Processes of the agent's control group that the kernel has ended because memory ran out, since that group
    /// was made; absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
}

/// A directory that coding agents work in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// The project's name, unique on its node.
    #[schema(value_type = String)]
    pub name: ProjectName,
    /// Absolute path on the node.
    pub directory: String,
    /// Which backend works there, as the configuration calls it.
    pub backend: String,
    /// Why nothing can be started there now; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Where a node's stream of durable events stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Journal {
    /// Made new whenever the agent's journal is new; a sequence only means something within it.
    pub incarnation: String,
    /// The last sequence number that the node has stored.
    pub held: u64,
    /// The last one that this supervisor has committed.
    pub acknowledged: u64,
    /// Events that the node has stored and this supervisor has not committed yet.
    pub lag: u64,
    /// Numbers up to `acknowledged` that will never come, each within a recorded `gap`.
    pub given_up: u64,
    /// Numbers up to `acknowledged` that did not come and are not explained by a recorded gap: counted apart
    /// from `acknowledged`, and 0 unless the supervisor has a bug.
    pub missing: u64,
}

/// A node, as `halctl nodes` and the API show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// The node's name, as its agent chose it.
    #[schema(value_type = String)]
    pub id: NodeId,
    /// What the machine calls itself.
    pub hostname: String,
    /// Online or offline.
    pub status: NodeStatus,
    /// When its agent was last seen (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub last_heartbeat: Time,
    /// When its present or last connection began (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub connected_at: Time,
    /// The agent's version.
    #[serde(default)]
    pub version: String,
    /// The address it connects from.
    #[serde(default)]
    pub address: String,
    /// Counts this node's connections; only the newest may write.
    #[serde(default)]
    pub epoch: u64,
    /// Its projects.
    #[serde(default)]
    pub projects: Vec<Project>,
    /// The kinds of coding agents it has, as its agent said last since this supervisor started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<NodeBackend>,
    /// How its agent came in last, since this supervisor started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_in: Option<CameIn>,
    /// As of the last heartbeat.
    #[serde(default)]
    pub resources: Resources,
    /// Milliseconds by which its clock is ahead of the supervisor's, as of the last heartbeat.
    #[serde(default)]
    pub clock_ahead_ms: i64,
    /// Where its events stand.
    #[serde(default)]
    pub journal: Journal,
    /// Sessions on it that have not ended.
    #[serde(default)]
    pub sessions: u64,
}

/// How an agent came in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CameIn {
    /// By what: `key`, `token` (of its own), or `shared` (the token that all share).
    pub by: String,
    /// Over what: `tls`, `plain`, or `local` (plain, and from the supervisor's own machine).
    pub over: String,
    /// Whether it finds TLS by itself, and proves a token instead of saying it.
    pub proves: bool,
}

/// A backend with its node, as `halctl backends list` and the API show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackendView {
    /// Where it is.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// What its node tells of it.
    #[serde(flatten)]
    pub backend: NodeBackend,
}
