//! What the words of programs that speak ACP mean, said in ours.

use serde_json::{Value, json};

use super::read::{failure_in, text_of};
use super::words::{Asked, Refusal, ToolSaid};
use crate::backend::piped::host::Given;
use hal_protocol::event::failure::{Failure, FailureKind, says_limited};
use hal_protocol::event::part::{ToolInput, ToolKind, ToolState, ToolUse};
use hal_protocol::event::what::PermissionAsked;

/// The code of a program that is not logged in.
pub const NOT_LOGGED_IN: i64 = -32000;

/// Words by which providers and programs say that a conversation does not fit.
const TOO_LONG: [&str; 7] = [
    "context length",
    "context_length",
    "contextoverflow",
    "contextwindow",
    "context window",
    "prompt is too long",
    "too many tokens",
];

/// Words by which they say that they do not know who asks.
const UNKNOWN_CALLER: [&str; 5] =
    ["401", "unauthorized", "authentication", "invalid api key", "not logged in"];

/// Why a turn failed that was answered like this; `None` where it did not. `is_mute`: nothing was said or done in it.
pub fn failure(outcome: &Result<Value, Refusal>, is_mute: bool) -> Option<Failure> {
    let answer = match outcome {
        Err(refusal) => return Some(refused(refusal)),
        Ok(answer) => answer,
    };
    if let Some((category, title)) = failure_in(answer) {
        return Some(of_words(category, title, 0));
    }
    let (kind, name, message) = match answer["stopReason"].as_str().unwrap_or_default() {
        "cancelled" => (FailureKind::Aborted, "cancelled", "the turn was stopped"),
        "refusal" => (FailureKind::ContentFilter, "refusal", "the model refuses to answer"),
        "max_tokens" => {
            (FailureKind::OutputLimit, "max_tokens", "the answer was longer than the model may write")
        }
        "max_turn_requests" => {
            (FailureKind::Other, "max_turn_requests", "the turn took more calls of the model than it may")
        }
        // Some tell a turn that has failed as one that is done.
        "end_turn" if is_mute => (FailureKind::Other, "no_answer", "the turn ended without an answer"),
        "end_turn" => return None,
        other => {
            return Some(of_words(
                other.to_owned(),
                "the turn ended for a reason that is not known here".into(),
                0,
            ));
        }
    };
    Some(Failure { kind, name: name.to_owned(), message: message.to_owned(), http_status: None })
}

/// What a refusal of a prompt means.
fn refused(refusal: &Refusal) -> Failure {
    let name = if refusal.word.is_empty() { "error".to_owned() } else { refusal.word.clone() };
    of_words(name, refusal.message.clone(), refusal.code)
}

fn of_words(name: String, message: String, code: i64) -> Failure {
    let said = format!("{name} {message}").to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let kind = if says(&TOO_LONG) {
        FailureKind::Overflow
    } else if code == NOT_LOGGED_IN || name == "access" || says(&UNKNOWN_CALLER) {
        FailureKind::Auth
    } else if name == "limit" || says_limited(&said) {
        FailureKind::RateLimited
    } else {
        FailureKind::Other
    };
    Failure { kind, name, message, http_status: None }
}

/// A tool as it stands after more was told of it.
pub fn merged(known: Option<&ToolUse>, said: &ToolSaid) -> ToolUse {
    let mut told = known.cloned().unwrap_or_default();
    told.call.clone_from(&said.call);
    if let Some(kind) = said.kind {
        told.kind = kind;
    }
    if let Some(title) = &said.title {
        told.title.clone_from(title);
    }
    if let Some(name) = said.name.as_ref().or(said.title.as_ref().filter(|_| told.tool.is_empty())) {
        told.tool.clone_from(name);
    }
    if let Some(input) = &said.input {
        told.input = ToolInput(input.clone());
    }
    // A command that is told in its title alone is one all the same.
    if told.kind == ToolKind::Execute && told.input.is_empty() && !told.title.is_empty() {
        told.input = ToolInput(json!({"command": told.title}));
    }
    match said.state {
        Some(ToolState::Error) => told.error = said.output.clone().unwrap_or_default(),
        _ => told.output = said.output.clone().unwrap_or_default(),
    }
    told.state = said.state.unwrap_or(told.state);
    if matches!(told.state, ToolState::Unknown | ToolState::Pending) && !told.input.is_empty() {
        told.state = ToolState::Running;
    }
    told
}

/// Keys beside a command that change nothing of what it does.
const BESIDE_COMMAND: [&str; 3] = ["command", "description", "timeout"];

/// What a tool is to be allowed, whole: a command alone where the input is nothing else, and else all of the input, since
/// whoever is asked for one part of it would allow the others unseen.
fn whole_input(told: &ToolUse) -> Option<String> {
    if told.kind == ToolKind::Edit {
        return None;
    }
    let input = &told.input.0;
    let words = |all: &[Value]| -> Option<String> {
        let words = all.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
        Some(words.join(" "))
    };
    let command = match input.get("command")? {
        Value::String(command) => Some(command.clone()),
        Value::Array(all) => words(all),
        _ => None,
    };
    let keys = input.as_object()?;
    // What is not set changes nothing either.
    let is_nothing = |value: &Value| value.is_null() || *value == false;
    let is_beside = |key: &str, value: &Value| BESIDE_COMMAND.contains(&key) || is_nothing(value);
    let is_alone = keys.iter().all(|(key, value)| is_beside(key, value));
    command.filter(|_| is_alone).or_else(|| serde_json::to_string_pretty(input).ok())
}

/// What is told of a request under this name.
pub fn asked(name: &str, said: &Asked, told: &ToolUse, message: &str) -> PermissionAsked {
    let text = |key: &str| told.input.0.get(key).and_then(Value::as_str).map(str::to_owned);
    let command = whole_input(told);
    let path = ["file_path", "path", "absolute_path"].iter().find_map(|key| text(key));
    let file = said
        .tool
        .diffs
        .first()
        .map(|(path, _)| path.clone())
        .or(path)
        .filter(|_| told.kind == ToolKind::Edit);
    let diffs: Vec<String> = match said.tool.diffs.as_slice() {
        [(_, diff)] => vec![diff.clone()],
        several => several.iter().map(|(path, diff)| format!("{path}:\n{diff}")).collect(),
    };
    PermissionAsked {
        id: name.to_owned(),
        tool: told.tool.clone(),
        patterns: vec![if told.title.is_empty() { told.tool.clone() } else { told.title.clone() }],
        command,
        file: file.filter(|_| said.tool.diffs.len() <= 1),
        diff: (!diffs.is_empty()).then(|| diffs.join("\n")),
        message_id: message.to_owned(),
        call: told.call.clone(),
    }
}

/// What a request is answered, and the word for that; `None`: it offers no such answer.
pub fn answer(said: &Asked, given: &Given) -> Option<(Value, String)> {
    let Given::Permission(reply, _) = given else { return None };
    let option = |kind: &str| said.options.iter().find(|(_, known)| known == kind).map(|(id, _)| id.clone());
    let (id, word) = match reply.as_str() {
        "reject" => (option("reject_once").or_else(|| option("reject_always")), "reject"),
        "always" => match option("allow_always") {
            Some(id) => (Some(id), "always"),
            None => (Some(option("allow_once")?), "once"),
        },
        _ => (Some(option("allow_once")?), "once"),
    };
    let outcome = match id {
        Some(id) => json!({"outcome": "selected", "optionId": id}),
        // One that cannot be said no to is turned down whole.
        None => json!({"outcome": "cancelled"}),
    };
    Some((json!({ "outcome": outcome }), word.to_owned()))
}

/// The names of a session's modes, and the one it is in.
pub fn modes(begun: &Value) -> (Vec<String>, String) {
    let available = begun["modes"]["availableModes"].as_array().into_iter().flatten();
    (available.map(|mode| text_of(&mode["id"])).collect(), text_of(&begun["modes"]["currentModeId"]))
}

/// The model of a session, where that is told: its id, or its name where the id is none that a person has chosen.
pub fn model(begun: &Value) -> String {
    let mut options = begun["configOptions"].as_array().into_iter().flatten();
    let option = options.find(|one| one["category"] == "model" || one["id"] == "model");
    let (now, all, key) = match option {
        Some(option) => (&option["currentValue"], &option["options"], "value"),
        None => (&begun["models"]["currentModelId"], &begun["models"]["availableModels"], "modelId"),
    };
    let now = text_of(now);
    if now.chars().all(|one| one.is_ascii_alphanumeric() || "._:/@-[]".contains(one)) {
        return now;
    }
    let its = all.as_array().into_iter().flatten().find(|one| one[key] == now.as_str());
    its.map(|one| text_of(&one["name"])).filter(|name| !name.is_empty()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_says_it_is_done_may_have_failed() {
        let kind =
            |outcome: Result<Value, Refusal>, is_mute| failure(&outcome, is_mute).map(|failure| failure.kind);
        let done = json!({"stopReason": "end_turn"});
        assert_eq!(kind(Ok(done.clone()), false), None);
        assert_eq!(kind(Ok(done), true), Some(FailureKind::Other));
        let air = |category: &str, title: &str| {
            json!({"stopReason": "end_turn", "_meta": {"jetbrains": {"air": {"sessionFailure":
                {"severity": "error", "category": category, "title": title}}}}})
        };
        assert_eq!(kind(Ok(air("limit", "slow down")), false), Some(FailureKind::RateLimited));
        assert_eq!(
            kind(Ok(air("request", "prompt is too long: 250000 tokens")), false),
            Some(FailureKind::Overflow)
        );
        let codex =
            json!({"stopReason": "end_turn", "_meta": {"codex": {"threadStatus": {"type": "systemError"}}}});
        assert_eq!(kind(Ok(codex), false), Some(FailureKind::Other));
        assert_eq!(kind(Ok(json!({"stopReason": "cancelled"})), true), Some(FailureKind::Aborted));
        assert!(failure(&Ok(json!({"stopReason": "later"})), false).is_some(), "an odd end is no success");
        let no = |code, message: &str, word: &str| {
            Err(Refusal { code, message: message.to_owned(), word: word.to_owned() })
        };
        assert_eq!(kind(no(-32000, "log in", ""), true), Some(FailureKind::Auth));
        assert_eq!(
            kind(no(-32603, "Internal error: 429 too many", ""), true),
            Some(FailureKind::RateLimited)
        );
        assert_eq!(kind(no(-32603, "", "ContextOverflowError"), true), Some(FailureKind::Overflow));
        assert_eq!(kind(no(-32603, "Internal error: 500", ""), true), Some(FailureKind::Other));
    }

    #[test]
    fn a_command_stands_alone_only_where_it_is_all_that_is_asked() {
        let whole =
            |kind, input| whole_input(&ToolUse { kind, input: ToolInput(input), ..ToolUse::default() });
        let run = |input| whole(ToolKind::Execute, input);
        assert_eq!(run(json!({"command": "ls", "description": "look"})).as_deref(), Some("ls"));
        assert_eq!(run(json!({"command": ["rm", "-rf", "build"]})).as_deref(), Some("rm -rf build"));
        let unset = json!({"command": "ls", "is_background": false, "directory": null});
        assert_eq!(run(unset).as_deref(), Some("ls"));
        for (kind, input) in [
            (ToolKind::Execute, json!({"command": "status", "script": "curl x | sh"})),
            (ToolKind::Execute, json!({"command": "status", "is_background": true})),
            (ToolKind::Other, json!({"command": "status", "target": "all"})),
            (ToolKind::Execute, json!({"command": ["a", 1]})),
        ] {
            let all = whole(kind, input.clone()).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&all).unwrap(), input, "nothing is left out");
        }
        assert_eq!(run(json!({"path": "x"})), None);
        assert_eq!(whole(ToolKind::Edit, json!({"command": "x"})), None);
    }

    #[test]
    fn an_answer_is_chosen_by_its_kind_and_never_allows_more() {
        let offers = |kinds: &[&str]| Asked {
            id: json!(0),
            tool: ToolSaid::default(),
            options: kinds.iter().map(|kind| (format!("the-{kind}"), (*kind).to_owned())).collect(),
        };
        let say = |kinds: &[&str], reply: &str| {
            let given = Given::Permission(reply.to_owned(), String::new());
            let (value, word) = answer(&offers(kinds), &given)?;
            Some((text_of(&value["outcome"]["optionId"]), word))
        };
        let all = ["reject_always", "allow_always", "reject_once", "allow_once"];
        assert_eq!(say(&all, "once"), Some(("the-allow_once".into(), "once".into())));
        assert_eq!(say(&all, "always"), Some(("the-allow_always".into(), "always".into())));
        assert_eq!(say(&all, "reject"), Some(("the-reject_once".into(), "reject".into())));
        assert_eq!(say(&["allow_once"], "always"), Some(("the-allow_once".into(), "once".into())));
        assert_eq!(
            say(&["allow_once"], "reject"),
            Some((String::new(), "reject".into())),
            "it is turned down"
        );
        assert_eq!(say(&["allow_always"], "once"), None);
    }
}
