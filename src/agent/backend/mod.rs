//! Backends: how the agent talks to one kind of coding agent.
//!
//! A backend is one variant of [`Backend`], made from the one list below. It is given [`Action`]s and reports what it hears as [`Report`], in the one
//! vocabulary of `protocol::event`. It keeps no record: the session manager does.
//!
//! - `opencode`: a true `opencode serve`, over HTTP and its event stream.
//! - `claude`: a true Claude Code, over its JSON lines. `codex`: a true Codex, over those of its app server.
//! - `acp`: any program that speaks the Agent Client Protocol, each under the name that the configuration gives it.
//! - `piped`: what those have in common that are spoken to over the pipes of one process for each session.
//! - `echo`: follows words in the prompt; the demo for people without a coding agent.
//! - `program`: where the program of a kind is, and which version. `processes`: what it has started, and the end of it. `tail`: what it said last.
//! - `hold`: processes of coding agents that outlive hal-agent.
//! - `checkout`: what a checkout brings along for a kind to run.

pub mod acp;
mod checkout;
pub mod claude;
pub mod codex;
pub mod echo;
pub mod hold;
pub mod opencode;
pub mod piped;
mod processes;
pub mod program;
mod tail;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use acp::name::AcpName;
use hold::Hold;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use program::{FoundProgram, ProgramSpec};

use hal_base::clock::Time;
use hal_base::secret::Secret;
use hal_base::task::Tasks;
use hal_protocol::backend::Abilities;
use hal_protocol::command::CommandId;
use hal_protocol::session::{Session, SessionId};

/// Reports on their way to the session manager. When it is full the backend waits: they are stored before more are taken.
pub const REPORT_QUEUE: usize = 1024;

/// Something to be done by a backend.
#[derive(Clone, Debug)]
pub enum Action {
    /// Begin a session and give it its first prompt.
    Create {
        /// Absolute path of the project.
        directory: String,
        /// What to do; empty: only make the session.
        prompt: String,
        /// Its title; made from the prompt when empty, so that no model call is spent on one.
        title: String,
        /// `provider/model`; the backend's own choice when empty.
        model: String,
        /// The backend's name of a kind of agent; its own choice when empty.
        agent: String,
    },
    /// Say something to a session.
    Prompt {
        /// Id of the session.
        session_id: SessionId,
        /// The prompt's text.
        message: String,
    },
    /// Stop the running turn.
    Abort {
        /// Of which session.
        session_id: SessionId,
    },
    /// Stop the work and every process of it; the conversation is kept.
    Kill {
        /// Of which session.
        session_id: SessionId,
    },
    /// Answer a waiting permission.
    AnswerPermission {
        /// Of which session.
        session_id: SessionId,
        /// Which request; the oldest waiting one when `None`.
        request_id: Option<String>,
        /// `once`, `always` or `reject`.
        reply: String,
        /// What to tell the model with a `reject`.
        message: String,
    },
    /// Answer a waiting question.
    AnswerQuestion {
        /// Of which session.
        session_id: SessionId,
        /// Which request; the oldest waiting one when `None`.
        request_id: Option<String>,
        /// One list of chosen labels for each question.
        answers: Vec<Vec<String>>,
    },
    /// Look at a session and say its status word.
    Look {
        /// Id of the session.
        session_id: SessionId,
    },
}

/// What a backend reports.
#[derive(Debug)]
pub enum Report {
    /// Something to keep.
    Event(BackendEvent),
    /// Something for whoever watches right now: a token, a growing output.
    Live {
        /// The session concerned.
        session_id: SessionId,
        /// The event type.
        kind: String,
        /// The event's data, as JSON text.
        data: Box<RawValue>,
    },
    /// The backend was looked at as a whole, after each (re)connect: sessions as they are there. The session
    /// manager compares them with its record, writes what is missing, and fills in `node_id`, `project` and `backend`.
    Snapshot(Vec<Session>),
    /// A part of that snapshot: what could not be looked at is `unseen` and stays as it is recorded.
    PartialSnapshot {
        /// Sessions as they are there.
        seen: Vec<Session>,
        /// Sessions that may be there.
        unseen: HashSet<SessionId>,
    },
    /// A project's directory can be worked in (`None`) or not (`Some(why)`), whatever becomes of the others.
    Directory {
        /// As it is configured.
        directory: String,
        /// Why it cannot be used; `None`: it can.
        error: Option<String>,
    },
    /// The backend as a whole works (`None`) or does not (`Some(why)`, with the last lines of its output).
    Health(Option<String>),
    /// Somebody waits until everything that was reported before is stored.
    Barrier(oneshot::Sender<()>),
}

/// A durable event as a backend hears it.
#[derive(Debug)]
pub struct BackendEvent {
    /// The backend's identity of it; the session manager makes one where there is none.
    pub id: Option<String>,
    /// Its type in the vocabulary of `protocol::event`.
    pub kind: String,
    /// The session concerned.
    pub session_id: Option<SessionId>,
    /// The directory concerned, by which the session manager finds the project.
    pub directory: Option<String>,
    /// When, in the backend's words where it says so.
    pub occurred_at: Time,
    /// The event's data, as JSON text.
    pub data: Box<RawValue>,
    /// The backend's own place in the session's history, so that it can catch up from there. Kept by the session manager and
    /// given back in [`KnownSession::mark`].
    pub mark: Option<u64>,
}

/// A session as the journal has it when a backend is opened.
#[derive(Clone, Debug)]
pub struct KnownSession {
    /// The session as recorded.
    pub session: Session,
    /// The last [`BackendEvent::mark`] recorded for it.
    pub mark: Option<u64>,
}

/// What the journal has, by session.
pub type KnownSessions = HashMap<SessionId, KnownSession>;

/// What a look after a crash found out about an action that may or may not have been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReconcileOutcome {
    /// It was done; this is its output.
    Done(String),
    /// It was not done, and it is certain that it will not be.
    NotDone,
    /// There is no telling.
    Unknown,
}

/// Why an action could not be done. The text is one sentence for a person.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The backend is not running and why.
    #[error("{backend} is not running: {why}")]
    Down {
        /// The backend's name.
        backend: &'static str,
        /// The last lines of its output, or what is being waited for.
        why: String,
    },
    /// No such session, request or model there.
    #[error("{0}")]
    NoSuch(String),
    /// The backend refused.
    #[error("{0}")]
    Refused(String),
    /// A file that a person wrote cannot be read.
    #[error("{} cannot be read by the coding agent: {why}", file.display())]
    Unreadable {
        /// Path of the file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It did not answer in time; whether the action was done is not known.
    #[error("{backend} did not answer within {seconds} s while {doing}")]
    Silent {
        /// The backend's name.
        backend: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// What was being done.
        doing: &'static str,
    },
}

/// A project as a backend sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its directory, as it is configured.
    pub directory: PathBuf,
    /// One of the backend's permission modes; its usual one when absent.
    pub permission_mode: Option<String>,
    /// One of the backend's sandboxes; its usual one when absent.
    pub sandbox: Option<String>,
    /// Whether what its checkout brings along may run; nobody has said so when absent, and it does not.
    pub trusted: Option<bool>,
}

/// What a project may say about how freely a kind works, the word that holds otherwise first in each list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Modes {
    /// Permission modes; none: it has none of its own.
    pub permission: &'static [&'static str],
    /// Sandboxes; none: it has none of its own.
    pub sandbox: &'static [&'static str],
    /// The words among both with which it works unguarded: it asks nobody, or nothing holds its commands.
    pub unguarded: &'static [&'static str],
}

/// How a program is started that only the configuration knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// More variables for its environment, which may be keys.
    pub env: Vec<(String, Secret)>,
}

/// What a backend is opened with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its program, where it has one; looked for on PATH when absent.
    pub program: Option<PathBuf>,
    /// How it is started, where only the configuration knows.
    pub launch: Launch,
    /// The port on which its program listens, where it does; 0: any free one.
    pub port: u16,
    /// The agent's own data.
    pub data_dir: PathBuf,
    /// Its projects.
    pub places: Vec<Place>,
    /// What the journal remembers of its sessions.
    pub memory: KnownSessions,
    /// Where it reports to.
    pub reports: Reports,
    /// Where its tasks run.
    pub tasks: Tasks,
    /// Who holds its processes, so that they go on without this agent; `None`: they end with this agent.
    pub hold: Option<Hold>,
}

macro_rules! backends {
    ($($(#[$doc:meta])* $kind:ident($backend:ty) = $word:literal,)*) => {
        /// The backends that can be configured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
        pub enum BackendKind {
            $($(#[$doc])* $kind,)*
            /// A program that speaks the Agent Client Protocol.
            Acp(AcpName),
        }

        impl BackendKind {
            /// Those that are known without any configuration.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The word in the configuration.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)*
                    Self::Acp(name) => name.as_str(),
                }
            }

            /// What it can tell and do.
            pub fn abilities(self) -> Abilities {
                match self {
                    $(Self::$kind => <$backend>::ABILITIES,)*
                    Self::Acp(_) => acp::Acp::ABILITIES,
                }
            }

            /// What a project may say about how freely it works.
            pub fn modes(self) -> Modes {
                match self {
                    $(Self::$kind => <$backend>::MODES,)*
                    Self::Acp(_) => acp::Acp::MODES,
                }
            }

            /// The first file or folder of a checkout by which this kind runs something, and nobody has asked for that.
            pub fn brought(self, directory: &Path) -> Option<PathBuf> {
                checkout::brought(directory, match self {
                    $(Self::$kind => <$backend>::BROUGHT,)*
                    Self::Acp(_) => &[],
                })
            }

            /// Whether it can leave that out and work all the same.
            pub fn leaves_out(self) -> bool {
                match self {
                    $(Self::$kind => <$backend>::LEAVES_OUT,)*
                    Self::Acp(_) => false,
                }
            }

            /// The program that it needs; `None`: none.
            pub fn program(self) -> Option<ProgramSpec> {
                match self {
                    $(Self::$kind => <$backend>::PROGRAM,)*
                    Self::Acp(name) => Some(name.spec()),
                }
            }

            /// Looks for its program. `named` and `launch` are what the configuration says of it. One that nobody uses is
            /// asked once, whatever it said.
            pub async fn look(self, named: Option<&Path>, launch: &Launch, is_used: bool) -> FoundProgram {
                match (self, self.program()) {
                    (Self::Acp(name), _) => acp::probe::look(name, launch).await,
                    (_, Some(spec)) => spec.look(named, is_used).await,
                    (_, None) => FoundProgram::default(),
                }
            }

            /// Reads the word.
            pub fn parse(word: &str) -> Option<Self> {
                let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == word);
                known.or_else(|| AcpName::parse(word).map(Self::Acp))
            }

            /// All of them, with the programs that the configuration names.
            pub fn all() -> Vec<Self> {
                Self::ALL.iter().copied().chain(AcpName::all().into_iter().map(Self::Acp)).collect()
            }
        }

        /// A running backend. Clones share it.
        #[derive(Clone, Debug)]
        pub enum Backend {
            $(
                #[doc = concat!("One of the kind `", $word, "`.")]
                $kind($backend),
            )*
            /// A program that speaks the Agent Client Protocol.
            Acp(acp::Acp),
        }

        impl Backend {
            /// Begins to run one; returns at once, what happens is reported. Needs a running tokio runtime.
            pub fn open(kind: BackendKind, opening: Opening) -> Self {
                match kind {
                    $(BackendKind::$kind => Self::$kind(<$backend>::open_with(opening)),)*
                    BackendKind::Acp(name) => Self::Acp(acp::Acp::open_as(name, opening)),
                }
            }

            /// These are its projects now.
            pub fn work_in(&self, places: &[Place]) {
                match self {
                    $(Self::$kind(backend) => backend.work_in(places),)*
                    Self::Acp(backend) => backend.work_in(places),
                }
            }

            /// Carries out an action on behalf of a command and gives its output: the session's id for `Create`, the
            /// status word for `Look`, else a short sentence or nothing. Takes as long as it takes; may be called
            /// concurrently.
            pub async fn carry_out(&self, command: &CommandId, action: Action) -> Result<String, BackendError> {
                match self {
                    $(Self::$kind(backend) => backend.carry_out(command, action).await,)*
                    Self::Acp(backend) => backend.carry_out(command, action).await,
                }
            }

            /// Finds out whether an action was done whose outcome a crash has hidden.
            pub async fn reconcile(&self, command: &CommandId, action: &Action) -> ReconcileOutcome {
                match self {
                    $(Self::$kind(backend) => backend.reconcile(command, action).await,)*
                    Self::Acp(backend) => backend.reconcile(command, action).await,
                }
            }

            /// Lets go on what can go on without this agent, and ends the rest as a stop does.
            pub async fn leave(&self) {
                match self {
                    $(Self::$kind(backend) => backend.leave().await,)*
                    Self::Acp(backend) => backend.leave().await,
                }
            }

            /// Ends the backend in the right order: turns are aborted, tool processes ended, then the backend itself.
            pub async fn stop(&self) {
                match self {
                    $(Self::$kind(backend) => backend.stop().await,)*
                    Self::Acp(backend) => backend.stop().await,
                }
            }
        }
    };
}

// The one list: a kind is its folder and its line here.
backends! {
    /// A true opencode.
    #[default]
    Opencode(opencode::Opencode) = "opencode",
    /// A true Claude Code.
    Claude(claude::Claude) = "claude",
    /// A true Codex.
    Codex(codex::Codex) = "codex",
    /// The one that follows words.
    Echo(echo::Echo) = "echo",
}

impl BackendKind {
    /// What the program of this version can tell and do; empty: which one it is is not known.
    pub fn abilities_of(self, version: &str) -> Abilities {
        match self {
            Self::Opencode => opencode::Opencode::abilities_of(version),
            other => other.abilities(),
        }
    }
}

/// Where a backend reports to.
pub type Reports = mpsc::Sender<Report>;
