//! The stage: a fake model, a home, a desk and a backend that runs a true opencode.

use std::fs;
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use hal_o_swarm::agent::backend::opencode::{OpenConfig, Opencode};
use hal_o_swarm::agent::backend::{Backend, KnownSessions, Place, Reports};
use hal_o_swarm::base::task::Tasks;
use hal_o_swarm::protocol::session::{SessionId, Status};
use serde_json::{Value, json};

use super::desk::Desk;
use crate::opencode_home::{FakeModel, OpencodeHome};
use crate::play::{Play, wait_until};

/// How long a process may take to appear or to go.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Stage {
    play: Play,
    pub tasks: Tasks,
    /// The directories of other projects beside it.
    pub others: Vec<PathBuf>,
    places: Vec<Place>,
    binary: PathBuf,
    pub port: u16,
    pub model: FakeModel,
    pub home: OpencodeHome,
}

impl Stage {
    /// Everything is allowed; opencode is up.
    pub async fn set() -> Self {
        Self::set_with(json!({"*": "allow"})).await
    }

    /// With opencode's setting `permission`; opencode is up.
    pub async fn set_with(permission: Value) -> Self {
        Self::set_through(permission, |home, _| home.binary()).await
    }

    /// With other projects beside, made by `others`.
    pub async fn set_among(others: impl FnOnce(&OpencodeHome) -> Vec<PathBuf>) -> Self {
        let all = |home: &OpencodeHome| others(home).into_iter().map(trusted).collect();
        Self::build(json!({"*": "allow"}), all, |home, _| home.binary()).await
    }

    /// With a project beside, whose checkout nobody has said to trust.
    pub async fn set_beside(untrusted: impl FnOnce(&OpencodeHome) -> PathBuf) -> Self {
        let other = |home: &OpencodeHome| vec![Place { directory: untrusted(home), ..Place::default() }];
        Self::build(json!({"*": "allow"}), other, |home, _| home.binary()).await
    }

    /// With another program in the place of opencode's, made by `program` for the home and opencode's port.
    pub async fn set_through(permission: Value, program: impl FnOnce(&OpencodeHome, u16) -> PathBuf) -> Self {
        Self::build(permission, |_| Vec::new(), program).await
    }

    async fn build(
        permission: Value,
        others: impl FnOnce(&OpencodeHome) -> Vec<Place>,
        program: impl FnOnce(&OpencodeHome, u16) -> PathBuf,
    ) -> Self {
        let model = FakeModel::start();
        let home = OpencodeHome::new(&model, permission);
        let project = home.project("web");
        let others = others(&home);
        let (desk, reports) = Desk::start();
        let tasks = Tasks::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir_all(home.path("agent")).unwrap();
        let binary = program(&home, port);
        let places = [vec![trusted(project.clone())], others].concat();
        let others = places.iter().skip(1).map(|place| place.directory.clone()).collect();
        let backend =
            open(&home, binary.clone(), places.clone(), port, KnownSessions::new(), reports, &tasks);
        let play = Play { backend, desk, project, root: home.path("") };
        let stage = Self { play, tasks, others, places, binary, port, model, home };
        stage.desk.wait("opencode to be up", |record| record.health.contains(&None).then_some(())).await;
        stage
    }

    /// Another program is in its place the next time it is opened.
    pub fn replace_program(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Opens another backend on the same home, as an agent that was started again does.
    pub fn open_again(&mut self, memory: KnownSessions) {
        self.tasks = Tasks::new();
        let reports = self.desk.more_reports();
        self.play.backend = open(
            &self.home,
            self.binary.clone(),
            self.places.clone(),
            self.port,
            memory,
            reports,
            &self.tasks,
        );
    }

    /// Begins a session and waits until its first turn is over and its cost is in.
    pub async fn play(&self, prompt: &str) -> SessionId {
        let session = self.begin(prompt).await;
        self.desk.wait_event(session.as_str(), "session.idle").await;
        self.desk.wait_status(session.as_str(), Status::Idle).await;
        session
    }

    /// The process number of opencode.
    pub fn server(&self) -> i32 {
        self.servers()[0]
    }

    /// The process numbers of all opencode servers of this home.
    pub fn servers(&self) -> Vec<i32> {
        self.home.servers()
    }

    /// Waits until so many opencode servers of this home run.
    pub async fn wait_servers(&self, count: usize) {
        wait_until(&format!("{count} servers"), || self.servers().len() == count).await;
    }

    /// Changes what opencode has stored; it must not run.
    pub fn tamper(&self, statements: &str) {
        let file = self.home.path(".local/share/opencode/opencode.db");
        rusqlite::Connection::open(file).unwrap().execute_batch(statements).unwrap();
    }

    /// Ends everything, and sees to it that nothing is left.
    pub async fn strike(self) {
        self.backend.stop().await;
        assert!(self.tasks.drain(PATIENCE).await, "the backend's tasks did not end");
        self.play.strike().await;
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

/// A project whose own configuration is read.
pub fn trusted(directory: PathBuf) -> Place {
    Place { directory, trusted: Some(true), ..Place::default() }
}

fn open(
    home: &OpencodeHome,
    binary: PathBuf,
    places: Vec<Place>,
    port: u16,
    memory: KnownSessions,
    reports: Reports,
    tasks: &Tasks,
) -> Backend {
    let config = OpenConfig {
        binary: Some(binary),
        port,
        data_dir: home.path("agent"),
        places,
        environment: home.environment(),
        hold: None,
    };
    Backend::Opencode(Opencode::open(config, memory, reports, tasks))
}
