//! A silence: alerts that nobody is told of for a while.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::clock::Time;

/// A silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Silence {
    /// Its identity.
    pub id: String,
    /// Which alerts: a name such as `node.offline` or `disk.*`, or a rule such as `alert.about == "web-1"`.
    pub matches: String,
    /// Why.
    pub reason: String,
    /// Who has asked for it.
    pub by: String,
    /// When.
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
    /// Which alerts.
    pub matches: String,
    /// For how many seconds.
    pub seconds: u64,
    /// Why.
    #[serde(default)]
    pub reason: String,
}
