//! A backup: a copy of the mirror beside it.

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
