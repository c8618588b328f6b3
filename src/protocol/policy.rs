//! What policies know and decide of a session, as `halctl policies explain` and the API show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mark::Attribution;
use hal_base::clock::Time;

/// One policy's word on a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Word)]
pub struct PolicyFinding {
    /// The policy's name, such as `kill_on_cost`.
    pub policy: String,
    /// `act`, `exhausted` (it would, and has acted as often as it may) or `none`.
    pub decision: String,
    /// The reason for the decision, in a sentence.
    pub why: String,
    /// From when on that can be otherwise without any event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The situation that it acted on last.
    #[serde(default)]
    pub acted_on: String,
    /// When it acted last (RFC 3339); absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_at: Option<String>,
    /// How often since the count began.
    #[serde(default)]
    pub count: u32,
}

/// All that policies know of a session, and what each would do with it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The session's id.
    pub session_id: String,
    /// The facts, by name.
    #[schema(value_type = Object)]
    pub facts: serde_json::Value,
    /// What each policy says.
    pub policies: Vec<PolicyFinding>,
}

/// A halt: of one project or of everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Halt {
    /// Which project; empty: everything.
    pub project: String,
    /// By whom, and since when.
    #[serde(flatten)]
    pub said: Attribution,
}

/// A time as text, for what may be absent.
pub fn moment(at: Option<Time>) -> Option<String> {
    at.map(|at| at.to_string())
}
