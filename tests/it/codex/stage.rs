//! The stage: a fake model, a home, a desk and a backend that runs a true Codex.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use hal_o_swarm::agent::backend::codex::Codex;
use hal_o_swarm::agent::backend::piped::host::OpenConfig;
use hal_o_swarm::agent::backend::{Backend, KnownSessions, Place, Reports};

use crate::codex_home::CodexHome;
use crate::opencode::desk::{Desk, Record};
use crate::opencode_home::FakeModel;
use crate::play::Play;

pub struct Stage {
    play: Play,
    pub model: FakeModel,
    pub home: CodexHome,
}

impl Stage {
    /// Codex is ready; what changes anything is asked for. `None`, and said, where there is none.
    pub async fn set(scene: &str) -> Option<Self> {
        Self::set_with(scene, None, None).await
    }

    /// In a project of which somebody has said whether its checkout is trusted.
    pub async fn set_trusting(scene: &str, trusted: Option<bool>) -> Option<Self> {
        Self::set_in(scene, Place { trusted, ..Place::default() }).await
    }

    /// With this permission mode and this sandbox.
    pub async fn set_with(scene: &str, mode: Option<&str>, sandbox: Option<&str>) -> Option<Self> {
        let (permission_mode, sandbox) = (mode.map(str::to_owned), sandbox.map(str::to_owned));
        Self::set_in(scene, Place { permission_mode, sandbox, ..Place::default() }).await
    }

    async fn set_in(scene: &str, place: Place) -> Option<Self> {
        let model = FakeModel::start();
        let home = CodexHome::new(scene, &model)?;
        let directory = home.project("web");
        std::fs::create_dir_all(home.path("agent")).unwrap();
        let (desk, reports) = Desk::start();
        let place = Place { directory: directory.clone(), ..place };
        let backend = open_at(&home, home.binary(), place, KnownSessions::new(), reports);
        let project = directory;
        let play = Play { backend, desk, project, root: home.path("") };
        let ready = |record: &Record| record.health.contains(&None).then_some(());
        play.desk.wait("Codex to be found", ready).await;
        Some(Self { play, model, home })
    }

    /// Opens another backend on the same home, as an agent that was started again does.
    pub fn open_again(&mut self, memory: KnownSessions) {
        let reports = self.desk.more_reports();
        self.play.backend = open(&self.home, self.home.binary(), &self.project, memory, reports);
    }

    /// Another agent's backend, with its data at another place.
    pub fn open_elsewhere(&self, data_dir: &Path, memory: KnownSessions) -> Backend {
        let place =
            Place { directory: self.project.clone(), permission_mode: None, sandbox: None, trusted: None };
        let config = OpenConfig {
            binary: Some(self.home.binary()),
            data_dir: data_dir.to_owned(),
            places: vec![place],
            environment: self.home.environment(),
            ..OpenConfig::default()
        };
        Backend::Codex(Codex::open(config, memory, self.desk.more_reports()))
    }

    /// Waits until a session asks something, and gives the name of the request.
    pub async fn asked(&self, session: &hal_o_swarm::protocol::session::SessionId) -> String {
        let asks = |record: &Record| Some(record.sessions.get(session)?.asks.first()?.id.clone());
        self.desk.wait("a request", asks).await
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

/// Opens a backend that asks for what changes anything.
pub fn open(
    home: &CodexHome,
    binary: PathBuf,
    project: &Path,
    memory: KnownSessions,
    reports: Reports,
) -> Backend {
    let place = Place { directory: project.to_owned(), permission_mode: None, sandbox: None, trusted: None };
    open_at(home, binary, place, memory, reports)
}

fn open_at(
    home: &CodexHome,
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
    Backend::Codex(Codex::open(config, memory, reports))
}
