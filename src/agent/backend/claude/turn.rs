//! What a session's process says, told as events; and what the session waits for.
//!
//! - `answer`: answers, tools, and what was used. `helper`: those that were started by a call.

mod answer;
mod helper;

use std::collections::HashMap;
use std::time::Duration;

use super::account::Account;
use super::classify::{self, Asked, LastError};
use super::voice::Voice;
use super::words::{CanUseTool, Lifecycle, Line, RetrySaid, SessionState, UsageSaid};
use hal_base::clock::{self, Time};
use hal_protocol::event::failure::{Failure, FailureKind};
use hal_protocol::event::part::ToolUse;
use hal_protocol::event::what::{Replied, ReplyTold, TurnTold, What};
use hal_protocol::session::{Retry, Session, SessionId, Tokens};

/// 10^-12 dollars in a millionth of one.
const PICOS: u64 = 1_000_000;

/// So many lines of a turn that cannot be read, and it is no coding agent that speaks.
pub const MOST_GARBAGE: u64 = 1000;

/// What the session has to know of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// Nothing.
    Nothing,
    /// The message of this name was taken.
    Taken(String),
    /// Nothing runs any more.
    Over,
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
pub struct OpenAsk {
    /// Its name.
    pub request: String,
    /// The session or the helper that asks.
    pub session: SessionId,
    /// What it said.
    pub said: CanUseTool,
    /// True when it asks whether it may.
    pub is_permission: bool,
    /// What is asked, in a line.
    pub what: String,
}

/// A call of a tool that has not ended.
#[derive(Clone, Debug)]
struct OpenCall {
    session: SessionId,
    message: String,
    part: String,
    told: ToolUse,
    is_refused: bool,
}

/// A helper.
#[derive(Debug)]
struct Helper {
    session: SessionId,
    task: String,
    is_busy: bool,
}

/// What a session has used so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    tokens: Tokens,
    picos: u64,
}

/// The turns of a session.
#[derive(Debug)]
pub struct Turn {
    id: SessionId,
    voice: Voice,
    title: String,
    started_at: Time,
    /// False until somebody was told of the session.
    is_told: bool,
    is_busy: bool,
    is_retrying: bool,
    /// False until the process has told its state: an older one does not.
    tells_state: bool,
    said: Vec<Said>,
    asks: Vec<OpenAsk>,
    calls: HashMap<String, OpenCall>,
    /// By the call that started each.
    helpers: HashMap<String, Helper>,
    /// The answer that is streamed: its name, model, and what it has used.
    streamed: Option<(String, String, UsageSaid)>,
    /// How many blocks of an answer were told, of the last ones.
    blocks: HashMap<String, u64>,
    parent: String,
    account: Account,
    sums: HashMap<SessionId, Sum>,
    limits: HashMap<String, u64>,
    last_error: LastError,
    /// Lines of this turn that could not be read.
    garbage: u64,
}

impl Turn {
    /// Of a session as it is known, or as it is made.
    pub fn new(voice: Voice, session: &Session, is_told: bool) -> Self {
        let sum =
            Sum { tokens: session.tokens, picos: session.cost_micros.unwrap_or(0).saturating_mul(PICOS) };
        Self {
            id: session.id.clone(),
            voice,
            title: session.title.clone(),
            started_at: session.started_at,
            is_told,
            is_busy: false,
            is_retrying: false,
            tells_state: false,
            said: Vec::new(),
            asks: Vec::new(),
            calls: HashMap::new(),
            helpers: HashMap::new(),
            streamed: None,
            blocks: HashMap::new(),
            parent: String::new(),
            account: Account::default(),
            sums: HashMap::from([(session.id.clone(), sum)]),
            limits: HashMap::new(),
            last_error: LastError::default(),
            garbage: 0,
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

    /// The sessions it speaks for: itself and its helpers.
    pub fn helpers(&self) -> impl Iterator<Item = &SessionId> {
        self.helpers.values().map(|helper| &helper.session)
    }

    /// Something is about to be said to the process.
    pub fn expect(&mut self, said: Said) {
        self.said.push(said);
    }

    /// True when that was not taken yet.
    pub fn is_expected(&self, name: &str) -> bool {
        self.said.iter().any(|said| said.name == name)
    }

    /// It will not be taken any more.
    pub fn forget(&mut self, name: &str) {
        self.said.retain(|said| said.name != name);
    }

    /// Tells of the session, once.
    pub async fn announce(&mut self) {
        if !std::mem::replace(&mut self.is_told, true) {
            let told = What::SessionCreated(self.told_of(&self.id, &self.title, None));
            self.voice.say(&self.id, &told).await;
        }
    }

    /// The request that waits under this name, or the oldest one of a session and its kind.
    pub fn find_ask(
        &self,
        session: &SessionId,
        request: Option<&str>,
        is_permission: bool,
    ) -> Option<OpenAsk> {
        let is_its = |ask: &&OpenAsk| {
            let by_name = request.is_some_and(|name| name == ask.request);
            ask.is_permission == is_permission && (by_name || (request.is_none() && ask.session == *session))
        };
        self.asks.iter().find(is_its).cloned()
    }

    /// A request was answered.
    pub async fn answered(&mut self, ask: &OpenAsk, reply: &str, answers: Vec<Vec<String>>) {
        self.asks.retain(|other| other.request != ask.request);
        let replied = Replied { request_id: ask.request.clone(), answers, ..Replied::default() };
        let told = match (ask.is_permission, reply) {
            (true, _) => {
                if let Some(call) = self.calls.get_mut(&ask.said.tool_use_id).filter(|_| reply == "reject") {
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

    /// The process has ended: what ran is cut off, for this reason.
    pub async fn cut(&mut self, reason: &str) {
        let reason = What::Interrupted { reason: reason.to_owned() };
        for (_, helper) in self.helpers.drain() {
            if helper.is_busy {
                self.voice.say(&helper.session, &reason).await;
                self.voice.say(&helper.session, &What::Idle).await;
            }
        }
        self.end_of_garbage();
        let settled = self.account.settle(&HashMap::new(), clock::now());
        self.add(settled);
        (self.streamed, self.tells_state) = (None, false);
        self.said.clear();
        self.asks.clear();
        self.calls.clear();
        if std::mem::take(&mut self.is_busy) {
            self.voice.say(&self.id, &reason).await;
            self.voice.say(&self.id, &What::Status(Some(TurnTold::Over))).await;
            self.voice.say(&self.id, &What::Idle).await;
        }
    }

    /// The session was killed.
    pub async fn killed(&self) {
        self.voice.say(&self.id, &What::Ended { reason: "killed".to_owned() }).await;
    }

    /// Something that nobody can read was said. It is logged once in a turn, and at its end how often. False when that
    /// was too often.
    pub fn garbage(&mut self, why: &str) -> bool {
        if self.garbage == 0 {
            tracing::warn!(session = %self.id, "Claude Code has said something that cannot be read: {why}");
        }
        self.garbage += 1;
        self.garbage < MOST_GARBAGE
    }

    /// A turn is over: tells how much of it could not be read.
    fn end_of_garbage(&mut self) {
        let count = std::mem::take(&mut self.garbage);
        if count > 1 {
            tracing::warn!(session = %self.id, "{count} lines of Claude Code could not be read in this turn");
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

    /// Takes a line.
    pub async fn hear(&mut self, line: Line) -> Note {
        match line {
            Line::State(state) => return self.state(state).await,
            Line::Lifecycle { command, state: Lifecycle::Queued } => return self.taken(command).await,
            Line::Lifecycle { command, state: Lifecycle::Started } => self.parent = command,
            Line::Lifecycle { .. } | Line::Other | Line::Unreadable(_) => {}
            Line::Retry(said) => self.retry(&said).await,
            Line::Compacted => self.voice.say(&self.id, &What::Compacted).await,
            Line::TaskStarted(said) => self.helper_started(said).await,
            Line::TaskEnded(said) => self.helper_ended(&said).await,
            Line::Stream { event } => self.stream(event).await,
            Line::Assistant(said) => self.assistant(*said).await,
            Line::Results { results, decided } => self.results(results, &decided).await,
            Line::Asks { request, asked } => self.ask(request, *asked).await,
            Line::AsksOther { request, why } => return Note::Refuse(request, why),
            Line::AskWithdrawn(request) => self.withdrawn(&request).await,
            Line::Result(said) => {
                self.result(&said).await;
                if !self.tells_state && said.queued_turn_count == 0 {
                    return self.state(SessionState::Idle).await;
                }
            }
        }
        Note::Nothing
    }

    async fn state(&mut self, state: SessionState) -> Note {
        match state {
            // A turn for something that was said is told of with that.
            SessionState::Running => {
                self.tells_state = true;
                if self.said.is_empty() {
                    self.busy().await;
                }
                Note::Nothing
            }
            SessionState::Waiting => Note::Nothing,
            SessionState::Idle => {
                self.end_of_garbage();
                self.asks.clear();
                self.is_retrying = false;
                let open: Vec<SessionId> =
                    self.helpers.drain().filter(|(_, one)| one.is_busy).map(|(_, one)| one.session).collect();
                for helper in open {
                    self.voice.say(&helper, &What::Idle).await;
                }
                if std::mem::take(&mut self.is_busy) {
                    self.voice.say(&self.id, &What::Status(Some(TurnTold::Over))).await;
                    self.voice.say(&self.id, &What::Idle).await;
                }
                Note::Over
            }
        }
    }

    async fn busy(&mut self) {
        if !std::mem::replace(&mut self.is_busy, true) || std::mem::take(&mut self.is_retrying) {
            self.voice.say(&self.id, &What::Status(Some(TurnTold::Busy))).await;
        }
    }

    async fn taken(&mut self, name: String) -> Note {
        let Some(at) = self.said.iter().position(|said| said.name == name) else { return Note::Nothing };
        let said = self.said.remove(at);
        self.announce().await;
        self.voice.heard(&self.id, &said.name, &said.text, Some(said.mark)).await;
        self.busy().await;
        Note::Taken(name)
    }

    async fn retry(&mut self, said: &RetrySaid) {
        self.is_retrying = true;
        let status = said.error_status.map(|code| format!(" (HTTP {code})")).unwrap_or_default();
        let delay = Duration::try_from_secs_f64(said.retry_delay_ms / 1e3).unwrap_or_default();
        let next = clock::now().plus(delay);
        let retry = Retry { attempt: said.attempt, message: format!("{}{status}", said.error), next };
        self.voice.say(&self.id, &What::Status(Some(TurnTold::Retry(retry)))).await;
    }

    async fn ask(&mut self, request: String, said: CanUseTool) {
        let of_agent = |agent: &String| self.helpers.values().find(|helper| helper.task == *agent);
        let helper = said.agent_id.as_ref().and_then(of_agent);
        let session = helper.map_or_else(|| self.id.clone(), |helper| helper.session.clone());
        let message = self.calls.get(&said.tool_use_id).map(|call| call.message.clone()).unwrap_or_default();
        let (is_permission, what, told) = match classify::asked(&request, &said, &message) {
            Asked::Permission(asked) => (true, asked.what(), What::PermissionAsked(asked)),
            Asked::Question(asked) => {
                let what: Vec<&str> = asked.questions.iter().map(|one| one.question.as_str()).collect();
                (false, what.join(" / "), What::QuestionAsked(asked))
            }
        };
        self.asks.push(OpenAsk { request, session: session.clone(), said, is_permission, what });
        self.voice.say(&session, &told).await;
    }

    async fn withdrawn(&mut self, request: &str) {
        if let Some(ask) = self.asks.iter().find(|ask| ask.request == request).cloned() {
            self.answered(&ask, if ask.is_permission { "withdrawn" } else { "reject" }, Vec::new()).await;
        }
    }
}
