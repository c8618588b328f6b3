//! What Claude Code says on its output, a JSON text in each line; what means nothing here is not read.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

/// A line.
#[derive(Debug, Deserialize)]
#[serde(from = "RawLine")]
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
    /// A turn is over.
    Result(Box<ResultSaid>),
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
#[serde(default)]
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
#[serde(default)]
pub struct BlockSaid {
    /// `text`, `thinking`, `tool_use` and others.
    #[serde(rename = "type")]
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
#[serde(default)]
pub struct ToolResult {
    /// `tool_result`.
    #[serde(rename = "type")]
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
    pub permission_suggestions: Vec<Value>,
    /// The call.
    pub tool_use_id: String,
    /// The helper that asks.
    pub agent_id: Option<String>,
}

/// A turn is over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResultSaid {
    /// True when it has failed or was stopped.
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
}

/// What was used of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ModelUsage {
    /// Tokens read, without those of the cache.
    pub input_tokens: u64,
    /// Written, with what was thought.
    pub output_tokens: u64,
    /// Read from the cache.
    pub cache_read_input_tokens: u64,
    /// Written to it.
    pub cache_creation_input_tokens: u64,
    /// US dollars.
    #[serde(rename = "costUSD")]
    pub cost: f64,
    /// Tokens that its context holds.
    pub context_window: u64,
}

/// A line as it is written.
#[derive(Deserialize)]
struct RawLine {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    subtype: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    command_uuid: String,
    #[serde(default)]
    request_id: String,
    #[serde(default)]
    tool_result_meta: Vec<Decided>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

impl From<RawLine> for Line {
    fn from(mut raw: RawLine) -> Self {
        match (raw.kind.as_str(), raw.subtype.as_str()) {
            ("system", "session_state_changed") => match raw.state.as_str() {
                "running" => Self::State(SessionState::Running),
                "requires_action" => Self::State(SessionState::Waiting),
                "idle" => Self::State(SessionState::Idle),
                _ => Self::Other,
            },
            ("system", "api_retry") => Self::Retry(read(raw.rest)),
            ("system", "compact_boundary") => Self::Compacted,
            ("system", "task_started") => Self::TaskStarted(read(raw.rest)),
            ("system", "task_notification") => Self::TaskEnded(read(raw.rest)),
            ("command_lifecycle", _) => {
                let state = match raw.state.as_str() {
                    "queued" => Lifecycle::Queued,
                    "started" => Lifecycle::Started,
                    _ => Lifecycle::Over,
                };
                Self::Lifecycle { command: raw.command_uuid, state }
            }
            ("stream_event", _) => match raw.rest.remove("event") {
                // Those of a helper are told whole.
                Some(event) if raw.rest.get("parent_tool_use_id").is_none_or(Value::is_null) => {
                    Self::Stream { event: stream_event(&event) }
                }
                _ => Self::Other,
            },
            ("assistant", _) => Self::Assistant(Box::new(read(raw.rest))),
            ("user", _) => {
                let content = raw.rest.remove("message").map(|mut message| message["content"].take());
                let Some(Value::Array(blocks)) = content else { return Self::Other };
                let results = blocks.into_iter().filter_map(|block| serde_json::from_value(block).ok());
                let results = results.filter(|one: &ToolResult| one.kind == "tool_result").collect();
                let decided = raw.tool_result_meta.into_iter().map(|one| (one.id.clone(), one)).collect();
                Self::Results { results, decided }
            }
            ("control_request", _) => match raw.rest.remove("request").map(serde_json::from_value) {
                Some(Ok(asked)) => Self::Asks { request: raw.request_id, asked: Box::new(asked) },
                _ => Self::Other,
            },
            ("control_cancel_request", _) => Self::AskWithdrawn(raw.request_id),
            ("result", _) => Self::Result(Box::new(read(raw.rest))),
            _ => Self::Other,
        }
    }
}

/// What has another shape than it should have is not there.
fn read<T: serde::de::DeserializeOwned + Default>(rest: serde_json::Map<String, Value>) -> T {
    serde_json::from_value(Value::Object(rest)).unwrap_or_default()
}

fn stream_event(event: &Value) -> StreamEvent {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let usage = |value: &Value| UsageSaid::deserialize(value).unwrap_or_default();
    match event["type"].as_str().unwrap_or_default() {
        "message_start" => {
            let message = &event["message"];
            StreamEvent::Start {
                message: text(&message["id"]),
                model: text(&message["model"]),
                usage: usage(&message["usage"]),
            }
        }
        "content_block_delta" if event["delta"]["type"] == "text_delta" => StreamEvent::Words {
            index: event["index"].as_u64().unwrap_or_default(),
            text: text(&event["delta"]["text"]),
        },
        "message_delta" => StreamEvent::End {
            stop_reason: text(&event["delta"]["stop_reason"]),
            usage: usage(&event["usage"]),
        },
        _ => StreamEvent::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn lines_as_2_1_330_writes_them_are_read() {
        let asks = r#"{"type":"control_request","request_id":"r1","request":{"subtype":"can_use_tool",
            "tool_name":"Bash","input":{"command":"touch x"},"tool_use_id":"toolu_1","agent_id":"a1"}}"#;
        let Line::Asks { request, asked } = line(asks) else { panic!("{asks}") };
        assert_eq!((request.as_str(), asked.tool_name.as_str()), ("r1", "Bash"));
        assert_eq!(
            (asked.agent_id.as_deref(), asked.input["command"].as_str()),
            (Some("a1"), Some("touch x"))
        );
        let results = r#"{"type":"user","message":{"role":"user","content":[{"type":"tool_result",
            "content":"Exit code 3","is_error":true,"tool_use_id":"toolu_1"}]},
            "tool_result_meta":[{"id":"toolu_1","non_execution_kind":"user-rejected"}]}"#;
        let Line::Results { results, decided } = line(results) else { panic!("{results}") };
        assert_eq!((results[0].text().as_str(), results[0].is_error), ("Exit code 3", true));
        assert_eq!(decided["toolu_1"].non_execution_kind, "user-rejected");
        let result = r#"{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed",
            "model_usage_since_last_result":{"m":{"inputTokens":1000,"outputTokens":42,"costUSD":0.0049,
            "contextWindow":1000000}}}"#;
        let Line::Result(result) = line(result) else { panic!("{result}") };
        let usage = result.model_usage_since_last_result["m"];
        assert_eq!((usage.input_tokens, usage.cost, usage.context_window), (1000, 0.0049, 1_000_000));
    }

    #[test]
    fn what_a_newer_one_says_is_something_else_and_no_error() {
        for text in
            [r#"{"type":"system","subtype":"dances"}"#, r#"{"kind":1}"#, r#"{"type":"control_request"}"#]
        {
            assert!(matches!(line(text), Line::Other), "{text}");
        }
        let odd = r#"{"type":"result","is_error":"yes"}"#;
        assert!(matches!(line(odd), Line::Result(result) if !result.is_error), "{odd}");
    }
}
