//! The stored form of events, version 1: how an event's data is written down and read back, in one place.
//!
//! It is what versions up to 0.1 have stored and what every version sends, so that an older supervisor understands a
//! newer agent and the other way round. Our own words have been added beside it: `error.kind`, `part.kind` (of a
//! tool), `part.state.cause`, `outside`, `repaired`, `info.contextLimit`. Where one is missing, [`super::former`] says
//! what the event means. Fields that nobody here knows stay in the data, as they were told.

use serde_json::Value;
use serde_json::value::RawValue;

use super::failure::{Failure, FailureKind};
use super::former;
use super::kind::Kind;
use super::part::{Content, MessagePart, ToolCause, ToolInput, ToolKind, ToolState, ToolUse, Words};
use super::what::{
    Delta, MessageTold, PermissionAsked, PolicyTold, QuestionAsked, Replied, ReplyTold, Role, SessionTold,
    TurnTold, What,
};
use crate::approval::{Choice, Question};
use crate::session::{Model, Retry, SessionId, Todo, Tokens};
use hal_base::clock::Time;

/// What an event of this type and with this data tells. Data is parsed only where the type says that there is
/// something in it, and here only.
pub fn read(kind: &str, data: &RawValue) -> What {
    let Some(kind) = Kind::parse(kind) else { return What::Other };
    match kind {
        Kind::SessionDeleted => What::SessionDeleted,
        Kind::SessionIdle => What::Idle,
        Kind::SessionCompacted => What::Compacted,
        Kind::SessionResumed => What::Resumed,
        Kind::NodeOnline => What::NodeOnline,
        Kind::BackendStarted | Kind::BackendStopped | Kind::ProjectError | Kind::ProjectOk => What::Other,
        _ => of_value(kind, serde_json::from_str(data.get()).unwrap_or_default()),
    }
}

/// What the data of any event says in a sentence, where it has one.
pub fn sentence_of(data: &Value) -> &str {
    const WAYS: [&str; 6] =
        ["/error/data/message", "/error/message", "/error", "/reason", "/message", "/text"];
    WAYS.iter().find_map(|way| data.pointer(way)?.as_str()).unwrap_or_default()
}

fn of_value(kind: Kind, mut data: Value) -> What {
    let data = &mut data;
    match kind {
        Kind::SessionCreated => What::SessionCreated(session(data)),
        Kind::SessionUpdated => What::SessionUpdated(session(data)),
        Kind::SessionStatus => What::Status(status(&mut taken(data, "status"))),
        Kind::SessionError => What::Failed(failure(&mut taken(data, "error"))),
        Kind::SessionEnded => What::Ended { reason: text(data, "reason") },
        Kind::SessionInterrupted => What::Interrupted { reason: text(data, "reason") },
        Kind::SessionPaused => What::Paused { by: text(data, "by") },
        Kind::SessionHandover => What::Handover { begins: data["step"] == "begun" },
        Kind::MessageUpdated => What::Message(Box::new(message(&mut taken(data, "info")))),
        Kind::PartUpdated => What::Part(part(&mut taken(data, "part"))),
        Kind::PartDelta => What::Delta(delta(data)),
        // What has no name cannot be answered.
        Kind::PermissionAsked | Kind::QuestionAsked if !data["id"].is_string() => What::Other,
        Kind::PermissionAsked => What::PermissionAsked(permission(data)),
        Kind::PermissionReplied => What::PermissionReplied(replied(data)),
        Kind::QuestionAsked => What::QuestionAsked(question(data)),
        Kind::QuestionReplied => What::QuestionReplied(replied(data)),
        Kind::QuestionRejected => What::QuestionRejected(replied(data)),
        Kind::TodoUpdated => What::Todo(todo(&mut taken(data, "todos"))),
        Kind::FileEdited => What::FileEdited(text(data, "file")),
        Kind::PolicyDecided => What::PolicyDecided(policy(data)),
        Kind::PolicyFailed => What::PolicyFailed(policy(data)),
        Kind::HaltSet => What::HaltSet { project: text(data, "project"), by: text(data, "by") },
        Kind::HaltReleased => What::HaltReleased { project: text(data, "project") },
        Kind::ClockJumped => What::ClockJumped { by_ms: data["by_ms"].as_i64().unwrap_or_default() },
        Kind::Gap => What::Gap { count: data["count"].as_u64(), reason: maybe(data, "reason") },
        Kind::JournalBlocked => What::JournalBlocked {
            seconds: data["seconds"].as_f64().unwrap_or_default(),
            reason: text(data, "reason"),
        },
        Kind::AgentRestarted => What::AgentRestarted { reason: maybe(data, "reason") },
        Kind::NodeOffline => What::NodeOffline { reason: text(data, "reason") },
        Kind::ApprovalAnswered => {
            What::ApprovalAnswered { answer: text(data, "answer"), by: text(data, "by") }
        }
        _ => What::Other,
    }
}

fn session(data: &mut Value) -> SessionTold {
    let is_repaired = data["repaired"] == true;
    let info = &mut taken(data, "info");
    let model = &mut taken(info, "model");
    SessionTold {
        id: maybe(info, "id").map(SessionId::new),
        title: maybe(info, "title"),
        directory: maybe(info, "directory"),
        parent_id: maybe(info, "parentID").map(SessionId::new),
        cost: info["cost"].as_f64(),
        tokens: Some(&info["tokens"]).filter(|told| told.is_object()).map(tokens),
        model: maybe(model, "id").map(|id| Model { provider: text(model, "providerID"), id }),
        created: info["time"]["created"].as_i64().map(Time::said),
        is_repaired,
    }
}

fn status(told: &mut Value) -> Option<TurnTold> {
    Some(match told["type"].as_str()? {
        "busy" => TurnTold::Busy,
        "retry" => TurnTold::Retry(Retry {
            attempt: told["attempt"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
            message: text(told, "message"),
            next: Time::said(told["next"].as_i64().unwrap_or_default()),
        }),
        _ => TurnTold::Over,
    })
}

fn failure(told: &mut Value) -> Option<Failure> {
    if !told.is_object() {
        return None;
    }
    let rest = &mut taken(told, "data");
    let mut failure = Failure {
        kind: FailureKind::Other,
        name: text(told, "name"),
        message: text(rest, "message"),
        http_status: rest["statusCode"].as_u64(),
    };
    failure.kind = match told["kind"].as_str() {
        Some(word) => FailureKind::of_word(word),
        None => former::failure_kind(&failure.name, &failure.sentence()),
    };
    Some(failure)
}

fn message(info: &mut Value) -> MessageTold {
    let failure = failure(&mut taken(info, "error"));
    let finish = maybe(info, "finish");
    MessageTold {
        id: text(info, "id"),
        parent_id: text(info, "parentID"),
        role: match info["role"].as_str() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => Role::Unknown,
        },
        provider: text(info, "providerID"),
        model: text(info, "modelID"),
        cost: info["cost"].as_f64(),
        tokens: tokens(&info["tokens"]),
        context: info["tokens"]["total"].as_u64().unwrap_or_default(),
        context_limit: info["contextLimit"].as_u64(),
        has_ended: finish.is_some() || failure.is_some(),
        failure,
        finish: finish.unwrap_or_default(),
        created: info["time"]["created"].as_i64().map(Time),
        completed: info["time"]["completed"].as_i64().map(Time),
    }
}

fn tokens(told: &Value) -> Tokens {
    let count = |told: &Value| told.as_u64().unwrap_or_default();
    Tokens {
        input: count(&told["input"]),
        output: count(&told["output"]),
        reasoning: count(&told["reasoning"]),
        cache_read: count(&told["cache"]["read"]),
        cache_write: count(&told["cache"]["write"]),
    }
}

fn part(told: &mut Value) -> MessagePart {
    let content = match told["type"].as_str() {
        Some("text") => Content::Text(words(told)),
        Some("reasoning") => Content::Thought(words(told)),
        Some("tool") => Content::Tool(Box::new(tool(told))),
        Some("patch") => Content::Changed(texts(&taken(told, "files"))),
        Some("file") => {
            let named = maybe(told, "filename").filter(|name| !name.is_empty());
            Content::File(named.unwrap_or_else(|| text(told, "url")))
        }
        _ => Content::Other,
    };
    MessagePart { id: text(told, "id"), message_id: text(told, "messageID"), content }
}

fn words(told: &mut Value) -> Words {
    Words {
        text: text(told, "text"),
        is_hidden: told["synthetic"] == true || told["ignored"] == true,
        is_growing: !told["time"]["start"].is_null() && told["time"]["end"].is_null(),
    }
}

fn tool(told: &mut Value) -> ToolUse {
    let state = &mut taken(told, "state");
    let (name, error) = (text(told, "tool"), text(state, "error"));
    ToolUse {
        kind: told["kind"].as_str().map_or_else(|| former::tool_kind(&name), ToolKind::of_word),
        cause: match state["cause"].as_str() {
            Some(word) => ToolCause::of_word(word),
            None => former::tool_cause(&error),
        },
        tool: name,
        call: text(told, "callID"),
        state: state["status"].as_str().map(ToolState::of_word).unwrap_or_default(),
        input: ToolInput(taken(state, "input")),
        title: text(state, "title"),
        output: text(state, "output"),
        error,
        exit: state["metadata"]["exit"].as_i64(),
    }
}

fn delta(data: &mut Value) -> Delta {
    let is_text = data["field"] == "text";
    let words = text(data, "delta");
    Delta {
        part_id: text(data, "partID"),
        message_id: text(data, "messageID"),
        text: if is_text { words } else { String::new() },
    }
}

fn permission(data: &mut Value) -> PermissionAsked {
    let (about, tool) = (&mut taken(data, "metadata"), &mut taken(data, "tool"));
    PermissionAsked {
        id: text(data, "id"),
        tool: text(data, "permission"),
        patterns: texts(&taken(data, "patterns")),
        command: maybe(about, "command"),
        file: maybe(about, "filepath"),
        diff: maybe(about, "diff"),
        message_id: text(tool, "messageID"),
        call: text(tool, "callID"),
    }
}

fn question(data: &mut Value) -> QuestionAsked {
    let choice =
        |told: &mut Value| Choice { label: text(told, "label"), description: text(told, "description") };
    let one = |mut told: Value| Question {
        options: list(taken(&mut told, "options")).iter_mut().map(choice).collect(),
        question: text(&mut told, "question"),
    };
    QuestionAsked {
        id: text(data, "id"),
        questions: list(taken(data, "questions")).into_iter().map(one).collect(),
        message_id: text(&mut taken(data, "tool"), "messageID"),
    }
}

fn replied(data: &mut Value) -> Replied {
    Replied {
        request_id: text(data, "requestID"),
        reply: maybe(data, "reply").map(ReplyTold::of_word),
        message: text(data, "message"),
        answers: list(taken(data, "answers")).iter().map(texts).collect(),
        is_outside: data["outside"] == true,
    }
}

fn todo(told: &mut Value) -> Option<Vec<Todo>> {
    let one = |told: &mut Value| Todo { content: text(told, "content"), status: text(told, "status") };
    Some(told.as_array_mut()?.iter_mut().map(one).collect())
}

fn policy(data: &mut Value) -> PolicyTold {
    PolicyTold { policy: maybe(data, "policy"), situation: maybe(data, "situation") }
}

/// A field, out of what holds it; `null` where there is none.
fn taken(told: &mut Value, field: &str) -> Value {
    told.get_mut(field).map(Value::take).unwrap_or_default()
}

fn maybe(told: &mut Value, field: &str) -> Option<String> {
    match told.get_mut(field)? {
        Value::String(text) => Some(std::mem::take(text)),
        _ => None,
    }
}

fn text(told: &mut Value, field: &str) -> String {
    maybe(told, field).unwrap_or_default()
}

fn texts(told: &Value) -> Vec<String> {
    let all = told.as_array().into_iter().flatten();
    all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn list(told: Value) -> Vec<Value> {
    match told {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}
