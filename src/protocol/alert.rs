//! An alert: something that a person should see, with a life of its own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::who::Who;
use hal_base::clock::Time;

/// How much an alert matters; the words are those of the operations runbook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It can wait for a day.
    Low,
    /// Something is not as it should be, and goes on.
    #[default]
    Medium,
    /// Something is lost or about to be.
    High,
    /// Nothing works, or data is in danger.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// It holds, and nobody has acknowledged it.
    #[default]
    Firing,
    /// It holds, and somebody has acknowledged it.
    Acknowledged,
    /// It no longer holds; or it happened once, and somebody has acknowledged it.
    Resolved,
}

impl AlertState {
    /// Every state, in the order of an alert's life.
    pub const ALL: [Self; 3] = [Self::Firing, Self::Acknowledged, Self::Resolved];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The alert of an incident that people work on. No watch raises it, and none ends it.
pub const INCIDENT_OPEN: &str = "incident.open";

/// What people report of an incident: it is open, with its current status, or it is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertRequest {
    /// `incident.open`: the only alert that people raise.
    pub name: String,
    /// The incident's id, as `halctl incident` made it.
    pub about: String,
    /// How much it matters now.
    pub severity: Severity,
    /// One sentence: what it is, and its current status.
    pub text: String,
    /// True when it is over.
    #[serde(default)]
    pub resolved: bool,
}

/// An alert, as `halctl alerts` and the API show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// The alert's number, unique in this supervisor; `halctl alerts ack` takes it.
    pub id: u64,
    /// Of which kind, such as `node.offline`.
    pub name: String,
    /// What it is about: a node, a disk; empty: the supervisor itself.
    pub about: String,
    /// How much it matters.
    pub severity: Severity,
    /// Where it is in its life.
    pub status: AlertState,
    /// One sentence: what is wrong, and what to do.
    pub text: String,
    /// True: lasting, resolved by itself when the condition ends. False: one-off, resolved when somebody
    /// acknowledges it.
    pub lasting: bool,
    /// How often it was raised while it was open.
    pub count: u64,
    /// When it was first raised.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When it last changed.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Time,
    /// Who has acknowledged it: the name; empty: nobody.
    #[serde(default)]
    pub acknowledged_by: String,
    /// The same with all that is known of it; absent: nobody, or an earlier release has stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Who>,
    /// Of an incident: who has reported it last, opened or closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Who>,
}

/// Somebody who was told of an alert, or is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertTold {
    /// The channel; of a step all of its channels.
    pub channel: String,
    /// When; of what waits or was given up nobody knows.
    #[serde(default, with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The step of the escalation, counted from 1; absent: by a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Why it waits, was given up, or went up; empty: it was told at once.
    #[serde(default)]
    pub why: String,
}

/// Who is told next, unless somebody acknowledges the alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertNext {
    /// The step of the escalation, counted from 1.
    pub step: usize,
    /// When.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who.
    pub channels: Vec<String>,
}

/// An alert with who was told of it, and who is next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertView {
    /// The alert.
    #[serde(flatten)]
    pub alert: Alert,
    /// Who was told, or is to be, while it is open.
    #[serde(default)]
    pub told: Vec<AlertTold>,
    /// Who is next; absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AlertNext>,
}

impl Alert {
    /// True while it is not over.
    pub fn is_open(&self) -> bool {
        self.status != AlertState::Resolved
    }
}
