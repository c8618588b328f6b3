//! What Codex says on its output, a JSON text in each line; what means nothing here is not read.

use serde::Deserialize;
use serde_json::Value;

use hal_protocol::approval::Question;
use hal_protocol::event::part::ToolUse;

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
    /// Something of a thread.
    Told {
        /// Its name.
        thread: String,
        /// What.
        told: Told,
    },
    /// It asks a person.
    Asks(Box<Asked>),
    /// It asks something that cannot be read, or that nobody here can answer; why.
    AsksOther {
        /// The request, as JSON.
        id: Value,
        /// What is answered.
        why: String,
    },
    /// A request is over, whoever has answered it.
    AskResolved(Value),
    /// Something that is needed, and has another shape than it should have; why.
    Unreadable(String),
    /// Something else.
    Other,
}

/// Why something that was asked is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// A sentence.
    pub message: String,
}

/// Something of a thread.
#[derive(Debug)]
pub enum Told {
    /// A turn runs.
    TurnStarted(String),
    /// It is over.
    TurnOver(Box<TurnSaid>),
    /// The thread has nothing to do any more, or is closed.
    Rests,
    /// A piece of it begins.
    Begun {
        /// The turn.
        turn: String,
        /// The piece.
        item: Item,
    },
    /// A piece of it is complete.
    Done {
        /// The turn.
        turn: String,
        /// The piece.
        item: Item,
    },
    /// Words of a piece as they are written.
    Words {
        /// The piece.
        item: String,
        /// The words.
        text: String,
    },
    /// What was used.
    Usage {
        /// The turn.
        turn: String,
        /// By the thread, ever.
        sum: UsageSaid,
        /// By the newest call.
        last: UsageSaid,
        /// Tokens that the model's context holds.
        window: Option<u64>,
    },
    /// The provider has refused, and it will try again.
    Retry(FailureSaid),
    /// Another model answers.
    Rerouted(String),
}

/// A turn that is over.
#[derive(Debug, Default)]
pub struct TurnSaid {
    /// The turn's name.
    pub turn: String,
    /// How it ended.
    pub end: TurnEnd,
    /// Why it failed.
    pub failure: Option<FailureSaid>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TurnEnd {
    /// It is done.
    Completed,
    /// It was stopped.
    Interrupted,
    /// It has failed, or that cannot be read.
    #[default]
    Failed,
}

/// Why something failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureSaid {
    /// The word for it.
    pub word: String,
    /// The provider's HTTP status.
    pub status: Option<u64>,
    /// A sentence.
    pub message: String,
    /// More of it.
    pub details: String,
}

/// A piece of a turn.
#[derive(Debug)]
pub enum Item {
    /// Somebody has said something.
    User {
        /// Its name.
        id: String,
        /// The name that it was said under; empty: none.
        client: String,
        /// The words.
        text: String,
    },
    /// Words of the model.
    Text {
        /// Its name.
        id: String,
        /// The words.
        text: String,
    },
    /// What it thought.
    Thought {
        /// Its name.
        id: String,
        /// The words.
        text: String,
    },
    /// A tool.
    Tool {
        /// As it stands.
        told: Box<ToolUse>,
        /// The files that it changes.
        files: Vec<String>,
        /// True when a person, or a rule, has said no to it.
        is_declined: bool,
    },
    /// The conversation is summarised.
    Compaction,
    /// Something else.
    Other,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageSaid {
    /// Tokens read, those of the cache and those written to it included.
    pub input: u64,
    /// Read from the cache.
    pub cached: u64,
    /// Written to it.
    pub written: u64,
    /// Written, with what was thought.
    pub output: u64,
    /// Thought.
    pub reasoning: u64,
    /// All of them, which is not always so: see `usage`.
    pub total: u64,
}

/// It asks a person.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request, as JSON: a number that is used again after a restart.
    pub id: Value,
    /// The name that it has here.
    pub name: String,
    /// The piece of the turn that asks.
    pub item: String,
    /// Whether what is answered is nobody's business.
    pub is_secret: bool,
    /// What it asks.
    pub what: AskedWhat,
}

/// What it asks.
#[derive(Clone, Debug)]
pub enum AskedWhat {
    /// Whether it may run this, or reach that.
    Command(String),
    /// Whether it may change the files of the piece that asks.
    Files,
    /// Whether it may do more than its sandbox allows: what, as JSON, and why.
    Permissions(Value, String),
    /// Something else: each with its name.
    Questions(Vec<(String, Question)>),
}
