//! Claude Code, spoken to natively: one `claude` for each session at work, over JSON lines on its pipes.
//!
//! ```text
//!   actions --> mod --> session (one task each) --> process (claude -p, stream-json) --> words
//!                          '-- turn: what it says, as events <-----------------------------'
//! ```
//! - `account`: what it used and cost; `classify`: what its words mean, said in ours; `voice`: how they are reported.
//! - `names`: names that a command makes, by which its effect is found again; `transcript`: where it is looked for.
//! - `words`: its language; `read`: how it is read. `places`: in which permission mode each project is worked in.
//!
//! Everything it starts carries a mark in its environment (see `backend::processes`), so that nothing can be left behind.

mod account;
mod classify;
mod names;
mod places;
mod process;
mod read;
mod session;
mod transcript;
mod turn;
mod voice;
mod words;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::program::{self, Print, ProgramSpec};
use crate::backend::{
    Action, BackendError, KnownSession, KnownSessions, Opening, Place, ReconcileOutcome, Report, Reports,
};
use hal_base::clock;
use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{Activity, Model, Session as Known, SessionId};
use places::Places;
use session::{Ask, Given, Reply, Session, Wish};
use transcript::Transcripts;
use turn::Turn;
use voice::Voice;

/// Its name, for errors.
const NAME: &str = "claude";

/// The program.
const PROGRAM: ProgramSpec = ProgramSpec {
    name: "claude",
    key: "tool_paths.claude",
    major: 2,
    tested: "2.1.330",
    quiet: &[("DISABLE_AUTOUPDATER", "1")],
    marks: &["CLAUDE.md", ".claude"],
    install: "install it with: npm install -g @anthropic-ai/claude-code@2.1.330",
    other: |version, program| {
        format!(
            "{} is Claude Code {version}, and only 2.x is supported; install that with: npm install --prefix \
             ~/claude-2 @anthropic-ai/claude-code@2.1.330, then name ~/claude-2/node_modules/.bin/claude in \
             tool_paths.claude",
            program.display()
        )
    },
};

/// How long an action waits for what is asked beforehand: what an earlier agent has left, and which version it is.
const START_PATIENCE: Duration = Duration::from_secs(45);

/// How long a prompt may take to be taken: a start takes a second, and many on a busy machine.
const PROMPT_LIMIT: Duration = Duration::from_secs(60);

/// How long a turn may take to end when it is stopped.
const ABORT_LIMIT: Duration = Duration::from_secs(15);

/// How long anything else may take.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// How long `stop` waits for all sessions.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What may wait for a session.
const ASKS: usize = 64;

/// How Claude Code is to be run.
#[derive(Clone, Debug, Default)]
pub struct OpenConfig {
    /// The program; `claude` on PATH when absent.
    pub binary: Option<PathBuf>,
    /// The agent's own data: by it a later agent finds what a crashed one has left.
    pub data_dir: PathBuf,
    /// Where projects are, and in which mode.
    pub places: Vec<Place>,
    /// More variables for its environment, beside those of this process.
    pub environment: Vec<(String, String)>,
}

/// The Claude Code backend. Clones share it.
#[derive(Clone)]
pub struct Claude(Arc<Shared>);

/// What the tasks and the actions share.
struct Shared {
    config: OpenConfig,
    places: Places,
    reports: Reports,
    transcripts: Transcripts,
    /// The beginning of the marks of everything that agents with this data directory start.
    mark: String,
    /// What was remembered at the start.
    memory: KnownSessions,
    state: watch::Sender<State>,
    /// By session, and by helper of one.
    sessions: Mutex<HashMap<SessionId, mpsc::Sender<Ask>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Whether sessions can be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It is being looked at.
    Starting,
    /// They can.
    Ready,
    /// They cannot, and why.
    Unfit(String),
}

impl Claude {
    pub(super) const PROGRAM: Option<ProgramSpec> = Some(PROGRAM);

    pub(super) const ABILITIES: Abilities = Abilities {
        cost: true,
        tokens: UsageTold::PerTurn,
        context: true,
        compaction: true,
        todo: false,
        permission: true,
        question: true,
        steer: false,
        resume: true,
        survives: false,
    };

    /// Its permission modes, the usual one first.
    pub(super) const MODES: &'static [&'static str] = places::MODES;

    /// The one in which it asks nobody.
    pub(super) const UNGUARDED: Option<&'static str> = Some(places::UNGUARDED);

    pub(super) fn open_with(opening: Opening) -> Self {
        let Opening { program: binary, port: _, data_dir, places, memory, reports, tasks: _ } = opening;
        Self::open(OpenConfig { binary, data_dir, places, environment: Vec::new() }, memory, reports)
    }

    /// Begins; returns at once. What happens is reported. Needs a running tokio runtime.
    pub fn open(config: OpenConfig, memory: KnownSessions, reports: Reports) -> Self {
        let own = |name: &str| {
            config.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.into())
        };
        let transcripts =
            Transcripts::of(|name| own(name).or_else(|| std::env::var_os(name).map(PathBuf::from)));
        let hash = Sha256::digest(config.data_dir.as_os_str().as_encoded_bytes());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let shared = Arc::new(Shared {
            places: Places::new(&config.places),
            reports,
            transcripts,
            mark: format!("{NAME}.{hash}"),
            memory,
            state: watch::Sender::new(State::Starting),
            sessions: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
        });
        shared.tasks.spawn(keep(Arc::clone(&shared)));
        Self(shared)
    }

    pub(super) fn work_in(&self, places: &[Place]) {
        self.0.places.replace(places);
    }

    pub(super) async fn carry_out(
        &self,
        command: &CommandId,
        action: Action,
    ) -> Result<String, BackendError> {
        let shared = &self.0;
        if shared.stop.is_cancelled() {
            return Err(BackendError::Down { backend: NAME, why: "the agent is stopping".into() });
        }
        match action {
            Action::Create { directory, prompt, title, model, agent } => {
                let id = names::session_of(command);
                let title = if title.is_empty() { names::title_of(&prompt) } else { title };
                let known = fresh(&id, &directory, title);
                shared.add(&known, Wish { model: names::plain_model(&model), agent }, false);
                shared.prompt(&id, command, prompt).await?;
                Ok(id.to_string())
            }
            Action::Prompt { session_id, message } => shared.prompt(&session_id, command, message).await,
            Action::Abort { session_id } => {
                let doing = "stopping the turn; kill the session to end it by force";
                shared.ask(&session_id, (ABORT_LIMIT, doing), Ask::Abort).await
            }
            Action::Kill { session_id } => {
                shared.ask(&session_id, (ASK_LIMIT, "killing the session"), Ask::Kill).await
            }
            Action::AnswerPermission { session_id, request_id, reply, message } => {
                shared.answer(session_id, request_id, Given::Permission(reply, message)).await
            }
            Action::AnswerQuestion { session_id, request_id, answers } => {
                shared.answer(session_id, request_id, Given::Question(answers)).await
            }
            Action::Look { session_id } => {
                shared.ask(&session_id, (ASK_LIMIT, "looking at the session"), Ask::Look).await
            }
        }
    }

    /// What Claude Code has taken is in its own record; what ran has ended with the agent that ran it.
    pub(super) async fn reconcile(&self, command: &CommandId, action: &Action) -> ReconcileOutcome {
        let shared = &self.0;
        if shared.up().await.is_err() {
            return ReconcileOutcome::Unknown;
        }
        let done_if =
            |done: bool| if done { ReconcileOutcome::Done(String::new()) } else { ReconcileOutcome::NotDone };
        match action {
            Action::Create { directory, prompt, title, .. } => {
                let id = names::session_of(command);
                let is_done = match prompt.is_empty() {
                    true => shared.memory.contains_key(&id),
                    false => match shared.has_taken(&id, command).await {
                        Some(is_taken) => is_taken,
                        None => return ReconcileOutcome::Unknown,
                    },
                };
                if !is_done {
                    return ReconcileOutcome::NotDone;
                }
                let title = if title.is_empty() { names::title_of(prompt) } else { title.clone() };
                let is_told = shared.memory.contains_key(&id);
                shared.add(&fresh(&id, directory, title), Wish::default(), is_told);
                ReconcileOutcome::Done(id.to_string())
            }
            Action::Prompt { session_id, .. } => match shared.has_taken(session_id, command).await {
                Some(is_taken) => done_if(is_taken),
                None => ReconcileOutcome::Unknown,
            },
            Action::Abort { session_id } => {
                match shared.ask(session_id, (ASK_LIMIT, "looking"), Ask::Look).await {
                    Ok(word) if word == "idle" => ReconcileOutcome::Done("no turn is running".into()),
                    _ => ReconcileOutcome::Unknown,
                }
            }
            Action::Kill { session_id } => shared.reconcile_kill(session_id).await,
            Action::AnswerPermission { session_id, request_id, .. }
            | Action::AnswerQuestion { session_id, request_id, .. } => {
                let waited = |known: &KnownSession| {
                    known.session.asks.iter().any(|ask| request_id.as_ref().is_none_or(|id| *id == ask.id))
                };
                done_if(!shared.memory.get(session_id).is_some_and(waited))
            }
            Action::Look { .. } => ReconcileOutcome::NotDone,
        }
    }

    pub(super) async fn stop(&self) {
        let shared = &self.0;
        shared.stop.cancel();
        let queues: Vec<mpsc::Sender<Ask>> = shared.sessions().drain().map(|(_, queue)| queue).collect();
        let each = queues.iter().map(async |queue| {
            let (done, is_done) = oneshot::channel();
            if queue.send(Ask::Stop(done)).await.is_ok() {
                let _gone = is_done.await;
            }
        });
        if timeout(STOP_LIMIT, join_all(each)).await.is_err() {
            tracing::warn!("Claude Code has not ended within {} s", STOP_LIMIT.as_secs());
        }
        drop(queues);
        process::sweep(&shared.mark_prefix()).await;
        shared.tasks.close();
        let _what_hangs_is_cut = timeout(STOP_LIMIT, shared.tasks.wait()).await;
    }
}

impl fmt::Debug for Claude {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Claude").field("binary", &self.0.config.binary).finish_non_exhaustive()
    }
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, mpsc::Sender<Ask>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark_prefix(&self) -> String {
        format!("{}.", self.mark)
    }

    /// Waits while it is being looked at.
    async fn up(&self) -> Result<(), BackendError> {
        let down = |why: String| BackendError::Down { backend: NAME, why };
        let mut state = self.state.subscribe();
        match timeout(START_PATIENCE, state.wait_for(|state| *state != State::Starting)).await {
            Ok(Ok(state)) => match &*state {
                State::Ready => Ok(()),
                State::Unfit(why) => Err(down(why.clone())),
                State::Starting => Err(down("it is being looked for".into())),
            },
            Ok(Err(_)) | Err(_) => Err(down("it is being looked for".into())),
        }
    }

    /// Begins to look after a session, unless it is looked after already.
    fn add(self: &Arc<Self>, known: &Known, wish: Wish, is_told: bool) {
        let mut sessions = self.sessions();
        if self.stop.is_cancelled() || sessions.contains_key(&known.id) {
            return;
        }
        let (queue, asks) = mpsc::channel(ASKS);
        sessions.insert(known.id.clone(), queue);
        drop(sessions);
        let voice = Voice::new(self.reports.clone(), &known.directory);
        let turn = Turn::new(voice, known, is_told);
        let directory = known.directory.clone();
        let session = Session::new(Arc::clone(self), known.id.clone(), directory, wish, turn);
        self.tasks.spawn(session.run(asks));
    }

    /// These are helpers of a session: what is asked of them is asked of it.
    fn know<'h>(&self, session: &SessionId, helpers: impl Iterator<Item = &'h SessionId>) {
        let mut sessions = self.sessions();
        let Some(queue) = sessions.get(session).cloned() else { return };
        for helper in helpers {
            sessions.entry(helper.clone()).or_insert_with(|| queue.clone());
        }
    }

    /// The queue of a session; one that is only remembered is looked after from now on.
    fn queue(self: &Arc<Self>, id: &SessionId) -> Result<mpsc::Sender<Ask>, BackendError> {
        let known = self.sessions().get(id).cloned();
        if let Some(queue) = known {
            return Ok(queue);
        }
        let no_such = || BackendError::NoSuch(format!("Claude Code has no session {id}"));
        let known = self.memory.get(id).ok_or_else(no_such)?;
        let model = known.session.model.as_ref().map(|model: &Model| model.id.clone()).unwrap_or_default();
        self.add(&known.session, Wish { model, agent: String::new() }, true);
        self.sessions().get(id).cloned().ok_or_else(no_such)
    }

    async fn ask(
        self: &Arc<Self>,
        id: &SessionId,
        (limit, doing): (Duration, &'static str),
        ask: impl FnOnce(Reply) -> Ask,
    ) -> Result<String, BackendError> {
        let stopping = || BackendError::Down { backend: NAME, why: "the agent is stopping".into() };
        let silent = BackendError::Silent { backend: NAME, seconds: limit.as_secs(), doing };
        let queue = self.queue(id)?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            queue.send(ask(reply)).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        };
        timeout(limit, asked).await.unwrap_or(Err(silent))
    }

    async fn prompt(
        self: &Arc<Self>,
        id: &SessionId,
        command: &CommandId,
        text: String,
    ) -> Result<String, BackendError> {
        // Names that we make hold none; those of helpers are put together.
        let is_helper = id.as_str().contains('_');
        if is_helper {
            let why = format!("session {id} is a helper: say it to the session that has started it");
            return Err(BackendError::Refused(why));
        }
        self.up().await?;
        let command = command.clone();
        let limit = (PROMPT_LIMIT, "taking the prompt");
        self.ask(id, limit, |reply| Ask::Prompt(command, text, reply)).await
    }

    async fn answer(
        self: &Arc<Self>,
        session: SessionId,
        request: Option<String>,
        given: Given,
    ) -> Result<String, BackendError> {
        let id = session.clone();
        self.ask(&id, (ASK_LIMIT, "answering"), |reply| Ask::Answer(session, request, given, reply)).await
    }

    /// Whether the message of a command was taken; `None`: it still may be.
    async fn has_taken(self: &Arc<Self>, id: &SessionId, command: &CommandId) -> Option<bool> {
        let mark = Some(names::mark_of(command));
        let name = names::message_of(command);
        if self.memory.get(id).is_some_and(|known| known.mark == mark)
            || self.transcripts.has(id, &name).await
        {
            return Some(true);
        }
        let queue = self.sessions().get(id).cloned();
        let Some(queue) = queue else { return Some(false) };
        let (reply, answer) = oneshot::channel();
        queue.send(Ask::IsExpected(name, reply)).await.ok()?;
        match timeout(ASK_LIMIT, answer).await {
            Ok(Ok(false)) => Some(false),
            _ => None,
        }
    }

    async fn reconcile_kill(self: &Arc<Self>, id: &SessionId) -> ReconcileOutcome {
        if self.memory.get(id).is_some_and(|known| matches!(known.session.activity, Activity::Ended(_))) {
            return ReconcileOutcome::Done(String::new());
        }
        let Ok(queue) = self.queue(id) else { return ReconcileOutcome::NotDone };
        // Its processes have ended with the agent that ran them.
        let (done, is_done) = oneshot::channel();
        if queue.send(Ask::TellKilled(done)).await.is_err() || is_done.await.is_err() {
            return ReconcileOutcome::Unknown;
        }
        ReconcileOutcome::Done("nothing of it is running".into())
    }
}

/// Ends what an earlier agent has left, tells how sessions are, and then whether the program can be used, as often as
/// another one takes its place.
async fn keep(shared: Arc<Shared>) {
    let left = process::sweep(&shared.mark_prefix()).await;
    if left > 0 {
        tracing::info!("ended {left} processes that an earlier agent had left");
    }
    let snapshot = shared.memory.values().map(as_it_is_now).collect();
    // The session manager is gone only when the agent ends.
    let _ended = shared.reports.send(Report::Snapshot(snapshot)).await;
    let named = shared.config.binary.clone();
    let program: OsString = named.clone().map_or_else(|| PROGRAM.name.into(), PathBuf::into_os_string);
    loop {
        // Before it is looked at: one that takes its place meanwhile is another one.
        let before = Print::of(&program);
        let found = PROGRAM.look(named.as_deref(), true).await;
        if let Some(why) = &found.fault {
            tracing::warn!("Claude Code cannot be used: {why}");
        }
        let is_mute = found.path.is_some() && found.version.is_none();
        let mute = before.as_ref().filter(|_| is_mute);
        shared.state.send_replace(found.fault.clone().map_or(State::Ready, State::Unfit));
        let _ended = shared.reports.send(Report::Health(found.fault)).await;
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = program::replaced(&program, before.as_ref()) => {}
            () = program::askable(mute) => {}
        }
    }
}

/// A session as it is after the agent that ran it has ended.
fn as_it_is_now(known: &KnownSession) -> Known {
    let mut seen = known.session.clone();
    if seen.is_open() {
        if seen.activity.runs() {
            seen.error = Some("the agent was restarted during the turn".into());
        }
        seen.activity = Activity::Idle;
        seen.asks.clear();
    }
    seen
}

fn fresh(id: &SessionId, directory: &str, title: String) -> Known {
    let known = Known::new(id.clone(), NodeId::default(), ProjectName::default(), clock::now());
    Known { directory: directory.to_owned(), title, ..known }
}
