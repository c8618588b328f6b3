//! The agent's configuration: what the file may say, and the checked values the agent runs on.
//!
//! - `project`: where coding agents work. `acp`: programs that speak the Agent Client Protocol.
//! - `lost`: whom to tell that the supervisor is gone.
//! - `reload`: what a running agent takes over from a changed file.

mod acp;
mod lost;
mod project;
mod reload;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::backend::{BackendKind, Launch};
use super::lost::SupervisorLost;
use super::trust::FormerTrust;
use hal_base::config::machine::{certificates, makeable_folder};
use hal_base::config::service::{self, Looked};
use hal_base::config::{self, ConfigReport, Purpose, Reading, Section, Source, token};
use hal_base::proof::MachineKey;
use hal_base::secret::Secret;
use hal_base::tls::Pin;
use hal_protocol::default;
use hal_protocol::node::{NodeId, ProjectName};

pub use reload::reload;

/// A configuration file with every key explained, ready to be edited.
pub const SAMPLE: &str = include_str!("../../assets/agent.config.json");

/// The longest name of a host in the DNS; a node is mostly named like its host.
const MOST_NODE_ID_CHARS: usize = 253;
/// Acknowledged events need not be kept for longer than ten years.
const MOST_KEEP: Duration = Duration::from_secs(3650 * 24 * 3600);
/// And not more than a pebibyte of them.
const MOST_KEEP_BYTES: u64 = 1 << 50;
/// A hal-agent is back within this time after an upgrade, or after it was ended in the middle of something.
const ALONE: Duration = Duration::from_secs(5 * 60);
/// Nobody looks after what runs alone: an hour is long.
const MOST_ALONE: Duration = Duration::from_secs(3600);
/// A report a day is the least that makes sense.
const MOST_REPORT_SECONDS: u32 = 24 * 3600;

/// Everything an agent needs to know; checked, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The supervisor's address as configured: `ws`, `wss`, `http` or `https`.
    pub supervisor_url: String,
    /// What the supervisor asks for; empty when the machine has joined with a key.
    pub auth_token: Secret,
    /// The key by which this machine is known, when it has joined with one.
    pub key_file: Option<PathBuf>,
    /// The supervisor's key, when it is named.
    pub supervisor_pin: Option<Pin>,
    /// A PEM file of certificates to trust for `wss`, beside the system's own.
    pub ca_file: Option<PathBuf>,
    /// This node's name.
    pub node_id: NodeId,
    /// Where `agent.redb` lies.
    pub data_dir: PathBuf,
    /// Where coding agents work.
    pub projects: Vec<ProjectConfig>,
    /// The programs of coding agents that are not to be looked for on PATH (`tool_paths`).
    pub programs: Programs,
    /// The port that opencode should listen on; 0: any free one.
    pub opencode_port: u16,
    /// How long acknowledged events are kept.
    pub journal: JournalConfig,
    /// Whom to tell that the supervisor is gone.
    pub supervisor_lost: Option<SupervisorLost>,
    /// How long coding agents go on while no hal-agent is there; `None`: they end with it.
    pub alone: Option<Duration>,
    /// The SHA-256 of the file it was read from.
    pub fingerprint: String,
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
    /// True when it is to be the one that is found there, and `backend` is what was found so far.
    pub is_auto: bool,
    /// One of the backend's permission modes; its usual one when absent.
    pub permission_mode: Option<String>,
    /// One of the backend's sandboxes; its usual one when absent.
    pub sandbox: Option<String>,
    /// Whether what its checkout brings along may run.
    pub trust: Trust,
}

/// Whether what a checkout brings along may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody has said so, and it does not.
    #[default]
    Unsaid,
    /// A person has said it.
    Said(bool),
    /// Nobody has said so, and it does, since it did before anybody was asked.
    AsBefore,
}

impl Trust {
    /// What holds; `None`: nobody has said it.
    pub fn word(self) -> Option<bool> {
        match self {
            Self::Unsaid => None,
            Self::Said(word) => Some(word),
            Self::AsBefore => Some(true),
        }
    }
}

impl ProjectConfig {
    /// Where nobody has said whether its checkout is trusted, what held before holds.
    pub fn settle_trust(&mut self, former: &FormerTrust) {
        let is_former = former.covers(self.backend, &self.directory);
        self.trust = match self.trust {
            Trust::Said(word) => Trust::Said(word),
            Trust::Unsaid | Trust::AsBefore if is_former => Trust::AsBefore,
            Trust::Unsaid | Trust::AsBefore => Trust::Unsaid,
        };
    }

    /// What its checkout brings along and nobody has allowed, if it runs since it did before.
    pub fn runs_unasked(&self) -> Option<PathBuf> {
        (self.trust == Trust::AsBefore).then(|| self.backend.brought(&self.directory)).flatten()
    }

    /// True when the coding agent asks nobody here, or nothing holds its commands.
    pub fn is_unguarded(&self) -> bool {
        let said = [&self.permission_mode, &self.sandbox];
        let words = self.backend.modes().unguarded;
        said.into_iter().flatten().any(|word| words.contains(&word.as_str()))
    }

    /// A project with nothing but a backend.
    pub fn new(name: impl Into<ProjectName>, directory: PathBuf, backend: BackendKind) -> Self {
        Self {
            name: name.into(),
            directory,
            backend,
            is_auto: false,
            permission_mode: None,
            sandbox: None,
            trust: Trust::Unsaid,
        }
    }
}

/// The programs of coding agents that are named; the others are looked for on PATH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    paths: Vec<(BackendKind, PathBuf)>,
    launches: Vec<(BackendKind, Launch)>,
}

impl Programs {
    /// The program of this kind, where one is named.
    pub fn get(&self, kind: BackendKind) -> Option<&Path> {
        self.paths.iter().find(|(other, _)| *other == kind).map(|(_, path)| path.as_path())
    }

    /// How one is started of which only the configuration knows that; nothing for all others.
    pub fn launch(&self, kind: BackendKind) -> Launch {
        let found = self.launches.iter().find(|(other, _)| *other == kind);
        found.map(|(_, launch)| launch.clone()).unwrap_or_default()
    }

    /// Without those that only the configuration knows.
    pub fn known(&self) -> Self {
        Self { paths: self.paths.clone(), launches: Vec::new() }
    }

    /// All kinds that can be worked with: those that are known anyway, and those that are named.
    pub fn kinds(&self) -> Vec<BackendKind> {
        BackendKind::ALL.iter().copied().chain(self.launches.iter().map(|(kind, _)| *kind)).collect()
    }
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

/// Reads the file. Ends in the configuration and what to warn of, or in everything that is wrong.
pub fn read(path: &Path, purpose: Purpose) -> Reading<Config> {
    config::read(path, purpose, build).map(identified)
}

/// Reads what was in a file.
pub fn parse(file: &Source<'_>, purpose: Purpose) -> Reading<Config> {
    config::parse(file, purpose, build).map(identified)
}

fn identified((config, report): (Config, ConfigReport)) -> (Config, ConfigReport) {
    (Config { fingerprint: report.fingerprint.clone(), ..config }, report)
}

/// Every key there is, as `tool_paths.opencode` or `projects[].name`.
pub fn known_keys() -> BTreeSet<String> {
    config::known_keys(build)
}

fn build(root: &Section<'_>) -> Config {
    // Coding agents are not asked for their log-ins yet; the interval alone asks for nothing.
    let _ = root.whole("auth_report_interval_sec", 0..=MOST_REPORT_SECONDS);
    let key_file = root.path("key_file");
    let auth_token = match &key_file {
        Some(path) => by_key(root, path),
        None => token::read(root),
    };
    let data_dir = data_dir(root);
    let launches = root.section("backends", acp::read);
    let programs = Programs { paths: root.section("tool_paths", tool_paths), launches };
    // What cannot be read is said at the start, by whoever may read it.
    let former = FormerTrust::read(&data_dir).ok().flatten().unwrap_or_default();
    Config {
        supervisor_url: supervisor_url(root).unwrap_or_default(),
        auth_token,
        key_file,
        supervisor_pin: supervisor_pin(root),
        ca_file: ca_file(root),
        node_id: node_id(root).unwrap_or_else(host_name),
        data_dir,
        projects: project::read(root, &programs, &former),
        programs,
        opencode_port: root.whole("opencode_port", 0..=u16::MAX).unwrap_or_default(),
        journal: root.section("journal", journal),
        supervisor_lost: root.section("alerts", |alerts| alerts.section("supervisor_lost", lost::read)),
        alone: root.section("hold", alone),
        fingerprint: String::new(),
    }
}

fn supervisor_url(root: &Section<'_>) -> Option<String> {
    const EXPECTED: &str =
        "the supervisor's address, such as ws://localhost:8420 or wss://hal.example.org:8420";
    root.require("supervisor_url", EXPECTED);
    let value = root.value("supervisor_url")?;
    let text = value.text()?;
    let url = reqwest::Url::parse(&text).ok().filter(|url| {
        let is_known = ["ws", "wss", "http", "https"].contains(&url.scheme()) && text.contains("://");
        is_known && url.host_str().is_some_and(|host| !host.is_empty())
    });
    // Whatever stands before an @ or after a ? may be a password or a token.
    if text.contains(['@', '?']) {
        value.hide();
        value.problem("holds a user name or a query; the token belongs in auth_token");
        return None;
    }
    if url.is_none() {
        value.problem(format!("expected {EXPECTED}"));
    }
    url.map(|_| text)
}

/// A machine that has joined with a key shows no token.
fn by_key(root: &Section<'_>, path: &Path) -> Secret {
    for key in ["auth_token", "auth_token_file"] {
        if root.value(key).is_some() {
            root.problem(
                key,
                "is given beside key_file: this machine is known by its key; keep one of the two",
            );
        }
    }
    let read = |path: &Path| match MachineKey::read(path) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("names no file: this machine joins with hal-agent join, which makes it".to_owned()),
        Err(error) => Err(format!("names a file that cannot be used: {error}")),
    };
    match service::look_into(path, read) {
        Looked::Read(()) => {}
        Looked::Unseen(sentence) => root.warn("key_file", sentence),
        Looked::Wrong(sentence) => root.problem("key_file", sentence),
    }
    Secret::default()
}

fn supervisor_pin(root: &Section<'_>) -> Option<Pin> {
    let text = root.text("supervisor_pin").filter(|text| !text.is_empty())?;
    text.parse().map_err(|why: String| root.problem("supervisor_pin", why)).ok()
}

fn ca_file(root: &Section<'_>) -> Option<PathBuf> {
    let path = root.path("ca_file")?;
    match service::look_into(&path, certificates) {
        Looked::Read(_) => {}
        Looked::Unseen(sentence) => root.warn("ca_file", sentence),
        Looked::Wrong(sentence) => root.problem("ca_file", sentence),
    }
    Some(path)
}

fn node_id(root: &Section<'_>) -> Option<NodeId> {
    let text = root.text("node_id").filter(|text| !text.is_empty())?;
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !is_plain || text.len() > MOST_NODE_ID_CHARS {
        let expectation = format!("expected letters, digits, '.', '_' and '-', at most {MOST_NODE_ID_CHARS}");
        root.problem("node_id", expectation);
        return None;
    }
    Some(NodeId::from(text))
}

/// The name of this machine; a node needs one even where the machine has none.
pub fn host_name() -> NodeId {
    NodeId::from(sysinfo::System::host_name().unwrap_or_else(|_| "localhost".to_string()))
}

fn data_dir(root: &Section<'_>) -> PathBuf {
    let Some(path) = root.path_or("data_dir", default::DATA_DIR) else { return PathBuf::new() };
    if let Err(sentence) = makeable_folder(&path) {
        root.problem("data_dir", sentence);
    }
    path
}

/// The programs of coding agents.
fn tool_paths(section: &Section<'_>) -> Vec<(BackendKind, PathBuf)> {
    let kinds = BackendKind::ALL.iter().filter_map(|kind| Some((*kind, kind.program()?.name)));
    let named = kinds.filter_map(|(kind, name)| {
        let path = section.path(name)?;
        if !path.is_file() {
            section.absent(name, "there is no such program");
        }
        Some((kind, path))
    });
    named.collect()
}

/// How long coding agents go on alone; `None`: not at all.
fn alone(section: &Section<'_>) -> Option<Duration> {
    let alone = section.value("alone").and_then(|alone| alone.duration(Duration::ZERO..=MOST_ALONE));
    Some(alone.unwrap_or(ALONE)).filter(|alone| !alone.is_zero())
}

fn journal(section: &Section<'_>) -> JournalConfig {
    let default = JournalConfig::default();
    let keep = section.value("keep").and_then(|keep| keep.duration(Duration::ZERO..=MOST_KEEP));
    let keep_bytes = section.value("keep_bytes").and_then(|bytes| bytes.bytes(MOST_KEEP_BYTES));
    JournalConfig { keep: keep.unwrap_or(default.keep), keep_bytes: keep_bytes.unwrap_or(default.keep_bytes) }
}
