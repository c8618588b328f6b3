//! A session's turns, as every kind has them: what was said, what is asked, what runs, and how it is told.

use std::collections::HashMap;
use std::time::Duration;

use super::voice::Voice;
use crate::backend::program::ProgramSpec;
use hal_base::clock::{self, Time};
use hal_protocol::event::failure::{Failure, FailureKind};
use hal_protocol::event::part::{ToolCause, ToolState, ToolUse};
use hal_protocol::event::what::{Replied, ReplyTold, SessionTold, TurnTold, What};
use hal_protocol::session::{Retry, Session, SessionId, Tokens};

/// So many lines of a turn that cannot be read, and it is no coding agent that speaks.
pub const MOST_GARBAGE: u64 = 1000;

/// Refused requests of a turn that are logged one by one.
const MOST_REFUSED_LOGGED: u64 = 5;

/// Calls of tools that are remembered: more are never open at once.
const MOST_CALLS: usize = 1024;

/// What the session has to know of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// Nothing.
    Nothing,
    /// The message of this name was taken.
    Taken(String),
    /// The message of this name was refused, and why.
    Refused(String, String),
    /// The message of this name cannot be taken before the turn is over.
    Later(String),
    /// Nothing runs any more.
    Over,
    /// The message of this name was taken, and its turn is over already.
    TakenAndOver(String),
    /// A turn is over, and what waits for that is to be said now.
    GoOn,
    /// What runs now was to be stopped before it began.
    Unwanted,
    /// It has asked what nobody here can answer: under this name, and what it is answered.
    Refuse(String, String),
}

/// Something said that was not taken yet.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its name.
    pub name: String,
    /// The words.
    pub text: String,
    /// What is remembered of the command that brought it.
    pub mark: u64,
}

/// A request that waits for an answer.
#[derive(Clone, Debug)]
pub struct OpenAsk<A> {
    /// Its name.
    pub request: String,
    /// The session or the helper that asks.
    pub session: SessionId,
    /// What it said.
    pub said: A,
    /// The call of a tool that asks.
    pub call: String,
    /// True when it asks whether it may.
    pub is_permission: bool,
    /// What is asked, in a line.
    pub what: String,
}

/// A call of a tool that has not ended.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// The session or the helper that calls.
    pub session: SessionId,
    /// The message that it belongs to.
    pub message: String,
    /// Its place there.
    pub part: String,
    /// How it was told last.
    pub told: ToolUse,
    /// True when a person has said no to it.
    pub is_refused: bool,
}

impl OpenCall {
    /// The same when it has not ended by itself, but with its turn, for this reason.
    pub fn stopped(mut self, why: &str) -> Self {
        let cause = if self.is_refused { ToolCause::Refused } else { ToolCause::Stopped };
        self.told.state = ToolState::Error;
        self.told.error = why.to_owned();
        self.told.cause = Some(cause);
        self
    }
}

/// The turns of a session; `A` is what a request says.
#[derive(Debug)]
pub struct Turn<A> {
    /// The session.
    pub id: SessionId,
    /// How it is told.
    pub voice: Voice,
    /// The message that is answered.
    pub parent: String,
    /// Calls that have not ended.
    pub calls: HashMap<String, OpenCall>,
    kind: &'static str,
    title: String,
    started_at: Time,
    /// False until somebody was told of the session.
    is_told: bool,
    /// True where the coding agent tells what a session costs: it begins with nothing then.
    tells_cost: bool,
    is_busy: bool,
    is_retrying: bool,
    said: Vec<Said>,
    asks: Vec<OpenAsk<A>>,
    /// Lines of this turn that could not be read.
    garbage: u64,
    /// Requests of this turn that nobody here can answer.
    refused: u64,
}

impl<A: Clone> Turn<A> {
    /// Of a session of this kind as it is known, or as it is made.
    pub fn new(spec: &ProgramSpec, voice: Voice, session: &Session, is_told: bool, tells_cost: bool) -> Self {
        Self {
            id: session.id.clone(),
            voice,
            parent: String::new(),
            calls: HashMap::new(),
            kind: spec.title,
            title: session.title.clone(),
            started_at: session.started_at,
            is_told,
            tells_cost,
            is_busy: false,
            is_retrying: false,
            said: Vec::new(),
            asks: Vec::new(),
            garbage: 0,
            refused: 0,
        }
    }

    /// True while a turn runs.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// The status word.
    pub fn word(&self) -> &'static str {
        match self.is_busy {
            true if !self.asks.is_empty() => "waiting",
            true if self.is_retrying => "retrying",
            true => "running",
            false => "idle",
        }
    }

    /// Something is about to be said to the process.
    pub fn expect(&mut self, said: Said) {
        self.said.push(said);
    }

    /// True when anything was not taken yet.
    pub fn expects(&self) -> bool {
        !self.said.is_empty()
    }

    /// The names of all that.
    pub fn expected(&self) -> Vec<String> {
        self.said.iter().map(|said| said.name.clone()).collect()
    }

    /// It will not be taken any more.
    pub fn forget(&mut self, name: &str) {
        self.said.retain(|said| said.name != name);
    }

    /// Tells of the session, once.
    pub async fn announce(&mut self) {
        if !std::mem::replace(&mut self.is_told, true) {
            let cost = self.tells_cost.then_some(0.0);
            let told = SessionTold { tokens: Some(Tokens::default()), cost, ..self.told_of(&self.id, None) };
            self.voice.say(&self.id, &What::SessionCreated(told)).await;
        }
    }

    /// What is told of the session, or of a helper of this title, as a whole, without what it has used.
    pub fn told_of(&self, session: &SessionId, helper: Option<&str>) -> SessionTold {
        SessionTold {
            id: Some(session.clone()),
            title: Some(helper.unwrap_or(&self.title).to_owned()),
            directory: Some(self.voice.directory().to_owned()),
            created: Some(if helper.is_none() { self.started_at } else { clock::now() }),
            ..SessionTold::default()
        }
    }

    /// A turn runs, and does not wait for its provider.
    pub async fn busy(&mut self) {
        if !std::mem::replace(&mut self.is_busy, true) || std::mem::take(&mut self.is_retrying) {
            self.voice.say(&self.id, &What::Status(Some(TurnTold::Busy))).await;
        }
    }

    /// A message was taken: it is told, and a turn runs for it. False: it is none that was said here.
    pub async fn taken(&mut self, name: &str) -> bool {
        let Some(at) = self.said.iter().position(|said| said.name == name) else { return false };
        let said = self.said.remove(at);
        self.announce().await;
        self.voice.heard(&self.id, &said.name, &said.text, Some(said.mark)).await;
        self.busy().await;
        true
    }

    /// It does not wait for its provider any more.
    pub fn goes_on(&mut self) {
        self.is_retrying = false;
    }

    /// The provider has refused, and it is tried again after a while.
    pub async fn retry(&mut self, attempt: u32, message: String, delay: Duration) {
        self.is_retrying = true;
        let retry = Retry { attempt, message, next: clock::now().plus(delay) };
        self.voice.say(&self.id, &What::Status(Some(TurnTold::Retry(retry)))).await;
    }

    /// It asks something.
    pub async fn ask(&mut self, ask: OpenAsk<A>, told: &What) {
        let session = ask.session.clone();
        self.asks.push(ask);
        self.voice.say(&session, told).await;
    }

    /// The request that waits under this name, or the oldest one of a session and its kind.
    pub fn find_ask(
        &self,
        session: &SessionId,
        request: Option<&str>,
        is_permission: bool,
    ) -> Option<OpenAsk<A>> {
        let is_its = |ask: &&OpenAsk<A>| {
            let by_name = request.is_some_and(|name| name == ask.request);
            ask.is_permission == is_permission && (by_name || (request.is_none() && ask.session == *session))
        };
        self.asks.iter().find(is_its).cloned()
    }

    /// The name of the request that says this.
    pub fn name_of(&self, is_it: impl Fn(&A) -> bool) -> Option<String> {
        self.asks.iter().find(|ask| is_it(&ask.said)).map(|ask| ask.request.clone())
    }

    /// A request was answered.
    pub async fn answered(&mut self, ask: &OpenAsk<A>, reply: &str, answers: Vec<Vec<String>>) {
        self.asks.retain(|other| other.request != ask.request);
        let replied = Replied { request_id: ask.request.clone(), answers, ..Replied::default() };
        let told = match (ask.is_permission, reply) {
            (true, _) => {
                if let Some(call) = self.calls.get_mut(&ask.call).filter(|_| reply == "reject") {
                    call.is_refused = true;
                }
                What::PermissionReplied(Replied {
                    reply: Some(ReplyTold::of_word(reply.to_owned())),
                    ..replied
                })
            }
            (false, "reject") => What::QuestionRejected(replied),
            (false, _) => What::QuestionReplied(replied),
        };
        self.voice.say(&ask.session, &told).await;
    }

    /// It does not want to know any more.
    pub async fn withdrawn(&mut self, request: &str) {
        if let Some(ask) = self.asks.iter().find(|ask| ask.request == request).cloned() {
            self.answered(&ask, if ask.is_permission { "withdrawn" } else { "reject" }, Vec::new()).await;
        }
    }

    /// Remembers a call of a tool until it ends.
    pub fn open_call(&mut self, call: OpenCall) {
        if self.calls.len() >= MOST_CALLS {
            self.calls.clear();
        }
        self.calls.insert(call.told.call.clone(), call);
    }

    /// Nothing runs any more.
    pub async fn over(&mut self) {
        self.end_of_garbage();
        self.asks.clear();
        self.is_retrying = false;
        if std::mem::take(&mut self.is_busy) {
            self.voice.say(&self.id, &What::Status(Some(TurnTold::Over))).await;
            self.voice.say(&self.id, &What::Idle).await;
        }
    }

    /// The process has ended: what ran is cut off, for this reason.
    pub async fn cut(&mut self, reason: &str) {
        self.said.clear();
        self.calls.clear();
        if self.is_busy {
            self.voice.say(&self.id, &What::Interrupted { reason: reason.to_owned() }).await;
        }
        self.over().await;
    }

    /// The session was killed.
    pub async fn killed(&self) {
        self.voice.say(&self.id, &What::Ended { reason: "killed".to_owned() }).await;
    }

    /// Something that nobody can read was said. It is logged once in a turn, and at its end how often. False when that
    /// was too often.
    pub fn garbage(&mut self, why: &str) -> bool {
        if self.garbage == 0 {
            tracing::warn!(session = %self.id, "{} has said something that cannot be read: {why}", self.kind);
        }
        self.garbage += 1;
        self.garbage < MOST_GARBAGE
    }

    /// A request was refused that nobody here can answer. The first ones of a turn are logged.
    pub fn refused(&mut self, why: &str) {
        if self.refused < MOST_REFUSED_LOGGED {
            tracing::warn!(session = %self.id, "a request of {} is refused: {why}", self.kind);
        }
        self.refused += 1;
    }

    /// A turn is over: tells how much of it could not be read.
    fn end_of_garbage(&mut self) {
        let refused = std::mem::take(&mut self.refused);
        if refused > MOST_REFUSED_LOGGED {
            tracing::warn!(session = %self.id, "{refused} requests of {} were refused in this turn", self.kind);
        }
        let count = std::mem::take(&mut self.garbage);
        if count > 1 {
            tracing::warn!(session = %self.id, "{count} lines of {} could not be read in this turn", self.kind);
        }
    }

    /// The session has failed for a reason of ours.
    pub async fn failed(&self, why: &str) {
        let (kind, name, message) = (FailureKind::Other, "unreadable".to_owned(), why.to_owned());
        let failure = Failure { kind, name, message, http_status: None };
        self.voice.say(&self.id, &What::Failed(Some(failure))).await;
        if !self.is_busy {
            self.voice.say(&self.id, &What::Idle).await;
        }
    }
}
