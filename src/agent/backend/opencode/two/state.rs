//! What is known of the sessions of a server, and what a frame of its stream adds.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;
use tokio::time::Instant;

use super::asks::OpenAsk;
use hal_base::clock::Time;
use hal_protocol::event::what::{TurnTold, What};
use hal_protocol::session::SessionId;

/// What a frame adds.
#[derive(Debug, PartialEq)]
pub enum Told {
    /// Something to keep.
    Event(SessionId, What),
    /// Something for whoever watches right now.
    Live(SessionId, What),
}

/// What is known of a session.
#[derive(Debug, Default)]
pub struct Known {
    /// Where it works.
    pub directory: String,
    /// The session whose helper it is.
    pub parent: Option<SessionId>,
    /// An execution of it runs.
    pub is_executing: bool,
    /// It waits for its provider.
    pub(super) is_retrying: bool,
    /// It was told to be at work, and not yet to be idle.
    pub is_busy: bool,
    /// Since when its family is quiet, while it is still told to be at work.
    pub(super) quiet_since: Option<Instant>,
    /// When its last execution ended.
    pub(super) ended_at: Option<Instant>,
    /// What was said and is not taken in yet: the words, and whether nobody said them.
    pub inputs: HashMap<String, (String, bool)>,
    /// The input that is answered.
    pub(super) prompt: String,
    pub(super) step: Step,
    pub(super) calls: HashMap<String, Call>,
    /// A person has refused something since the execution began: it is stopped by that.
    pub(super) was_refused: bool,
}

/// What is known of all sessions of a server.
#[derive(Debug, Default)]
pub struct Fold {
    /// By name.
    pub sessions: HashMap<SessionId, Known>,
    /// What waits for an answer, by its name.
    pub asks: HashMap<String, OpenAsk>,
    /// Background commands that run, and whose they are.
    pub shells: HashMap<String, SessionId>,
    /// What models can hold.
    pub limits: HashMap<(String, String), u64>,
    pub(super) deleted: HashSet<SessionId>,
    pub(super) seen: HashSet<String>,
    pub(super) order: VecDeque<String>,
}

/// An answer of the model as far as it is told.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub(super) message: String,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) created: Option<Time>,
}

/// A call of a tool that has not ended.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub(super) tool: String,
    pub(super) input: Value,
    /// A person has said no to it.
    pub(super) is_refused: bool,
}

/// Tells that a session is at work, when that is news.
pub(super) fn tell_busy(session: &SessionId, known: &mut Known, out: &mut Vec<Told>) {
    if !std::mem::replace(&mut known.is_busy, true) || std::mem::take(&mut known.is_retrying) {
        out.push(Told::Event(session.clone(), What::Status(Some(TurnTold::Busy))));
    }
}

/// Tells that it is idle, when that is news.
pub(super) fn tell_idle(session: &SessionId, known: &mut Known, out: &mut Vec<Told>) {
    known.quiet_since = None;
    if std::mem::take(&mut known.is_busy) {
        out.push(Told::Event(session.clone(), What::Status(Some(TurnTold::Over))));
        out.push(Told::Event(session.clone(), What::Idle));
    }
}
