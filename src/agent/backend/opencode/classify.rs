//! What opencode's words mean, said in ours: kinds of failures, what a tool does, who made it come to nothing. Added to
//! an event beside what opencode has said, so that nobody else need know these words.

use serde_json::Value;
use serde_json::value::RawValue;

use hal_protocol::event::failure::{FailureKind, says_limited};
use hal_protocol::event::kind::Kind;
use hal_protocol::event::part::{ToolCause, ToolKind};
use hal_protocol::event::raw;

/// The name of a failure that is none: the turn was stopped.
pub const ABORTED: &str = "MessageAbortedError";

/// Tools that run a command: 2.x calls it otherwise.
const EXECUTING: [&str; 2] = ["bash", "shell"];

/// Tools that change files.
const CHANGING: [&str; 6] = ["edit", "write", "patch", "apply_patch", "multiedit", "notebookedit"];

/// How the reason begins for which a tool came to nothing that a person has refused.
const REFUSED: &str = "The user rejected";

/// And of one that was stopped with its turn.
const STOPPED: &str = "Tool execution aborted";

/// The data of an event with our words beside opencode's; as it is where there is nothing to be said.
pub fn in_our_words(kind: &str, data: Box<RawValue>) -> Box<RawValue> {
    type Add = fn(&mut Value) -> bool;
    let (place, add): (_, Add) = match Kind::parse(kind) {
        Some(Kind::SessionError) => ("/error", failure),
        // Few messages fail, and they are long.
        Some(Kind::MessageUpdated) if data.get().contains(r#""error""#) => ("/info/error", failure),
        Some(Kind::PartUpdated) if data.get().contains(r#""tool""#) => ("/part", tool),
        _ => return data,
    };
    let Ok(mut value) = serde_json::from_str::<Value>(data.get()) else { return data };
    if value.pointer_mut(place).is_some_and(add) { raw(&value) } else { data }
}

fn failure(error: &mut Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, message) = (text(&error["name"]), text(&error["data"]["message"]));
    let kind = match name.as_str() {
        ABORTED => FailureKind::Aborted,
        _ if says_limited(&format!("{name}: {message}")) => FailureKind::RateLimited,
        "ContextOverflowError" => FailureKind::Overflow,
        "ProviderAuthError" => FailureKind::Auth,
        "MessageOutputLengthError" => FailureKind::OutputLimit,
        "ContentFilterError" => FailureKind::ContentFilter,
        _ => FailureKind::Other,
    };
    say(error, "kind", kind.as_str())
}

fn tool(part: &mut Value) -> bool {
    if part["type"] != "tool" {
        return false;
    }
    let kind = match part["tool"].as_str().unwrap_or_default() {
        name if EXECUTING.contains(&name) => ToolKind::Execute,
        name if CHANGING.contains(&name) => ToolKind::Edit,
        _ => ToolKind::Other,
    };
    let cause = match part["state"]["error"].as_str().unwrap_or_default() {
        error if error.starts_with(REFUSED) => Some(ToolCause::Refused),
        error if error.starts_with(STOPPED) => Some(ToolCause::Stopped),
        _ => None,
    };
    if let Some(cause) = cause {
        say(&mut part["state"], "cause", cause.as_str());
    }
    say(part, "kind", kind.as_str())
}

fn say(value: &mut Value, field: &str, word: &str) -> bool {
    let Some(fields) = value.as_object_mut() else { return false };
    fields.insert(field.to_owned(), word.into());
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use hal_protocol::event::form;

    #[test]
    fn our_words_stand_beside_opencodes_and_mean_what_events_without_them_mean() {
        let error = |name: &str, message: &str| json!({"name": name, "data": {"message": message}});
        let tool = |name: &str, error: &str| {
            json!({"part": {"id": "p", "type": "tool", "tool": name, "callID": "c",
                "state": {"status": "error", "error": error, "input": {}}}})
        };
        let all = [
            ("session.error", json!({"error": error(ABORTED, "Aborted")}), r#""kind":"aborted""#),
            ("session.error", json!({"error": error("APIError", "429")}), r#""kind":"rate_limited""#),
            ("session.error", json!({"error": error("ContextOverflowError", "")}), r#""kind":"overflow""#),
            ("session.error", json!({"error": error("APIError", "500")}), r#""kind":"other""#),
            (
                "message.updated",
                json!({"info": {"role": "assistant", "error": error("ProviderAuthError", "x")}}),
                r#""kind":"auth""#,
            ),
            ("message.part.updated", tool("bash", "The user rejected it"), r#""cause":"refused""#),
            ("message.part.updated", tool("bash", "Tool execution aborted"), r#""cause":"stopped""#),
            ("message.part.updated", tool("apply_patch", "no such file"), r#""kind":"edit""#),
        ];
        for (kind, data, word) in all {
            let told = in_our_words(kind, raw(&data));
            assert!(told.get().contains(word), "{kind}: {}", told.get());
            assert_eq!(form::read(kind, &told), form::read(kind, &raw(&data)), "{kind}");
        }
    }

    #[test]
    fn what_says_nothing_stays_as_it_is_to_the_byte() {
        for (kind, data) in [
            ("session.idle", r#"{ "sessionID": "s" }"#),
            ("message.updated", r#"{ "info": {"id": "m", "error": null} }"#),
            ("message.part.updated", r#"{ "part": {"type": "text", "text": "a \"tool\""} }"#),
            ("session.error", r#"[1, 2]"#),
            ("message.updated", r#"{ "info": "error", "error": "x" }"#),
            ("message.part.updated", r#"{ "part": "tool", "tool": 1 }"#),
        ] {
            let data = RawValue::from_string(data.to_owned()).unwrap();
            assert_eq!(in_our_words(kind, data.clone()).get(), data.get(), "{kind}");
        }
    }
}
