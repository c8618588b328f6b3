//! Reads what Claude Code says: what is odd is named, and never taken for what is not there.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::words::{
    BlockSaid, Decided, Lifecycle, Line, ModelUsage, ResultSaid, SessionState, StreamEvent, ToolResult,
    UsageSaid,
};
use crate::backend::piped::process::{Heard, Spoken};

/// More than a turn can cost: a sum beyond it is a mistake.
const MOST_DOLLARS: f64 = 1e5;

impl Spoken for Line {
    fn heard(self) -> Option<Heard<Self>> {
        match self {
            Self::Other => None,
            Self::Unreadable(why) => Some(Heard::Garbage(why)),
            line => Some(Heard::Line(line)),
        }
    }
}

impl From<Value> for Line {
    fn from(line: Value) -> Self {
        let Value::Object(mut line) = line else { return Self::Other };
        let text = |key: &str| text_of(line.get(key).unwrap_or(&Value::Null));
        let (kind, subtype, state) = (text("type"), text("subtype"), text("state"));
        match (kind.as_str(), subtype.as_str()) {
            ("system", "session_state_changed") => match state.as_str() {
                "running" => Self::State(SessionState::Running),
                "requires_action" => Self::State(SessionState::Waiting),
                "idle" => Self::State(SessionState::Idle),
                _ => Self::Other,
            },
            // That it is tried again is worth more than when.
            ("system", "api_retry") => Self::Retry(read(line, &kind).unwrap_or_default()),
            ("system", "compact_boundary") => Self::Compacted,
            ("system", "task_started") => {
                read(line, &subtype).map_or_else(Self::Unreadable, Self::TaskStarted)
            }
            ("system", "task_notification") => {
                read(line, &subtype).map_or_else(Self::Unreadable, Self::TaskEnded)
            }
            ("command_lifecycle", _) => {
                let state = match state.as_str() {
                    "queued" => Lifecycle::Queued,
                    "started" => Lifecycle::Started,
                    _ => Lifecycle::Over,
                };
                Self::Lifecycle { command: text("command_uuid"), state }
            }
            ("stream_event", _) => match line.remove("event") {
                // Those of a helper are told whole.
                Some(event) if line.get("parent_tool_use_id").is_none_or(Value::is_null) => {
                    Self::Stream { event: stream_event(&event) }
                }
                _ => Self::Other,
            },
            ("assistant", _) => {
                read(line, &kind).map_or_else(Self::Unreadable, |said| Self::Assistant(Box::new(said)))
            }
            ("user", _) => results(line),
            ("control_request", _) => asks(line),
            ("control_cancel_request", _) => Self::AskWithdrawn(text("request_id")),
            ("result", _) => Self::Result(Box::new(ResultSaid::of(line, &subtype))),
            _ => Self::Other,
        }
    }
}

fn results(mut line: Map<String, Value>) -> Line {
    let content = line.remove("message").and_then(|mut message| message.get_mut("content").map(Value::take));
    let Some(Value::Array(blocks)) = content else { return Line::Other };
    let results = blocks.into_iter().map(ToolResult::from).filter(|one| one.kind == "tool_result").collect();
    let decided = match line.remove("tool_result_meta") {
        Some(Value::Array(decided)) => decided,
        _ => Vec::new(),
    };
    let decided = decided.into_iter().filter_map(|one| serde_json::from_value(one).ok());
    let decided = decided.map(|one: Decided| (one.id.clone(), one)).collect();
    Line::Results { results, decided }
}

/// One that cannot be read is answered all the same: who has asked waits for that.
fn asks(mut line: Map<String, Value>) -> Line {
    let request = text_of(&line.remove("request_id").unwrap_or_default());
    if request.is_empty() {
        return Line::Unreadable("a line \"control_request\" without a name".to_owned());
    }
    let Some(Value::Object(asked)) = line.remove("request") else {
        let why = "hal-agent cannot read a line \"control_request\" without a request".to_owned();
        return Line::AsksOther { request, why };
    };
    if asked.get("subtype").and_then(Value::as_str) != Some("can_use_tool") {
        let why = format!("{} is not supported by hal-agent", asked.get("subtype").unwrap_or(&Value::Null));
        return Line::AsksOther { request, why };
    }
    match read(asked, "control_request") {
        Ok(asked) => Line::Asks { request, asked: Box::new(asked) },
        Err(why) => Line::AsksOther { request, why: format!("hal-agent cannot read {why}") },
    }
}

/// What has another shape than it should have is not what is not there.
fn read<T: DeserializeOwned>(fields: Map<String, Value>, kind: &str) -> Result<T, String> {
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| format!("a line {kind:?} of another shape ({error})"))
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What is no number of tokens counts none.
fn count_of(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

impl From<Value> for UsageSaid {
    fn from(said: Value) -> Self {
        Self {
            input_tokens: count_of(&said["input_tokens"]),
            output_tokens: count_of(&said["output_tokens"]),
            cache_read_input_tokens: count_of(&said["cache_read_input_tokens"]),
            cache_creation_input_tokens: count_of(&said["cache_creation_input_tokens"]),
        }
    }
}

impl From<Value> for BlockSaid {
    fn from(mut said: Value) -> Self {
        Self {
            kind: text_of(&said["type"]),
            text: text_of(&said["text"]),
            thinking: text_of(&said["thinking"]),
            id: text_of(&said["id"]),
            name: text_of(&said["name"]),
            input: said.get_mut("input").map(Value::take).unwrap_or_default(),
        }
    }
}

impl From<Value> for ToolResult {
    fn from(mut said: Value) -> Self {
        Self {
            kind: text_of(&said["type"]),
            tool_use_id: text_of(&said["tool_use_id"]),
            is_error: !matches!(said["is_error"], Value::Null | Value::Bool(false)),
            content: said.get_mut("content").map(Value::take).unwrap_or_default(),
        }
    }
}

impl ResultSaid {
    fn of(mut line: Map<String, Value>, subtype: &str) -> Self {
        let mut odd = Vec::new();
        let is_error = match line.remove("is_error") {
            Some(Value::Bool(is_error)) => is_error,
            // An older one says it by the other word only.
            None => subtype.starts_with("error"),
            Some(_) => {
                odd.push("is_error".to_owned());
                true
            }
        };
        Self {
            is_error,
            terminal_reason: field(&mut line, "terminal_reason", &mut odd),
            api_error_status: field(&mut line, "api_error_status", &mut odd),
            result: field(&mut line, "result", &mut odd),
            errors: field(&mut line, "errors", &mut odd),
            model_usage_since_last_result: usage_by_model(&mut line, &mut odd),
            queued_turn_count: field(&mut line, "queued_turn_count", &mut odd),
            odd,
        }
    }
}

/// A field; one that is odd is noted.
fn field<T: DeserializeOwned + Default>(
    line: &mut Map<String, Value>,
    key: &str,
    odd: &mut Vec<String>,
) -> T {
    let Some(value) = line.remove(key).filter(|value| !value.is_null()) else { return T::default() };
    serde_json::from_value(value).unwrap_or_else(|_| {
        odd.push(key.to_owned());
        T::default()
    })
}

fn usage_by_model(line: &mut Map<String, Value>, odd: &mut Vec<String>) -> HashMap<String, ModelUsage> {
    let by_model: Map<String, Value> = field(line, "model_usage_since_last_result", odd);
    let mut out = HashMap::new();
    for (model, said) in by_model {
        let mut count = |key: &str| match &said[key] {
            Value::Null => 0,
            value => value.as_u64().unwrap_or_else(|| {
                odd.push(format!("{key} of {model}"));
                0
            }),
        };
        let usage = ModelUsage {
            usage: UsageSaid {
                input_tokens: count("inputTokens"),
                output_tokens: count("outputTokens"),
                cache_read_input_tokens: count("cacheReadInputTokens"),
                cache_creation_input_tokens: count("cacheCreationInputTokens"),
            },
            cost: said["costUSD"].as_f64().filter(|cost| is_price(*cost)),
            context_window: count("contextWindow"),
        };
        if usage.cost.is_none() {
            odd.push(format!("costUSD of {model}"));
        }
        out.insert(model, usage);
    }
    out
}

/// False for what no turn costs.
fn is_price(dollars: f64) -> bool {
    (0.0..=MOST_DOLLARS).contains(&dollars)
}

fn stream_event(event: &Value) -> StreamEvent {
    let text = text_of;
    let usage = |value: &Value| UsageSaid::from(value.clone());
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
        assert_eq!(
            (usage.usage.input_tokens, usage.cost, usage.context_window),
            (1000, Some(0.0049), 1_000_000)
        );
    }

    #[test]
    fn what_a_newer_one_says_is_something_else_and_no_error() {
        for text in [r#"{"type":"system","subtype":"dances"}"#, r#"{"kind":1}"#, r#"{"type":7}"#, "[1]"] {
            assert!(matches!(line(text), Line::Other), "{text}");
        }
        let odd = r#"{"type":"assistant","subtype":null,"message":{"id":"m","content":[{"type":"image","id":7},
            {"type":"text","text":"hello"}],"usage":{"input_tokens":"many","output_tokens":3}}}"#;
        let Line::Assistant(said) = line(odd) else { panic!("{odd}") };
        assert_eq!((said.message.content[1].text.as_str(), said.message.usage.output_tokens), ("hello", 3));
    }

    #[test]
    fn an_odd_end_of_a_turn_is_an_end_and_never_a_success() {
        for is_error in [r#""yes""#, "null", "1", "true"] {
            let odd = format!(
                r#"{{"type":"result","subtype":"success","is_error":{is_error},"errors":"no list"}}"#
            );
            let Line::Result(said) = line(&odd) else { panic!("{odd}") };
            assert!(said.is_error && said.odd.contains(&"errors".to_owned()), "{odd}: {:?}", said.odd);
        }
        let odd = r#"{"type":"result","is_error":false,"result":["x"],"model_usage_since_last_result":{"m":
            {"inputTokens":"9","outputTokens":42,"costUSD":0.5},"n":{"outputTokens":1,"costUSD":1e300}}}"#;
        let Line::Result(said) = line(odd) else { panic!("{odd}") };
        let usage = &said.model_usage_since_last_result;
        assert_eq!((usage["m"].usage.output_tokens, usage["m"].cost, usage["n"].cost), (42, Some(0.5), None));
        assert_eq!(
            (said.is_error, said.odd),
            (false, ["result", "inputTokens of m", "costUSD of n"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn what_is_needed_and_cannot_be_read_is_named_and_who_asks_is_answered() {
        let told = |text: &str| match line(text) {
            Line::Unreadable(why) => why,
            Line::AsksOther { request, why } => format!("{request}: {why}"),
            other => panic!("{text}: {other:?}"),
        };
        let odd = told(r#"{"type":"assistant","message":{"id":7}}"#);
        assert!(odd.starts_with(r#"a line "assistant" of another shape"#), "{odd}");
        assert!(told(r#"{"type":"control_request"}"#).contains("without a name"));
        assert!(told(r#"{"type":"control_request","request_id":"r"}"#).contains("without a request"));
        let asks = r#"{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":3}}"#;
        assert!(told(asks).starts_with(r#"r: hal-agent cannot read a line "control_request""#));
        let other = r#"{"type":"control_request","request_id":"r","request":{"subtype":"hook_callback"}}"#;
        assert_eq!(told(other), r#"r: "hook_callback" is not supported by hal-agent"#);
    }
}
