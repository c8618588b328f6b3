//! What the stages of all coding agents share: what is asked of a backend, and what is seen of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hal_o_swarm::agent::backend::{Action, Backend, BackendError};
use hal_o_swarm::base::id::fresh;
use hal_o_swarm::protocol::command::CommandId;
use hal_o_swarm::protocol::session::{SessionId, Status};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::opencode::desk::{Desk, Record};
use crate::tool::processes_at;

/// How long a process may take to appear or to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// A backend at work in one project, with the desk that takes its reports.
pub struct Play {
    pub backend: Backend,
    pub desk: Desk,
    pub project: PathBuf,
    /// The home of its coding agent.
    pub root: PathBuf,
}

impl Play {
    /// Carries out an action on behalf of a new command.
    pub async fn act(&self, action: Action) -> Result<String, BackendError> {
        self.backend.carry_out(&CommandId::new(fresh()), action).await
    }

    /// The action that begins a session.
    pub fn create(&self, prompt: &str) -> Action {
        self.create_in(&self.project, prompt)
    }

    /// The action that begins a session in another project.
    pub fn create_in(&self, directory: &Path, prompt: &str) -> Action {
        Action::Create {
            directory: directory.to_str().unwrap().into(),
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
        let is_over = |record: &Record| {
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
        let texts = |record: &Record| {
            let parts = record.of(session.as_str(), "message.part.updated");
            let text = |part: &Value| {
                (part["type"] == "text").then(|| part["text"].as_str().unwrap_or_default().to_owned())
            };
            parts.iter().filter_map(|event| text(&event.data["part"])).collect()
        };
        self.desk.look(texts)
    }

    /// Processes of this home with this command line.
    pub fn processes_of(&self, words: &str) -> Vec<i32> {
        processes_at(&self.root, |command| command == words)
    }

    /// Waits until so many processes of this home run with this command line.
    pub async fn wait_processes(&self, words: &str, count: usize) {
        let look = || self.processes_of(words).len() == count;
        wait_until(&format!("{count} processes {words:?}"), look).await;
    }

    /// Ends everything, and sees to it that nothing is left.
    pub async fn strike(&self) {
        self.backend.stop().await;
        assert_eq!(processes_at(&self.root, |_| true), Vec::<i32>::new(), "processes are left");
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

impl Drop for Play {
    /// A scene that fails leaves nothing either.
    fn drop(&mut self) {
        for pid in processes_at(&self.root, |_| true) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
}
