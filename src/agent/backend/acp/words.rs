//! What a program that speaks ACP says on its output, a JSON-RPC message in each line; what means nothing here is not read.

use serde::Deserialize;
use serde_json::Value;

use hal_protocol::event::part::{ToolKind, ToolState};
use hal_protocol::session::Todo;

/// A line.
#[derive(Debug, Deserialize)]
#[serde(from = "Value")]
pub enum Line {
    /// What was asked under this number is answered.
    Answered {
        /// The number.
        id: u64,
        /// What it gives, or why not.
        outcome: Result<Value, Refusal>,
    },
    /// Something of a session of this name.
    Update(String, Box<Update>),
    /// It asks a person whether it may.
    Asks(Box<Asked>),
    /// It asks something that cannot be read, or that nobody here can answer; why.
    AsksOther {
        /// The request, as JSON.
        id: Value,
        /// What is answered.
        why: String,
    },
    /// A request is not to be answered any more.
    AskWithdrawn(Value),
    /// Something that is needed, and has another shape than it should have; why.
    Unreadable(String),
    /// Something else.
    Other,
}

/// Why something that was asked is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// The code of JSON-RPC.
    pub code: i64,
    /// A sentence, with what belongs to it.
    pub message: String,
    /// The program's own word for it.
    pub word: String,
}

/// Something of a session.
#[derive(Debug)]
pub enum Update {
    /// Words of the model, and what a call of it has used where that is told with them.
    Words(String, Option<UsageSaid>),
    /// What it thinks.
    Thought(String),
    /// A tool, as far as it is told.
    Tool(Box<ToolSaid>),
    /// Its list of things to do.
    Plan(Vec<Todo>),
    /// How full the context is, how much it holds, and what the session has cost so far, in US dollars.
    Context(u64, Option<u64>, Option<f64>),
    /// The conversation was summarised.
    Compacted,
    /// The provider has refused, and it is tried again.
    Retry(String),
    /// The turn is going to fail, or has.
    Failing(String),
}

/// A tool, as far as it is told: what is `None` stays as it was.
#[derive(Clone, Debug, Default)]
pub struct ToolSaid {
    /// The call's name.
    pub call: String,
    /// What the program calls the tool.
    pub name: Option<String>,
    /// What it does, in a line.
    pub title: Option<String>,
    /// What kind it is.
    pub kind: Option<ToolKind>,
    /// How far it is.
    pub state: Option<ToolState>,
    /// What it was given.
    pub input: Option<Value>,
    /// What it gave.
    pub output: Option<String>,
    /// Files that it changes, each with how.
    pub diffs: Vec<(String, String)>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSaid {
    /// Tokens read; whether those of the cache are included is each program's own.
    pub input: u64,
    /// Read from the cache.
    pub cached: u64,
    /// Written to it.
    pub written: u64,
    /// Written; whether what was thought is included is each program's own.
    pub output: u64,
    /// Thought.
    pub thought: u64,
    /// All of them.
    pub total: u64,
}

/// It asks whether it may.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request, as JSON: a number that is used again after a restart.
    pub id: Value,
    /// The call of a tool that asks.
    pub tool: ToolSaid,
    /// What may be answered: its name, and its kind.
    pub options: Vec<(String, String)>,
}
