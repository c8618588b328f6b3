//! `hal up`: a supervisor and an agent for the current folder in one process, on the embedded store.

mod bound;
mod choose;
mod project;
mod ready;

use std::env;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::agent::Agent;
use crate::agent::Health;
use crate::agent::backend::BackendKind;
use crate::agent::config::{self as agent_config, JournalConfig, Programs, ProjectConfig};
use crate::base::daemon::version;
use crate::base::exit::{self, Exit, Failure};
use crate::base::secret::Secret;
use crate::base::signals::Signals;
use crate::base::task::Tasks;
use crate::base::{file, id, log};
use crate::protocol::ctl_file::{CtlFile, up_file};
use crate::protocol::default;
use crate::protocol::node::NodeId;
use crate::rules::dependency::Dependencies;
use crate::rules::network::Networks;
use crate::rules::policy::settings::Policies;
use crate::rules::watch::WatchLimits;
use crate::store::mirror::backup::Rules;
use crate::store::retain::Retention;
use crate::supervisor::Supervisor;
use crate::supervisor::config as supervisor_config;
use choose::Chosen;

/// Permissions of what holds or names the token.
const PRIVATE: u32 = 0o600;

/// The agent is connected within this time, or something is wrong that the log names.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Another `hal up` on this machine takes a connection within this time.
const ANSWER: Duration = Duration::from_secs(2);

/// Between two looks at whether it knows our agent.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Coding agents get this long to end their work after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(15);

const EXAMPLES: &str = "\
Examples:
  hal up                                   supervise the current folder with the coding agent that is installed
  hal up --backend claude                  with Claude Code; --backend codex: with Codex
  hal up --backend echo                    try it without a coding agent
  hal up --project web=~/web --project api=~/api
  hal up                                   in another folder, while the first runs: adds that folder to it
Then, in another terminal:
  halctl sessions start --project NAME \"say what to do\"
  halctl sessions watch SESSION
Where halctl is not installed, it is called `hal ctl`.
";

/// Run a supervisor and an agent for the current folder, in one process
#[derive(Debug, Parser)]
#[command(name = "hal up", version = version(), after_help = format!("{EXAMPLES}\n{}", exit::HELP))]
pub struct Options {
    /// The folder for all data [default: ~/.local/share/hal-o-swarm]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port on this machine's loopback; 0: any free one
    #[arg(long, default_value_t = default::PORT)]
    port: u16,
    /// A folder to work in, and its name [default: the current folder, by its own name]
    #[arg(long = "project", value_name = "NAME=DIR", value_parser = project::named)]
    projects: Vec<(String, PathBuf)>,
    /// The backend that works there [default: the one that is installed, else echo]
    #[arg(long, value_name = "opencode|claude|codex|echo", value_parser = backend)]
    backend: Option<BackendKind>,
    /// Let the coding agent run what the checkout brings along: hooks, servers, plugins. Look at it before
    #[arg(long)]
    trust: bool,
    /// The log level: error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log_level: String,
    /// The format of log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: log::Format,
}

/// Runs until Ctrl-C or SIGTERM; a second one ends at once.
pub async fn run(options: Options) -> Result<(), Failure> {
    log::start(options.log_format, &options.log_level).map_err(|error| Failure::new(Exit::Usage, error))?;
    let data = wanted_data(&options)?;
    // Before signals are listened to: Ctrl-C at its question ends the program.
    let Chosen { kind: backend, label } = choose::backend(options.backend, &options.projects).await?;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let projects = project::of(&options.projects, backend, options.trust)?;
    project::tell_brought(&projects, &data);
    let first = running();
    if let Some(first) = first.as_ref().filter(|first| first.data == data) {
        return join(first, projects, (backend, &label), &mut signals).await;
    }
    let place = UserPaths::prepare(data)?;
    let supervisor = Supervisor::start(place.supervisor_config(options.port))?;
    let (names, folders) = (names(&projects), folders(&projects));
    let config = place.agent_config(&supervisor, projects);
    let node = config.node_id.clone();
    let tasks = Tasks::new();
    let health = run_agent(config, &tasks)?;
    if !supervisor.wait_for_node(&node, CONNECT_LIMIT).await {
        tracing::warn!("the agent has not connected yet; it keeps trying");
    }
    let url = supervisor.local_url();
    // A plain halctl goes on finding the one that was there before.
    let (note, before) = match &first {
        Some(_) => (None, place.by_hand(&url)),
        None => {
            let note = place.leave_note(&url, folders);
            (
                Some(note.context("cannot write the file by which halctl finds this supervisor")?),
                String::new(),
            )
        }
    };
    let link = supervisor.login_links();
    let line = || {
        announce(&url, &place.data, &before, &names, (backend, &label))?;
        eprintln!(
            "in a browser (this link works once, and for five minutes; `{} dashboard` prints another):\n  {}",
            halctl(),
            link()
        );
        Ok(())
    };
    // Boxed, since all of a supervisor's end is a large future.
    let end = Box::pin(async {
        drain(&tasks).await;
        supervisor.stop().await;
    });
    ready::say_until_told(&mut signals, (backend, health), line, end).await?;
    if let Some(note) = note {
        remove_note(&note);
    }
    Ok(())
}

/// Runs an agent for these projects that speaks to the supervisor of another `hal up`.
async fn join(
    first: &Running,
    projects: Vec<ProjectConfig>,
    backend: (BackendKind, &str),
    signals: &mut Signals,
) -> Result<(), Failure> {
    let pid = first.pid;
    if let Some(known) = projects.iter().find(|project| first.projects.contains(&project.directory)) {
        let sentence = format!(
            "the `hal up` of process {pid} works in {} already: {} sessions start --project {} \"say what to do\"",
            known.directory.display(),
            halctl(),
            quoted(known.name.as_str()),
        );
        return Err(Failure::say(Exit::InUse, sentence));
    }
    let (names, config) = (names(&projects), first.agent_config(projects)?);
    let node = config.node_id.clone();
    let tasks = Tasks::new();
    let health = run_agent(config, &tasks)?;
    if !first.wait_for_node(&node).await {
        tracing::warn!("the agent has not connected yet; it keeps trying");
    }
    eprintln!(
        "joined the `hal up` of process {pid}, as node {node}; it ends when that one or this one is stopped"
    );
    let line = || announce(&first.url, &first.data, "", &names, backend);
    ready::say_until_told(signals, (backend.0, health), line, drain(&tasks)).await?;
    Ok(())
}

fn run_agent(config: agent_config::Config, tasks: &Tasks) -> anyhow::Result<watch::Receiver<Health>> {
    let agent = Agent::open(config)?;
    let health = agent.health();
    let running = agent.run(tasks.clone());
    tasks.spawn(async move {
        if let Err(error) = running.await {
            tracing::error!("the agent ended: {error:#}");
        }
    });
    Ok(health)
}

async fn drain(tasks: &Tasks) {
    if !tasks.drain(DRAIN).await {
        tracing::warn!("a coding agent did not end in time");
    }
}

fn names(projects: &[ProjectConfig]) -> Vec<String> {
    projects.iter().map(|project| project.name.to_string()).collect()
}

fn folders(projects: &[ProjectConfig]) -> Vec<PathBuf> {
    projects.iter().map(|project| project.directory.clone()).collect()
}

/// Where this user's data and token are.
struct UserPaths {
    data: PathBuf,
    token_file: PathBuf,
    token: Secret,
    /// Bytes that the store and its mirror may keep.
    max_size: Option<u64>,
}

impl UserPaths {
    fn prepare(data: PathBuf) -> anyhow::Result<Self> {
        make_private(&data).with_context(|| format!("cannot use the data folder {}", data.display()))?;
        let token_file = data.join("token");
        let is_new = !token_file.exists() && !data.join("supervisor.redb").exists();
        let max_size = bound::max_size(&data, is_new)?;
        if !token_file.exists() {
            file::replace(&token_file, id::fresh_secret().as_bytes(), PRIVATE)
                .with_context(|| format!("cannot write {}", token_file.display()))?;
        }
        let token = std::fs::read_to_string(&token_file)
            .with_context(|| format!("cannot read {}", token_file.display()))?;
        let token = Secret::new(token.trim());
        anyhow::ensure!(
            !token.is_empty(),
            "{} is empty: remove it and a new token is made",
            token_file.display()
        );
        Ok(Self { data, token_file, token, max_size })
    }

    fn supervisor_config(&self, port: u16) -> supervisor_config::Config {
        supervisor_config::Config {
            server: supervisor_config::ServerConfig {
                bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
                port,
                http_port: None,
                auth_token: self.token.clone(),
                auth_token_opens: supervisor_config::Opens::Everything,
                heartbeat_interval: Duration::from_secs(default::HEARTBEAT_SECONDS),
                heartbeat_timeout_count: default::HEARTBEAT_TIMEOUTS,
                allowed_origins: Vec::new(),
                networks: Networks::default(),
            },
            database: self.data.join("supervisor.db"),
            backup: Rules::default(),
            rehearse_every: Duration::ZERO,
            retention: Retention { max_size: self.max_size, ..Retention::default() },
            channels: Vec::new(),
            routes: Vec::new(),
            heartbeat: None,
            escalation: Vec::new(),
            alerts: WatchLimits::default(),
            policies: Policies::default(),
            dependencies: Dependencies::default(),
            shared_projects: std::collections::BTreeSet::new(),
            approvals: crate::rules::approval::ApprovalLimits::default(),
            budgets: crate::rules::budget::Terms::default(),
            cost: supervisor_config::CostConfig::default(),
            tls: None,
        }
    }

    fn agent_config(&self, supervisor: &Supervisor, projects: Vec<ProjectConfig>) -> agent_config::Config {
        agent_config::Config {
            supervisor_url: supervisor.local_url(),
            auth_token: self.token.clone(),
            key_file: None,
            supervisor_pin: None,
            ca_file: None,
            node_id: agent_config::host_name(),
            data_dir: self.data.clone(),
            projects,
            programs: Programs::default(),
            opencode_port: 0,
            journal: JournalConfig::default(),
            supervisor_lost: None,
            alone: None,
            fingerprint: String::new(),
        }
    }

    /// What stands before a halctl that is to find this supervisor where a plain one finds another.
    fn by_hand(&self, url: &str) -> String {
        let token_file = self.token_file.to_string_lossy();
        format!("HALCTL_SUPERVISOR_URL={url} HALCTL_TOKEN_FILE={} ", quoted(&token_file))
    }

    /// Tells a plain halctl of this user where the supervisor is.
    fn leave_note(&self, url: &str, projects: Vec<PathBuf>) -> anyhow::Result<PathBuf> {
        let path = up_file(|name| env::var_os(name)).context("neither HOME nor XDG_STATE_HOME is set")?;
        if let Some(folder) = path.parent() {
            make_private(folder)?;
        }
        let note = CtlFile {
            url: Some(url.to_owned()),
            token_file: Some(self.token_file.clone()),
            pid: Some(std::process::id()),
            data: Some(self.data.clone()),
            projects,
            ..CtlFile::default()
        };
        file::replace(&path, &serde_json::to_vec_pretty(&note)?, PRIVATE)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Another `hal up` of this user, which a plain halctl finds.
struct Running {
    pid: u32,
    url: String,
    data: PathBuf,
    token: Secret,
    projects: Vec<PathBuf>,
}

/// The one that has left a note, when it is still there: a number of a process alone may be another's by now.
fn running() -> Option<Running> {
    let bytes = std::fs::read(up_file(|name| env::var_os(name))?).ok()?;
    let note: CtlFile = serde_json::from_slice(&bytes).ok()?;
    let (pid, url) = (note.pid.filter(|pid| *pid != std::process::id())?, note.url?);
    let address: SocketAddr = url.split_once("://")?.1.parse().ok()?;
    TcpStream::connect_timeout(&address, ANSWER).ok()?;
    let token = Secret::new(std::fs::read_to_string(note.token_file?).ok()?.trim());
    Some(Running { pid, url, data: note.data?, token, projects: note.projects })
}

impl Running {
    /// An agent of its own for these projects: with a name and a journal that its folder has again next time.
    fn agent_config(&self, projects: Vec<ProjectConfig>) -> anyhow::Result<agent_config::Config> {
        let first = projects.first().context("there is no project")?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let name = first.name.as_str().replace(|c| !is_plain(c), "-");
        let digest = Sha256::digest(first.directory.as_os_str().as_bytes());
        let mark: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        let node = format!("{}.{name}-{mark}", agent_config::host_name());
        let data_dir = self.data.join("joined").join(&node);
        make_private(&data_dir).with_context(|| format!("cannot make the folder {}", data_dir.display()))?;
        Ok(agent_config::Config {
            supervisor_url: self.url.clone(),
            auth_token: self.token.clone(),
            key_file: None,
            supervisor_pin: None,
            ca_file: None,
            node_id: node.as_str().into(),
            data_dir,
            projects,
            programs: Programs::default(),
            opencode_port: 0,
            journal: JournalConfig::default(),
            supervisor_lost: None,
            alone: None,
            fingerprint: String::new(),
        })
    }

    /// Asks that supervisor until it shows the node online; false when it does not within the time.
    async fn wait_for_node(&self, node: &NodeId) -> bool {
        let online = async {
            while !self.shows_online(node).await.unwrap_or(false) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(CONNECT_LIMIT, online).await.is_ok()
    }

    async fn shows_online(&self, node: &NodeId) -> std::io::Result<bool> {
        let host = self.url.split_once("://").map_or("", |(_, host)| host);
        let mut stream = tokio::net::TcpStream::connect(host).await?;
        let ask = format!(
            "GET /api/v1/nodes/{node} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            self.token.reveal()
        );
        stream.write_all(ask.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.contains("\"status\":\"online\""))
    }
}

/// Removes the note, unless another `hal up` has replaced it meanwhile.
fn remove_note(path: &Path) {
    let ours = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<CtlFile>(&bytes).ok());
    if ours.is_some_and(|note| note.pid == Some(std::process::id())) {
        let _ = std::fs::remove_file(path);
    }
}

fn wanted_data(options: &Options) -> anyhow::Result<PathBuf> {
    match &options.data {
        Some(data) => Ok(std::path::absolute(data)?),
        None => default_data(),
    }
}

fn default_data() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    Ok(base.context("HOME is not set: say where to keep data with --data DIR")?.join("hal-o-swarm"))
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn is_on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The one line that programs wait for, and for people what to type next; `before` stands before each halctl.
fn announce(
    url: &str,
    data: &Path,
    before: &str,
    projects: &[String],
    (backend, label): (BackendKind, &str),
) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "ready {url} data {}", data.display())?;
    out.flush()?;
    let example = match backend.program() {
        Some(_) => "say what to do",
        None => "say hello; run 2; ask rm -rf build; say done",
    };
    let halctl = format!("{before}{}", halctl());
    // With `=`, a name may begin with a dash.
    let between = if projects[0].starts_with('-') { "=" } else { " " };
    eprintln!(
        "watching {} with {label}. In another terminal:\n  {halctl} sessions start --project{between}{} \"{example}\"\n  \
         {halctl} sessions list",
        projects.join(", "),
        quoted(&projects[0]),
    );
    Ok(())
}

/// How halctl is called here: by its name where it is installed, else as this program's other half.
fn halctl() -> String {
    match env::args().next() {
        Some(hal) if !is_on_path("halctl") => format!("{} ctl", quoted(&hal)),
        _ => "halctl".to_owned(),
    }
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/+,:@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn backend(word: &str) -> Result<BackendKind, String> {
    let all: Vec<&str> = BackendKind::ALL.iter().map(|kind| kind.as_str()).collect();
    BackendKind::parse(word).ok_or_else(|| format!("expected one of {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_can_be_typed_as_it_stands() {
        assert_eq!(quoted("my-shop_2.0"), "my-shop_2.0");
        assert_eq!(quoted("my shop"), "'my shop'");
        assert_eq!(quoted("ada's $HOME"), r"'ada'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
