//! A true `opencode serve`, over HTTP and its event stream: 1.x in what follows, 2.x in `two`; what starts, watches and ends
//! the process is the same for both (`dialect` tells them apart before anything is started).
//!
//! ```text
//!            keep: starts it, restarts it, ends it
//!              |
//!   server (process) <--- client (HTTP) <--- actions (prompt, halt), reconcile   what is asked of it
//!              |                        <--- snapshot, catch_up  what was missed; others: what other opencodes did
//!              '--- /global/event ---> stream -- classify_event --> reports
//!                                        '-- verdict, of turns and outside: what is wrong
//! ```
//! - `places`: directories that it cannot work in; `gate`: checkouts that nobody has said it may read; `asks`: what waits, as events said it; `causes`: what its log says.
//! - `classify`: what its words mean, said in ours.
//! - `process`: a child, or one that is held; `resume`: goes on with one that is, by its `memo`.
//!
//! Everything it starts carries a mark in its environment (see `backend::processes`), so that nothing can be left behind.

mod actions;
mod asks;
mod catch_up;
mod causes;
mod classify;
mod classify_event;
mod client;
mod dialect;
mod follow;
mod gate;
mod halt;
mod keep;
mod memo;
mod others;
mod outside;
mod places;
mod process;
mod prompt;
mod reconcile;
mod resume;
mod server;
mod snapshot;
mod snapshot_report;
mod stream;
mod tools;
mod tracker;
mod turns;
mod two;
mod verdict;
mod words;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::{RwLock, broadcast, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backend::hold::Hold;
use crate::backend::program::ProgramSpec;
use crate::backend::{Action, BackendError, KnownSessions, Modes, Opening, Place, ReconcileOutcome, Reports};
use asks::Asks;
use client::{Client, NAME};
use gate::Gate;
use hal_base::task::Tasks;
use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;
use hal_protocol::session::SessionId;
use places::Places;

/// How long an action waits for an opencode that is being started.
const START_PATIENCE: Duration = Duration::from_secs(45);

/// How long `stop` waits: turns are aborted, tools ended, then the process.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Notes on their way to actions that wait for them. An action that falls behind looks for itself.
const NOTES_MAX: usize = 1024;

/// What is wrong when OpenCode 2 has changed the database of a 1.x, and the way out.
const FOREIGN: &str = "its database was changed by a start of OpenCode 2, and 1.x can no longer start anything in it: \
    give 1.x one of its own (OPENCODE_DB=/an/absolute/path/opencode.db in the environment of this program), or put back \
    a copy from before";

/// How opencode is to be run.
#[derive(Clone)]
pub struct OpenConfig {
    /// The program; `opencode` on PATH when absent.
    pub binary: Option<PathBuf>,
    /// Its port on loopback; 0: any free one.
    pub port: u16,
    /// The agent's own data: by it a later agent finds what a crashed one has left.
    pub data_dir: PathBuf,
    /// Where projects are, and whether their checkouts are trusted.
    pub places: Vec<Place>,
    /// More variables for its environment, beside those of this process.
    pub environment: Vec<(String, String)>,
    /// Who holds it, so that it goes on without this agent; `None`: it ends with this agent.
    pub hold: Option<Hold>,
}

/// The opencode backend. Clones share it.
#[derive(Clone)]
pub struct Opencode(Arc<Shared>);

/// What the tasks and the actions share.
struct Shared {
    config: OpenConfig,
    directories: Directories,
    /// What of a checkout it may read.
    gate: Gate,
    reports: Reports,
    link: watch::Sender<Link>,
    notes: broadcast::Sender<Note>,
    /// What is known of the sessions of a 2.x.
    two: tokio::sync::Mutex<two::state::Fold>,
    /// Commands that were not answered in time, with the mark of the run that was asked: it may still do them.
    doubtful: Mutex<HashMap<CommandId, String>>,
    /// What waits for an answer, as events said it.
    asks: Asks,
    /// Directories that cannot be worked in.
    places: Places,
    /// Read by every action while it is done.
    in_hand: RwLock<()>,
    /// What was answered here, by which an answer of somebody else is known.
    answers: outside::Answers,
    /// Sessions whose turn was stopped from here and has not ended yet.
    stopped: Mutex<HashSet<SessionId>>,
    /// Tells the keeper to let go what is held, rather than to end it.
    leaves: AtomicBool,
    /// The mark of an opencode that an earlier agent has started: it may still do what that one has asked.
    taken_up: Mutex<Option<String>>,
    /// Tells the keeper to end everything.
    stop: CancellationToken,
    /// True once everything has ended.
    ended: watch::Sender<bool>,
}

/// Whether opencode can be asked for something.
#[derive(Clone)]
enum Link {
    /// It is being started.
    Starting,
    /// It is there.
    Up(Up),
    /// It is not, and why, with its last lines below.
    Down(String),
}

/// An opencode that is there.
#[derive(Clone)]
struct Up {
    client: Client,
    /// The mark of its descendants.
    mark: String,
    /// Its process.
    pid: i32,
}

/// Something heard on the stream that an action may be waiting for.
#[derive(Clone, Debug)]
enum Note {
    /// A message was taken.
    Message(String),
    /// A turn is over.
    Idle(SessionId),
    /// A turn failed.
    Failed(SessionId, String),
}

impl Opencode {
    pub(super) const PROGRAM: Option<ProgramSpec> = Some(server::PROGRAM);

    pub(super) const ABILITIES: Abilities = Abilities {
        cost: true,
        tokens: UsageTold::PerTurn,
        context: true,
        compaction: true,
        todo: true,
        permission: true,
        question: true,
        steer: true,
        resume: true,
        survives: true,
    };

    /// What the one of this version can tell and do.
    pub(super) fn abilities_of(version: &str) -> Abilities {
        match dialect::Dialect::of(version) {
            Some(dialect::Dialect::Two) => two::ABILITIES,
            _ => Self::ABILITIES,
        }
    }

    pub(super) const MODES: Modes = Modes { permission: &[], sandbox: &[], unguarded: &[] };

    /// Files of a checkout by which it runs something.
    pub(super) const BROUGHT: &[&str] = &["opencode.json", "opencode.jsonc", ".opencode"];

    /// Whether it can leave those out and work all the same.
    pub(super) const LEAVES_OUT: bool = false;

    /// Begins to run opencode with what every backend is opened with.
    pub(super) fn open_with(opening: Opening) -> Self {
        let Opening { program: binary, port, data_dir, places, memory, reports, tasks, hold, launch: _ } =
            opening;
        let config = OpenConfig { binary, port, data_dir, places, environment: Vec::new(), hold };
        Self::open(config, memory, reports, &tasks)
    }

    /// Begins to run opencode; returns at once. What happens is reported: first [`super::Report::Snapshot`] and
    /// [`super::Report::Health`] with `None`, or `Health` with the reason why not.
    ///
    /// Must be called within a tokio runtime. The tasks end when the group stops or the backend is stopped.
    pub fn open(config: OpenConfig, memory: KnownSessions, reports: Reports, tasks: &Tasks) -> Self {
        let shared = Arc::new(Shared {
            directories: Directories::new(&config.places),
            gate: Gate::new(&config.places),
            config,
            reports,
            link: watch::Sender::new(Link::Starting),
            notes: broadcast::Sender::new(NOTES_MAX),
            two: tokio::sync::Mutex::default(),
            doubtful: Mutex::default(),
            asks: Asks::default(),
            places: Places::default(),
            in_hand: RwLock::default(),
            answers: outside::Answers::default(),
            stopped: Mutex::default(),
            leaves: AtomicBool::new(false),
            taken_up: Mutex::default(),
            stop: tasks.child_stop(),
            ended: watch::Sender::new(false),
        });
        tasks.spawn(keep::keep(shared.clone(), memory));
        Self(shared)
    }

    /// Works in other directories from now on. Sessions of directories that are gone go on where they are.
    pub fn work_in(&self, places: &[Place]) {
        self.0.directories.replace(places);
        self.0.gate.replace(places);
        self.0.places.keep_only(&self.0.directories.existing());
    }

    pub(crate) async fn carry_out(
        &self,
        command: &CommandId,
        action: Action,
    ) -> Result<String, BackendError> {
        actions::carry_out(&self.0, command, action).await
    }

    pub(crate) async fn reconcile(&self, command: &CommandId, action: &Action) -> ReconcileOutcome {
        reconcile::reconcile(&self.0, command, action).await
    }

    /// Lets it go on without this agent where it is held; else the same as a stop.
    pub(crate) async fn leave(&self) {
        self.0.leaves.store(true, Ordering::Relaxed);
        self.stop().await;
    }

    pub(crate) async fn stop(&self) {
        self.0.stop.cancel();
        let mut ended = self.0.ended.subscribe();
        if timeout(STOP_LIMIT, ended.wait_for(|ended| *ended)).await.is_err() {
            tracing::warn!("opencode has not ended within {} s", STOP_LIMIT.as_secs());
        }
    }
}

impl fmt::Debug for Opencode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Opencode").field("port", &self.0.config.port).finish_non_exhaustive()
    }
}

impl Shared {
    /// The running opencode; waits while it is being started.
    async fn up(&self) -> Result<Up, BackendError> {
        let down = |why: &str| BackendError::Down { backend: NAME, why: why.replace('\n', " | ") };
        let mut link = self.link.subscribe();
        match timeout(START_PATIENCE, link.wait_for(|link| !matches!(link, Link::Starting))).await {
            Ok(Ok(link)) => match &*link {
                Link::Up(up) => Ok(up.clone()),
                Link::Down(why) => Err(down(why)),
                Link::Starting => Err(down("it is being started")),
            },
            Ok(Err(_)) | Err(_) => Err(down("it is being started")),
        }
    }

    fn doubtful(&self) -> MutexGuard<'_, HashMap<CommandId, String>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when an opencode with this mark was started by an earlier agent.
    fn is_taken_up(&self, mark: &str) -> bool {
        self.taken_up.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(mark)
    }

    fn stopped(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The beginning of the marks of everything that agents with this data directory start.
    fn mark_prefix(&self) -> String {
        let hash = Sha256::digest(self.config.data_dir.as_os_str().as_encoded_bytes());
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The beginning of the marks of an opencode.
    fn mark_begin(&self) -> String {
        format!("{}.", self.mark_prefix())
    }
}

/// The projects' directories, as configured and as opencode names them: by their real path.
struct Directories(ArcSwap<Vec<(PathBuf, PathBuf)>>);

impl Directories {
    fn new(configured: &[Place]) -> Self {
        let directories = Self(ArcSwap::default());
        directories.replace(configured);
        directories
    }

    fn replace(&self, configured: &[Place]) {
        let both = |place: &Place| (place.directory.clone(), real(&place.directory));
        self.0.store(Arc::new(configured.iter().map(both).collect()));
    }

    /// Those that exist, by their real paths.
    fn existing(&self) -> Vec<String> {
        // A directory may have been made since the start; its real path is looked for again.
        self.0.load().iter().map(|(path, _)| real(path)).filter(|path| path.is_dir()).map(text).collect()
    }

    /// The configured path of a directory that opencode names; the same when no project has it.
    fn configured(&self, named: &str) -> String {
        let all = self.0.load();
        let found = all.iter().find(|(_, real)| real == Path::new(named));
        found.map_or_else(|| named.to_owned(), |(path, _)| text(path.clone()))
    }
}

/// The real path; the path itself when there is nothing.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The real path of a directory that must exist.
fn existing(directory: &str) -> Result<String, BackendError> {
    let path = Path::new(directory);
    if !path.is_dir() {
        return Err(BackendError::NoSuch(format!("the project's directory {directory:?} does not exist")));
    }
    Ok(text(real(path)))
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}
