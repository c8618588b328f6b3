//! What a session's process says, told as events; and what the session waits for.
//!
//! - `answer`: answers, tools, and what was used. `helper`: those that were started by a call.

mod answer;
mod helper;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::SPEC;
use super::account::Account;
use super::classify::{self, Asked, LastError};
use super::words::{CanUseTool, Lifecycle, Line, RetrySaid, SessionState, UsageSaid};
use crate::backend::piped::turn::{Note, OpenAsk, Turn};
use crate::backend::piped::voice::Voice;
use hal_base::clock;
use hal_protocol::event::what::What;
use hal_protocol::session::{Session, SessionId, Tokens};

/// 10^-12 dollars in a millionth of one.
const PICOS: u64 = 1_000_000;

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
pub struct ClaudeTurn {
    /// What every kind has of them.
    pub base: Turn<CanUseTool>,
    /// False until the process has told its state: an older one does not.
    tells_state: bool,
    /// Messages that were taken and whose turn has not begun.
    waiting: Vec<String>,
    /// Messages whose turn is not to begin.
    dropped: HashSet<String>,
    /// By the call that started each.
    helpers: HashMap<String, Helper>,
    /// The answer that is streamed: its name, model, and what it has used.
    streamed: Option<(String, String, UsageSaid)>,
    /// How many blocks of an answer were told, of the last ones.
    blocks: HashMap<String, u64>,
    account: Account,
    sums: HashMap<SessionId, Sum>,
    limits: HashMap<String, u64>,
    last_error: LastError,
}

impl ClaudeTurn {
    /// Of a session as it is known, or as it is made.
    pub fn new(voice: Voice, session: &Session, is_told: bool) -> Self {
        let sum =
            Sum { tokens: session.tokens, picos: session.cost_micros.unwrap_or(0).saturating_mul(PICOS) };
        Self {
            base: Turn::new(&SPEC, voice, session, is_told, true),
            tells_state: false,
            waiting: Vec::new(),
            dropped: HashSet::new(),
            helpers: HashMap::new(),
            streamed: None,
            blocks: HashMap::new(),
            account: Account::default(),
            sums: HashMap::from([(session.id.clone(), sum)]),
            limits: HashMap::new(),
            last_error: LastError::default(),
        }
    }

    /// The sessions it speaks for beside itself.
    pub fn helpers(&self) -> impl Iterator<Item = &SessionId> {
        self.helpers.values().map(|helper| &helper.session)
    }

    /// What was said and whose turn has not begun, which is not to begin any more.
    pub fn drop_waiting(&mut self) -> Vec<String> {
        let names: Vec<String> = self.waiting.drain(..).chain(self.base.expected()).collect();
        self.dropped.extend(names.iter().cloned());
        names
    }

    /// The process has ended: what ran is cut off, for this reason.
    pub async fn cut(&mut self, reason: &str) {
        let told = What::Interrupted { reason: reason.to_owned() };
        for (_, helper) in self.helpers.drain() {
            if helper.is_busy {
                self.base.voice.say(&helper.session, &told).await;
                self.base.voice.say(&helper.session, &What::Idle).await;
            }
        }
        let settled = self.account.settle(&HashMap::new(), clock::now());
        self.add(settled);
        (self.streamed, self.tells_state) = (None, false);
        self.waiting.clear();
        self.dropped.clear();
        self.base.cut(reason).await;
    }

    /// Takes a line.
    pub async fn hear(&mut self, line: Line) -> Note {
        match line {
            Line::State(state) => return self.state(state).await,
            Line::Lifecycle { command, state } => return self.lifecycle(command, state).await,
            Line::Other | Line::Unreadable(_) => {}
            Line::Retry(said) => self.retry(&said).await,
            Line::Compacted => self.base.voice.say(&self.base.id, &What::Compacted).await,
            Line::TaskStarted(said) => self.helper_started(said).await,
            Line::TaskEnded(said) => self.helper_ended(&said).await,
            Line::Stream { event } => self.stream(event).await,
            Line::Assistant(said) => self.assistant(*said).await,
            Line::Results { results, decided } => self.results(results, &decided).await,
            Line::Asks { request, asked } => self.ask(request, *asked).await,
            Line::AsksOther { request, why } => return Note::Refuse(request, why),
            Line::AskWithdrawn(request) => self.base.withdrawn(&request).await,
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
                if !self.base.expects() {
                    self.base.busy().await;
                }
                Note::Nothing
            }
            SessionState::Waiting => Note::Nothing,
            SessionState::Idle => {
                let open: Vec<SessionId> =
                    self.helpers.drain().filter(|(_, one)| one.is_busy).map(|(_, one)| one.session).collect();
                for helper in open {
                    self.base.voice.say(&helper, &What::Idle).await;
                }
                self.base.over().await;
                Note::Over
            }
        }
    }

    async fn lifecycle(&mut self, name: String, state: Lifecycle) -> Note {
        match state {
            Lifecycle::Queued if self.base.taken(&name).await => {
                self.waiting.push(name.clone());
                Note::Taken(name)
            }
            Lifecycle::Started => {
                self.waiting.retain(|waiting| *waiting != name);
                let is_unwanted = self.dropped.remove(&name);
                self.base.parent = name;
                if is_unwanted { Note::Unwanted } else { Note::Nothing }
            }
            Lifecycle::Queued => Note::Nothing,
            Lifecycle::Over => {
                self.waiting.retain(|waiting| *waiting != name);
                self.dropped.remove(&name);
                Note::Nothing
            }
        }
    }

    async fn retry(&mut self, said: &RetrySaid) {
        let status = said.error_status.map(|code| format!(" (HTTP {code})")).unwrap_or_default();
        let delay = Duration::try_from_secs_f64(said.retry_delay_ms / 1e3).unwrap_or_default();
        self.base.retry(said.attempt, format!("{}{status}", said.error), delay).await;
    }

    async fn ask(&mut self, request: String, said: CanUseTool) {
        let of_agent = |agent: &String| self.helpers.values().find(|helper| helper.task == *agent);
        let helper = said.agent_id.as_ref().and_then(of_agent);
        let session = helper.map_or_else(|| self.base.id.clone(), |helper| helper.session.clone());
        let call = self.base.calls.get(&said.tool_use_id);
        let message = call.map(|call| call.message.clone()).unwrap_or_default();
        let (is_permission, what, told) = match classify::asked(&request, &said, &message) {
            Asked::Permission(asked) => (true, asked.what(), What::PermissionAsked(asked)),
            Asked::Question(asked) => {
                let what: Vec<&str> = asked.questions.iter().map(|one| one.question.as_str()).collect();
                (false, what.join(" / "), What::QuestionAsked(asked))
            }
        };
        let call = said.tool_use_id.clone();
        self.base.ask(OpenAsk { request, session, said, call, is_permission, what }, &told).await;
    }
}
