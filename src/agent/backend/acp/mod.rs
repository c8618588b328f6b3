//! Any program that speaks the Agent Client Protocol, version 1, over pipes (see `backend::piped`): gemini, qwen, goose and
//! others, each a kind of its own under the name that the configuration gives it.
//!
//! ```text
//!   start: initialize -> session/new, or session/resume, or session/load -> session/set_mode    prompt: session/prompt
//! ```
//! - `name`: the kinds. `probe`: whether a program speaks ACP. `connection`: it is asked one thing after the other.
//! - `tongue`: how one session is spoken with; `record`: which one that is at the program, and what was said to it.
//! - `turn`: what it says, as events. `usage`: what it used, in each program's way. `classify`: what its words mean in ours.
//! - `words`: its language; `read`: how it is read.
//!
//! Its shapes are read from JSON, not from the types of a library: programs tell in extensions of their own what matters
//! here most, what a call has used and that a turn has failed, and a word that is new is no reason to lose a line.

mod classify;
mod connection;
pub mod name;
pub mod probe;
mod read;
mod record;
mod tongue;
mod turn;
mod usage;
mod words;

use std::sync::Arc;

use futures_util::FutureExt;

use super::piped::host::{Finder, Host, OpenConfig};
use super::piped::{Kind, NewSession, Piped, Unknowable, fresh, names};
use super::program::ProgramSpec;
use super::{BackendError, KnownSessions, Launch, Modes, Opening, Place, Reports};
use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;
use hal_protocol::session::{Session as Known, SessionId};
use name::AcpName;
use record::Records;
use tongue::AcpTongue;

/// Names by which programs call modes in which they ask nobody: only who says so has one.
const UNGUARDED: &[&str] =
    &["bypassPermissions", "dontAsk", "yolo", "agent-full-access", "full-access", "autopilot", "auto"];

/// The backend of such a program. Clones share it.
pub type Acp = Piped<AcpKind>;

/// The kind.
#[derive(Debug)]
pub struct AcpKind {
    name: AcpName,
    launch: Launch,
    records: Records,
}

impl Acp {
    /// What all of them can. What one tells beyond that is taken, and is promised of none.
    pub(super) const ABILITIES: Abilities = Abilities {
        cost: false,
        tokens: UsageTold::Unknown,
        context: false,
        compaction: false,
        todo: false,
        permission: true,
        question: false,
        steer: false,
        resume: true,
        survives: false,
    };

    pub(super) const MODES: Modes = Modes { permission: &[], sandbox: &[], unguarded: UNGUARDED };

    pub(super) fn open_as(name: AcpName, opening: Opening) -> Self {
        let Opening { launch, data_dir, places, memory, reports, .. } = opening;
        Self::open(name, launch, (data_dir, places), memory, reports)
    }

    /// Begins; returns at once. What happens is reported. Needs a running tokio runtime.
    pub fn open(
        name: AcpName,
        launch: Launch,
        (data_dir, places): (std::path::PathBuf, Vec<Place>),
        memory: KnownSessions,
        reports: Reports,
    ) -> Self {
        let records = Records::of(&data_dir, name.as_str());
        records.prune(&memory);
        let (program, arguments) =
            launch.command.split_first().map(|(one, more)| (one.into(), more.to_vec())).unzip();
        let environment = launch.env.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        let config = OpenConfig {
            binary: program,
            data_dir,
            places,
            environment: environment.collect(),
            arguments: arguments.unwrap_or_default(),
        };
        Self::begin(AcpKind { name, launch, records }, config, memory, reports)
    }
}

impl Kind for AcpKind {
    type Tongue = AcpTongue;

    fn spec(&self) -> ProgramSpec {
        self.name.spec()
    }

    fn finder(&self) -> Finder {
        let (name, launch) = (self.name, self.launch.clone());
        let look = move |_| {
            let launch = launch.clone();
            async move { probe::look(name, &launch).await }.boxed()
        };
        Finder { look: Box::new(look), again: Some(probe::AGAIN) }
    }

    /// Nothing is begun at the program before something is said.
    async fn begin(
        &self,
        host: &Arc<Host>,
        command: &CommandId,
        new: NewSession,
    ) -> Result<(Known, AcpTongue), BackendError> {
        let title = host.spec.title;
        for (what, said) in [("model", &new.wish.model), ("kind of agent", &new.wish.agent)] {
            if !said.is_empty() {
                let why = format!(
                    "{title} takes no {what} from here: leave it out, and choose it in its own settings"
                );
                return Err(BackendError::Refused(why));
            }
        }
        let known = fresh(&names::session_of(command), &new.directory, new.title);
        let tongue = AcpTongue::new(host, &self.records, &known, false);
        Ok((known, tongue))
    }

    fn again(&self, host: &Arc<Host>, known: &Known, is_told: bool) -> AcpTongue {
        AcpTongue::new(host, &self.records, known, is_told)
    }

    async fn find(
        &self,
        _host: &Arc<Host>,
        command: &CommandId,
        _directory: &str,
    ) -> Result<Option<SessionId>, Unknowable> {
        Ok(Some(names::session_of(command)))
    }

    async fn has_taken(&self, _host: &Arc<Host>, id: &SessionId, message: &str) -> Result<bool, Unknowable> {
        self.records.read(id).await?.has_taken(message)
    }
}
