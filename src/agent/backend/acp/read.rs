//! Reads what a program that speaks ACP says: what is odd is named, and never taken for what is not there.

use serde_json::{Map, Value};

use super::usage;
use super::words::{Asked, Line, Refusal, ToolSaid, Update};
use crate::backend::piped::process::{Heard, Spoken};
use hal_protocol::event::part::{ToolKind, ToolState};
use hal_protocol::session::Todo;

/// Where two of the programs tell failures that ACP has no word for, when they are told that somebody reads them.
const FAILURE: &str = "/_meta/jetbrains/air/sessionFailure";

/// Characters of a method's name that are repeated.
const METHOD_SHOWN: usize = 80;

/// Bytes of what a tool gave that are kept.
const MOST_OUTPUT: usize = 256 * 1024;

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
        let Value::Object(mut line) = line else {
            return Self::Unreadable("a line that is no object".to_owned());
        };
        let mut params = line.remove("params").unwrap_or_default();
        let id = line.remove("id").filter(|id| !id.is_null());
        match (line.get("method").and_then(Value::as_str), id) {
            (Some(method), Some(id)) => asks(method, id, &params),
            (Some("session/update"), None) => match update(&mut params["update"]) {
                Some(told) => Self::Update(text_of(&params["sessionId"]), Box::new(told)),
                None => Self::Other,
            },
            (Some("$/cancel_request"), None) => Self::AskWithdrawn(params["requestId"].take()),
            (Some(_), None) => Self::Other,
            (None, Some(id)) => answered(line, &id),
            (None, None) => Self::Unreadable("a line without a method and without a number".to_owned()),
        }
    }
}

/// A text, or nothing.
pub fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn answered(mut line: Map<String, Value>, id: &Value) -> Line {
    let Some(id) = id.as_u64() else {
        return Line::Unreadable(format!("an answer to {id}, which was not asked"));
    };
    let outcome = match (line.remove("result"), line.remove("error")) {
        (_, Some(error)) if !error.is_null() => Err(refusal(&error)),
        (Some(result), _) => Ok(result),
        (None, _) => Err(Refusal { message: "it is answered with nothing".to_owned(), ..Refusal::default() }),
    };
    Line::Answered { id, outcome }
}

fn refusal(error: &Value) -> Refusal {
    let data = &error["data"];
    let details = ["details", "message"].iter().find_map(|key| data[*key].as_str()).or(data.as_str());
    let words = ["errorKind", "errorName", "startupFailureReason"];
    let word = words.iter().map(|key| text_of(&data[*key])).find(|word| !word.is_empty());
    let info = &data["codexErrorInfo"];
    let word = word
        .or_else(|| info.as_str().map(str::to_owned))
        .or_else(|| info.as_object().and_then(|fields| fields.keys().next().cloned()));
    let parts = [error["message"].as_str(), details].into_iter().flatten().filter(|text| !text.is_empty());
    let message = parts.collect::<Vec<_>>().join(": ");
    Refusal { code: error["code"].as_i64().unwrap_or_default(), message, word: word.unwrap_or_default() }
}

/// What is told of a session; `None`: it means nothing here.
fn update(said: &mut Value) -> Option<Update> {
    Some(match said["sessionUpdate"].as_str()? {
        "agent_message_chunk" => {
            let used = said.pointer("/_meta/usage").and_then(usage::read);
            Update::Words(text_of(&said["content"]["text"]), used)
        }
        "agent_thought_chunk" => Update::Thought(text_of(&said["content"]["text"])),
        "tool_call" | "tool_call_update" => Update::Tool(Box::new(tool(said)?)),
        "plan" => {
            let entry =
                |one: &Value| Todo { content: text_of(&one["content"]), status: text_of(&one["status"]) };
            Update::Plan(said["entries"].as_array()?.iter().map(entry).collect())
        }
        "usage_update" => {
            let cost = &said["cost"];
            let dollars = cost["amount"].as_f64().filter(|_| cost["currency"] == "USD");
            Update::Context(
                said["used"].as_u64()?,
                said["size"].as_u64(),
                dollars.filter(|one| one.is_finite()),
            )
        }
        "compaction_update" if said["status"] == "completed" => Update::Compacted,
        "session_info_update" => {
            let failure = said.pointer(FAILURE)?;
            let title = text_of(&failure["title"]);
            if failure["severity"] == "warning" { Update::Retry(title) } else { Update::Failing(title) }
        }
        _ => return None,
    })
}

/// A failure that comes with the answer to a prompt: its category, and a sentence.
pub fn failure_in(answer: &Value) -> Option<(String, String)> {
    if let Some(said) = answer.pointer(FAILURE).filter(|said| said["severity"] == "error") {
        return Some((text_of(&said["category"]), text_of(&said["title"])));
    }
    let status = answer.pointer("/_meta/codex/threadStatus/type").and_then(Value::as_str);
    (status == Some("systemError")).then(|| ("systemError".to_owned(), String::new()))
}

fn tool(said: &mut Value) -> Option<ToolSaid> {
    let call = text_of(&said["toolCallId"]);
    if call.is_empty() {
        return None;
    }
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let names = ["/_meta/claudeCode/toolName", "/_meta/toolName", "/name"];
    let name = names.iter().find_map(|at| said.pointer(at).and_then(text));
    let kind = said["kind"].as_str().map(|kind| match kind {
        "execute" => ToolKind::Execute,
        "edit" | "delete" | "move" => ToolKind::Edit,
        _ => ToolKind::Other,
    });
    let state = said["status"].as_str().and_then(|word| {
        Some(match word {
            "pending" => ToolState::Pending,
            "in_progress" => ToolState::Running,
            "completed" => ToolState::Completed,
            "failed" => ToolState::Error,
            _ => return None,
        })
    });
    let title = text(&said["title"]);
    let input =
        Some(said["rawInput"].take()).filter(|input| input.as_object().is_some_and(|all| !all.is_empty()));
    let content = said["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = content.iter().filter_map(|one| one["content"]["text"].as_str()).collect();
    let output = (!texts.is_empty()).then(|| texts.join("\n")).or_else(|| text(&said["rawOutput"]));
    let diff = |one: &Value| {
        (one["type"] == "diff").then(|| (text_of(&one["path"]), shown(&one["oldText"], &one["newText"])))
    };
    let diffs = content.iter().filter_map(diff).collect();
    Some(ToolSaid { call, name, title, kind, state, input, output: output.map(shortened), diffs })
}

/// A change as a person reads it: what was there, and what is to be there.
fn shown(old: &Value, new: &Value) -> String {
    let lines = |text: &Value, mark: char| {
        text_of(text).lines().map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    shortened([lines(old, '-'), lines(new, '+')].concat().join("\n"))
}

fn shortened(mut text: String) -> String {
    if text.len() > MOST_OUTPUT {
        let end = (0..=MOST_OUTPUT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
    }
    text
}

/// One that cannot be read is answered all the same: who has asked waits for that.
fn asks(method: &str, id: Value, params: &Value) -> Line {
    if method != "session/request_permission" {
        let method: String = method.chars().take(METHOD_SHOWN).collect();
        return Line::AsksOther { id, why: format!("{method:?} is not supported by hal-agent") };
    }
    let option = |one: &Value| Some((one["optionId"].as_str()?.to_owned(), one["kind"].as_str()?.to_owned()));
    let options: Vec<_> = params["options"].as_array().into_iter().flatten().filter_map(option).collect();
    match (tool(&mut params["toolCall"].clone()), options.is_empty()) {
        (Some(tool), false) => Line::Asks(Box::new(Asked { id, tool, options })),
        _ => Line::AsksOther {
            id,
            why: "hal-agent cannot show what would be done, or has no answer to choose, so nobody is asked"
                .to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn lines_as_the_programs_write_them_are_read() {
        let words = r#"{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":
            "agent_message_chunk","content":{"type":"text","text":""},"_meta":{"usage":{"inputTokens":20387,"outputTokens":7,
            "totalTokens":20394,"thoughtTokens":0,"cachedReadTokens":0},"durationMs":644}}}}"#;
        let Line::Update(session, told) = line(words) else { panic!("{words}") };
        let Update::Words(text, Some(used)) = *told else { panic!("{words}") };
        assert_eq!((session.as_str(), text.as_str(), used.input, used.total), ("s", "", 20387, 20394));
        let asks = r#"{"jsonrpc":"2.0","id":0,"method":"session/request_permission","params":{"toolCall":{"toolCallId":"t1",
            "title":"touch made","rawInput":{"command":"touch made"},"kind":"execute"},"options":[
            {"optionId":"allow-once","name":"Yes","kind":"allow_once"},{"optionId":"reject","name":"No","kind":"reject_once"}]}}"#;
        let Line::Asks(asked) = line(asks) else { panic!("{asks}") };
        assert_eq!((asked.tool.call.as_str(), asked.options.len()), ("t1", 2));
        assert_eq!(asked.tool.kind, Some(ToolKind::Execute));
        let no = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"Internal error","data":{"details":"400 told so"}}}"#;
        let Line::Answered { id: 7, outcome: Err(refusal) } = line(no) else { panic!("{no}") };
        assert_eq!((refusal.code, refusal.message.as_str()), (-32603, "Internal error: 400 told so"));
        let failed = r#"{"stopReason":"end_turn","_meta":{"jetbrains":{"air":{"version":1,"sessionFailure":{"category":"service",
            "severity":"error","title":"API Error: 400"}}}}}"#;
        let failed: Value = serde_json::from_str(failed).unwrap();
        assert_eq!(failure_in(&failed), Some(("service".into(), "API Error: 400".into())));
        let diff = r#"{"method":"session/update","params":{"update":{"sessionUpdate":"tool_call_update","toolCallId":"t",
            "status":"completed","content":[{"type":"diff","path":"/a","oldText":"x","newText":"y"}]}}}"#;
        let Line::Update(_, told) = line(diff) else { panic!("{diff}") };
        let Update::Tool(tool) = *told else { panic!("{diff}") };
        assert_eq!(tool.diffs, [("/a".to_owned(), "- x\n+ y".to_owned())]);
    }

    #[test]
    fn what_is_odd_is_named_or_nothing_and_who_asks_is_answered() {
        let other = r#"{"method":"session/update","params":{"update":{"sessionUpdate":"dances"}}}"#;
        assert!(matches!(line(other), Line::Other));
        assert!(matches!(line(r#"{"method":"_auth/status_update","params":{}}"#), Line::Other));
        assert!(matches!(line(r#"{"id":0,"method":"craft/drainMidTurnQueue"}"#), Line::AsksOther { .. }));
        let long = format!(r#"{{"id":0,"method":"{}"}}"#, "x".repeat(1 << 20));
        assert!(matches!(line(&long), Line::AsksOther { why, .. } if why.len() < 200));
        let blind = r#"{"id":3,"method":"session/request_permission","params":{"options":[]}}"#;
        assert!(matches!(line(blind), Line::AsksOther { .. }));
        for odd in ["[1]", "{}", r#"{"id":"x","result":{}}"#] {
            assert!(matches!(line(odd), Line::Unreadable(_)), "{odd}");
        }
    }
}
