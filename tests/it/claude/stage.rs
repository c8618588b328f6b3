//! The stage: a fake model, a home, a desk and a backend that runs a true Claude Code.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use hal_o_swarm::agent::backend::claude::Claude;
use hal_o_swarm::agent::backend::piped::host::OpenConfig;
use hal_o_swarm::agent::backend::{Backend, KnownSessions, Place, Reports};

use crate::claude_home::ClaudeHome;
use crate::opencode::desk::Desk;
use crate::opencode_home::FakeModel;
use crate::play::Play;

pub struct Stage {
    play: Play,
    pub model: FakeModel,
    pub home: ClaudeHome,
}

impl Stage {
    /// Claude Code is ready; what changes anything is asked for. `None`, and said, where there is none.
    pub async fn set(scene: &str) -> Option<Self> {
        Self::set_trusting(scene, None, |_| {}).await
    }

    /// In a project with these files, of which somebody has said whether to trust them.
    pub async fn set_trusting(scene: &str, trusted: Option<bool>, files: impl FnOnce(&Path)) -> Option<Self> {
        let model = FakeModel::start();
        let home = ClaudeHome::new(scene, &model)?;
        let project = home.project("web");
        files(&project);
        std::fs::create_dir_all(home.path("agent")).unwrap();
        let (desk, reports) = Desk::start();
        let backend = open_in(&home, home.binary(), place(&project, trusted), KnownSessions::new(), reports);
        let play = Play { backend, desk, project, root: home.path("") };
        let ready = |record: &crate::opencode::desk::Record| record.health.contains(&None).then_some(());
        play.desk.wait("Claude Code to be found", ready).await;
        Some(Self { play, model, home })
    }

    /// Opens another backend on the same home, as an agent that was started again does.
    pub fn open_again(&mut self, memory: KnownSessions) {
        let reports = self.desk.more_reports();
        self.play.backend = open(&self.home, self.home.binary(), &self.project, memory, reports);
    }

    /// The numbers of its processes of Claude Code.
    pub fn programs(&self) -> Vec<i32> {
        self.home.processes(|command| command.contains("--input-format stream-json"))
    }
}

impl Deref for Stage {
    type Target = Play;

    fn deref(&self) -> &Play {
        &self.play
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Play {
        &mut self.play
    }
}

/// Opens a backend.
pub fn open(
    home: &ClaudeHome,
    binary: PathBuf,
    project: &Path,
    memory: KnownSessions,
    reports: Reports,
) -> Backend {
    open_in(home, binary, place(project, None), memory, reports)
}

fn place(project: &Path, trusted: Option<bool>) -> Place {
    Place { directory: project.to_owned(), trusted, ..Place::default() }
}

fn open_in(
    home: &ClaudeHome,
    binary: PathBuf,
    place: Place,
    memory: KnownSessions,
    reports: Reports,
) -> Backend {
    let config = OpenConfig {
        binary: Some(binary),
        data_dir: home.path("agent"),
        places: vec![place],
        environment: home.environment(),
        ..OpenConfig::default()
    };
    Backend::Claude(Claude::open(config, memory, reports))
}
