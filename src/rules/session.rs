//! What a session's events add up to, and what must be written when a look at the backend disagrees.
//!
//! ```text
//!           session.status busy            permission.asked
//!   idle -----------------------> running -----------------> waiting
//!    ^  <----------------------      |  ^  <-----------------
//!    |   session.idle                |  |    permission.replied
//!    |                               v  |
//!    |                            retrying
//!   error = idle with an error that no new turn has cleared;  ended = killed or deleted, until the next turn
//! ```
//! The status word is derived, never stored: see [`status`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::base::clock::Time;
use crate::protocol::event::raw;
use crate::protocol::session::{
    Activity, Ask, AskKind, Context, Model, Retry, Session, SessionId, Status, Todo, Tokens,
};

/// Questions kept per session; a backend that asks more than this at once is broken.
const MAX_ASKS: usize = 64;

/// Lines kept of a list of things to do: it is written with every event of its session.
const MAX_THINGS_TO_DO: usize = 100;

/// Characters kept of a title, an error or a question.
const MAX_TEXT: usize = 2_000;

/// The status word while the session's node is connected.
pub fn status(session: &Session) -> Status {
    match &session.activity {
        Activity::Ended(_) => Status::Ended,
        Activity::Busy | Activity::Retry(_) if !session.asks.is_empty() => Status::Waiting,
        Activity::Busy => Status::Running,
        Activity::Retry(_) => Status::Retrying,
        Activity::Idle if session.error.is_some() => Status::Error,
        Activity::Idle => Status::Idle,
    }
}

/// The status word of a session whose helpers are known, too: a turn waits while one of them does.
pub fn status_with_helpers(session: &Session, helper_waits: bool) -> Status {
    match status(session) {
        Status::Running | Status::Retrying if helper_waits => Status::Waiting,
        own => own,
    }
}

/// Adds one durable event to what is known. Events that mean nothing to a session only move its clock; data that
/// cannot be read is like data that is not there.
pub fn apply(session: &mut Session, kind: &str, data: &RawValue, at: Time) {
    session.events += 1;
    // An older version has kept times that no calendar holds: they are later than any other, and would stay for ever.
    session.active_at = if session.active_at.is_in_calendar() { session.active_at.max(at) } else { at };
    match kind {
        "session.created" | "session.updated" => on_info(session, data),
        "session.status" => on_status(session, data, at),
        "session.idle" => turn_over(session, at),
        "session.error" => on_error(session, data),
        "session.interrupted" => {
            session.error = Some(format!("interrupted: {}", short(&reason(data))));
            turn_over(session, at);
        }
        "session.compacted" => session.compactions = session.compactions.saturating_add(1),
        "session.deleted" => end(session, "deleted", at),
        "session.ended" => end(session, &reason(data), at),
        "message.updated" => on_message(session, data),
        "permission.asked" => on_permission(session, data, at),
        "question.asked" => on_question(session, data, at),
        "permission.replied" | "question.replied" | "question.rejected" => on_reply(session, data),
        "todo.updated" => {
            if let Some(list) = read::<TodoList>(data) {
                let short = |one: &Todo| Todo { content: short(&one.content), status: short(&one.status) };
                session.todo = list.todos.iter().take(MAX_THINGS_TO_DO).map(short).collect();
            }
        }
        _ => {}
    }
}

/// What must be written so that the events of `recorded` add up to what a look at the backend has `seen`: pairs of
/// an event type and its data, each marked `"repaired": true`. Nothing when they agree.
pub fn repairs(recorded: Option<&Session>, seen: &Session) -> Vec<(&'static str, Box<RawValue>)> {
    let mut out = Vec::new();
    let blank = Session::new(seen.id.clone(), seen.node_id.clone(), seen.project.clone(), seen.started_at);
    let known = recorded.unwrap_or(&blank);
    if recorded.is_none() {
        out.push(("session.created", raw(&info_of(seen))));
    } else if differs_in_info(known, seen) {
        out.push(("session.updated", raw(&info_of(seen))));
    }
    for ask in known.asks.iter().filter(|ask| !seen.asks.iter().any(|other| other.id == ask.id)) {
        out.push((
            match ask.kind {
                AskKind::Permission => "permission.replied",
                AskKind::Question => "question.replied",
            },
            raw(&json!({"requestID": ask.id, "reply": "unknown", "repaired": true})),
        ));
    }
    let was_busy = matches!(known.activity, Activity::Busy | Activity::Retry(_));
    let failed_unseen = known.activity == Activity::Idle && known.error.is_none() && seen.error.is_some();
    match &seen.activity {
        Activity::Busy if known.activity != Activity::Busy => {
            out.push(("session.status", raw(&json!({"status": {"type": "busy"}, "repaired": true}))));
        }
        Activity::Retry(retry) if known.activity != seen.activity => out.push((
            "session.status",
            raw(&json!({"status": {"type": "retry", "attempt": retry.attempt, "message": retry.message,
                "next": retry.next.0}, "repaired": true})),
        )),
        Activity::Idle if was_busy || failed_unseen => {
            if let Some(error) = &seen.error {
                out.push(("session.interrupted", raw(&json!({"reason": error, "repaired": true}))));
            }
            out.push(("session.idle", raw(&json!({"repaired": true}))));
        }
        Activity::Ended(reason) if known.activity != seen.activity => {
            out.push(("session.ended", raw(&json!({"reason": reason, "repaired": true}))));
        }
        _ => {}
    }
    for ask in seen.asks.iter().filter(|ask| !known.asks.iter().any(|other| other.id == ask.id)) {
        let data = match ask.kind {
            AskKind::Permission => json!({"id": ask.id, "permission": ask.about,
                "metadata": {"command": ask.what}, "repaired": true}),
            AskKind::Question => {
                json!({"id": ask.id, "questions": [{"question": ask.what}], "repaired": true})
            }
        };
        let kind = match ask.kind {
            AskKind::Permission => "permission.asked",
            AskKind::Question => "question.asked",
        };
        out.push((kind, raw(&data)));
    }
    out
}

/// Money as opencode and others say it (US dollars) in millionths; `None` for what is no amount.
pub fn micros(dollars: f64) -> Option<u64> {
    (dollars.is_finite() && (0.0..1e12).contains(&dollars)).then(|| (dollars * 1e6).round() as u64)
}

fn differs_in_info(known: &Session, seen: &Session) -> bool {
    let costs = seen.cost_micros.is_some() && seen.cost_micros != known.cost_micros;
    known.title != seen.title || costs || (seen.tokens != Tokens::default() && seen.tokens != known.tokens)
}

fn info_of(seen: &Session) -> Value {
    json!({"info": {
        "id": seen.id, "title": seen.title, "directory": seen.directory, "parentID": seen.parent_id,
        "cost": seen.cost_micros.map(|micros| micros as f64 / 1e6),
        "tokens": {"input": seen.tokens.input, "output": seen.tokens.output, "reasoning": seen.tokens.reasoning,
            "cache": {"read": seen.tokens.cache_read, "write": seen.tokens.cache_write}},
        "model": seen.model.as_ref().map(|model| json!({"id": model.id, "providerID": model.provider})),
        "time": {"created": seen.started_at.0},
    }, "repaired": true})
}

fn on_info(session: &mut Session, data: &RawValue) {
    let Some(InfoOf { info }) = read::<InfoOf<SessionInfo>>(data) else { return };
    if let Some(title) = info.title {
        session.title = short(&title);
    }
    if let Some(directory) = info.directory {
        session.directory = short(&directory);
    }
    if let Some(parent) = info.parent_id {
        session.parent_id = Some(parent);
    }
    if let Some(cost) = info.cost.and_then(micros) {
        session.cost_micros = Some(cost);
    }
    if let Some(tokens) = info.tokens {
        session.tokens = tokens.into();
    }
    if let Some(model) = info.model {
        session.model = Some(Model { provider: short(&model.provider_id), id: short(&model.id) });
    }
    let created = info.time.and_then(|time| time.created).map(Time::said);
    if let Some(created) = created.filter(|created| *created > Time::default()) {
        session.started_at = created;
    }
}

fn on_status(session: &mut Session, data: &RawValue, at: Time) {
    let Some(StatusOf { status }) = read::<StatusOf>(data) else { return };
    match status.kind.as_str() {
        "busy" => {
            // A turn that goes on after an error (a provider's overflow, for one) has overcome it.
            session.error = None;
            set_activity(session, Activity::Busy, at);
        }
        "retry" => set_activity(
            session,
            Activity::Retry(Retry {
                attempt: status.attempt,
                message: short(&status.message),
                next: Time::said(status.next),
            }),
            at,
        ),
        _ => turn_over(session, at),
    }
}

fn turn_over(session: &mut Session, at: Time) {
    session.asks.clear();
    if !matches!(session.activity, Activity::Ended(_)) {
        set_activity(session, Activity::Idle, at);
    }
}

fn end(session: &mut Session, why: &str, at: Time) {
    session.asks.clear();
    set_activity(session, Activity::Ended(short(why)), at);
}

fn set_activity(session: &mut Session, activity: Activity, at: Time) {
    if session.activity != activity {
        session.activity = activity;
        session.since = at;
    }
}

fn on_error(session: &mut Session, data: &RawValue) {
    let Some(ErrorOf { error }) = read::<ErrorOf>(data) else { return };
    // A turn that a person stopped has not failed.
    if error.name == "MessageAbortedError" {
        return;
    }
    let message = error.data.and_then(|data| data.message).unwrap_or_default();
    let text = match (error.name.as_str(), message.as_str()) {
        ("", message) => message.to_owned(),
        (name, "") => name.to_owned(),
        (name, message) => format!("{name}: {message}"),
    };
    session.error = Some(short(&text));
}

fn on_message(session: &mut Session, data: &RawValue) {
    let Some(InfoOf { info }) = read::<InfoOf<MessageInfo>>(data) else { return };
    if info.role != "assistant" {
        return;
    }
    if !info.model_id.is_empty() {
        session.model = Some(Model { provider: short(&info.provider_id), id: short(&info.model_id) });
    }
    if let Some(used) = info.tokens.as_ref().map(TokensInfo::context).filter(|used| *used > 0) {
        let limit = info.context_limit.or(session.context.and_then(|context| context.limit));
        session.context = Some(Context { used, limit });
    }
}

fn on_permission(session: &mut Session, data: &RawValue, at: Time) {
    let Some(asked) = read::<PermissionAsked>(data) else { return };
    let command = asked.metadata.get("command").or(asked.metadata.get("filepath")).and_then(Value::as_str);
    let what = command.map_or_else(|| asked.patterns.join(" "), str::to_owned);
    ask(
        session,
        Ask {
            id: asked.id,
            kind: AskKind::Permission,
            what: short(&what),
            about: short(&asked.permission),
            since: at,
        },
    );
}

fn on_question(session: &mut Session, data: &RawValue, at: Time) {
    let Some(asked) = read::<QuestionAsked>(data) else { return };
    let what = asked.questions.iter().map(|one| one.question.as_str()).collect::<Vec<_>>().join(" / ");
    ask(
        session,
        Ask {
            id: asked.id,
            kind: AskKind::Question,
            what: short(&what),
            about: "question".into(),
            since: at,
        },
    );
}

fn ask(session: &mut Session, new: Ask) {
    session.asks.retain(|ask| ask.id != new.id);
    // A part of a name is no name that an answer could be given to.
    if session.asks.len() < MAX_ASKS && new.id.len() <= MAX_TEXT {
        session.asks.push(new);
    }
}

fn on_reply(session: &mut Session, data: &RawValue) {
    if let Some(replied) = read::<Replied>(data) {
        session.asks.retain(|ask| ask.id != replied.request_id);
    }
}

fn reason(data: &RawValue) -> String {
    read::<Reason>(data).map(|data| data.reason).unwrap_or_default()
}

fn read<T: DeserializeOwned>(data: &RawValue) -> Option<T> {
    serde_json::from_str(data.get()).ok()
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

// The parts of the vocabulary (see `protocol::event`) that a session's state depends on.

#[derive(Deserialize)]
struct InfoOf<T> {
    info: T,
}

#[derive(Deserialize)]
struct SessionInfo {
    title: Option<String>,
    directory: Option<String>,
    #[serde(rename = "parentID")]
    parent_id: Option<SessionId>,
    cost: Option<f64>,
    tokens: Option<TokensInfo>,
    model: Option<ModelInfo>,
    time: Option<TimeInfo>,
}

#[derive(Deserialize)]
struct ModelInfo {
    id: String,
    #[serde(rename = "providerID", default)]
    provider_id: String,
}

#[derive(Deserialize)]
struct TimeInfo {
    created: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokensInfo {
    total: u64,
    input: u64,
    output: u64,
    reasoning: u64,
    cache: CacheInfo,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CacheInfo {
    read: u64,
    write: u64,
}

impl TokensInfo {
    /// What the model's context holds after the message.
    fn context(&self) -> u64 {
        if self.total > 0 { self.total } else { Tokens::from(self).total() }
    }
}

impl From<&TokensInfo> for Tokens {
    fn from(info: &TokensInfo) -> Self {
        Self {
            input: info.input,
            output: info.output,
            reasoning: info.reasoning,
            cache_read: info.cache.read,
            cache_write: info.cache.write,
        }
    }
}

impl From<TokensInfo> for Tokens {
    fn from(info: TokensInfo) -> Self {
        Self::from(&info)
    }
}

#[derive(Deserialize)]
struct MessageInfo {
    #[serde(default)]
    role: String,
    #[serde(rename = "modelID", default)]
    model_id: String,
    #[serde(rename = "providerID", default)]
    provider_id: String,
    tokens: Option<TokensInfo>,
    /// Ours: the agent adds what the backend says of the model, since the message does not.
    #[serde(rename = "contextLimit")]
    context_limit: Option<u64>,
}

#[derive(Deserialize)]
struct StatusOf {
    status: StatusInfo,
}

#[derive(Deserialize)]
struct StatusInfo {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    next: i64,
}

#[derive(Deserialize)]
struct ErrorOf {
    error: ErrorInfo,
}

#[derive(Deserialize)]
struct ErrorInfo {
    #[serde(default)]
    name: String,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
struct ErrorData {
    message: Option<String>,
}

#[derive(Deserialize)]
struct PermissionAsked {
    id: String,
    #[serde(default)]
    permission: String,
    #[serde(default)]
    patterns: Vec<String>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct QuestionAsked {
    id: String,
    #[serde(default)]
    questions: Vec<QuestionInfo>,
}

#[derive(Deserialize)]
struct QuestionInfo {
    #[serde(default)]
    question: String,
}

#[derive(Deserialize)]
struct Replied {
    #[serde(rename = "requestID", default)]
    request_id: String,
}

#[derive(Deserialize)]
struct TodoList {
    todos: Vec<Todo>,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}
