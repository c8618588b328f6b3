//! The supervisor's configuration: what the file may say, and the checked values the supervisor runs on.
//!
//! - `alerts`: from where on things are worth an alert, and which nodes should be there.
//! - `tls`: the certificate is tried before anything is started.
//! - `budget`: how much may be spent.
//! - `channels`: notification channels.
//! - `routes`: who is told what. `escalation`: who is told next.
//! - `cost`: what tokens cost, and what the providers bill.
//! - `provider`: whose bills are fetched.
//! - `networks`: what may be done from where.
//! - `later`: keys that are accepted and checked, though nothing acts on them yet.
//! - `reload`: what a running supervisor takes over from a changed file.

mod alerts;
mod approvals;
mod budget;
pub mod channels;
mod cost;
mod escalation;
mod later;
mod networks;
pub mod provider;
mod reload;
mod routes;
mod tls;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hub::settings::Settings;
use super::own_certificate;
use hal_base::config::machine::{folder_of, writable_folder};
use hal_base::config::{self, Purpose, Reading, Section, Source, Value, token};
use hal_base::secret::Secret;
use hal_protocol::default;
use hal_rules::approval;
use hal_rules::budget::Terms;
use hal_rules::dependency::{self, Dependencies};
use hal_rules::escalation::EscalationStep;
use hal_rules::network::Networks;
use hal_rules::node::Liveness;
use hal_rules::policy::settings::{self as policies, Policies};
use hal_rules::route::{Route, Routing, Way};
use hal_rules::watch::WatchLimits;
use hal_store::mirror::backup::Rules;
use hal_store::retain::{Retention, Types};

pub use alerts::HeartbeatConfig;
pub use cost::CostConfig;
pub use reload::reload;

/// A configuration file with every key explained, ready to be edited.
pub const SAMPLE: &str = include_str!("../../assets/supervisor.config.json");

/// A node that is silent for longer than an hour is gone by any measure.
const MOST_HEARTBEAT_SECONDS: u64 = 3600;
const MOST_HEARTBEAT_TIMEOUTS: u32 = 1000;

/// Backups that are kept at most.
const MOST_BACKUPS: usize = 1000;
/// The longest time between two backups, and that one or an old row is kept.
const MOST_AGE: Duration = Duration::from_secs(10 * 366 * 86_400);

/// How often a recovery is rehearsed, unless the file says otherwise.
const REHEARSE: Duration = Duration::from_secs(30 * 86_400);

/// The most that the bound of what is kept can be, in bytes: no disk is larger.
const MOST_SIZE: u64 = 1 << 60;

/// The least that it can be: an empty store with its mirror is not much smaller.
pub const LEAST_SIZE: u64 = 16 << 20;

/// Everything a supervisor needs to know; checked, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// The SQLite mirror's path (`database.path`); the store `supervisor.redb` lies beside it.
    pub database: PathBuf,
    /// When backups of the mirror are made, and how long they are kept.
    pub backup: Rules,
    /// How often a recovery is rehearsed; zero: never by itself.
    pub rehearse_every: Duration,
    /// When old rows leave the store.
    pub retention: Retention,
    /// From where on things are worth an alert.
    pub alerts: WatchLimits,
    /// Where signs of life go.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Who is told next of an alert that nobody acknowledges.
    pub escalation: Vec<EscalationStep>,
    /// Notification channels.
    pub channels: Vec<channels::ChannelConfig>,
    /// Who is told what.
    pub routes: Vec<Route>,
    /// What steps in by itself.
    pub policies: Policies,
    /// Which project waits for which.
    pub dependencies: Dependencies,
    /// Projects that any node may work on that has them; all others are a node's own.
    pub shared_projects: BTreeSet<String>,
    /// How long approvals wait.
    pub approvals: approval::ApprovalLimits,
    /// What tokens cost.
    pub cost: CostConfig,
    /// The certificate, when TLS is on.
    pub tls: Option<TlsConfig>,
    /// How much may be spent, and how little of it is lent at a time.
    pub budgets: Terms,
}

/// Where the supervisor listens and whom it lets in.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address to bind (`server.bind`, default `0.0.0.0`).
    pub bind: IpAddr,
    /// Agents, API and stream; 0: any free port.
    pub port: u16,
    /// A second listener without the agents' door; `None`: there is none.
    pub http_port: Option<u16>,
    /// What agents and people must show.
    pub auth_token: Secret,
    /// What that token opens (`server.auth_token_opens`).
    pub auth_token_opens: Opens,
    /// How often an agent should send a heartbeat.
    pub heartbeat_interval: Duration,
    /// After how many missed heartbeats a node counts as gone.
    pub heartbeat_timeout_count: u32,
    /// Browser origins that may connect; empty: only requests without an `Origin` and from the same host.
    pub allowed_origins: Vec<String>,
    /// What may be done from where.
    pub networks: Networks,
}

/// What the token that all share opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opens {
    /// Everything, as in installations of earlier releases.
    #[default]
    Everything,
    /// The agents' door, for nodes without a key or token of their own.
    Agents,
}

/// The supervisor's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file: the certificate and its chain.
    pub cert_path: PathBuf,
    /// PEM file: the private key.
    pub key_path: PathBuf,
    /// True when the supervisor makes both for itself.
    pub is_own: bool,
}

impl Config {
    /// The store's path: `supervisor.redb` in the folder of the mirror.
    pub fn store_path(&self) -> PathBuf {
        self.database.with_extension("redb")
    }

    /// Who is told what.
    pub fn routing(&self) -> Routing {
        let way = |channel: &channels::ChannelConfig| Way {
            name: channel.name.clone(),
            group: channel.group,
            pages: channel.pages(),
        };
        Routing { routes: self.routes.clone(), channels: self.channels.iter().map(way).collect() }
    }

    /// What it says to the hub.
    pub fn settings(&self) -> Settings {
        let server = &self.server;
        Settings {
            liveness: Liveness {
                interval: server.heartbeat_interval,
                missed: server.heartbeat_timeout_count,
            },
            terms: self.budgets.clone(),
            prices: self.cost.prices.clone(),
            routing: self.routing(),
            escalation: self.escalation.clone(),
            approvals: self.approvals,
            policies: self.policies.clone(),
            dependencies: self.dependencies.clone(),
            shared_projects: self.shared_projects.clone(),
        }
    }
}

/// Reads the file. Ends in the configuration and what to warn of, or in everything that is wrong.
pub fn read(path: &Path, purpose: Purpose) -> Reading<Config> {
    config::read(path, purpose, build)
}

/// Reads what was in a file.
pub fn parse(file: &Source<'_>, purpose: Purpose) -> Reading<Config> {
    config::parse(file, purpose, build)
}

/// Every key there is, as `security.tls.enabled` or `credentials.agents.<name>.env`.
pub fn known_keys() -> BTreeSet<String> {
    config::known_keys(build)
}

/// The certificate that the supervisor makes for itself.
fn own_tls(database: &Path) -> TlsConfig {
    let (cert_path, key_path) = own_certificate::files(&folder_of(database));
    TlsConfig { cert_path, key_path, is_own: true }
}

fn build(root: &Section<'_>) -> Config {
    let ((tls, is_clear), more_origins) = root.section("security", |security| {
        later::security(security);
        let tls = security.section("tls", |tls| (tls::read(tls), !tls.flag("enabled")));
        (tls, origins(security, "origin_allowlist"))
    });
    let mut server = root.section("server", |section| server(section, is_clear));
    let database = root.section("database", database);
    let tls = tls.map(|tls| if tls.is_own { own_tls(&database) } else { tls });
    for origin in more_origins {
        if !server.allowed_origins.contains(&origin) {
            server.allowed_origins.push(origin);
        }
    }
    let (backup, rehearse_every) = root.section("backup", backup);
    let retention = root.section("retention", retention);
    let (alerts, heartbeat) = alerts::read(root);
    let channels = channels::read(root);
    let routes = routes::read(root, &channels);
    let escalation = escalation::read(root, &channels);
    let approvals = root.section("approvals", approvals::read);
    let policies = policies::read(root);
    let dependencies = dependency::read(root);
    let shared_projects = root
        .section("projects", |projects| projects.items("shared").iter().filter_map(Value::text).collect());
    let budgets = budget::read(root);
    let cost = cost::read(root);
    later::credentials(root);
    Config {
        server,
        database,
        backup,
        rehearse_every,
        retention,
        alerts,
        heartbeat,
        escalation,
        policies,
        dependencies,
        shared_projects,
        approvals,
        budgets,
        channels,
        routes,
        cost,
        tls,
    }
}

fn server(section: &Section<'_>, is_clear: bool) -> ServerConfig {
    let port = section.whole("port", 0..=u16::MAX).unwrap_or(default::PORT);
    let http_port = section.whole("http_port", 0..=u16::MAX).filter(|port| *port != 0);
    if http_port == Some(port) {
        section.problem("http_port", "is the same as server.port; leave it out, or take another one");
    }
    let heartbeat_seconds = section
        .whole("heartbeat_interval_sec", 1..=MOST_HEARTBEAT_SECONDS)
        .unwrap_or(default::HEARTBEAT_SECONDS);
    let bind = bind(section).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    if is_clear && !bind.is_loopback() {
        let reach = if bind.is_unspecified() { "all addresses of this machine" } else { "the network" };
        section.warn(
            "bind",
            format!(
                "listens on {reach} without TLS: anyone on the network path can read the token, prompts and code; turn on \
                 security.tls, or listen on 127.0.0.1 behind a VPN or a proxy with TLS"
            ),
        );
    }
    ServerConfig {
        bind,
        port,
        http_port,
        auth_token: token::read(section),
        auth_token_opens: opens(section),
        heartbeat_interval: Duration::from_secs(heartbeat_seconds),
        heartbeat_timeout_count: section
            .whole("heartbeat_timeout_count", 1..=MOST_HEARTBEAT_TIMEOUTS)
            .unwrap_or(default::HEARTBEAT_TIMEOUTS),
        allowed_origins: origins(section, "allowed_origins"),
        networks: networks::read(section),
    }
}

fn opens(section: &Section<'_>) -> Opens {
    match section.value("auth_token_opens").and_then(|value| value.choice(&["everything", "agents"])) {
        Some("agents") => Opens::Agents,
        _ => Opens::Everything,
    }
}

fn bind(section: &Section<'_>) -> Option<IpAddr> {
    let text = section.text("bind")?;
    let address = text.parse().ok();
    if address.is_none() {
        section.problem("bind", "expected an IP address such as 0.0.0.0, 127.0.0.1 or ::");
    }
    address
}

fn origins(section: &Section<'_>, key: &'static str) -> Vec<String> {
    section.items(key).iter().filter_map(origin).collect()
}

/// An origin as browsers send it. `*` alone, before a domain and as a port stands for any.
fn origin(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let host = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_origin = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '@', '?', '#']));
    if text == "*" || is_origin {
        return Some(text);
    }
    value.problem("expected an origin such as https://hal.example.org or http://localhost:3000, or *");
    None
}

fn database(section: &Section<'_>) -> PathBuf {
    let Some(path) = section.path_or("path", default::DATABASE) else { return PathBuf::new() };
    if path.is_dir() {
        section.problem("path", "is a folder; expected the path of a file in it, such as supervisor.db");
    } else if path.is_symlink() {
        // SQLite would keep its log beside the file that it leads to, and whoever replaces one does not replace the other.
        section.problem("path", "is a symbolic link; expected the file that it leads to");
    } else if path.extension().is_some_and(|end| end == "redb") {
        section.problem("path", "ends in .redb, which is the store's name beside it; expected supervisor.db");
    } else if let Err(sentence) = writable_folder(&folder_of(&path)) {
        section.problem("path", sentence);
    }
    path
}

fn backup(section: &Section<'_>) -> (Rules, Duration) {
    let default = Rules::default();
    let age = Duration::from_secs(1)..=MOST_AGE;
    let long = |key| section.value(key).and_then(|value| value.duration(age.clone()));
    let rehearse = section.value("rehearse").and_then(|value| value.duration(Duration::ZERO..=MOST_AGE));
    let rules = Rules {
        is_on: section.value("enabled").and_then(|value| value.flag()).unwrap_or(default.is_on),
        every: long("interval").unwrap_or(default.every),
        keep: section.whole("keep", 1..=MOST_BACKUPS).unwrap_or(default.keep),
        keep_for: long("keep_for").unwrap_or(default.keep_for),
    };
    (rules, rehearse.unwrap_or(REHEARSE))
}

fn retention(section: &Section<'_>) -> Retention {
    let age = Duration::from_secs(1)..=MOST_AGE;
    let long = |key| section.value(key).and_then(|value| value.duration(age.clone()));
    let types = section.value("types").map(|types| types.entries()).unwrap_or_default();
    let rule = |(name, value): (String, Value<'_>)| {
        let keep = value.duration(age.clone());
        if !is_type(&name) {
            value.problem("is not a type of events: expected one such as message.part.updated, or session.* for all that begin with it");
        }
        Some((name, keep?))
    };
    let max_size =
        section.value("max_size").and_then(|value| value.bytes(MOST_SIZE)).filter(|size| *size > 0);
    if max_size.is_some_and(|size| size < LEAST_SIZE) {
        section.problem("max_size", "is too small to work with: expected at least 16MiB, or 0 for no bound");
    }
    Retention {
        events: long("events"),
        types: Types::new(types.into_iter().filter_map(rule)),
        audit: long("audit"),
        archive: section.value("archive").and_then(|value| value.flag()).unwrap_or(true),
        max_size,
    }
}

/// True for `a.b` and `a.*`.
fn is_type(name: &str) -> bool {
    let words = name.strip_suffix(".*").unwrap_or(name);
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    words.split('.').all(|word| !word.is_empty() && word.chars().all(is_letter))
}
