//! What the sessions of one kind share: its program, whether that can be used, and the queue of each session at work.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use sha2::{Digest, Sha256};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::Places;
use super::process::{self, LineProcess, Spoken};
use crate::backend::program::{self, FoundProgram, Print, ProgramSpec};
use crate::backend::{BackendError, KnownSession, KnownSessions, Place, Report, Reports};
use hal_base::child;
use hal_protocol::command::CommandId;
use hal_protocol::session::{Session, SessionId};

/// How long an action waits for what is asked beforehand: what an earlier agent has left, and which version it is.
const START_PATIENCE: Duration = Duration::from_secs(45);

/// How long `stop` waits for all sessions.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// What may wait for a session.
const ASKS: usize = 64;

/// Where the outcome of something goes.
pub type Reply = oneshot::Sender<Result<String, BackendError>>;

/// An answer of a person.
#[derive(Clone, Debug)]
pub enum Given {
    /// To a permission: `once`, `always` or `reject`, and what to say with it.
    Permission(String, String),
    /// To questions: what was chosen of each.
    Question(Vec<Vec<String>>),
}

/// Whether something that was said waits for the end of a turn: as long as it does, nobody gives it up. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<AtomicBool>);

impl Waits {
    /// Takes note of it.
    pub fn set(&self, waits: bool) {
        self.0.store(waits, Ordering::Relaxed);
    }

    /// True while it does.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is asked of a session.
#[derive(Debug)]
pub enum Ask {
    /// Say this to it.
    Prompt(CommandId, String, Waits, Reply),
    /// Stop the turn.
    Abort(Reply),
    /// Stop the turn and everything that it has started.
    Kill(Reply),
    /// Answer what this session, or this helper, asks.
    Answer(SessionId, Option<String>, Given, Reply),
    /// Say how it is.
    Look(Reply),
    /// True while a message of this name is not taken yet.
    IsExpected(String, oneshot::Sender<bool>),
    /// Tell that it was killed.
    TellKilled(oneshot::Sender<()>),
    /// The agent stops.
    Stop(oneshot::Sender<()>),
}

/// How a coding agent is to be run.
#[derive(Clone, Debug, Default)]
pub struct OpenConfig {
    /// The program; the one of its kind on PATH when absent.
    pub binary: Option<PathBuf>,
    /// The agent's own data: by it a later agent finds what a crashed one has left.
    pub data_dir: PathBuf,
    /// Where projects are, and with which settings.
    pub places: Vec<Place>,
    /// More variables for its environment, beside those of this process.
    pub environment: Vec<(String, String)>,
    /// Arguments that stand before all others.
    pub arguments: Vec<String>,
}

impl OpenConfig {
    /// A variable of its environment.
    pub fn variable(&self, name: &str) -> Option<PathBuf> {
        let own = self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.into());
        own.or_else(|| std::env::var_os(name).map(PathBuf::from))
    }
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

/// How the program of a kind is looked for.
pub struct Finder {
    /// Looks for it, and whether it can be used.
    pub look: Box<dyn Fn(OpenConfig) -> BoxFuture<'static, FoundProgram> + Send + Sync>,
    /// When one that cannot be used is looked at again though nothing has taken its place; `None`: when it has not said
    /// its version, after a while, else never.
    pub again: Option<Duration>,
}

/// What the sessions of one kind share.
pub struct Host {
    /// Its program.
    pub spec: ProgramSpec,
    /// Where projects are, and with which settings.
    pub places: Places,
    /// Where it is reported to.
    pub reports: Reports,
    /// The beginning of the marks of everything that agents with this data directory start.
    mark: String,
    /// What was remembered at the start.
    pub memory: KnownSessions,
    config: OpenConfig,
    state: watch::Sender<State>,
    /// By session, and by helper of one.
    sessions: Mutex<HashMap<SessionId, mpsc::Sender<Ask>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Host {
    /// Begins to look whether the program can be used. Needs a running tokio runtime.
    pub fn open(
        spec: ProgramSpec,
        finder: Finder,
        config: OpenConfig,
        memory: KnownSessions,
        reports: Reports,
    ) -> Arc<Self> {
        let hash = Sha256::digest(config.data_dir.as_os_str().as_encoded_bytes());
        let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let host = Arc::new(Self {
            spec,
            places: Places::new(&config.places),
            reports,
            mark: format!("{}.{hash}", spec.name.replace(':', "-")),
            memory,
            config,
            state: watch::Sender::new(State::Starting),
            sessions: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        host.tasks.spawn(keep(Arc::clone(&host), finder));
        host
    }

    /// A command that starts the program, with its environment but for what another one has set for what it starts: it
    /// would take itself for a part of that one.
    pub fn command(&self, of_another: &[&str]) -> Command {
        let named = self.config.binary.as_ref().map(|path| path.as_os_str());
        let mut command = Command::new(named.unwrap_or(OsStr::new(self.spec.name)));
        child::keep_for_us(command.as_std_mut());
        command.args(&self.config.arguments);
        for name in of_another {
            command.env_remove(name);
        }
        command.envs(self.spec.quiet.iter().copied());
        command.envs(self.config.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The folder with what is the user's of its program: the one that a variable names, else this one in the home.
    pub fn home(&self, variable: &str, folder: &str) -> Option<PathBuf> {
        let named = self.config.variable(variable);
        named.or_else(|| Some(self.config.variable("HOME")?.join(folder)))
    }

    /// A project's directory, which must be there.
    pub fn folder<'d>(&self, directory: &'d str) -> Result<&'d Path, BackendError> {
        let folder = Path::new(directory);
        let missing =
            || BackendError::NoSuch(format!("the project's directory {directory:?} does not exist"));
        folder.is_dir().then_some(folder).ok_or_else(missing)
    }

    /// Starts a process of it.
    pub fn start<L: Spoken>(&self, command: Command) -> Result<LineProcess<L>, BackendError> {
        let started = LineProcess::start(command, &self.mark);
        started
            .map_err(|error| BackendError::Refused(format!("{} cannot be started: {error}", self.spec.title)))
    }

    /// Why nothing can be done any more.
    pub fn stopping(&self) -> BackendError {
        BackendError::Down { backend: self.spec.name, why: "the agent is stopping".into() }
    }

    /// True once it stops.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, mpsc::Sender<Ask>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while it is being looked at.
    pub async fn up(&self) -> Result<(), BackendError> {
        let down = |why: String| BackendError::Down { backend: self.spec.name, why };
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

    /// Begins to look after a session, unless it is looked after already: `run` makes its task.
    pub fn add<F>(&self, id: &SessionId, run: impl FnOnce(mpsc::Receiver<Ask>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut sessions = self.sessions();
        if self.stop.is_cancelled() || sessions.contains_key(id) {
            return;
        }
        let (queue, asks) = mpsc::channel(ASKS);
        sessions.insert(id.clone(), queue);
        drop(sessions);
        self.tasks.spawn(run(asks));
    }

    /// These are helpers of a session: what is asked of them is asked of it.
    pub fn know<'h>(&self, session: &SessionId, helpers: impl Iterator<Item = &'h SessionId>) {
        let mut sessions = self.sessions();
        let Some(queue) = sessions.get(session).cloned() else { return };
        for helper in helpers {
            sessions.entry(helper.clone()).or_insert_with(|| queue.clone());
        }
    }

    /// The queue of a session that is looked after.
    pub fn queue(&self, id: &SessionId) -> Option<mpsc::Sender<Ask>> {
        self.sessions().get(id).cloned()
    }

    /// Ends all sessions, and whatever carries a mark of ours.
    pub async fn stop(&self) {
        self.stop.cancel();
        let queues: Vec<mpsc::Sender<Ask>> = self.sessions().drain().map(|(_, queue)| queue).collect();
        let each = queues.iter().map(async |queue| {
            let (done, is_done) = oneshot::channel();
            if queue.send(Ask::Stop(done)).await.is_ok() {
                let _gone = is_done.await;
            }
        });
        if timeout(STOP_LIMIT, join_all(each)).await.is_err() {
            tracing::warn!("{} has not ended within {} s", self.spec.title, STOP_LIMIT.as_secs());
        }
        drop(queues);
        process::sweep(&self.mark_prefix()).await;
        self.tasks.close();
        let _what_hangs_is_cut = timeout(STOP_LIMIT, self.tasks.wait()).await;
    }

    fn mark_prefix(&self) -> String {
        format!("{}.", self.mark)
    }
}

/// Ends what an earlier agent has left, tells how sessions are, and then whether the program can be used, as often as
/// another one takes its place.
async fn keep(host: Arc<Host>, finder: Finder) {
    let left = process::sweep(&host.mark_prefix()).await;
    if left > 0 {
        tracing::info!("ended {left} processes that an earlier agent had left");
    }
    let snapshot = host.memory.values().map(as_it_is_now).collect();
    // The session manager is gone only when the agent ends.
    let _ended = host.reports.send(Report::Snapshot(snapshot)).await;
    let named = host.config.binary.clone();
    let program: OsString = named.clone().map_or_else(|| host.spec.name.into(), PathBuf::into_os_string);
    loop {
        // Before it is looked at: one that takes its place meanwhile is another one.
        let before = Print::of(&program);
        let found = (finder.look)(host.config.clone()).await;
        if let Some(why) = &found.fault {
            tracing::warn!("{} cannot be used: {why}", host.spec.title);
        }
        let again = finder.again;
        let is_faulty = found.fault.is_some();
        let is_mute = again.is_none() && found.path.is_some() && found.version.is_none();
        let mute = before.as_ref().filter(|_| is_mute);
        host.state.send_replace(found.fault.clone().map_or(State::Ready, State::Unfit));
        let _ended = host.reports.send(Report::Health(found.fault)).await;
        tokio::select! {
            () = host.stop.cancelled() => return,
            () = program::replaced(&program, before.as_ref()) => {}
            () = program::askable(mute) => {}
            () = sleep(again.unwrap_or_default()), if is_faulty && again.is_some() => {}
        }
    }
}

/// A session as it is after the agent that ran it has ended.
fn as_it_is_now(known: &KnownSession) -> Session {
    let mut seen = known.session.clone();
    if seen.is_open() {
        if seen.activity.runs() {
            seen.error = Some("the agent was restarted during the turn".into());
        }
        seen.activity = hal_protocol::session::Activity::Idle;
        seen.asks.clear();
    }
    seen
}
