//! A backup: a copy of the mirror beside it; and the rehearsal of a recovery by one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// A backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    /// Its file's name.
    pub name: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Time,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it is the newest one, which `supervisor.db.backup` names too.
    pub newest: bool,
    /// Events in it; only when it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
    /// What is wrong with it, or unusual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a store holds, as far as a rehearsal compares it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RehearsalCounts {
    /// Events.
    pub events: u64,
    /// The number of the newest one.
    pub newest_event: u64,
    /// Sessions, archived ones among them.
    pub sessions: u64,
    /// What was used on the 30 days before the backup's, in millionths of a dollar.
    pub cost_micros: u64,
    /// And in tokens.
    pub tokens: u64,
}

/// A rehearsal of a recovery: a backup restored beside the running supervisor, and looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Rehearsal {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The backup's name; empty: there was none.
    pub backup: String,
    /// When that was made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Time,
    /// What was restored.
    pub restored: RehearsalCounts,
    /// What the running supervisor has; cost and tokens of the same days.
    pub running: RehearsalCounts,
    /// Recovery point: by how many seconds the newest event of the running supervisor is newer than the newest restored one.
    pub rpo_seconds: f64,
    /// Recovery time: seconds from the copy of the backup until the restored supervisor was ready.
    pub rto_seconds: f64,
    /// What is wrong; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What a new machine needs beside the backup.
    pub also_needed: Vec<String>,
}
