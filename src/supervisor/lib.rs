//! The supervisor: one hub thread that changes state, and the edges around it.
//!
//! - `hub`: input, decide, commit, effect, view: the one writer.
//! - `approvals`: what sessions wait with for a person, as people read it. `queries`: the hub and the store, asked.
//! - `gate`: the agents' door; `proof`: how an agent shows who it is without a token; `greeting`: what is said to others. `api`, `stream`: what people and programs ask. `live`: what is passed on and not kept.
//! - `cli`, `config`, `run`: the daemon's command line, configuration and life.
//! - `quarantine`: what a store that was set aside holds, and how it comes back. `progress`: how far long work is.
//! - `archive`: what leaves the store when it is old. `growth`: how much there is, and how fast that grows. `backup`: when backups are made; `rehearsal`: whether they can be restored, and `rehearsals`: whether they could. `mirror`: what the store's mirror needs from the hub. `source`: from where. `auth`: who may come in. `auth_failures`: who may not, for the audit log; `throttle`: how often that is tried.
//! - `browser`: what the cookie of a browser is worth; `codes`: how one is logged in without a token.
//! - `dashboard`: the page itself; `topics`: what it can follow.
//! - `spent`: what the ledger adds up to. `provider`: what the providers bill.
//! - `offline`: what is done to its files while no supervisor runs.
//! - `outbound`: the notification channels. `condition_watcher`: the routes that are about how things stand.
//! - `watch`: what the supervisor sees of itself and its nodes. `refused_agents`: who is not let in, and since when.
//! - `heartbeat`: a sign of life to whoever waits for it outside.
//! - `knock`: whether its own listeners answer. `scrapes`: whether anybody asks for metrics.
//! - `tls`, `server`: the listeners; `own_certificate`: what a supervisor makes for itself; `fleet_keys`: how that comes to another machine; `either`: connections with TLS and without, on one port; `plain`: what the latter may. `entrance`: who takes how much of them; `accept`: whether they can take more. `metrics`: what is counted. `watchdog`: what systemd is told.

mod accept;
mod api;
mod approvals;
mod archive;
mod auth;
mod auth_failures;
mod backup;
mod browser;
mod caller;
pub mod cli;
mod codes;
mod condition_watcher;
pub mod config;
mod dashboard;
mod either;
mod entrance;
mod fleet_keys;
mod gate;
mod greeting;
mod growth;
mod heartbeat;
mod hub;
mod knock;
mod last_uses;
mod live;
mod local;
mod metrics;
mod mirror;
pub mod offline;
mod outbound;
mod own_certificate;
mod plain;
mod progress;
mod proof;
mod provider;
mod quarantine;
mod queries;
mod refusal;
mod refused_agents;
mod rehearsal;
mod rehearsals;
pub mod run;
mod scrapes;
mod server;
mod shared;
mod source;
mod spent;
mod throttle;
mod tls;
mod topics;
mod watch;
mod watchdog;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum_server::Handle;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use self::config::{Config, Opens};
use self::hub::Hub;
use self::hub::actor::ActorChange;
use self::hub::input::{Input, RaisedAlert, Severity};
use self::hub::view::View;
use self::metrics::Metrics;
use self::mirror::OfHub;
use self::shared::{Doors, Shared};
use hal_base::config::machine::folder_of;
use hal_base::secret::Secret;
use hal_base::task::Tasks;
use hal_base::{clock, starts};
use hal_protocol::fleet_key::FleetKeys;
use hal_protocol::node::NodeId;
use hal_protocol::who::Who;
use hal_store as store;
use hal_store::kept::Kept;
use hal_store::mirror::{Mirror, Opened};

/// Silent nodes and lapsed commands are looked for this often.
const TICK: Duration = Duration::from_secs(1);

/// Requests under way may take this long when the supervisor is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// A running supervisor.
#[derive(Debug)]
pub struct Supervisor {
    config: Config,
    shared: Shared,
    limits: watch::LimitsInForce,
    heartbeat: heartbeat::HeartbeatInForce,
    handle: Handle<SocketAddr>,
    address: SocketAddr,
    hub_thread: JoinHandle<()>,
    mirror: Mirror,
}

/// Opens the store, and brings every audit record into the chain.
fn open_store(config: &Config) -> anyhow::Result<Opened> {
    let path = config.store_path();
    let mut opened = store::mirror::open(&path, &config.database, &config.backup, clock::now())
        .with_context(|| format!("cannot use the store; is another supervisor using {}?", path.display()))?;
    let before = opened.audit_before.take();
    match opened.store.chain_audit(before, opened.lost.is_some(), clock::now()) {
        Ok(0) => {}
        Ok(records) => {
            tracing::info!(records, "audit records that were written without the chain are in it now")
        }
        // What is stored can be read, and the hub opens it again: a full disk keeps nobody from starting.
        Err(error) => tracing::error!(
            error = hal_base::cause::chain(&error),
            "the chain of the audit record cannot be brought up to now; the next start tries again"
        ),
    }
    Ok(opened)
}

/// The certificate that the listeners show; made when it is one of the supervisor's own and not there yet. With it, what the
/// store is to keep of the fleet's keys.
fn certificate(
    config: &Config,
    state: &[(String, Kept)],
) -> anyhow::Result<(Option<tls::Certificate>, Option<FleetKeys>)> {
    let Some(tls) = &config.tls else { return Ok((None, None)) };
    let mut to_keep = None;
    if tls.is_own {
        let (data, stored) = (folder_of(&config.database), fleet_keys::Stored::of(state));
        fleet_keys::bring_back(&data, &stored)?;
        let bind = config.server.bind;
        let names = if bind.is_unspecified() { Vec::new() } else { vec![bind.to_string()] };
        own_certificate::make_missing(&data, &names)?;
        // Without room, or with a key that cannot be read, the supervisor works all the same: the next start tries again.
        match fleet_keys::to_keep(&data, &stored) {
            Ok(None) => fleet_keys::is_kept(&data),
            Ok(keys) => to_keep = keys,
            Err(error) => tracing::error!(error = format!("{error:#}"), "{}", fleet_keys::NOT_KEPT),
        }
    }
    Ok((Some(tls::Certificate::read(tls)?), to_keep))
}

/// Keeps the fleet's keys with the store. Where that cannot be, the next start tries again.
async fn keep(shared: Shared, data: PathBuf, keys: FleetKeys) {
    let by = Who::itself("hal-supervisor");
    match api::actor::change(&shared, by, ActorChange::KeepKeys(keys)).await {
        Ok(_) => fleet_keys::is_kept(&data),
        Err(error) => tracing::error!(error = error.sentence(), "{}", fleet_keys::NOT_KEPT),
    }
}

impl Supervisor {
    /// Opens the store, takes the ports, and serves. Whatever cannot be honoured is an error here, never a silent
    /// fallback.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let listener = server::bind(config.server.bind, config.server.port)?;
        let address = listener.local_addr()?;
        let people =
            config.server.http_port.map(|port| server::bind(config.server.bind, port)).transpose()?;
        let mut listeners = vec![address];
        let Opened { store, loaded, first, set_aside, healed, lost, .. } = open_store(&config)?;
        let (certificate, keys) = certificate(&config, &loaded.state)?;
        let metrics = Arc::new(Metrics::default());
        let mut view = View::of(loaded);
        view.take_settings(Arc::new(config.settings()));
        let (hub, hub_thread) = Hub::start(store, view, metrics.counts())?;
        if let Some(set_aside) = set_aside {
            hub.raise(RaisedAlert::store_replaced(&set_aside));
        }
        if !healed.is_empty() {
            hub.raise(RaisedAlert::store_healed(&healed));
        }
        if let Some(lost) = lost {
            hub.raise(RaisedAlert::store_lost(&lost));
        }
        let mirror = Mirror::start(
            hub.store().clone(),
            hub.view().stored.store_id.to_string(),
            config.database.clone(),
            first,
            config.backup.clone(),
            OfHub(hub.clone()),
        )?;
        let doors = Doors::of(&config.server);
        let shared = Shared::new(hub, &mirror, doors, certificate, metrics, Tasks::new());
        shared.archive.set_rules(config.retention.clone());
        if let Some(keys) = keys {
            shared.tasks.spawn_cuttable(keep(shared.clone(), folder_of(&config.database), keys));
        }
        let handle = Handle::new();
        server::serve(listener, server::whole, handle.clone(), &shared)?;
        if let Some(people) = people {
            listeners.push(people.local_addr()?);
            server::serve(people, server::people_only, handle.clone(), &shared)?;
        }
        if let (Some(certificate), Some(files)) = (&shared.certificate, &config.tls) {
            tls::watch(certificate.clone(), files.clone(), &shared.tasks);
        }
        shared.outbound.set(&config.channels, &shared.hub, &shared.tasks);
        shared.tasks.spawn_cuttable(backup::make_when_due(shared.clone()));
        shared.tasks.spawn_cuttable(backup::watch(shared.clone()));
        shared.rehearsals.set_every(config.rehearse_every);
        shared.tasks.spawn_cuttable(rehearsal::rehearse_when_due(shared.clone()));
        shared.tasks.spawn_cuttable(archive::keep_up(shared.archive.clone(), shared.hub.clone()));
        shared
            .tasks
            .spawn_cuttable(auth_failures::keep_count(shared.auth_failures.clone(), shared.hub.clone()));
        shared.tasks.spawn_cuttable(growth::watch(shared.growing.clone()));
        shared.providers.start(&shared.hub, &shared.tasks, &config.cost);
        let limits = Arc::new(ArcSwap::from_pointee(config.alerts.clone()));
        shared.tasks.spawn_cuttable(watch::watch(shared.clone(), limits.clone(), listeners.clone()));
        let heartbeat = Arc::new(ArcSwap::from_pointee(config.heartbeat.clone()));
        let beating = heartbeat::beat(shared.hub.clone(), heartbeat.clone());
        shared.tasks.spawn_cuttable(async move { drop(beating.await) });
        let looking = condition_watcher::watch(shared.clone());
        shared.tasks.spawn_cuttable(async move { drop(looking.await) });
        shared.tasks.spawn_cuttable(tick(shared.hub.clone()));
        shared.tasks.spawn_cuttable(tell_who_is_watched(shared.clone()));
        shared.tasks.spawn_cuttable(watchdog::keep_alive(shared.clone(), listeners));
        Ok(Self { config, shared, limits, heartbeat, handle, address, hub_thread, mirror })
    }

    /// The address that programs on this machine use.
    pub fn local_url(&self) -> String {
        let is_encrypted = self.shared.certificate.is_some();
        let scheme = if is_encrypted { "https" } else { "http" };
        let ip = self.address.ip();
        match (ip.is_unspecified(), is_encrypted) {
            (true, true) => format!("{scheme}://localhost:{}", self.address.port()),
            (true, false) => format!("{scheme}://127.0.0.1:{}", self.address.port()),
            (false, _) => format!("{scheme}://{}", self.address),
        }
    }

    /// What makes links to the dashboard that log a browser in as whoever has the shared token: each is good once, and not
    /// for long.
    pub fn login_links(&self) -> impl Fn() -> String + use<> {
        let (url, codes) = (self.local_url(), self.shared.codes.clone());
        move || {
            let by = browser::BY_TOKEN.to_owned();
            let issuer = codes::Issuer { actor: by.clone(), by: by.clone(), name: by, made_with: None };
            format!("{url}/#code={}", codes.make(issuer))
        }
    }

    /// Lets people of this machine in without a token. Where that cannot be, they need one as everywhere.
    pub fn listen_locally(&self) {
        let Some(path) = self.socket() else {
            return tracing::info!("no local socket: the path of the data folder is too long for one");
        };
        if let Err(error) = local::serve(&path, &self.shared, &self.shared.tasks) {
            tracing::warn!(error = format!("{error:#}"), "no local socket: halctl shows a token here");
        }
    }

    /// Where the local socket lies.
    pub fn socket(&self) -> Option<PathBuf> {
        let data = self.config.database.parent().unwrap_or(Path::new("."));
        local::path(hal_base::notify::runtime_folder().as_deref(), data)
    }

    /// Waits until a node is connected. False when it is not within the limit.
    pub async fn wait_for_node(&self, id: &NodeId, limit: Duration) -> bool {
        let mut committed = self.shared.hub.committed();
        let online = async {
            loop {
                committed.borrow_and_update();
                if self.shared.hub.view().find_node(id.as_str()).is_some_and(|node| node.link.online) {
                    return;
                }
                if committed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(limit, online).await.is_ok()
    }

    /// Where it listens, as configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is, in a line.
    pub fn status(&self) -> String {
        watchdog::status(&self.shared)
    }

    /// Where it remembers its starts.
    fn starts_file(&self) -> PathBuf {
        self.config.database.with_extension("starts")
    }

    /// Raises an alert when it was started too often lately.
    fn count_start(&self) {
        let file = self.starts_file();
        match starts::note(&file, clock::now()) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let text = format!("the supervisor was {text}");
                let alert = RaisedAlert { name: "supervisor.restarts", severity: Severity::High, text };
                self.shared.hub.raise(alert);
            }
            Err(error) => tracing::warn!(%error, "cannot note this start in {}", file.display()),
        }
    }

    /// Takes over what can change while running. The caller has said what cannot.
    pub async fn reload(&mut self, config: Config) -> anyhow::Result<()> {
        if let (Some(certificate), Some(files)) = (&self.shared.certificate, &config.tls) {
            certificate.reload(files)?;
        }
        self.shared.doors.store(Arc::new(Doors::of(&config.server)));
        self.shared.archive.set_rules(config.retention.clone());
        self.shared.providers.set(&config.cost);
        self.limits.store(Arc::new(config.alerts.clone()));
        self.heartbeat.store(Arc::new(config.heartbeat.clone()));
        self.shared.backups.set_rules(config.backup.clone());
        self.shared.rehearsals.set_every(config.rehearse_every);
        let (reply, is_in_force) = oneshot::channel();
        self.shared.hub.send(Input::Settings(Arc::new(config.settings()), reply)).await?;
        is_in_force.await.context("the supervisor is stopping")?;
        self.shared.outbound.set(&config.channels, &self.shared.hub, &self.shared.tasks);
        self.config = config;
        Ok(())
    }

    /// What halctl shows on this machine where it cannot come in by the socket.
    pub fn ctl_token(&self) -> &Secret {
        match self.config.server.auth_token_opens {
            Opens::Everything => &self.config.server.auth_token,
            Opens::Agents => &self.shared.ctl_token,
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Ends in the right order: no new connections, requests under way, agents, the hub with its last commit, and the
    /// mirror with that.
    pub async fn stop(self) {
        // Whoever looks for it finds that nobody is there.
        if let Some(socket) = self.socket() {
            let _none_was_there = std::fs::remove_file(socket);
        }
        self.shared.auth_failures.flush(&self.shared.hub);
        self.shared.hub.stop().await;
        self.handle.graceful_shutdown(Some(DRAIN));
        if !self.shared.tasks.drain(DRAIN * 2).await {
            tracing::warn!("some requests were cut off");
        }
        let (thread, mirror) = (self.hub_thread, self.mirror);
        let ended = tokio::task::spawn_blocking(move || {
            let _ = thread.join();
            mirror.stop();
        });
        let _ = ended.await;
    }
}

async fn tick(hub: Hub) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if hub.send(Input::Tick).await.is_err() {
            return;
        }
    }
}

/// Agents are told whenever the set of watched sessions changes.
async fn tell_who_is_watched(shared: Shared) {
    let mut changes = shared.live.changes();
    while changes.changed().await.is_ok() {
        let watch = changes.borrow_and_update().clone();
        if shared.hub.send(Input::Watching(watch)).await.is_err() {
            return;
        }
    }
}
