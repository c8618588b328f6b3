//! A session: one conversation of a coding agent in one project directory of one node.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mark::Marks;
use super::node::{NodeId, ProjectName};
use hal_base::clock::Time;
use hal_base::text_id;

text_id! {
    /// The name of a session, as its backend calls it. Where two nodes hold the same name (a copied machine),
    /// the later one is shown as `NAME@NODE`.
    SessionId
}

/// What a session is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A turn is running.
    Running,
    /// The last turn ended well, or there was none yet.
    #[default]
    Idle,
    /// A turn waits for a person: see `asks`, and `helper_asks` where one of its helpers asks.
    Waiting,
    /// The provider refused and the backend will try again: see `retry`.
    Retrying,
    /// The last turn failed: see `error`.
    Error,
    /// Its node is not connected; `last_known` says what it was.
    Unreachable,
    /// It was killed or deleted.
    Ended,
}

impl Status {
    /// All of them, for help texts and checks.
    pub const ALL: [Status; 7] = [
        Self::Running,
        Self::Idle,
        Self::Waiting,
        Self::Retrying,
        Self::Error,
        Self::Unreachable,
        Self::Ended,
    ];

    /// The word used everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Error => "error",
            Self::Unreachable => "unreachable",
            Self::Ended => "ended",
        }
    }

    /// Reads the word; `None` when it is not one of ours.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// Tokens by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Tokens {
    /// Read by the model, without what came from a cache.
    pub input: u64,
    /// Written by the model, without its reasoning.
    pub output: u64,
    /// Spent on reasoning.
    pub reasoning: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Written to the provider's cache.
    pub cache_write: u64,
}

impl Tokens {
    /// All kinds together. Sums that would overflow stay at the largest number: a backend can say anything.
    pub fn total(&self) -> u64 {
        let kinds = [self.input, self.output, self.reasoning, self.cache_read, self.cache_write];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    /// This and another, kind by kind.
    pub fn plus(&self, other: &Tokens) -> Tokens {
        Tokens {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
        }
    }
}

/// The model that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Model {
    /// Who serves it, for example `anthropic`.
    pub provider: String,
    /// What it is called there.
    pub id: String,
}

/// How full the model's context is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Context {
    /// Tokens in it after the last answer.
    pub used: u64,
    /// Tokens it can hold; absent when the backend does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// One line of the session's own list of things to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Todo {
    /// What is to be done.
    pub content: String,
    /// `pending`, `in_progress`, `completed` or `cancelled`, as the backend says it.
    #[serde(default)]
    pub status: String,
}

/// What kind of answer a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AskKind {
    /// May it do this?
    Permission,
    /// Which of these, or what?
    Question,
}

/// Something a session waits for a person to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ask {
    /// The backend's name of the request.
    pub id: String,
    /// A permission or a question.
    pub kind: AskKind,
    /// What is asked, in one line: the command, the file, the question.
    pub what: String,
    /// The tool or permission concerned, for example `bash`.
    #[serde(default)]
    pub about: String,
    /// Since when it waits or has this status (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
}

/// Something that a helper of a session, or a helper's helper, waits for a person to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HelperAsk {
    /// The helper.
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// What it waits for.
    #[serde(flatten)]
    pub ask: Ask,
}

/// The next attempt after a provider refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retry {
    /// Which attempt it will be.
    pub attempt: u32,
    /// What the provider said.
    pub message: String,
    /// When it will be made.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub next: Time,
}

/// What a session's turn is doing, before the questions it may be waiting for are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// No turn runs.
    #[default]
    Idle,
    /// A turn runs.
    Busy,
    /// A turn waits for the provider.
    Retry(Retry),
    /// Nothing runs and nothing is meant to: killed or deleted. The word says which.
    Ended(String),
}

impl Activity {
    /// True while a turn runs.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Busy | Self::Retry(_))
    }
}

/// All that is known of a session: the sum of its events. `rules::session` is the only place that changes one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The session's id, as its backend names it, or `ID@NODE` where that is taken.
    pub id: SessionId,
    /// Where it runs.
    pub node_id: NodeId,
    /// The project it works in; the directory's path when no project has that directory.
    pub project: ProjectName,
    /// The directory it works in.
    #[serde(default)]
    pub directory: String,
    /// Which backend runs it.
    #[serde(default)]
    pub backend: String,
    /// The session that started it as a helper.
    #[serde(default)]
    pub parent_id: Option<SessionId>,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// What its turn does.
    #[serde(default)]
    pub activity: Activity,
    /// Since when `activity` is what it is.
    #[serde(default)]
    pub since: Time,
    /// What it waits for, oldest first.
    #[serde(default)]
    pub asks: Vec<Ask>,
    /// Why the last turn failed; cleared when the next one begins.
    #[serde(default)]
    pub error: Option<String>,
    /// The model of the last answer.
    #[serde(default)]
    pub model: Option<Model>,
    /// Its own tokens, without those of its helpers.
    #[serde(default)]
    pub tokens: Tokens,
    /// Its own cost in millionths of a US dollar, without its helpers'. Absent: unknown, which is never zero.
    #[serde(default)]
    pub cost_micros: Option<u64>,
    /// How full the context is.
    #[serde(default)]
    pub context: Option<Context>,
    /// How often the conversation was compacted.
    #[serde(default)]
    pub compactions: u32,
    /// Its list of things to do.
    #[serde(default)]
    pub todo: Vec<Todo>,
    /// Its durable events so far.
    #[serde(default)]
    pub events: u64,
    /// When it began.
    #[serde(default)]
    pub started_at: Time,
    /// When its last event came.
    #[serde(default)]
    pub active_at: Time,
}

impl Session {
    /// True until it is killed or deleted.
    pub fn is_open(&self) -> bool {
        !matches!(self.activity, Activity::Ended(_))
    }

    /// A session about which nothing is known yet but its place.
    pub fn new(id: SessionId, node_id: NodeId, project: ProjectName, at: Time) -> Self {
        Self {
            id,
            node_id,
            project,
            directory: String::new(),
            backend: String::new(),
            parent_id: None,
            title: String::new(),
            activity: Activity::Idle,
            since: at,
            asks: Vec::new(),
            error: None,
            model: None,
            tokens: Tokens::default(),
            cost_micros: None,
            context: None,
            compactions: 0,
            todo: Vec::new(),
            events: 0,
            started_at: at,
            active_at: at,
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A session as `halctl sessions` and the API show it: with its node's state and its helpers' costs counted in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// The session's id, as its backend names it, or `ID@NODE` where that is taken.
    #[schema(value_type = String)]
    pub id: SessionId,
    /// Where it runs.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// The project it works in.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// What it is doing.
    pub status: Status,
    /// What it was doing when its node was last connected; only with `unreachable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known: Option<Status>,
    /// Since when it waits or has this status (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// All its tokens, its helpers' included.
    pub tokens: u64,
    /// Its cost in US dollars, its helpers' included. Absent: unknown.
    pub cost: Option<f64>,
    /// The same in millionths of a dollar, exactly.
    pub cost_micros: Option<u64>,
    /// Its own cost in millionths of a dollar, without its helpers'. Summing this over sessions counts nothing twice.
    pub own_cost_micros: Option<u64>,
    /// Its own calls of a model of which nothing was reported: they are in no sum. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreported_calls: u64,
    /// Its own tokens without a known price: they are in no sum of money. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced_tokens: u64,
    /// What its backend says it had cost before this supervisor first heard of it, or before it was forked from
    /// another: in no budget and in no day. Only where one session is asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cost_before_micros: u64,
    /// Tokens by kind, its helpers' included.
    pub token_kinds: Tokens,
    /// When it began.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When its last event came.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub active_at: Time,
    /// Its title.
    pub title: String,
    /// The directory it works in.
    pub directory: String,
    /// Which backend runs it.
    pub backend: String,
    /// The session that started it as a helper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent_id: Option<SessionId>,
    /// The model of the last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// How full the context is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// How often the conversation was compacted.
    pub compactions: u32,
    /// What it waits for, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<Ask>,
    /// What its helpers wait for, oldest first: its turn waits with them. An answer to it is an answer to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub helper_asks: Vec<HelperAsk>,
    /// The next attempt; only with `retrying`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Why the last turn failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its list of things to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub todo: Vec<Todo>,
    /// Its durable events so far.
    pub events: u64,
    /// What people have said about it.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
}
