//! The stage: a fake model, a home, a desk and a backend that runs a true opencode.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hal_o_swarm::agent::backend::opencode::{OpenConfig, Opencode};
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, KnownSessions, Reports};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::base::task::Tasks;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::desk::Desk;
use crate::opencode_home::{FakeModel, OpencodeHome};

/// How long a process may take to appear or to go.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Stage {
    pub backend: Backend,
    pub desk: Desk,
    pub tasks: Tasks,
    pub project: PathBuf,
    /// The directories of other projects beside it.
    pub others: Vec<PathBuf>,
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
        Self::set_through(permission, |home, _| home.binary().to_owned()).await
    }

    /// With other projects beside, made by `others`.
    pub async fn set_among(others: impl FnOnce(&OpencodeHome) -> Vec<PathBuf>) -> Self {
        Self::build(json!({"*": "allow"}), others, |home, _| home.binary().to_owned()).await
    }

    /// With another program in the place of opencode's, made by `program` for the home and opencode's port.
    pub async fn set_through(permission: Value, program: impl FnOnce(&OpencodeHome, u16) -> PathBuf) -> Self {
        Self::build(permission, |_| Vec::new(), program).await
    }

    async fn build(
        permission: Value,
        others: impl FnOnce(&OpencodeHome) -> Vec<PathBuf>,
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
        let directories = [vec![project.clone()], others.clone()].concat();
        let backend = open(&home, binary, directories, port, KnownSessions::new(), reports, &tasks);
        let stage = Self { backend, desk, tasks, project, others, port, model, home };
        stage.desk.wait("opencode to be up", |record| record.health.contains(&None).then_some(())).await;
        stage
    }

    /// Opens another backend on the same home, as an agent that was started again does.
    pub fn open_again(&mut self, memory: KnownSessions) {
        self.tasks = Tasks::new();
        let reports = self.desk.more_reports();
        self.backend = open(
            &self.home,
            self.home.binary().to_owned(),
            [vec![self.project.clone()], self.others.clone()].concat(),
            self.port,
            memory,
            reports,
            &self.tasks,
        );
    }

    /// Carries out a deed on behalf of a new command.
    pub async fn act(&self, deed: Action) -> Result<String, BackendError> {
        self.backend.carry_out(&CommandId::new(fresh()), deed).await
    }

    /// Begins a session.
    pub async fn begin(&self, prompt: &str) -> SessionId {
        SessionId::new(self.act(self.create(prompt)).await.unwrap())
    }

    /// Begins a session and waits until its first turn is over and its cost is in.
    pub async fn play(&self, prompt: &str) -> SessionId {
        let session = self.begin(prompt).await;
        self.desk.wait_event(session.as_str(), "session.idle").await;
        self.desk.wait_status(session.as_str(), Status::Idle).await;
        session
    }

    /// The deed that begins a session.
    pub fn create(&self, prompt: &str) -> Action {
        self.create_in(&self.project, prompt)
    }

    /// The deed that begins a session in another project.
    pub fn create_in(&self, directory: &Path, prompt: &str) -> Action {
        Action::Create {
            directory: directory.to_str().unwrap().into(),
            prompt: prompt.into(),
            title: String::new(),
            model: String::new(),
            agent: String::new(),
        }
    }

    /// Says something to a session.
    pub async fn say(&self, session: &SessionId, message: &str) {
        self.act(Action::Prompt { session_id: session.clone(), message: message.into() }).await.unwrap();
    }

    /// The process number of opencode.
    pub fn server(&self) -> i32 {
        self.servers()[0]
    }

    /// The process numbers of all opencode servers of this home.
    pub fn servers(&self) -> Vec<i32> {
        self.home.servers()
    }

    /// Processes of this home with this command line.
    pub fn processes_of(&self, words: &str) -> Vec<i32> {
        self.home.processes(|command| command == words)
    }

    /// Waits until so many processes of this home run with this command line.
    pub async fn wait_processes(&self, words: &str, count: usize) {
        self.wait_count(words, count, || self.processes_of(words).len()).await;
    }

    /// Waits until so many opencode servers of this home run.
    pub async fn wait_servers(&self, count: usize) {
        self.wait_count("servers", count, || self.servers().len()).await;
    }

    async fn wait_count(&self, what: &str, count: usize, look: impl Fn() -> usize) {
        wait_until(&format!("{count} processes {what:?}"), || look() == count).await;
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
        assert_eq!(self.home.processes(|_| true), Vec::<i32>::new(), "processes are left");
    }
}

/// Waits until it is so.
pub async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut looks = interval(Duration::from_millis(50));
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        looks.tick().await;
    }
}

impl Drop for Stage {
    /// A scene that fails leaves nothing either.
    fn drop(&mut self) {
        for pid in self.home.processes(|_| true) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

fn open(
    home: &OpencodeHome,
    binary: PathBuf,
    directories: Vec<PathBuf>,
    port: u16,
    memory: KnownSessions,
    reports: Reports,
    tasks: &Tasks,
) -> Backend {
    let config = OpenConfig {
        binary: Some(binary),
        port,
        data_dir: home.path("agent"),
        directories,
        environment: home.environment(),
    };
    Backend::Opencode(Opencode::open(config, memory, reports, tasks))
}
