//! A silence: alerts that nobody is told of for a while.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// A silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Silence {
    /// The silence's id, a UUID.
    pub id: String,
    /// Which alerts: a name such as `node.offline` or `disk.*`, or a rule such as `alert.about == "web-1"`.
    pub matches: String,
    /// Why it was added; empty: not said.
    pub reason: String,
    /// Who has asked for it.
    pub by: String,
    /// When it was added (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Until when.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub until: Time,
}

/// What a silence is asked for with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SilenceRequest {
    /// The alerts it silences: a name such as `node.offline` or `disk.*`, or a rule such as `alert.severity < high`.
    pub matches: String,
    /// For how many seconds.
    pub seconds: u64,
    /// Why it was added; empty: not said.
    #[serde(default)]
    pub reason: String,
}
