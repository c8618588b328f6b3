//! The audit record, as the API shows it: who did what, by which credential, from where, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// One record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditView {
    /// Its number: records have them without holes, until retention takes the oldest.
    pub seq: u64,
    /// The record's id; that of a command for a command.
    pub id: String,
    /// When it was asked for (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who: the name.
    pub actor: String,
    /// `person`, `program`, `machine` or `policy`.
    pub kind: String,
    /// What was shown for it, such as `token 3f9a2c` or `shared token`; empty where nothing had to be.
    pub credential: String,
    /// The way in: `halctl`, `api`, `discord`, `supervisor.db`.
    pub through: String,
    /// From where: an address, or an account of a chat.
    pub from: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// The particulars.
    #[schema(value_type = Object)]
    pub args: serde_json::Value,
    /// What came of it: `done`, `failed`, `denied`, or the state of a command.
    pub result: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long it took, in milliseconds, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}
