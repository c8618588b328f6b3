//! Scenes of the agent alone: a true `Agent` with the echo backend, and a stand-in supervisor.

mod commands;
mod hub;
mod survival;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use hal_o_swarm::agent::backend::BackendKind;
use hal_o_swarm::agent::config::{Config, JournalConfig, Programs, ProjectConfig};
use hal_o_swarm::agent::{Agent, Reload};
use hal_o_swarm::base::secret::Secret;
use hal_o_swarm::base::task::Tasks;
use hub::{Book, Hub, Link, TOKEN};

/// A machine with one project, `shop`, on which an agent can be started again and again.
struct Machine {
    folder: TempDir,
    config: Config,
}

/// An agent that runs.
struct Running {
    tasks: Tasks,
    end: JoinHandle<anyhow::Result<()>>,
    reload: Reload,
}

impl Machine {
    fn new(hub: &Hub) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("shop");
        std::fs::create_dir(&project).unwrap();
        let config = Config {
            supervisor_url: hub.url.clone(),
            auth_token: Secret::new(TOKEN),
            key_file: None,
            supervisor_pin: None,
            ca_file: None,
            node_id: "web-1".into(),
            data_dir: folder.path().join("data"),
            projects: vec![echo_project("shop", &project)],
            programs: Programs::default(),
            opencode_port: 0,
            journal: JournalConfig::default(),
            supervisor_lost: None,
            alone: None,
            fingerprint: String::new(),
        };
        Self { folder, config }
    }

    fn start(&self) -> Running {
        let agent = Agent::open(self.config.clone()).unwrap();
        let (tasks, reload) = (Tasks::new(), agent.reload());
        let end = tokio::spawn(agent.run(tasks.clone()));
        Running { tasks, end, reload }
    }

    fn data(&self) -> &Path {
        &self.config.data_dir
    }
}

impl Running {
    async fn stop(self) {
        self.tasks.stop();
        let end = tokio::time::timeout(Duration::from_secs(20), self.end).await;
        end.expect("an end in time").unwrap().unwrap();
    }
}

fn echo_project(name: &str, directory: &Path) -> ProjectConfig {
    ProjectConfig::new(name, directory.to_owned(), BackendKind::Echo)
}

fn shop() -> Value {
    json!({"project": "shop"})
}

fn at(session: &str) -> Value {
    json!({ "session_id": session })
}

/// A hub, a machine with a running agent, and their first link.
async fn scene() -> (Hub, Machine, Running, Book, Link) {
    let hub = Hub::open().await;
    let machine = Machine::new(&hub);
    let agent = machine.start();
    let mut book = Book::default();
    let link = hub.accept(&mut book).await;
    (hub, machine, agent, book, link)
}
