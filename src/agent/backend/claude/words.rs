//! What Claude Code says on its output, a JSON text in each line; what means nothing here is not read.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A line.
#[derive(Debug, Deserialize)]
#[serde(from = "Value")]
pub enum Line {
    /// It runs, waits for somebody, or has nothing more to do.
    State(SessionState),
    /// What became of something that was said to it under this name.
    Lifecycle {
        /// The name.
        command: String,
        /// Which.
        state: Lifecycle,
    },
    /// The provider has refused, and it will try again.
    Retry(RetrySaid),
    /// The conversation was summarised.
    Compacted,
    /// A helper was started.
    TaskStarted(TaskSaid),
    /// A helper is at its end.
    TaskEnded(TaskSaid),
    /// A piece of an answer as it is streamed.
    Stream {
        /// What has come.
        event: StreamEvent,
    },
    /// A block of an answer.
    Assistant(Box<AssistantSaid>),
    /// What tools gave.
    Results {
        /// Each of them.
        results: Vec<ToolResult>,
        /// What was decided about each, by the call's name.
        decided: HashMap<String, Decided>,
    },
    /// It asks whether it may, or something else.
    Asks {
        /// The request's name.
        request: String,
        /// What it asks.
        asked: Box<CanUseTool>,
    },
    /// It does not want to know any more.
    AskWithdrawn(String),
    /// It asks something that cannot be read, or that nobody here can answer; why.
    AsksOther {
        /// The request's name.
        request: String,
        /// What is answered.
        why: String,
    },
    /// A turn is over.
    Result(Box<ResultSaid>),
    /// Something that is needed, and has another shape than it should have; why.
    Unreadable(String),
    /// Something else.
    Other,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// A turn runs.
    Running,
    /// It waits for an answer.
    Waiting,
    /// Nothing runs, and nothing waits to be run.
    Idle,
}

/// What becomes of something that was said to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It was taken.
    Queued,
    /// It is worked on.
    Started,
    /// That is over.
    Over,
}

/// The provider has refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RetrySaid {
    /// Which attempt it will be.
    pub attempt: u32,
    /// When, in milliseconds from now.
    pub retry_delay_ms: f64,
    /// The HTTP status.
    pub error_status: Option<u64>,
    /// A word for it.
    pub error: String,
}

/// A helper.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TaskSaid {
    /// Its name.
    pub task_id: String,
    /// The call that started it.
    pub tool_use_id: String,
    /// `local_agent` where it is a helper.
    pub task_type: String,
    /// What it is for.
    pub description: String,
    /// What it was told.
    pub prompt: String,
    /// How it ended.
    pub status: String,
    /// What it came to.
    pub summary: String,
}

/// A piece of an answer.
#[derive(Debug, Default)]
pub enum StreamEvent {
    /// An answer begins.
    Start {
        /// Its name.
        message: String,
        /// Who answers.
        model: String,
        /// What was read for it.
        usage: UsageSaid,
    },
    /// Words of its block of this number.
    Words {
        /// The number.
        index: u64,
        /// The words.
        text: String,
    },
    /// It is complete.
    End {
        /// Why.
        stop_reason: String,
        /// What it used.
        usage: UsageSaid,
    },
    /// Something else.
    #[default]
    Other,
}

/// What a call of a model used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub struct UsageSaid {
    /// Tokens read, without those of the cache.
    pub input_tokens: u64,
    /// Written, with what was thought.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_input_tokens: u64,
    /// Written to it.
    pub cache_creation_input_tokens: u64,
}

/// A block of an answer, or why there is none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AssistantSaid {
    /// The answer.
    pub message: AnswerSaid,
    /// The call that started the helper whose answer it is.
    pub parent_tool_use_id: Option<String>,
    /// A word for what went wrong.
    pub error: Option<String>,
    /// What the provider said with it.
    pub api_error_status: Option<u64>,
    /// True when the answer was cut off.
    pub aborted: bool,
}

/// An answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AnswerSaid {
    /// Its name.
    pub id: String,
    /// Who answers.
    pub model: String,
    /// Its blocks in this line.
    pub content: Vec<BlockSaid>,
    /// What it has used so far.
    pub usage: UsageSaid,
}

/// A block.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub struct BlockSaid {
    /// `text`, `thinking`, `tool_use` and others.
    pub kind: String,
    /// Words.
    pub text: String,
    /// Thoughts.
    pub thinking: String,
    /// The call's name.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it is given.
    pub input: Value,
}

/// What a tool gave.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub struct ToolResult {
    /// `tool_result`.
    pub kind: String,
    /// The call.
    pub tool_use_id: String,
    /// What it gave: words, or blocks with words.
    pub content: Value,
    /// True when it came to nothing, or a command ended badly.
    pub is_error: bool,
}

impl ToolResult {
    /// The words of it.
    pub fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(blocks) => {
                let texts = blocks.iter().filter_map(|block| block["text"].as_str());
                texts.collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }
}

/// What was decided about a call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Decided {
    /// The call.
    pub id: String,
    /// Why it was not carried out.
    pub non_execution_kind: String,
}

/// It asks whether it may use a tool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CanUseTool {
    /// `can_use_tool`.
    pub subtype: String,
    /// The tool.
    pub tool_name: String,
    /// What it would be given.
    pub input: Value,
    /// What an answer for good would set.
    #[serde(deserialize_with = "or_none")]
    pub permission_suggestions: Vec<Value>,
    /// The call.
    pub tool_use_id: String,
    /// The helper that asks.
    pub agent_id: Option<String>,
}

/// A turn is over. It is read field by field: whatever is odd in it, the turn is over.
#[derive(Debug, Default)]
pub struct ResultSaid {
    /// True when it has failed or was stopped, and when that cannot be read.
    pub is_error: bool,
    /// Why it is over.
    pub terminal_reason: String,
    /// What the provider said.
    pub api_error_status: Option<u64>,
    /// Its last words, or what went wrong.
    pub result: String,
    /// What went wrong.
    pub errors: Vec<String>,
    /// What was used since the last such line, by model.
    pub model_usage_since_last_result: HashMap<String, ModelUsage>,
    /// Turns that wait.
    pub queued_turn_count: u64,
    /// Which of these have another shape than they should have.
    pub odd: Vec<String>,
}

/// What was used of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelUsage {
    /// Tokens.
    pub usage: UsageSaid,
    /// US dollars; `None`: that is not known.
    pub cost: Option<f64>,
    /// Tokens that its context holds.
    pub context_window: u64,
}

/// For what is of use only where it can be read.
fn or_none<'d, D: Deserializer<'d>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).unwrap_or_default())
}
