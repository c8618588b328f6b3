//! Writes events down in the stored form; [`super::form`] reads them.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::failure::Failure;
use super::former;
use super::part::{Content, MessagePart, ToolUse, Words};
use super::raw;
use super::what::{
    Delta, MessageTold, PermissionAsked, QuestionAsked, Replied, Role, SessionTold, TurnTold, What,
};
use crate::session::{SessionId, Tokens};

/// The data of an event of a session.
pub fn of_session(what: &What, session: &SessionId) -> Box<RawValue> {
    let mut data = data(what);
    data["sessionID"] = json!(session);
    raw(&data)
}

/// The data of an event that the agent writes itself because it found it missing.
pub fn repaired(what: &What) -> Box<RawValue> {
    let mut data = data(what);
    data["repaired"] = json!(true);
    raw(&data)
}

/// The data of an event; empty for what only its type tells.
pub fn data(what: &What) -> Value {
    match what {
        What::SessionCreated(told) | What::SessionUpdated(told) => json!({"info": session(told)}),
        What::Status(told) => json!({"status": told.as_ref().map(status)}),
        What::Failed(told) => json!({"error": told.as_ref().map(failure)}),
        What::Ended { reason } | What::Interrupted { reason } => json!({ "reason": reason }),
        What::Message(told) => json!({"info": message(told)}),
        What::Part(told) => json!({"part": part(told)}),
        What::Delta(told) => delta(told),
        What::PermissionAsked(told) => permission(told),
        What::QuestionAsked(told) => question(told),
        What::PermissionReplied(told) | What::QuestionReplied(told) | What::QuestionRejected(told) => {
            replied(told)
        }
        What::Todo(list) => json!({ "todos": list }),
        What::FileEdited(file) => json!({ "file": file }),
        What::Gap { count, reason } => said([("count", json!(count)), ("reason", json!(reason))]),
        _ => json!({}),
    }
}

fn session(told: &SessionTold) -> Value {
    let model = told.model.as_ref().map(|model| json!({"id": model.id, "providerID": model.provider}));
    said([
        ("id", json!(told.id)),
        ("title", json!(told.title)),
        ("directory", json!(told.directory)),
        ("parentID", json!(told.parent_id)),
        ("cost", json!(told.cost)),
        ("tokens", json!(told.tokens.as_ref().map(|told| tokens(told, 0)))),
        ("model", json!(model)),
        ("time", json!(told.created.map(|at| json!({"created": at.0})))),
    ])
}

fn status(told: &TurnTold) -> Value {
    match told {
        TurnTold::Busy => json!({"type": "busy"}),
        TurnTold::Over => json!({"type": "idle"}),
        TurnTold::Retry(retry) => json!({"type": "retry", "attempt": retry.attempt, "message": retry.message,
            "next": retry.next.0}),
    }
}

fn failure(told: &Failure) -> Value {
    let rest = said([("message", json!(told.message)), ("statusCode", json!(told.http_status))]);
    json!({"name": former::failure_name(told), "kind": told.kind.as_str(), "data": rest})
}

fn message(told: &MessageTold) -> Value {
    let role = match told.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Unknown => "",
    };
    let time = said([
        ("created", json!(told.created.map(|at| at.0))),
        ("completed", json!(told.completed.map(|at| at.0))),
    ]);
    let is_answer = told.role == Role::Assistant;
    said([
        ("id", json!(told.id)),
        ("role", json!(role)),
        ("parentID", worded(&told.parent_id)),
        ("providerID", worded(&told.provider)),
        ("modelID", worded(&told.model)),
        ("cost", json!(told.cost)),
        ("tokens", if is_answer { tokens(&told.tokens, told.context) } else { Value::Null }),
        ("contextLimit", json!(told.context_limit)),
        ("error", json!(told.failure.as_ref().map(failure))),
        ("finish", worded(&told.finish)),
        ("time", time),
    ])
}

fn tokens(told: &Tokens, context: u64) -> Value {
    let mut all = json!({"input": told.input, "output": told.output, "reasoning": told.reasoning,
        "cache": {"read": told.cache_read, "write": told.cache_write}});
    if context > 0 {
        all["total"] = json!(context);
    }
    all
}

fn part(told: &MessagePart) -> Value {
    let mut body = match &told.content {
        Content::Text(told) => words("text", told),
        Content::Thought(told) => words("reasoning", told),
        Content::Tool(told) => tool(told),
        Content::Changed(files) => json!({"type": "patch", "files": files}),
        Content::File(name) => json!({"type": "file", "filename": name}),
        Content::Other => json!({}),
    };
    body["id"] = json!(told.id);
    body["messageID"] = json!(told.message_id);
    body
}

fn words(kind: &str, told: &Words) -> Value {
    said([
        ("type", json!(kind)),
        ("text", json!(told.text)),
        ("synthetic", if told.is_hidden { json!(true) } else { Value::Null }),
        ("time", if told.is_growing { json!({"start": 0}) } else { Value::Null }),
    ])
}

fn tool(told: &ToolUse) -> Value {
    let state = said([
        ("status", json!(told.state.as_str())),
        ("input", told.input.0.clone()),
        ("title", worded(&told.title)),
        ("output", worded(&told.output)),
        ("error", worded(&former::tool_error(told.cause, &told.error))),
        ("cause", json!(told.cause.map(|cause| cause.as_str()))),
        ("metadata", json!(told.exit.map(|exit| json!({ "exit": exit })))),
    ]);
    json!({"type": "tool", "tool": told.tool, "kind": told.kind.as_str(), "callID": told.call, "state": state})
}

fn delta(told: &Delta) -> Value {
    json!({"partID": told.part_id, "messageID": told.message_id, "field": "text", "delta": told.text})
}

fn permission(told: &PermissionAsked) -> Value {
    let about =
        said([("command", json!(told.command)), ("filepath", json!(told.file)), ("diff", json!(told.diff))]);
    let tool = said([("messageID", worded(&told.message_id)), ("callID", worded(&told.call))]);
    json!({"id": told.id, "permission": told.tool, "patterns": told.patterns, "metadata": about, "tool": tool})
}

fn question(told: &QuestionAsked) -> Value {
    let tool = said([("messageID", worded(&told.message_id))]);
    json!({"id": told.id, "questions": told.questions, "tool": tool})
}

fn replied(told: &Replied) -> Value {
    said([
        ("requestID", json!(told.request_id)),
        ("reply", json!(told.reply.as_ref().map(|reply| reply.as_str()))),
        ("message", worded(&told.message)),
        ("answers", if told.answers.is_empty() { Value::Null } else { json!(told.answers) }),
        ("outside", if told.is_outside { json!(true) } else { Value::Null }),
    ])
}

/// An object of what is known.
fn said<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let known = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(known.map(|(field, value)| (field.to_owned(), value)).collect())
}

/// A text that is known when there is one.
fn worded(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::{Choice, Question};
    use crate::event::failure::FailureKind;
    use crate::event::form;
    use crate::event::part::{ToolCause, ToolInput, ToolKind, ToolState};
    use crate::event::what::ReplyTold;
    use crate::session::{Model, Retry, Todo};
    use hal_base::clock::Time;

    fn failure() -> Failure {
        let (name, message) = ("Melted".to_owned(), "the core".to_owned());
        Failure { kind: FailureKind::Overflow, name, message, http_status: Some(413) }
    }

    fn sessions() -> Vec<What> {
        let told = SessionTold {
            id: Some("s".into()),
            title: Some("Mend it".into()),
            directory: Some("/p".into()),
            parent_id: Some("r".into()),
            cost: Some(0.5),
            tokens: Some(Tokens { input: 1, output: 2, reasoning: 3, cache_read: 4, cache_write: 5 }),
            model: Some(Model { provider: "p".into(), id: "m".into() }),
            created: Some(Time(7)),
            is_repaired: false,
        };
        let retry = Retry { attempt: 2, message: "later".into(), next: Time(9) };
        let reason = || "killed".to_owned();
        vec![
            What::SessionCreated(told.clone()),
            What::SessionUpdated(told),
            What::SessionDeleted,
            What::Status(Some(TurnTold::Busy)),
            What::Status(Some(TurnTold::Over)),
            What::Status(Some(TurnTold::Retry(retry))),
            What::Status(None),
            What::Idle,
            What::Failed(Some(failure())),
            What::Failed(None),
            What::Compacted,
            What::Ended { reason: reason() },
            What::Interrupted { reason: reason() },
            What::Todo(Some(vec![Todo { content: "a".into(), status: "completed".into() }])),
            What::Todo(None),
            What::FileEdited("a.rs".into()),
            What::Gap { count: Some(3), reason: Some("lost".into()) },
        ]
    }

    fn parts() -> Vec<What> {
        let tool = ToolUse {
            tool: "shell".into(),
            kind: ToolKind::Execute,
            call: "c".into(),
            state: ToolState::Error,
            input: ToolInput(json!({"command": "make"})),
            title: "t".into(),
            output: "o".into(),
            error: "The user rejected it: no".into(),
            cause: Some(ToolCause::Refused),
            exit: Some(2),
        };
        let words = |is_hidden, is_growing| Words { text: "hi".into(), is_hidden, is_growing };
        let all = [
            Content::Text(words(false, true)),
            Content::Thought(words(true, false)),
            Content::Tool(Box::new(tool)),
            Content::Changed(vec!["a".into()]),
            Content::File("a.png".into()),
            Content::Other,
        ];
        all.map(|content| What::Part(MessagePart { id: "p".into(), message_id: "m".into(), content }))
            .to_vec()
    }

    fn messages() -> Vec<What> {
        let answer = MessageTold {
            id: "m".into(),
            parent_id: "u".into(),
            role: Role::Assistant,
            provider: "p".into(),
            model: "m".into(),
            cost: Some(0.25),
            tokens: Tokens { input: 1, ..Tokens::default() },
            context: 8,
            context_limit: Some(100),
            failure: Some(failure()),
            has_ended: true,
            finish: "stop".into(),
            created: Some(Time(1)),
            completed: Some(Time(2)),
        };
        let said = MessageTold { id: "u".into(), role: Role::User, ..MessageTold::default() };
        let asked = PermissionAsked {
            id: "q".into(),
            tool: "shell".into(),
            patterns: vec!["make *".into()],
            command: Some("make".into()),
            file: Some("a".into()),
            diff: Some("+".into()),
            message_id: "m".into(),
            call: "c".into(),
        };
        let options = vec![Choice { label: "red".into(), description: "warm".into() }];
        let questions = vec![Question { question: "Which?".into(), options }];
        let replied = |reply, answers| Replied {
            request_id: "q".into(),
            reply,
            message: "no".into(),
            answers,
            is_outside: true,
        };
        vec![
            What::Message(Box::new(answer)),
            What::Message(Box::new(said)),
            What::Delta(Delta { part_id: "p".into(), message_id: "m".into(), text: "hi".into() }),
            What::PermissionAsked(asked),
            What::PermissionReplied(replied(Some(ReplyTold::Always), Vec::new())),
            What::QuestionAsked(QuestionAsked { id: "q".into(), questions, message_id: "m".into() }),
            What::QuestionReplied(replied(None, vec![vec!["red".into()]])),
            What::QuestionRejected(replied(None, Vec::new())),
        ]
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        for what in [sessions(), parts(), messages()].concat() {
            let kind = what.kind().expect("a backend can say it").as_str();
            assert_eq!(form::read(kind, &raw(&data(&what))), what);
            assert_eq!(form::read(kind, &of_session(&what, &"s".into())), what);
        }
        let stopped = Failure { kind: FailureKind::Aborted, ..failure() };
        let read = form::read("session.error", &raw(&data(&What::Failed(Some(stopped)))));
        assert!(
            matches!(read, What::Failed(Some(read)) if read.name == "MessageAbortedError"),
            "for older readers"
        );
        assert_eq!(form::read("bell.rung", &raw(&json!({"info": 1}))), What::Other);
    }
}
