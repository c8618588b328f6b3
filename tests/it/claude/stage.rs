//! The stage: a fake model, a home, a desk and a backend that runs a true Claude Code.

use std::path::PathBuf;
use std::time::Duration;

use hal_o_swarm::agent::backend::claude::{Claude, OpenConfig};
use hal_o_swarm::agent::backend::{Action, Backend, BackendError, KnownSessions, Place, Reports};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, interval};

use crate::claude_home::ClaudeHome;
use crate::opencode::desk::Desk;
use crate::opencode_home::FakeModel;

/// How long a process may take to appear or to go.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub backend: Backend,
    pub desk: Desk,
    pub project: PathBuf,
    pub model: FakeModel,
    pub home: ClaudeHome,
}

impl Stage {
    /// Claude Code is ready; what changes anything is asked for. `None`, and said, where there is none.
    pub async fn set(scene: &str) -> Option<Self> {
        let model = FakeModel::start();
        let home = ClaudeHome::new(scene, &model)?;
        let project = home.project("web");
        std::fs::create_dir_all(home.path("agent")).unwrap();
        let (desk, reports) = Desk::start();
        let backend = open(&home, home.binary().to_owned(), &project, KnownSessions::new(), reports);
        let stage = Self { backend, desk, project, model, home };
        stage
            .desk
            .wait("Claude Code to be found", |record| record.health.contains(&None).then_some(()))
            .await;
        Some(stage)
    }

    /// Opens another backend on the same home, as an agent that was started again does.
    pub fn open_again(&mut self, memory: KnownSessions) {
        let reports = self.desk.more_reports();
        self.backend = open(&self.home, self.home.binary().to_owned(), &self.project, memory, reports);
    }

    /// Carries out an action on behalf of a new command.
    pub async fn act(&self, action: Action) -> Result<String, BackendError> {
        self.backend.carry_out(&CommandId::new(fresh()), action).await
    }

    /// The action that begins a session.
    pub fn create(&self, prompt: &str) -> Action {
        Action::Create {
            directory: self.project.to_str().unwrap().into(),
            prompt: prompt.into(),
            title: String::new(),
            model: String::new(),
            agent: String::new(),
        }
    }

    /// Begins a session.
    pub async fn begin(&self, prompt: &str) -> SessionId {
        SessionId::new(self.act(self.create(prompt)).await.unwrap())
    }

    /// Begins a session and waits until its first turn is over.
    pub async fn play(&self, prompt: &str) -> SessionId {
        let session = self.begin(prompt).await;
        self.wait_turns(&session, 1).await;
        session
    }

    /// Says something to a session.
    pub async fn say(&self, session: &SessionId, message: &str) {
        self.act(Action::Prompt { session_id: session.clone(), message: message.into() }).await.unwrap();
    }

    /// Waits until so many turns of a session are over, and nothing of it runs.
    pub async fn wait_turns(&self, session: &SessionId, count: usize) {
        let over = format!("{count} turns of {session}");
        let is_over = |record: &crate::opencode::desk::Record| {
            let turns = record.of(session.as_str(), "session.idle").len();
            let runs = matches!(record.status(session.as_str()), Some(Status::Running | Status::Waiting));
            (turns >= count && !runs).then_some(())
        };
        self.desk.wait(&over, is_over).await;
    }

    /// Waits until a session asks something, and allows it once.
    pub async fn allow(&self, session: &SessionId) -> String {
        self.desk.wait_status(session.as_str(), Status::Waiting).await;
        self.answer(session, None, "once").await.unwrap()
    }

    /// Answers a permission.
    pub async fn answer(
        &self,
        session: &SessionId,
        request_id: Option<String>,
        reply: &str,
    ) -> Result<String, BackendError> {
        let (session_id, message) = (session.clone(), String::new());
        self.act(Action::AnswerPermission { session_id, request_id, reply: reply.into(), message }).await
    }

    /// The texts that a session has said so far.
    pub fn texts(&self, session: &SessionId) -> Vec<String> {
        let texts = |record: &crate::opencode::desk::Record| {
            let parts = record.of(session.as_str(), "message.part.updated");
            let text = |part: &serde_json::Value| {
                (part["type"] == "text").then(|| part["text"].as_str().unwrap_or_default().to_owned())
            };
            parts.iter().filter_map(|event| text(&event.data["part"])).collect()
        };
        self.desk.look(texts)
    }

    /// The numbers of its processes of Claude Code.
    pub fn programs(&self) -> Vec<i32> {
        self.home.processes(|command| command.contains("--input-format stream-json"))
    }

    /// Waits until so many processes of this home run with these words in their command line.
    pub async fn wait_processes(&self, words: &str, count: usize) {
        let look = || self.home.processes(|command| command == words).len() == count;
        wait_until(&format!("{count} processes {words:?}"), look).await;
    }

    /// Ends everything, and sees to it that nothing is left.
    pub async fn strike(self) {
        self.backend.stop().await;
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

/// Ends a process at once.
pub fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

impl Drop for Stage {
    /// A scene that fails leaves nothing either.
    fn drop(&mut self) {
        for pid in self.home.processes(|_| true) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}

/// Opens a backend.
pub fn open(
    home: &ClaudeHome,
    binary: PathBuf,
    project: &std::path::Path,
    memory: KnownSessions,
    reports: Reports,
) -> Backend {
    let config = OpenConfig {
        binary: Some(binary),
        data_dir: home.path("agent"),
        places: vec![Place { directory: project.to_owned(), permission_mode: None }],
        environment: home.environment(),
    };
    Backend::Claude(Claude::open(config, memory, reports))
}
