//! Names of things, for whoever types only their beginning.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Characters of what is said of a name.
const MOST_ABOUT: usize = 80;

/// Kinds of things that have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// Conversations.
    Session,
    /// Machines.
    Node,
    /// Folders.
    Project,
    /// What was asked of nodes.
    Command,
    /// Permissions and questions.
    Approval,
    /// Alerts.
    Alert,
    /// Silences of alerts.
    Silence,
    /// Spending limits.
    Budget,
    /// Notification channels.
    Channel,
}

impl NameKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Session,
        Self::Node,
        Self::Project,
        Self::Command,
        Self::Approval,
        Self::Alert,
        Self::Silence,
        Self::Budget,
        Self::Channel,
    ];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Node => "node",
            Self::Project => "project",
            Self::Command => "command",
            Self::Approval => "approval",
            Self::Alert => "alert",
            Self::Silence => "silence",
            Self::Budget => "budget",
            Self::Channel => "channel",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A name and what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Named {
    /// The name, as commands take it.
    pub name: String,
    /// What it is about, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

impl Named {
    /// This name, about this.
    pub fn new(name: impl ToString, about: impl ToString) -> Self {
        let about = about.to_string().lines().next().unwrap_or_default().to_owned();
        let about = about.chars().take(MOST_ABOUT).collect();
        Self { name: name.to_string(), about }
    }
}
