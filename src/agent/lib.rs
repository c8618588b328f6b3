//! The agent: one per machine, dials out, runs the coding agents there.
//!
//! ```text
//!   backend --Report--> sessions --> outbox (stored) --> link ==events==> supervisor
//!      ^                   ^                              |
//!      '----- Action ------'<======== command ============'
//! ```
//! - `backend`: how the agent talks to one kind of coding agent; `backends`: which of them run here.
//! - `sessions`: the session manager, the one owner of what is known of sessions, and the life of a command.
//! - `outbox`: the one owner of the journal; `first_words`: what a new agent tells of those before.
//! - `link`: the connection to the supervisor.
//! - `cli`, `config`, `run`: the daemon's command line, configuration and life.
//! - `setup`: whose coding agents the service runs. `join`: how this machine becomes a node. `trust`: checkouts that are
//!   trusted since they were before.
//! - `leave`: whether coding agents go on when this agent stops.
//! - `project`: where coding agents work; `found`: which of them this machine has; `resources`: how the machine is.

mod anchors;
pub mod backend;
mod backends;
pub mod cli;
pub mod config;
mod first_words;
pub mod found;
pub mod join;
pub mod leave;
mod link;
mod lost;
mod outbox;
mod project;
mod resources;
pub mod run;
mod sessions;
pub mod setup;
pub mod trust;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use anchors::Anchors;
use backends::{Backends, ReportSenders};
use config::{Config, Programs, ProjectConfig};
use found::Found;
use hal_base::task::Tasks;
use hal_base::{clock, starts};
use hal_protocol::frame::Watch;
use hal_store::journal::{Bounds, Change, Journal, JournalError, SessionRecord, SetAside};
use leave::Leave;
use link::{Link, Target};
use lost::{LinkState, Teller};
use outbox::Outbox;
use project::{Projects, Turned};
use resources::Gauge;
use sessions::command::Commands;
use sessions::lease::Leases;
use sessions::{OutgoingFrame, SessionManager, View};
use trust::FormerTrust;

/// Bytes at which even events that nobody has acknowledged are dropped, oldest first, with a counted gap. Weeks of a
/// busy node without a supervisor.
const HARD_BYTES: u64 = 2 * 1024 * 1024 * 1024;

pub use sessions::Health;

/// Commands between link and session manager; they are taken at once.
const COMMAND_QUEUE: usize = 64;

/// Answers between session manager and link.
const SAY_QUEUE: usize = 256;

/// Live things between session manager and link; more are dropped.
const LIVE_QUEUE: usize = 1024;

/// How often directories are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// How often the journal is trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// How long backends may take to end: coding agents get time to end their tools.
const STOP_BACKENDS: Duration = Duration::from_secs(35);

/// How long each other step of a stop may take: commands in hand, last events, last words.
const STOP_STEP: Duration = Duration::from_secs(5);

/// An agent that has read its journal and is ready to run.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    outbox: Outbox,
    journal_end: oneshot::Receiver<JournalError>,
    set_aside: Option<SetAside>,
    restarts: Option<String>,
    sessions: Vec<SessionRecord>,
    leases: Vec<(String, String)>,
    /// True when the list of former trust was written by an earlier start.
    has_trust_list: bool,
    reload: Reload,
    reloads: mpsc::Receiver<Config>,
    leave: Leave,
    health: watch::Sender<Health>,
}

/// The door through which a running agent gets another configuration.
#[derive(Clone, Debug)]
pub struct Reload(mpsc::Sender<Config>);

impl Reload {
    /// Gives the agent its new projects, supervisor and token. Sessions of projects that are gone go on where they
    /// are; the rest of the configuration waits for a restart.
    pub async fn take(&self, config: Config) {
        // An agent that has ended needs none.
        let _ended = self.0.send(config).await;
    }
}

impl Agent {
    /// Opens the journal. Fails when another agent has it, or when it can be neither read nor set aside.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let folder = &config.data_dir;
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the data folder {} (data_dir)", folder.display()))?;
        let bounds = Bounds {
            keep: config.journal.keep,
            keep_bytes: config.journal.keep_bytes,
            hard_bytes: HARD_BYTES.max(config.journal.keep_bytes),
        };
        let (journal, writer, set_aside) = Journal::open(folder, bounds, clock::now())?;
        let (sessions, leases) = (journal.sessions()?, journal.leases()?);
        let has_trust_list = journal.is_marked(trust::MARK)?;
        let (outbox, journal_end) = Outbox::start(journal, writer)?;
        let (reload, reloads) = mpsc::channel(1);
        let reload = Reload(reload);
        Ok(Self {
            config,
            outbox,
            journal_end,
            set_aside,
            restarts: None,
            sessions,
            leases,
            has_trust_list,
            reload,
            reloads,
            leave: Leave::default(),
            health: watch::Sender::default(),
        })
    }

    /// Where it remembers its starts.
    pub fn starts_file(&self) -> PathBuf {
        self.config.data_dir.join("agent.starts")
    }

    /// Tells the supervisor when this agent was started too often lately.
    pub fn count_start(&mut self) {
        let file = self.starts_file();
        match starts::note(&file, clock::now()) {
            Ok(told) => self.restarts = told,
            Err(error) => tracing::warn!(%error, "cannot note this start in {}", file.display()),
        }
    }

    /// The door for a new configuration.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Whether its coding agents go on when it stops; they do not unless this says so.
    pub fn leave(&self) -> Leave {
        self.leave.clone()
    }

    /// Whether its backends work, for whoever runs it.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Runs until `tasks` is told to stop, then drains within a few seconds: no more commands, backends ended, their
    /// last events stored and, when connected, sent. An error means that the journal failed for good.
    pub fn run(self, tasks: Tasks) -> BoxFuture<'static, anyhow::Result<()>> {
        // As one object, so that all of it is compiled here, and not again by each who awaits it.
        Box::pin(self.live(tasks))
    }

    async fn live(self, tasks: Tasks) -> anyhow::Result<()> {
        let Self {
            config,
            outbox,
            mut journal_end,
            set_aside,
            restarts,
            sessions,
            leases,
            has_trust_list,
            reload: _,
            reloads,
            leave,
            health,
        } = self;
        let mut config = config;
        if config.projects.iter().any(|project| project.is_auto) {
            let found = found::look(&config.programs.known(), &found::used(&config.projects)).await;
            found::settle(&mut config.projects, &found, None);
        }
        let former = FormerTrust::open(&config.data_dir, &sessions, has_trust_list);
        config.projects.iter_mut().for_each(|project| project.settle_trust(&former));
        let projects = Arc::new(Projects::new(config.projects.clone()));
        let (mut view, forgotten) = sessions::restore(sessions.clone(), clock::now());
        let mut first = first_words::of_journal(set_aside);
        first.extend(restarts.map(first_words::of_restarts));
        first.push(Change::Mark(trust::MARK));
        first.extend(projects.check().into_iter().map(sessions::project_event));
        first.extend(forgotten);
        view.as_of_seq = outbox.write(first).await?;
        let (senders, receivers) = backends::queues(&config.programs.kinds());
        let (turned_in, turned) = mpsc::channel(COMMAND_QUEUE);
        let (says_in, says) = mpsc::channel(SAY_QUEUE);
        let leases = Leases::new(leases, outbox.clone(), says_in.clone());
        let backends = Arc::new(Backends::new(&config, leases.first_end()));
        let wires = Wires::new(view, (says_in, says), leases, health);
        let target = watch::Sender::new(Target::of(&config));
        let programs = config.programs.clone();
        let keeper = Keeper {
            projects,
            configs: config.projects.clone(),
            programs,
            former,
            found: Found::new(),
            backends,
            senders,
            sessions,
            turned: turned_in,
            reloads,
            outbox,
            target,
        };
        let house = House::start(&config, &keeper, wires, receivers, turned);
        let failed = tokio::select! {
            () = tasks.stopped() => None,
            () = keeper.keep() => None,
            end = &mut journal_end => end.ok(),
        };
        if let Some(error) = failed {
            house.abandon();
            return Err(
                anyhow::Error::new(error).context("the journal failed; the next start checks every page")
            );
        }
        house.drain(leave.is_wanted()).await;
        // The file is closed when the outbox thread has ended.
        let _closed = tokio::time::timeout(STOP_STEP, journal_end).await;
        Ok(())
    }
}

/// The queues between session manager, commands and link.
struct Wires {
    view: watch::Sender<View>,
    watched: watch::Sender<Watch>,
    says: (mpsc::Sender<OutgoingFrame>, mpsc::Receiver<OutgoingFrame>),
    leases: Leases,
    health: watch::Sender<Health>,
}

impl Wires {
    fn new(
        view: View,
        says: (mpsc::Sender<OutgoingFrame>, mpsc::Receiver<OutgoingFrame>),
        leases: Leases,
        health: watch::Sender<Health>,
    ) -> Self {
        let watched = watch::Sender::new(Watch::default());
        Self { view: watch::Sender::new(view), watched, says, leases, health }
    }
}

/// Looks after projects and journal while the rest works.
struct Keeper {
    projects: Arc<Projects>,
    /// As they were configured, each with its backend.
    configs: Vec<ProjectConfig>,
    programs: Programs,
    /// Checkouts that are trusted since they were before.
    former: FormerTrust,
    /// The coding agents that were found the last time.
    found: Found,
    backends: Arc<Backends>,
    senders: ReportSenders,
    sessions: Vec<SessionRecord>,
    turned: mpsc::Sender<Turned>,
    reloads: mpsc::Receiver<Config>,
    outbox: Outbox,
    target: watch::Sender<Target>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut check = tokio::time::interval(CHECK_EVERY);
        let mut trim = tokio::time::interval(TRIM_EVERY);
        let mut look: Option<BoxFuture<'static, Found>> = None;
        loop {
            tokio::select! {
                _ = check.tick() => {
                    self.check().await;
                    // Beside everything else: a program may take its time to say its version.
                    let (programs, used) = (self.programs.clone(), found::used(&self.configs));
                    look.get_or_insert_with(|| Box::pin(async move { found::look(&programs, &used).await }));
                }
                found = async { Some(look.as_mut()?.await) }, if look.is_some() => {
                    look = None;
                    self.take_found(found.unwrap_or_default()).await;
                }
                _ = trim.tick() => self.outbox.trim(),
                Some(config) = self.reloads.recv() => {
                    let mut configs = config.projects.clone();
                    if configs.iter().any(|project| project.is_auto) {
                        let found = found::look(&self.programs.known(), &found::used(&configs)).await;
                        found::settle(&mut configs, &found, None);
                    }
                    self.work_in(configs).await;
                    let target = Target::of(&config);
                    self.target.send_if_modified(|old| std::mem::replace(old, target.clone()) != target);
                }
            }
        }
    }

    /// These are the projects now.
    async fn work_in(&mut self, mut configs: Vec<ProjectConfig>) {
        configs.iter_mut().for_each(|project| project.settle_trust(&self.former));
        self.projects.replace(configs.clone());
        self.backends.open(&configs, &self.sessions, &self.senders);
        for kind in self.backends.lacked(&configs) {
            let why = "it was not configured when hal-agent was started: start it again";
            for turned in self.projects.note_backend(kind, Some(why)) {
                let _ended = self.turned.send(turned).await;
            }
        }
        self.configs = configs;
        self.check().await;
    }

    /// These coding agents are there now. A project that takes what is there may have another one.
    async fn take_found(&mut self, found: Found) {
        let mut configs = self.configs.clone();
        if found::settle(&mut configs, &found, Some(&self.found)) {
            self.work_in(configs).await;
        }
        self.found.clone_from(&found);
        self.projects.note_found(found);
    }

    async fn check(&self) {
        // A folder on a network that is gone holds up whoever looks, and an agent has one thread for all else.
        let projects = Arc::clone(&self.projects);
        let look = tokio::task::spawn_blocking(move || projects.check());
        for turned in look.await.unwrap_or_default() {
            // The session manager ends only with the agent.
            let _ended = self.turned.send(turned).await;
        }
    }
}

/// What runs.
struct House {
    backends: Arc<Backends>,
    sessions: JoinHandle<()>,
    commands: JoinHandle<()>,
    link: JoinHandle<()>,
    leases: JoinHandle<()>,
    /// Who tells that the supervisor is gone; it ends with the link.
    teller: Option<JoinHandle<()>>,
    stop_commands: CancellationToken,
    stop_link: CancellationToken,
}

impl House {
    fn start(
        config: &Config,
        keeper: &Keeper,
        wires: Wires,
        receivers: backends::ReportReceivers,
        turned: mpsc::Receiver<Turned>,
    ) -> Self {
        let (stop_commands, stop_link) = (CancellationToken::new(), CancellationToken::new());
        let (commands_in, frames) = mpsc::channel(COMMAND_QUEUE);
        let (says_in, says) = wires.says;
        let (live_in, live) = mpsc::channel(LIVE_QUEUE);
        let view = wires.view.subscribe();
        let manager = SessionManager {
            node_id: config.node_id.clone(),
            outbox: keeper.outbox.clone(),
            projects: Arc::clone(&keeper.projects),
            watched: wires.watched.subscribe(),
            live: live_in,
            view: wires.view,
            leases: wires.leases.clone(),
            health: wires.health,
        };
        let commands = Commands::new(sessions::command::CommandContext {
            outbox: keeper.outbox.clone(),
            projects: Arc::clone(&keeper.projects),
            backends: Arc::clone(&keeper.backends),
            view: view.clone(),
            says: says_in,
            leases: wires.leases.clone(),
        });
        let keep_leases =
            wires.leases.enforce(view.clone(), Arc::clone(&keeper.backends), stop_commands.clone());
        let state = watch::Sender::new(LinkState::at_first());
        let teller = config.supervisor_lost.clone().and_then(|lost| {
            let supervisor = config.supervisor_url.clone();
            let teller = Teller::new(lost, config.node_id.clone(), supervisor, &config.data_dir)?;
            Some(tokio::spawn(teller.run(state.subscribe())))
        });
        let link = Link::new(link::LinkContext {
            node_id: config.node_id.clone(),
            target: keeper.target.subscribe(),
            outbox: keeper.outbox.clone(),
            view,
            projects: Arc::clone(&keeper.projects),
            commands: commands_in,
            says,
            live,
            watched: wires.watched,
            gauge: Gauge::new(config.data_dir.clone()),
            anchors: Anchors::in_folder(&config.data_dir),
            state,
        });
        keeper.backends.open(&config.projects, &keeper.sessions, &keeper.senders);
        let leases = tokio::spawn(keep_leases);
        Self {
            leases,
            backends: Arc::clone(&keeper.backends),
            sessions: tokio::spawn(async move {
                // A closed journal is reported by whoever waits for its end.
                let _closed = manager.run(receivers, turned).await;
            }),
            commands: tokio::spawn(commands.run(frames, stop_commands.clone())),
            link: tokio::spawn(link.run(stop_link.clone())),
            teller,
            stop_commands,
            stop_link,
        }
    }

    /// In this order, so that what one step causes is still stored and said by the next.
    async fn drain(self, leaves: bool) {
        self.stop_commands.cancel();
        within(STOP_STEP, "commands in hand", self.commands).await;
        within(STOP_STEP, "leases", self.leases).await;
        within(STOP_BACKENDS, "backends", tokio::spawn(async move { self.backends.end(leaves).await })).await;
        within(STOP_STEP, "last events", self.sessions).await;
        self.stop_link.cancel();
        within(STOP_STEP, "last words", self.link).await;
        if let Some(teller) = self.teller {
            teller.abort();
        }
    }

    fn abandon(self) {
        for task in [self.sessions, self.commands, self.leases, self.link] {
            task.abort();
        }
    }
}

async fn within(deadline: Duration, what: &str, task: JoinHandle<()>) {
    let abort = task.abort_handle();
    if tokio::time::timeout(deadline, task).await.is_err() {
        tracing::warn!("stopping: {what} took longer than {} s and were cut", deadline.as_secs());
        abort.abort();
    }
}
