//! The agent's configuration: what the file may say, and the checked values the agent runs on.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;
use crate::protocol::node::{NodeId, ProjectName};

/// Everything an agent needs to know; checked, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The supervisor's address as configured: `ws`, `wss`, `http` or `https`.
    pub supervisor_url: String,
    /// What the supervisor asks for.
    pub auth_token: Secret,
    /// A PEM file of certificates to trust for `wss`, beside the system's own.
    pub ca_file: Option<PathBuf>,
    /// This node's name.
    pub node_id: NodeId,
    /// Where `agent.redb` lies.
    pub data_dir: PathBuf,
    /// Where coding agents work.
    pub projects: Vec<ProjectConfig>,
    /// How opencode is started.
    pub opencode: OpencodeConfig,
    /// How long acknowledged events are kept.
    pub journal: JournalConfig,
}

/// A project as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectConfig {
    /// Its name, unique on the node.
    pub name: ProjectName,
    /// Absolute path. It need not exist at run time: the project is in error then, and the agent goes on.
    pub directory: PathBuf,
    /// Which backend works there.
    pub backend: BackendKind,
}

/// The backends that can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BackendKind {
    /// A true opencode.
    #[default]
    Opencode,
    /// The one that follows words.
    Echo,
}

impl BackendKind {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opencode => "opencode",
            Self::Echo => "echo",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Opencode, Self::Echo].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How opencode is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpencodeConfig {
    /// The program (`tool_paths.opencode`); looked for on PATH when absent.
    pub binary: Option<PathBuf>,
    /// The port it should listen on (`opencode_port`); 0: any free one.
    pub port: u16,
}

/// How long acknowledged events are kept, so that a supervisor that comes back knowing less can have them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Acknowledged events older than this may go.
    pub keep: Duration,
    /// Acknowledged events beyond this many bytes go, oldest first.
    pub keep_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { keep: Duration::from_secs(48 * 3600), keep_bytes: 512 * 1024 * 1024 }
    }
}
