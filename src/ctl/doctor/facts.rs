//! What was seen of a machine: plain values, gathered in one place and judged in another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use hal_base::clock::Time;
use hal_base::memory::Memory;
use hal_protocol::alert::Alert;
use hal_protocol::node::Node;
use hal_rules::watch::WatchLimits;

/// A daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DaemonKind {
    /// hal-supervisor.
    Supervisor,
    /// hal-agent.
    Agent,
}

impl DaemonKind {
    /// Its program, which is its unit's name, too.
    pub fn program(self) -> &'static str {
        match self {
            Self::Supervisor => "hal-supervisor",
            Self::Agent => "hal-agent",
        }
    }

    /// The word in findings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
        }
    }
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct DoctorFacts {
    /// When the facts were gathered.
    pub now: Time,
    /// From where on things are wrong.
    pub limits: WatchLimits,
    /// The daemons that belong on this machine.
    pub daemons: Vec<DaemonFacts>,
    /// The supervisor's files, if it belongs here.
    pub files: Option<Files>,
    /// Where the supervisor should listen, if it belongs here.
    pub port: Option<Port>,
    /// Whether the two configurations of this machine hold the same token.
    pub tokens_match: Option<bool>,
    /// The ways to a supervisor that were tried.
    pub reaches: Vec<Reach>,
    /// Rules of a firewall that turn away what goes to the supervisor's port.
    pub barriers: Vec<Barrier>,
    /// Disks with data of ours.
    pub disks: Vec<Disk>,
    /// Lines of the kernel about processes of ours that it has ended.
    pub oom: Vec<String>,
    /// The coding agent on this machine.
    pub opencode: Option<Opencode>,
    /// What the supervisor says.
    pub told: Option<SupervisorAnswers>,
    /// Whether all nodes were asked for.
    pub is_fleet: bool,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
}

/// A daemon that belongs on this machine.
#[derive(Clone, Debug)]
pub struct DaemonFacts {
    /// Supervisor or agent.
    pub kind: DaemonKind,
    /// What systemd says of its unit, by property; `None`: there is no systemd, or no such unit.
    pub unit: Option<BTreeMap<String, String>>,
    /// Its processes: that of the unit, else those that run on its configuration.
    pub pids: Vec<u32>,
    /// True when the file of its process was replaced since it was started.
    pub is_old: bool,
    /// How long its process has been running.
    pub up: Option<Duration>,
    /// Its memory.
    pub memory: Memory,
    /// Its configuration.
    pub config: Config,
    /// Errors of the last day in the journal, the newest last, without secrets.
    pub errors: Vec<String>,
}

impl DaemonFacts {
    /// A property of its unit.
    pub fn property(&self, name: &str) -> &str {
        self.unit.as_ref().and_then(|unit| unit.get(name)).map_or("", String::as_str)
    }

    /// True while it runs, as far as one can see.
    pub fn is_running(&self) -> bool {
        match &self.unit {
            Some(_) => ["active", "reloading"].contains(&self.property("ActiveState")),
            None => !self.pids.is_empty(),
        }
    }
}

/// A configuration file.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Path of the file.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// What `--validate` complains of, when it refuses the file.
    pub problems: Option<Vec<String>>,
    /// What it warns of, when it takes the file.
    pub warnings: Vec<String>,
    /// The copy beside it.
    pub backup: Backup,
    /// What would change when the copy took the place of the file, where that is refused.
    pub difference: Vec<String>,
    /// The file of the token, when systemd hands it over.
    pub credential: Option<PathBuf>,
    /// What stands in it; of the copy when the file itself cannot be read.
    pub values: Value,
}

impl Config {
    /// The copy's path.
    pub fn backup_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".backup");
        path.into()
    }

    /// The file that can be read: the copy, while the file itself is refused.
    pub fn readable(&self) -> PathBuf {
        let use_copy = self.problems.is_some() && self.backup == Backup::Good;
        if use_copy { self.backup_path() } else { self.path.clone() }
    }
}

/// The copy of a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backup {
    /// There is none.
    #[default]
    Absent,
    /// It would be taken.
    Good,
    /// It would not.
    Bad,
}

/// The supervisor's files.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// `supervisor.db`.
    pub mirror: PathBuf,
    /// What a look at the first bytes of `supervisor.db` says, when it is no SQLite file.
    pub sick_mirror: Option<String>,
    /// What `hal-supervisor store check` complains of while nobody uses the files.
    pub problems: Vec<String>,
    /// Files of another owner than their folder's, with who owns them and who should.
    pub strangers: Vec<(PathBuf, u32, (u32, u32))>,
    /// Files that were set aside, with their age.
    pub aside: Vec<(PathBuf, Duration)>,
    /// Backups, the newest first: age and size.
    pub backups: Vec<(PathBuf, Duration, u64)>,
    /// Sessions in the newest backup.
    pub backup_sessions: Option<u64>,
    /// Whether they are made, and how often.
    pub backup_every: Option<Duration>,
    /// Whether there is anything to back up.
    pub has_data: bool,
}

/// Where the supervisor should listen.
#[derive(Clone, Debug, Default)]
pub struct Port {
    /// The port's number.
    pub number: u16,
    /// Who listens there, as far as one can see: process and name.
    pub listener: Option<(Option<u32>, String)>,
}

/// Whose way to the supervisor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That of halctl.
    Operator,
    /// That of this machine's agent.
    Agent,
}

/// A way to a supervisor, as far as it went.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Who goes.
    pub whose: Whose,
    /// Where to.
    pub url: String,
    /// The host in it.
    pub host: String,
    /// The port in it.
    pub port: u16,
    /// Where it ended.
    pub end: End,
    /// Milliseconds by which the supervisor's clock is ahead.
    pub skew_ms: Option<i64>,
    /// How long it took to answer.
    pub took: Duration,
    /// The version that answered; empty: none did.
    pub version: String,
    /// Its sick components, with why.
    pub sick: Vec<(String, String)>,
}

/// Where a way ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// What should name it is wrong: a URL, a token file.
    Unusable(String),
    /// The host's name is not known.
    NoName(String),
    /// Nothing listens there.
    Refused,
    /// Nothing comes back.
    Silence(String),
    /// TLS failed.
    Tls(String),
    /// It speaks TLS, and was spoken to without.
    WantsTls,
    /// Somebody else listens there.
    Stranger(String),
    /// It does not take the token; where that is from.
    WrongToken(String),
    /// No token was found.
    NoToken,
    /// In.
    In,
}

/// A rule of a firewall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Which tool shows it.
    pub tool: &'static str,
    /// The rule, or what is missing.
    pub rule: String,
}

/// A disk with data of ours.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// A folder on this disk.
    pub folder: PathBuf,
    /// Bytes free for us.
    pub free: u64,
    /// Bytes there are.
    pub size: u64,
    /// Files that can still be made; 0 of 0 where nobody counts.
    pub files_free: u64,
    /// Files there may be.
    pub files: u64,
}

/// The coding agent on this machine.
#[derive(Clone, Debug)]
pub struct Opencode {
    /// How it is called.
    pub program: String,
    /// Its version, or why there is none.
    pub version: Result<String, String>,
}

/// What the supervisor says when it is asked.
#[derive(Clone, Debug, Default)]
pub struct SupervisorAnswers {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// How many sessions it knows.
    pub sessions: Option<u64>,
    /// Alerts that are not over.
    pub alerts: Vec<Alert>,
    /// Seconds by which the mirror is behind.
    pub mirror_lag: f64,
}
