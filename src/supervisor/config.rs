//! The supervisor's configuration: what the file may say, and the checked values the supervisor runs on.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;

/// Everything a supervisor needs to know; checked, with all defaults filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// The SQLite mirror's path (`database.path`); the store `supervisor.redb` lies beside it.
    pub database: PathBuf,
    /// The certificate, when TLS is on.
    pub tls: Option<TlsConfig>,
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
    /// How often an agent should send a heartbeat.
    pub heartbeat_interval: Duration,
    /// After how many missed heartbeats a node counts as gone.
    pub heartbeat_timeout_count: u32,
    /// Browser origins that may connect; empty: only requests without an `Origin` and from the same host.
    pub allowed_origins: Vec<String>,
}

/// The supervisor's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file: the certificate and its chain.
    pub cert_path: PathBuf,
    /// PEM file: the private key.
    pub key_path: PathBuf,
}

impl Config {
    /// The store's path: `supervisor.redb` in the folder of the mirror.
    pub fn store_path(&self) -> PathBuf {
        self.database.with_extension("redb")
    }
}
