//! The stage: a fake model, a home, a desk and a backend that runs a true program that speaks ACP.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use hal_o_swarm::agent::backend::acp::Acp;
use hal_o_swarm::agent::backend::acp::name::AcpName;
use hal_o_swarm::agent::backend::{Backend, BackendKind, KnownSessions, Launch, Place, Reports};
use hal_o_swarm::base::secret::Secret;
use serde_json::json;
use tempfile::TempDir;

use crate::fault::means::skip;
use crate::opencode::desk::{Desk, Record};
use crate::opencode_home::FakeModel;
use crate::play::Play;
use crate::tool::{npm, processes_at};

/// A program that scenes are played with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Qwen Code.
    Qwen,
    /// The adapter of Claude Code.
    Claude,
}

impl Program {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen => "qwen",
            Self::Claude => "claude",
        }
    }

    /// Its kind.
    pub fn kind(self) -> BackendKind {
        BackendKind::Acp(AcpName::register(self.name()).unwrap())
    }

    fn tool(self) -> &'static str {
        match self {
            Self::Qwen => "qwen",
            Self::Claude => "claude-acp",
        }
    }
}

/// A home for such a program. It is removed when dropped, so drop what runs in it first.
pub struct AcpHome {
    root: TempDir,
    program: Program,
    url: String,
}

impl AcpHome {
    /// A home whose models are all the fake one. `None`, and said, where the program is not to be had.
    pub fn new(scene: &str, program: Program, model: &FakeModel) -> Option<Self> {
        let needed = match program {
            Program::Qwen => vec![program.tool()],
            Program::Claude => vec![program.tool(), "claude"],
        };
        for tool in needed {
            if let Err(why) = npm(tool) {
                skip(scene, &why);
                return None;
            }
        }
        let root = tempfile::Builder::new().prefix("hal-acp-").tempdir().unwrap();
        let home = Self { root, program, url: model.url.clone() };
        fs::create_dir_all(home.path(".qwen")).unwrap();
        let settings = json!({"security": {"auth": {"selectedType": "openai"}}, "telemetry": {"enabled": false},
            "privacy": {"usageStatisticsEnabled": false}, "general": {"disableAutoUpdate": true},
            "model": {"generationConfig": {"maxRetries": 0}}});
        fs::write(home.path(".qwen/settings.json"), settings.to_string()).unwrap();
        Some(home)
    }

    /// How it is started.
    pub fn launch(&self) -> Launch {
        let script = npm(self.program.tool()).unwrap().to_str().unwrap().to_owned();
        let home = self.path("").to_str().unwrap().to_owned();
        let (command, own) = match self.program {
            Program::Qwen => (
                vec![script, "--acp".to_owned()],
                vec![
                    ("OPENAI_API_KEY", "none".to_owned()),
                    ("OPENAI_BASE_URL", format!("{}/v1", self.url)),
                    ("OPENAI_MODEL", "fake-1".to_owned()),
                ],
            ),
            Program::Claude => (
                vec![script],
                vec![
                    ("ANTHROPIC_BASE_URL", self.url.clone()),
                    ("ANTHROPIC_API_KEY", "none".to_owned()),
                    ("CLAUDE_CODE_EXECUTABLE", npm("claude").unwrap().to_str().unwrap().to_owned()),
                    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
                    ("CLAUDE_CODE_MAX_RETRIES", "1".to_owned()),
                    // As root it begins nothing without this.
                    ("IS_SANDBOX", "1".to_owned()),
                ],
            ),
        };
        let env = own.into_iter().chain([("HOME", home)]);
        Launch { command, env: env.map(|(name, value)| (name.to_owned(), Secret::new(value))).collect() }
    }

    /// A new project. Its path is the real one.
    pub fn project(&self, name: &str) -> PathBuf {
        let folder = self.path("projects").join(name);
        fs::create_dir_all(&folder).unwrap();
        folder.canonicalize().unwrap()
    }

    /// The numbers of its programs: not of what they have started.
    pub fn programs(&self) -> Vec<i32> {
        let script = npm(self.program.tool()).unwrap();
        let script = script.file_name().unwrap().to_str().unwrap().to_owned();
        let is_it = |command: &str| command.split(' ').any(|word| word.ends_with(&script));
        processes_at(self.root.path(), |command| is_it(command) || command.contains("cli.js --acp"))
    }

    /// A place under this home.
    pub fn path(&self, under: &str) -> PathBuf {
        self.root.path().join(under)
    }
}

pub struct Stage {
    play: Play,
    pub home: AcpHome,
    /// It answers as long as the stage stands.
    _model: FakeModel,
}

impl Stage {
    /// The program is ready; what changes anything is asked for. `None`, and said, where there is none.
    pub async fn set(scene: &str, program: Program) -> Option<Self> {
        Self::set_in_mode(scene, program, None).await
    }

    /// In this permission mode.
    pub async fn set_in_mode(scene: &str, program: Program, mode: Option<&str>) -> Option<Self> {
        let model = FakeModel::start();
        let home = AcpHome::new(scene, program, &model)?;
        let project = home.project("web");
        fs::create_dir_all(home.path("agent")).unwrap();
        let (desk, reports) = Desk::start();
        let backend = open(&home, &project, mode, KnownSessions::new(), reports);
        let play = Play { backend, desk, project, root: home.path("") };
        let ready = |record: &Record| record.health.contains(&None).then_some(());
        play.desk.wait("the program to be found", ready).await;
        Some(Self { play, home, _model: model })
    }

    /// Opens another backend on the same home, as an agent that was started again does.
    pub fn open_again(&mut self, memory: KnownSessions) {
        let reports = self.desk.more_reports();
        self.play.backend = open(&self.home, &self.project, None, memory, reports);
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

fn open(
    home: &AcpHome,
    project: &Path,
    mode: Option<&str>,
    memory: KnownSessions,
    reports: Reports,
) -> Backend {
    let place = Place {
        directory: project.to_owned(),
        permission_mode: mode.map(str::to_owned),
        trusted: Some(true),
        ..Place::default()
    };
    let BackendKind::Acp(name) = home.program.kind() else { panic!("it is one of these") };
    Backend::Acp(Acp::open(name, home.launch(), (home.path("agent"), vec![place]), memory, reports))
}
