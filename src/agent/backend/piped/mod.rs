//! Coding agents that are spoken to over the pipes of a process: one process for each session at work.
//!
//! ```text
//!   actions --> Piped --> session (one task each) --> process (JSON lines) --> the kind's language
//!                            '-- turn: what it says, as events <-----------------'
//! ```
//! A kind is a [`Kind`], which knows its program and its own record, and a [`Tongue`], which speaks its language for one
//! session. What all of them have is here:
//!
//! - `host`: whether the program can be used, and the queue of each session. `session`: the task of one; `tongue`: what its
//!   kind must be able to say and hear.
//! - `process`: the child and its pipes. `turn`: what was said, is asked and runs; `voice`: how it is reported.
//! - `names`: names that a command makes, by which its effect is found again. `places`: each project's settings.
//!
//! Everything that is started carries a mark in its environment (see `backend::processes`), so that nothing can be left
//! behind.

pub mod host;
pub mod names;
mod places;
pub mod process;
pub mod session;
pub mod tongue;
pub mod turn;
pub mod voice;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::program::ProgramSpec;
use super::{Action, BackendError, KnownSessions, Place, ReconcileOutcome, Reports};
use hal_base::clock;
use hal_protocol::command::CommandId;
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{Activity, Session as Known, SessionId};
use host::{Ask, Finder, Given, Host, OpenConfig, Reply, Waits};
use session::Session;
use tongue::Tongue;

/// How long a prompt may take to be taken: a start takes a second, and many on a busy machine.
const PROMPT_LIMIT: Duration = Duration::from_secs(60);

/// How long a turn may take to end when it is stopped.
const ABORT_LIMIT: Duration = Duration::from_secs(15);

/// How long anything else may take.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// A session that is to begin.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Absolute path of the project.
    pub directory: String,
    /// Its title.
    pub title: String,
    /// True when something is said to it at once.
    pub is_spoken_to: bool,
    /// What it is started with.
    pub wish: Wish,
}

/// What a process is started with.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `provider/model`; the coding agent's own choice when empty.
    pub model: String,
    /// The kind of agent; its own choice when empty.
    pub agent: String,
}

/// A kind of coding agent that is spoken to in this way.
pub trait Kind: Send + Sync + Sized + 'static {
    /// How one of its sessions is spoken with.
    type Tongue: Tongue;

    /// Its program.
    fn spec(&self) -> ProgramSpec;

    /// How its program is looked for.
    fn finder(&self) -> Finder {
        let spec = self.spec();
        let look =
            move |config: OpenConfig| async move { spec.look(config.binary.as_deref(), true).await }.boxed();
        Finder { look: Box::new(look), again: None }
    }

    /// Begins a session on behalf of a command.
    fn begin(
        &self,
        host: &Arc<Host>,
        command: &CommandId,
        new: NewSession,
    ) -> impl Future<Output = Result<(Known, Self::Tongue), BackendError>> + Send;

    /// Goes on with a session that is known, and told of already if `is_told`.
    fn again(&self, host: &Arc<Host>, known: &Known, is_told: bool) -> Self::Tongue;

    /// The session that a command has begun in a directory, `None` if it has not; an error if that cannot be known.
    fn find(
        &self,
        host: &Arc<Host>,
        command: &CommandId,
        directory: &str,
    ) -> impl Future<Output = Result<Option<SessionId>, Unknowable>> + Send;

    /// Whether a message of this name is in the coding agent's own record of a session.
    fn has_taken(
        &self,
        host: &Arc<Host>,
        id: &SessionId,
        message: &str,
    ) -> impl Future<Output = Result<bool, Unknowable>> + Send;
}

/// Something that cannot be known now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknowable;

/// The backend of such a kind. Clones share it.
pub struct Piped<K: Kind>(Arc<Shared<K>>);

struct Shared<K> {
    host: Arc<Host>,
    kind: K,
}

impl<K: Kind> Clone for Piped<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> fmt::Debug for Piped<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct(self.0.host.spec.title).finish_non_exhaustive()
    }
}

impl<K: Kind> Piped<K> {
    /// Begins; returns at once. What happens is reported. Needs a running tokio runtime.
    pub fn begin(kind: K, config: OpenConfig, memory: KnownSessions, reports: Reports) -> Self {
        let host = Host::open(kind.spec(), kind.finder(), config, memory, reports);
        Self(Arc::new(Shared { host, kind }))
    }

    pub(super) fn work_in(&self, places: &[Place]) {
        self.0.host.places.replace(places);
    }

    pub(super) async fn carry_out(
        &self,
        command: &CommandId,
        action: Action,
    ) -> Result<String, BackendError> {
        let shared = &self.0;
        if shared.host.is_stopping() {
            return Err(shared.host.stopping());
        }
        match action {
            Action::Create { directory, prompt, title, model, agent } => {
                let title = if title.is_empty() { names::title_of(&prompt) } else { title };
                let is_spoken_to = !prompt.is_empty();
                let new = NewSession { directory, title, is_spoken_to, wish: Wish { model, agent } };
                let (known, tongue) = shared.kind.begin(&shared.host, command, new).await?;
                shared.add(&known.id, || tongue);
                shared.prompt(&known.id, command, prompt).await?;
                Ok(known.id.to_string())
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

    /// What the coding agent has taken is in its own record; what ran has ended with the agent that ran it.
    pub(super) async fn reconcile(&self, command: &CommandId, action: &Action) -> ReconcileOutcome {
        let shared = &self.0;
        if shared.host.up().await.is_err() {
            return ReconcileOutcome::Unknown;
        }
        let done_if =
            |done: bool| if done { ReconcileOutcome::Done(String::new()) } else { ReconcileOutcome::NotDone };
        match action {
            Action::Create { directory, prompt, title, .. } => {
                let outcome = shared.reconcile_create(command, directory, prompt, title).await;
                outcome.unwrap_or(ReconcileOutcome::Unknown)
            }
            Action::Prompt { session_id, .. } => match shared.has_taken(session_id, command).await {
                Ok(is_taken) => done_if(is_taken),
                Err(Unknowable) => ReconcileOutcome::Unknown,
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
                let is_it = |id: &String| request_id.as_ref().is_none_or(|wanted| wanted == id);
                let known = shared.host.memory.get(session_id);
                done_if(!known.is_some_and(|known| known.session.asks.iter().any(|ask| is_it(&ask.id))))
            }
            Action::Look { .. } => ReconcileOutcome::NotDone,
        }
    }

    pub(super) async fn leave(&self) {
        self.stop().await;
    }

    pub(super) async fn stop(&self) {
        self.0.host.stop().await;
    }
}

impl<K: Kind> Shared<K> {
    /// Begins to look after a session, unless it is looked after already.
    fn add(&self, id: &SessionId, tongue: impl FnOnce() -> K::Tongue) {
        self.host.add(id, |asks| Session::new(Arc::clone(&self.host), id.clone(), tongue(), asks).run());
    }

    /// The queue of a session; one that is only remembered is looked after from now on.
    fn queue(&self, id: &SessionId) -> Result<mpsc::Sender<Ask>, BackendError> {
        if let Some(queue) = self.host.queue(id) {
            return Ok(queue);
        }
        let no_such = || BackendError::NoSuch(format!("{} has no session {id}", self.host.spec.title));
        let known = self.host.memory.get(id).ok_or_else(no_such)?;
        self.add(id, || self.kind.again(&self.host, &known.session, true));
        self.host.queue(id).ok_or_else(no_such)
    }

    async fn ask(
        &self,
        id: &SessionId,
        (limit, doing): (Duration, &'static str),
        ask: impl FnOnce(Reply) -> Ask,
    ) -> Result<String, BackendError> {
        let stopping = || self.host.stopping();
        let silent = BackendError::Silent { backend: self.host.spec.name, seconds: limit.as_secs(), doing };
        let queue = self.queue(id)?;
        let (reply, answer) = oneshot::channel();
        let asked = async {
            queue.send(ask(reply)).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        };
        timeout(limit, asked).await.unwrap_or(Err(silent))
    }

    async fn prompt(
        &self,
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
        self.host.up().await?;
        self.say(id, command.clone(), text).await
    }

    /// Says something, and waits until it was taken: for a while, or as long as it waits for the end of a turn.
    async fn say(&self, id: &SessionId, command: CommandId, text: String) -> Result<String, BackendError> {
        let stopping = || self.host.stopping();
        let (seconds, doing) = (PROMPT_LIMIT.as_secs(), "taking the prompt");
        let silent = || BackendError::Silent { backend: self.host.spec.name, seconds, doing };
        let queue = self.queue(id)?;
        let waits = Waits::default();
        let (reply, mut answer) = oneshot::channel();
        let sent = queue.send(Ask::Prompt(command, text, waits.clone(), reply));
        timeout(PROMPT_LIMIT, sent).await.map_err(|_| silent())?.map_err(|_| stopping())?;
        loop {
            match timeout(PROMPT_LIMIT, &mut answer).await {
                Ok(answer) => return answer.map_err(|_| stopping())?,
                Err(_) if waits.is_so() => {}
                Err(_) => return Err(silent()),
            }
        }
    }

    async fn answer(
        &self,
        session: SessionId,
        request: Option<String>,
        given: Given,
    ) -> Result<String, BackendError> {
        let id = session.clone();
        self.ask(&id, (ASK_LIMIT, "answering"), |reply| Ask::Answer(session, request, given, reply)).await
    }

    /// Whether the message of a command was taken, and will not be any more if it was not.
    async fn has_taken(&self, id: &SessionId, command: &CommandId) -> Result<bool, Unknowable> {
        let mark = Some(names::mark_of(command));
        let name = names::message_of(command);
        let is_remembered = self.host.memory.get(id).is_some_and(|known| known.mark == mark);
        if is_remembered || self.kind.has_taken(&self.host, id, &name).await? {
            return Ok(true);
        }
        let Some(queue) = self.host.queue(id) else { return Ok(false) };
        let (reply, answer) = oneshot::channel();
        queue.send(Ask::IsExpected(name, reply)).await.map_err(|_| Unknowable)?;
        match timeout(ASK_LIMIT, answer).await {
            Ok(Ok(false)) => Ok(false),
            _ => Err(Unknowable),
        }
    }

    async fn reconcile_create(
        &self,
        command: &CommandId,
        directory: &str,
        prompt: &str,
        title: &str,
    ) -> Result<ReconcileOutcome, Unknowable> {
        let Some(id) = self.kind.find(&self.host, command, directory).await? else {
            return Ok(ReconcileOutcome::NotDone);
        };
        let is_told = self.host.memory.contains_key(&id);
        let is_done = match prompt.is_empty() {
            true => is_told,
            false => self.has_taken(&id, command).await?,
        };
        if !is_done {
            return Ok(ReconcileOutcome::NotDone);
        }
        let title = if title.is_empty() { names::title_of(prompt) } else { title.to_owned() };
        let known = fresh(&id, directory, title);
        self.add(&id, || self.kind.again(&self.host, &known, is_told));
        Ok(ReconcileOutcome::Done(id.to_string()))
    }

    async fn reconcile_kill(&self, id: &SessionId) -> ReconcileOutcome {
        let known = self.host.memory.get(id);
        if known.is_some_and(|known| matches!(known.session.activity, Activity::Ended(_))) {
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

/// A session that has just begun.
pub fn fresh(id: &SessionId, directory: &str, title: String) -> Known {
    let known = Known::new(id.clone(), NodeId::default(), ProjectName::default(), clock::now());
    Known { directory: directory.to_owned(), title, ..known }
}
