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

use serde_json::value::RawValue;

use hal_base::clock::Time;
use hal_protocol::approval::Question;
use hal_protocol::event::failure::Failure;
use hal_protocol::event::kind::Kind;
use hal_protocol::event::what::{
    MessageTold, PermissionAsked, QuestionAsked, Replied, ReplyTold, Role, SessionTold, TurnTold, What,
};
use hal_protocol::event::write;
use hal_protocol::session::{Activity, Ask, AskKind, Context, Model, Retry, Session, Status, Todo, Tokens};

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
pub fn apply(session: &mut Session, what: &What, at: Time) {
    session.events += 1;
    // An older version has kept times that no calendar holds: they are later than any other, and would stay for ever.
    session.active_at = if session.active_at.is_in_calendar() { session.active_at.max(at) } else { at };
    match what {
        What::SessionCreated(told) | What::SessionUpdated(told) => on_info(session, told),
        What::Status(Some(turn)) => on_status(session, turn, at),
        What::Idle => turn_over(session, at),
        What::Failed(Some(failure)) => on_failure(session, failure),
        What::Interrupted { reason } => {
            session.error = Some(format!("interrupted: {}", short(reason)));
            turn_over(session, at);
        }
        What::Compacted => session.compactions = session.compactions.saturating_add(1),
        What::SessionDeleted => end(session, "deleted", at),
        What::Ended { reason } => end(session, reason, at),
        What::Message(told) => on_message(session, told),
        What::PermissionAsked(asked) => on_permission(session, asked, at),
        What::QuestionAsked(asked) => on_question(session, asked, at),
        What::PermissionReplied(replied)
        | What::QuestionReplied(replied)
        | What::QuestionRejected(replied) => {
            session.asks.retain(|ask| ask.id != replied.request_id);
        }
        What::Todo(Some(list)) => {
            let short = |one: &Todo| Todo { content: short(&one.content), status: short(&one.status) };
            session.todo = list.iter().take(MAX_THINGS_TO_DO).map(short).collect();
        }
        _ => {}
    }
}

/// What must be written so that the events of `recorded` add up to what a look at the backend has `seen`: pairs of
/// an event type and its data, each marked `"repaired": true`. Nothing when they agree.
pub fn repairs(recorded: Option<&Session>, seen: &Session) -> Vec<(&'static str, Box<RawValue>)> {
    let all = missing(recorded, seen).into_iter();
    all.filter_map(|what| Some((what.kind().map(Kind::as_str)?, write::repaired(&what)))).collect()
}

fn missing(recorded: Option<&Session>, seen: &Session) -> Vec<What> {
    let mut out = Vec::new();
    let blank = Session::new(seen.id.clone(), seen.node_id.clone(), seen.project.clone(), seen.started_at);
    let known = recorded.unwrap_or(&blank);
    if recorded.is_none() {
        out.push(What::SessionCreated(info_of(seen)));
    } else if differs_in_info(known, seen) {
        out.push(What::SessionUpdated(info_of(seen)));
    }
    for ask in known.asks.iter().filter(|ask| !seen.asks.iter().any(|other| other.id == ask.id)) {
        let reply = Some(ReplyTold::Other("unknown".to_owned()));
        let replied = Replied { request_id: ask.id.clone(), reply, ..Replied::default() };
        out.push(match ask.kind {
            AskKind::Permission => What::PermissionReplied(replied),
            AskKind::Question => What::QuestionReplied(replied),
        });
    }
    let was_busy = matches!(known.activity, Activity::Busy | Activity::Retry(_));
    let failed_unseen = known.activity == Activity::Idle && known.error.is_none() && seen.error.is_some();
    match &seen.activity {
        Activity::Busy if known.activity != Activity::Busy => out.push(What::Status(Some(TurnTold::Busy))),
        Activity::Retry(retry) if known.activity != seen.activity => {
            out.push(What::Status(Some(TurnTold::Retry(retry.clone()))));
        }
        Activity::Idle if was_busy || failed_unseen => {
            out.extend(seen.error.clone().map(|reason| What::Interrupted { reason }));
            out.push(What::Idle);
        }
        Activity::Ended(reason) if known.activity != seen.activity => {
            out.push(What::Ended { reason: reason.clone() });
        }
        _ => {}
    }
    out.extend(seen.asks.iter().filter(|ask| !known.asks.iter().any(|other| other.id == ask.id)).map(asked));
    out
}

/// What a session asks, as an event tells it.
fn asked(ask: &Ask) -> What {
    let (id, what) = (ask.id.clone(), ask.what.clone());
    match ask.kind {
        AskKind::Permission => What::PermissionAsked(PermissionAsked {
            id,
            tool: ask.about.clone(),
            command: Some(what),
            ..PermissionAsked::default()
        }),
        AskKind::Question => What::QuestionAsked(QuestionAsked {
            id,
            questions: vec![Question { question: what, options: Vec::new() }],
            ..QuestionAsked::default()
        }),
    }
}

/// Money as coding agents say it (US dollars) in millionths; `None` for what is no amount.
pub fn micros(dollars: f64) -> Option<u64> {
    (dollars.is_finite() && (0.0..1e12).contains(&dollars)).then(|| (dollars * 1e6).round() as u64)
}

fn differs_in_info(known: &Session, seen: &Session) -> bool {
    let costs = seen.cost_micros.is_some() && seen.cost_micros != known.cost_micros;
    known.title != seen.title || costs || (seen.tokens != Tokens::default() && seen.tokens != known.tokens)
}

fn info_of(seen: &Session) -> SessionTold {
    SessionTold {
        id: Some(seen.id.clone()),
        title: Some(seen.title.clone()),
        directory: Some(seen.directory.clone()),
        parent_id: seen.parent_id.clone(),
        cost: seen.cost_micros.map(|micros| micros as f64 / 1e6),
        tokens: Some(seen.tokens),
        model: seen.model.clone(),
        created: Some(seen.started_at),
        is_repaired: true,
    }
}

fn on_info(session: &mut Session, told: &SessionTold) {
    if let Some(title) = &told.title {
        session.title = short(title);
    }
    if let Some(directory) = &told.directory {
        session.directory = short(directory);
    }
    if let Some(parent) = &told.parent_id {
        session.parent_id = Some(parent.clone());
    }
    if let Some(cost) = told.cost.and_then(micros) {
        session.cost_micros = Some(cost);
    }
    if let Some(tokens) = told.tokens {
        session.tokens = tokens;
    }
    if let Some(model) = &told.model {
        session.model = Some(short_model(&model.provider, &model.id));
    }
    if let Some(created) = told.created.filter(|created| *created > Time::default()) {
        session.started_at = created;
    }
}

fn short_model(provider: &str, id: &str) -> Model {
    Model { provider: short(provider), id: short(id) }
}

fn on_status(session: &mut Session, turn: &TurnTold, at: Time) {
    match turn {
        TurnTold::Busy => {
            // A turn that goes on after an error (a provider's overflow, for one) has overcome it.
            session.error = None;
            set_activity(session, Activity::Busy, at);
        }
        TurnTold::Retry(retry) => {
            let retry = Retry { message: short(&retry.message), ..retry.clone() };
            set_activity(session, Activity::Retry(retry), at);
        }
        TurnTold::Over => turn_over(session, at),
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

fn on_failure(session: &mut Session, failure: &Failure) {
    // A turn that a person stopped has not failed.
    if !failure.is_abort() {
        session.error = Some(short(&failure.sentence()));
    }
}

fn on_message(session: &mut Session, told: &MessageTold) {
    if told.role != Role::Assistant {
        return;
    }
    if !told.model.is_empty() {
        session.model = Some(short_model(&told.provider, &told.model));
    }
    let used = if told.context > 0 { told.context } else { told.tokens.total() };
    if used > 0 {
        let limit = told.context_limit.or(session.context.and_then(|context| context.limit));
        session.context = Some(Context { used, limit });
    }
}

fn on_permission(session: &mut Session, asked: &PermissionAsked, at: Time) {
    ask(
        session,
        Ask {
            id: asked.id.clone(),
            kind: AskKind::Permission,
            what: short(&asked.what()),
            about: short(&asked.tool),
            since: at,
        },
    );
}

fn on_question(session: &mut Session, asked: &QuestionAsked, at: Time) {
    let what = asked.questions.iter().map(|one| one.question.as_str()).collect::<Vec<_>>().join(" / ");
    ask(
        session,
        Ask {
            id: asked.id.clone(),
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

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
