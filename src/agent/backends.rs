//! Which backends run on this node: each is opened when the first project needs it.

use std::path::PathBuf;
use std::sync::OnceLock;

use tokio::sync::mpsc;

use super::backend::echo::Echo;
use super::backend::opencode::{OpenConfig, Opencode};
use super::backend::{Backend, HEARD_QUEUE, Heard, Memory, Reports};
use super::config::{BackendKind, Config, ProjectConfig};
use crate::base::task::Tasks;
use crate::store::journal::SessionRecord;

/// The backends that were opened.
#[derive(Debug)]
pub struct Backends {
    config: Config,
    /// Stopped by [`Backends::stop`] only: backends end after the commands in hand, not with them.
    tasks: Tasks,
    echo: OnceLock<Echo>,
    opencode: OnceLock<Opencode>,
}

/// What the backends report, each on a queue of its own.
#[derive(Debug)]
pub struct Ears {
    /// From echo.
    pub echo: mpsc::Receiver<Heard>,
    /// From opencode.
    pub opencode: mpsc::Receiver<Heard>,
}

/// The other ends of [`Ears`], kept as long as a backend may still be opened.
#[derive(Clone, Debug)]
pub struct Mouths {
    echo: Reports,
    opencode: Reports,
}

/// Makes the queues between backends and desk.
pub fn queues() -> (Mouths, Ears) {
    let (echo_in, echo) = mpsc::channel(HEARD_QUEUE);
    let (opencode_in, opencode) = mpsc::channel(HEARD_QUEUE);
    (Mouths { echo: echo_in, opencode: opencode_in }, Ears { echo, opencode })
}

impl Backends {
    /// None is open yet.
    pub fn new(config: &Config) -> Self {
        Self { config: config.clone(), tasks: Tasks::new(), echo: OnceLock::new(), opencode: OnceLock::new() }
    }

    /// Opens what `projects` need and is not open yet. `sessions` is what the journal remembers.
    pub fn open(&self, projects: &[ProjectConfig], sessions: &[SessionRecord], mouths: &Mouths) {
        let memory_of = |kind: BackendKind| -> Memory {
            let of_kind = sessions.iter().filter(|record| record.session.backend == kind.as_str());
            of_kind.map(|record| (record.session.id.clone(), record.clone().into())).collect()
        };
        let needed = |kind| projects.iter().any(|project| project.backend == kind);
        if needed(BackendKind::Echo) {
            self.echo.get_or_init(|| Echo::open(memory_of(BackendKind::Echo), mouths.echo.clone()));
        }
        if needed(BackendKind::Opencode) {
            let directories = directories_of(projects, BackendKind::Opencode);
            let opencode = self.opencode.get_or_init(|| {
                let config = OpenConfig {
                    binary: self.config.opencode.binary.clone(),
                    port: self.config.opencode.port,
                    data_dir: self.config.data_dir.clone(),
                    directories: directories.clone(),
                    environment: Vec::new(),
                };
                let memory = memory_of(BackendKind::Opencode);
                Opencode::open(config, memory, mouths.opencode.clone(), &self.tasks)
            });
            opencode.work_in(&directories);
        }
    }

    /// The one of this kind, when it is open.
    pub fn get(&self, kind: BackendKind) -> Option<Backend> {
        match kind {
            BackendKind::Echo => self.echo.get().cloned().map(Backend::Echo),
            BackendKind::Opencode => self.opencode.get().cloned().map(Backend::Opencode),
        }
    }

    /// Ends all of them, at the same time.
    pub async fn stop(&self) {
        let stop = |kind| async move {
            if let Some(backend) = self.get(kind) {
                backend.stop().await;
            }
        };
        tokio::join!(stop(BackendKind::Echo), stop(BackendKind::Opencode));
    }
}

fn directories_of(projects: &[ProjectConfig], kind: BackendKind) -> Vec<PathBuf> {
    projects
        .iter()
        .filter(|project| project.backend == kind)
        .map(|project| project.directory.clone())
        .collect()
}
