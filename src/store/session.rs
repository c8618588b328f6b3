//! The rows of sessions: used by the supervisor's store and by the agent's journal.

use serde::{Deserialize, Serialize};

use super::row::Row;
use hal_base::clock::Time;
use hal_protocol::session::{
    Activity, Ask, AskKind, Context, Model, Retry, Session, SessionId, Todo, Tokens,
};

/// What is kept of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// Its number in the index of events; never reused.
    pub no: u32,
    /// The sum of its events.
    pub session: Session,
}

/// Version 1.
#[derive(Serialize, Deserialize)]
pub(super) struct SessionRow {
    no: u32,
    node_id: String,
    project: String,
    directory: String,
    backend: String,
    parent_id: Option<String>,
    title: String,
    activity: ActivityRow,
    since: i64,
    asks: Vec<AskRow>,
    error: Option<String>,
    model: Option<(String, String)>,
    tokens: [u64; 5],
    cost_micros: Option<u64>,
    context: Option<(u64, Option<u64>)>,
    compactions: u32,
    todo: Vec<(String, String)>,
    events: u64,
    started_at: i64,
    active_at: i64,
}

impl Row for SessionRow {
    const TABLE: &'static str = "sessions";
    const VERSION: u8 = 1;
}

#[derive(Serialize, Deserialize)]
enum ActivityRow {
    Idle,
    Busy,
    Retry { attempt: u32, message: String, next: i64 },
    Ended(String),
}

#[derive(Serialize, Deserialize)]
struct AskRow {
    id: String,
    question: bool,
    what: String,
    about: String,
    since: i64,
}

impl From<&SessionRecord> for SessionRow {
    fn from(record: &SessionRecord) -> Self {
        let session = &record.session;
        let tokens = &session.tokens;
        Self {
            no: record.no,
            node_id: session.node_id.to_string(),
            project: session.project.to_string(),
            directory: session.directory.clone(),
            backend: session.backend.clone(),
            parent_id: session.parent_id.as_ref().map(SessionId::to_string),
            title: session.title.clone(),
            activity: activity_row(&session.activity),
            since: session.since.0,
            asks: session.asks.iter().map(ask_row).collect(),
            error: session.error.clone(),
            model: session.model.as_ref().map(|model| (model.provider.clone(), model.id.clone())),
            tokens: [tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write],
            cost_micros: session.cost_micros,
            context: session.context.map(|context| (context.used, context.limit)),
            compactions: session.compactions,
            todo: session.todo.iter().map(|one| (one.content.clone(), one.status.clone())).collect(),
            events: session.events,
            started_at: session.started_at.0,
            active_at: session.active_at.0,
        }
    }
}

impl SessionRow {
    pub(super) fn into_record(self, id: &str) -> SessionRecord {
        let [input, output, reasoning, cache_read, cache_write] = self.tokens;
        let session = Session {
            id: id.into(),
            node_id: self.node_id.into(),
            project: self.project.into(),
            directory: self.directory,
            backend: self.backend,
            parent_id: self.parent_id.map(SessionId::from),
            title: self.title,
            activity: activity(self.activity),
            since: Time(self.since),
            asks: self.asks.into_iter().map(ask).collect(),
            error: self.error,
            model: self.model.map(|(provider, id)| Model { provider, id }),
            tokens: Tokens { input, output, reasoning, cache_read, cache_write },
            cost_micros: self.cost_micros,
            context: self.context.map(|(used, limit)| Context { used, limit }),
            compactions: self.compactions,
            todo: self.todo.into_iter().map(|(content, status)| Todo { content, status }).collect(),
            events: self.events,
            started_at: Time(self.started_at),
            active_at: Time(self.active_at),
        };
        SessionRecord { no: self.no, session }
    }
}

fn activity_row(activity: &Activity) -> ActivityRow {
    match activity {
        Activity::Idle => ActivityRow::Idle,
        Activity::Busy => ActivityRow::Busy,
        Activity::Retry(retry) => {
            ActivityRow::Retry { attempt: retry.attempt, message: retry.message.clone(), next: retry.next.0 }
        }
        Activity::Ended(why) => ActivityRow::Ended(why.clone()),
    }
}

fn activity(row: ActivityRow) -> Activity {
    match row {
        ActivityRow::Idle => Activity::Idle,
        ActivityRow::Busy => Activity::Busy,
        ActivityRow::Retry { attempt, message, next } => {
            Activity::Retry(Retry { attempt, message, next: Time(next) })
        }
        ActivityRow::Ended(why) => Activity::Ended(why),
    }
}

fn ask_row(ask: &Ask) -> AskRow {
    AskRow {
        id: ask.id.clone(),
        question: ask.kind == AskKind::Question,
        what: ask.what.clone(),
        about: ask.about.clone(),
        since: ask.since.0,
    }
}

fn ask(row: AskRow) -> Ask {
    let kind = if row.question { AskKind::Question } else { AskKind::Permission };
    Ask { id: row.id, kind, what: row.what, about: row.about, since: Time(row.since) }
}
