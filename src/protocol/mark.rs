//! What people have said about a session, beside what it does itself: paused, put away, labelled; and what it goes on
//! from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;

/// Who said so, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Said)]
pub struct Attribution {
    /// Name of the person or policy.
    pub by: String,
    /// When it was said (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// The marks of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Marks {
    /// No policy touches it until a person goes on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Attribution>,
    /// It is left out of lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<Attribution>,
    /// Everything, or its project, is halted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halted: Option<Attribution>,
    /// Words by which policies choose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The session whose work it goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    /// The session that goes on with its work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continued_by: Option<String>,
}

impl Marks {
    /// True when nothing is marked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
