//! A backend that follows words in the prompt: the demo for people without a coding agent, and the stand-in of tests.
//!
//! `say TEXT`, `run SECONDS`, `ask COMMAND`, `question TEXT`, `fail MESSAGE`, `cost USD`, `tokens IN OUT`, `bad COMMAND` (a command that fails),
//! `edit FILE`, `compact`, `done THING` (a thing to do that is done), `burst N`
//! (ticks, as fast as they are taken), `pace N PER_SECOND` (the same, so many a second at most), several of them in
//! lines or separated by `;`. It reports the same events in the same shapes as a true coding
//! agent. What it knows lives in this process: a turn dies with it, and the snapshot it gives at its next start says so.

mod ledger;
mod report;
mod script;
mod turn;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::program::ProgramSpec;
use super::{
    Action, BackendError, KnownSession, KnownSessions, Modes, Opening, Place, ReconcileOutcome, Report,
    Reports,
};
use hal_base::clock;
use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;
use hal_protocol::event::what::What;
use hal_protocol::session::{Activity, Session, SessionId, Tokens};
use hal_rules as rules;
use ledger::Ledger;
use report::Voice;
use turn::{Answer, Turn};

/// Messages that may wait for the running turn of a session.
const MAX_WAITING: usize = 100;

/// Characters of the prompt that become the title.
const TITLE_CHARS: usize = 60;

/// How long a stop waits for turns to say their last word.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// The echo backend. Clones share it.
#[derive(Clone, Debug)]
pub struct Echo {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reports: Reports,
    sessions: Mutex<HashMap<SessionId, Slot>>,
    /// What was remembered at the start; see [`Echo::reconcile`].
    remembered: KnownSessions,
    stopping: CancellationToken,
    turns: TaskTracker,
    ledger: Ledger,
}

/// A session here.
#[derive(Debug)]
struct Slot {
    directory: String,
    title: String,
    started_at: i64,
    tokens: Tokens,
    cost_micros: u64,
    context_used: u64,
    ended: bool,
    /// Permissions that were given for good.
    always: Vec<String>,
    /// The turn that runs: how to end it, and what it waits for.
    turn: Option<Running>,
    waiting: VecDeque<Message>,
}

/// A message and the command that brought it.
#[derive(Debug)]
struct Message {
    command: CommandId,
    /// Its name in the record.
    id: String,
    text: String,
}

#[derive(Debug, Default)]
struct Running {
    end: CancellationToken,
    /// False while its message still waits.
    has_begun: bool,
    asks: Vec<OpenAsk>,
}

/// A question of the running turn.
#[derive(Debug)]
struct OpenAsk {
    id: String,
    is_permission: bool,
    answer: tokio::sync::oneshot::Sender<Answer>,
}

impl Echo {
    pub(super) const PROGRAM: Option<ProgramSpec> = None;

    pub(super) const ABILITIES: Abilities = Abilities {
        cost: true,
        tokens: UsageTold::PerTurn,
        context: true,
        compaction: true,
        todo: true,
        permission: true,
        question: true,
        steer: false,
        resume: true,
        survives: false,
    };

    pub(super) const MODES: Modes = Modes { permission: &[], sandbox: &[], unguarded: &[] };

    /// Files of a checkout by which it runs something.
    pub(super) const BROUGHT: &[&str] = &[];

    /// Whether it can leave those out and work all the same.
    pub(super) const LEAVES_OUT: bool = true;

    pub(super) fn open_with(opening: Opening) -> Self {
        Self::open(opening.memory, opening.reports)
    }

    /// Any directory will do.
    #[expect(clippy::unused_self, reason = "every backend is told where its projects are")]
    pub(super) fn work_in(&self, _: &[Place]) {}

    /// Goes on with the sessions of `memory`, reports the snapshot, and is ready. Needs a running tokio runtime.
    pub fn open(memory: KnownSessions, reports: Reports) -> Self {
        let sessions = memory.iter().map(|(id, known)| (id.clone(), Slot::of(&known.session))).collect();
        let shared = Arc::new(Shared {
            reports,
            sessions: Mutex::new(sessions),
            remembered: memory,
            stopping: CancellationToken::new(),
            turns: TaskTracker::new(),
            ledger: Ledger::of_environment(),
        });
        let snapshot = shared.remembered.values().map(|known| as_it_is_now(&known.session)).collect();
        let first = Arc::clone(&shared);
        shared.turns.spawn(async move {
            // The session manager is gone only when the agent ends.
            let _ended = first.reports.send(Report::Snapshot(snapshot)).await;
            let _ended = first.reports.send(Report::Health(None)).await;
        });
        Self { shared }
    }

    pub(super) async fn carry_out(
        &self,
        command: &CommandId,
        action: Action,
    ) -> Result<String, BackendError> {
        if self.shared.stopping.is_cancelled() {
            return Err(BackendError::Down { backend: "echo", why: "the agent is stopping".into() });
        }
        match action {
            Action::Create { directory, prompt, title, .. } => {
                self.create(command, directory, prompt, title).await
            }
            Action::Prompt { session_id, message } => self.prompt(&session_id, command, message).await,
            Action::Abort { session_id } => self.abort(&session_id),
            Action::Kill { session_id } => self.kill(&session_id).await,
            Action::AnswerPermission { session_id, request_id, reply, message } => {
                self.answer(&session_id, request_id.as_deref(), Answer::Permission { reply, message })
            }
            Action::AnswerQuestion { session_id, request_id, answers } => {
                self.answer(&session_id, request_id.as_deref(), Answer::Question { answers })
            }
            Action::Look { session_id } => self.with(&session_id, |slot| slot.status_word().to_owned()),
        }
    }

    /// Everything this backend does ends up in the journal or ends with the process, so what the journal remembered
    /// at the start tells whether an action of the life before was done.
    pub(super) async fn reconcile(&self, command: &CommandId, action: &Action) -> ReconcileOutcome {
        let remembered = |id: &SessionId| self.shared.remembered.get(id);
        let done_if =
            |done: bool| if done { ReconcileOutcome::Done(String::new()) } else { ReconcileOutcome::NotDone };
        match action {
            Action::Create { prompt, .. } => {
                let id = session_name(command);
                // The session may be there, but what it was made for was never said to it.
                let is_said = |known: &KnownSession| prompt.is_empty() || known.mark.is_some();
                if remembered(&id).is_some_and(is_said) {
                    ReconcileOutcome::Done(id.to_string())
                } else {
                    ReconcileOutcome::NotDone
                }
            }
            Action::Prompt { session_id, .. } => {
                done_if(remembered(session_id).is_some_and(|known| known.mark == Some(mark_of(command))))
            }
            // No turn has survived the end of the process, so there is nothing left to stop.
            Action::Abort { .. } => ReconcileOutcome::Done("no turn runs".into()),
            Action::Kill { session_id } => done_if(
                remembered(session_id)
                    .is_some_and(|known| matches!(known.session.activity, Activity::Ended(_))),
            ),
            Action::AnswerPermission { session_id, request_id, .. }
            | Action::AnswerQuestion { session_id, request_id, .. } => {
                let waits = remembered(session_id).is_some_and(|known| {
                    known.session.asks.iter().any(|ask| request_id.as_ref().is_none_or(|id| *id == ask.id))
                });
                done_if(!waits)
            }
            Action::Look { .. } => ReconcileOutcome::NotDone,
        }
    }

    pub(super) async fn leave(&self) {
        self.stop().await;
    }

    pub(super) async fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.turns.close();
        let _what_hangs_is_cut = tokio::time::timeout(STOP_WAIT, self.shared.turns.wait()).await;
    }

    async fn create(
        &self,
        command: &CommandId,
        directory: String,
        prompt: String,
        title: String,
    ) -> Result<String, BackendError> {
        let id = session_name(command);
        let title = if title.is_empty() { title_of(&prompt) } else { title };
        let slot = Slot::fresh(directory, title);
        let voice = Voice::new(&self.shared.reports, &id, &slot.directory);
        let created = voice.event(&What::SessionCreated(voice.info(&slot)));
        self.shared.lock().insert(id.clone(), slot);
        voice.tell(created).await;
        if !prompt.is_empty() {
            self.prompt(&id, command, prompt).await?;
        }
        Ok(id.to_string())
    }

    /// Begins a turn, or lets the message wait for the running one. It is on record first: what waits here dies with
    /// the process.
    async fn prompt(
        &self,
        id: &SessionId,
        command: &CommandId,
        text: String,
    ) -> Result<String, BackendError> {
        let directory = self.try_with(id, |slot| {
            if slot.waiting.len() >= MAX_WAITING {
                let why = format!("{MAX_WAITING} messages wait for session {id} already");
                return Err(BackendError::Refused(why));
            }
            Ok(slot.directory.clone())
        })?;
        let message = Message { command: command.clone(), id: Voice::name("msg"), text };
        Voice::new(&self.shared.reports, id, &directory).heard(&message).await;
        let begin = self.with(id, |slot| {
            slot.waiting.push_back(message);
            slot.ended = false;
            let begin = slot.turn.is_none();
            if begin {
                slot.turn = Some(Running::default());
            }
            begin
        })?;
        if begin {
            self.shared.turns.spawn(run_turns(Arc::clone(&self.shared), id.clone()));
        }
        Ok(String::new())
    }

    /// What was said before is not worked on after it.
    fn abort(&self, id: &SessionId) -> Result<String, BackendError> {
        self.with(id, |slot| match &slot.turn {
            Some(turn) => {
                turn.end.cancel();
                slot.waiting.truncate(usize::from(!turn.has_begun));
                String::new()
            }
            None => "no turn was running".to_owned(),
        })
    }

    async fn kill(&self, id: &SessionId) -> Result<String, BackendError> {
        let idle_in = self.with(id, |slot| {
            slot.waiting.clear();
            slot.ended = true;
            match &slot.turn {
                Some(turn) => {
                    turn.end.cancel();
                    None
                }
                None => Some(slot.directory.clone()),
            }
        })?;
        // A running turn says the last word itself, after its own last events.
        if let Some(directory) = idle_in {
            Voice::new(&self.shared.reports, id, &directory).ended("killed").await;
        }
        Ok(String::new())
    }

    fn answer(&self, id: &SessionId, request: Option<&str>, answer: Answer) -> Result<String, BackendError> {
        let is_permission = matches!(answer, Answer::Permission { .. });
        self.try_with(id, |slot| {
            let asks = slot.turn.as_mut().map(|turn| &mut turn.asks);
            let place = asks.as_ref().and_then(|asks| {
                let fits = |ask: &OpenAsk| {
                    ask.is_permission == is_permission && request.is_none_or(|name| name == ask.id)
                };
                asks.iter().position(fits)
            });
            let Some((asks, place)) = asks.zip(place) else {
                let kind = if is_permission { "permission" } else { "question" };
                let name = request.map_or_else(String::new, |name| format!(" {name}"));
                return Err(BackendError::NoSuch(format!("session {id} waits for no {kind}{name}")));
            };
            let ask = asks.remove(place);
            // The turn may just have been aborted; then nobody waits for the answer any more.
            let _aborted = ask.answer.send(answer);
            Ok(String::new())
        })
    }

    fn with<T>(&self, id: &SessionId, work: impl FnOnce(&mut Slot) -> T) -> Result<T, BackendError> {
        self.try_with(id, |slot| Ok(work(slot)))
    }

    fn try_with<T>(
        &self,
        id: &SessionId,
        work: impl FnOnce(&mut Slot) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        match self.shared.lock().get_mut(id) {
            Some(slot) => work(slot),
            None => Err(BackendError::NoSuch(format!("echo has no session {id}"))),
        }
    }
}

impl Shared {
    /// Held for a few lines only, never across an await.
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Slot>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn fresh(directory: String, title: String) -> Self {
        Self {
            directory,
            title,
            started_at: clock::now().0,
            tokens: Tokens::default(),
            cost_micros: 0,
            context_used: 0,
            ended: false,
            always: Vec::new(),
            turn: None,
            waiting: VecDeque::new(),
        }
    }

    fn of(session: &Session) -> Self {
        Self {
            started_at: session.started_at.0,
            tokens: session.tokens,
            cost_micros: session.cost_micros.unwrap_or(0),
            context_used: session.context.map_or(0, |context| context.used),
            ended: matches!(session.activity, Activity::Ended(_)),
            ..Self::fresh(session.directory.clone(), session.title.clone())
        }
    }

    fn status_word(&self) -> &'static str {
        match &self.turn {
            Some(turn) if !turn.asks.is_empty() => "waiting",
            Some(_) => "running",
            None if self.ended => "ended",
            None => "idle",
        }
    }
}

/// Runs the waiting messages of a session, one turn each, until there is none.
async fn run_turns(shared: Arc<Shared>, id: SessionId) {
    let mut ran = false;
    loop {
        let (next, directory, ended) = {
            let mut sessions = shared.lock();
            let Some(slot) = sessions.get_mut(&id) else { return };
            let next = slot.waiting.pop_front().filter(|_| !shared.stopping.is_cancelled());
            // The first turn keeps the token it was announced with: an abort may have used it already.
            if ran || next.is_none() {
                slot.turn = None;
            }
            let next = next.map(|message| {
                let turn = slot.turn.get_or_insert_default();
                turn.has_begun = true;
                (message, turn.end.clone())
            });
            (next, slot.directory.clone(), slot.ended)
        };
        let voice = Voice::new(&shared.reports, &id, &directory);
        let Some((message, end)) = next else {
            // Killed before its first turn began: no turn was there to say so.
            if ended && !ran {
                voice.ended("killed").await;
            }
            return;
        };
        ran = true;
        Turn::new(&shared, &id, voice, end).run(message).await;
    }
}

/// The session's name tells which command made it, so that a crash in between can be settled.
fn session_name(command: &CommandId) -> SessionId {
    let plain: String = command.as_str().chars().filter(char::is_ascii_alphanumeric).collect();
    SessionId::new(format!("echo_{plain}"))
}

/// What [`super::BackendEvent::mark`] holds here: which command's message was taken up last.
fn mark_of(command: &CommandId) -> u64 {
    let text = command.as_str().as_bytes();
    let reversed: Vec<u8> = text.iter().rev().copied().collect();
    u64::from(crc32fast::hash(text)) << 32 | u64::from(crc32fast::hash(&reversed))
}

fn title_of(prompt: &str) -> String {
    let line = prompt.lines().find(|line| !line.trim().is_empty()).unwrap_or("echo");
    line.trim().chars().take(TITLE_CHARS).collect()
}

/// A remembered session after the process that ran it has ended.
fn as_it_is_now(session: &Session) -> Session {
    let mut seen = session.clone();
    if !matches!(rules::session::status(session), hal_protocol::session::Status::Ended) {
        if matches!(seen.activity, Activity::Busy | Activity::Retry(_)) {
            seen.error = Some("the agent was restarted during the turn".into());
        }
        seen.activity = Activity::Idle;
        seen.asks.clear();
    }
    seen
}

#[cfg(test)]
mod tests;
