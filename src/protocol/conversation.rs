//! A session's conversation as a page of the dashboard shows it: entries, each the sum of the events that told it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::Tokens;
use hal_base::clock::Time;

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Words of a message.
    Text,
    /// What the model thought.
    Thought,
    /// A call of a tool.
    Tool,
    /// Files that were changed, or given along.
    Files,
    /// A permission or a question that waits, or waited, for a person.
    Asked,
    /// What was answered.
    Answered,
    /// The turn failed, or was aborted.
    Failed,
    /// The provider refused; the coding agent tries again.
    Retry,
    /// What an answer of the model has used.
    Usage,
    /// Events may be missing here.
    Gap,
    /// Something else that is worth a line.
    #[default]
    Note,
}

/// One entry of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Its identity: what is told again under it takes the place of what was told before.
    pub id: String,
    /// The event that told it last.
    pub seq: u64,
    /// The first event of this page that told it: its place. 0: it is happening, and nothing of it is stored yet.
    pub place: u64,
    /// When it began (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What it is.
    pub kind: EntryKind,
    /// The message it belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message_id: String,
    /// What is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Characters of it that are left out here; its events have them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u64,
    /// True while more may come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_growing: bool,
    /// The call, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolCard>,
    /// The use, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<MessageUsage>,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToolCard {
    /// What the coding agent calls it.
    pub name: String,
    /// `pending`, `running`, `completed` or `error`; empty: nobody knows.
    pub state: String,
    /// What it does, in a line.
    pub title: String,
    /// What it was given; JSON where it was more than a command.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// What it gave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Why it came to nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// How the command ended, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i64>,
}

/// What an answer of the model has used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MessageUsage {
    /// `provider/model`.
    pub model: String,
    /// Tokens by kind.
    pub tokens: Tokens,
    /// US dollars; absent: unknown.
    pub cost: Option<f64>,
    /// From its beginning to its end; absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// A page of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConversationPage {
    /// What was said and done, in order.
    pub entries: Vec<Entry>,
    /// Who says each message that was told of: `user` or `assistant`.
    pub roles: BTreeMap<String, String>,
    /// The first event that was looked at: ask for what was `before` it. 0: none was.
    pub first: u64,
    /// The last one: ask for what comes `after` it.
    pub last: u64,
    /// True when there is more in the direction that was asked for.
    pub more: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
