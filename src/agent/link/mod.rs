//! The link to the supervisor: dials, tells what is stored, and dials again for ever.
//!
//! - `dial`: address, TLS, handshake; `failure`: why it did not work. `prove`: who this is, and whether it is the right supervisor;
//!   `pins`: those that are known by their keys.
//! - `clock_offset`: how long commands were on their way.
//! - `talk`: one conversation, from hello to its end. `identity`: whether both sides mean the same by a number. `snapshot`: all sessions in one
//!   frame.
//! - `known_good`: a configuration that has led to a welcome is good.

mod clock_offset;
mod dial;
mod failure;
mod identity;
mod known_good;
mod pins;
mod prove;
mod snapshot;
mod talk;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::anchors::Anchors;
use super::config::Config;
use super::lost::LinkState;
use super::outbox::Outbox;
use super::project::Projects;
use super::resources::Gauge;
use super::sessions::command::SupervisorRequest;
use super::sessions::{OutgoingFrame, View};
use dial::Dial;
use hal_base::backoff::Backoff;
use hal_base::notify;
use hal_base::secret::Secret;
use hal_base::tls::Pin;
use hal_protocol::frame::{FromAgent, Live, Watch};
use hal_protocol::node::NodeId;
use talk::Parting;

/// Delays between attempts. Short enough that a healed network is noticed within ten seconds, and spread by jitter,
/// so that ten thousand agents together are some two thousand attempts a second.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(6);

/// The least delay after a refused token: nothing changes until a person does something.
const RETRY_TOKEN: Duration = Duration::from_secs(5);

/// A link that lasted this long was a success: the next attempt comes soon.
const LASTED: Duration = Duration::from_secs(1);

/// The same reason is logged again after this long.
const REPEAT: Duration = Duration::from_secs(60);

/// Reasons remembered, so that changing texts cannot fill the memory.
const MAX_REASONS: usize = 64;

/// Outcomes that are said again on the next link: a socket takes words that never arrive.
const MAX_SAID: usize = 256;

/// How long before the end of a link an outcome was surely not lost with it.
const RESAY: Duration = Duration::from_secs(60);

/// Answers that may wait for a link. The oldest go first: the supervisor asks again for what it misses.
const MAX_PENDING: usize = 4096;

/// What the link works with.
#[derive(Debug)]
pub struct Link {
    dial: Dial,
    context: LinkContext,
    pending: VecDeque<OutgoingFrame>,
    /// The last outcomes said, and when.
    said: VecDeque<(Instant, OutgoingFrame)>,
    complaints: Complaints,
}

/// Whom to reach. May change while the agent runs: another supervisor is dialled at once, another token is shown
/// the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The supervisor's address.
    pub url: String,
    /// What it asks for.
    pub token: Secret,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The key of this machine, when it has joined with one.
    pub key_file: Option<PathBuf>,
    /// The supervisor's key, when it is named.
    pub pin: Option<Pin>,
    /// The file of those that have proved themselves.
    pub pins: PathBuf,
    /// The SHA-256 of the configuration that says so.
    pub fingerprint: String,
}

impl Target {
    /// The supervisor that the configuration names.
    pub fn of(config: &Config) -> Self {
        Self {
            url: config.supervisor_url.clone(),
            token: config.auth_token.clone(),
            ca_file: config.ca_file.clone(),
            key_file: config.key_file.clone(),
            pin: config.supervisor_pin,
            pins: pins::path(&config.data_dir),
            fingerprint: config.fingerprint.clone(),
        }
    }
}

/// The link's neighbours.
#[derive(Debug)]
pub struct LinkContext {
    /// This node's name.
    pub node_id: NodeId,
    /// Whom to reach.
    pub target: watch::Receiver<Target>,
    /// The journal, and what is to be sent of it.
    pub outbox: Outbox,
    /// What sessions are.
    pub view: watch::Receiver<View>,
    /// What projects are.
    pub projects: Arc<Projects>,
    /// Where commands go.
    pub commands: mpsc::Sender<SupervisorRequest>,
    /// Answers to commands.
    pub says: mpsc::Receiver<OutgoingFrame>,
    /// Live things of watched sessions.
    pub live: mpsc::Receiver<Live>,
    /// Who is watched.
    pub watched: watch::Sender<Watch>,
    /// The machine's state.
    pub gauge: Gauge,
    /// Where heads of the supervisor's audit record are kept.
    pub anchors: Anchors,
    /// Where it is shown whether there is a link.
    pub state: watch::Sender<LinkState>,
}

impl Link {
    /// Ready to dial.
    pub fn new(context: LinkContext) -> Self {
        let dial = Dial::new(context.target.borrow().clone(), context.node_id.clone());
        Self {
            dial,
            context,
            pending: VecDeque::new(),
            said: VecDeque::new(),
            complaints: Complaints::default(),
        }
    }

    /// Runs until `finish`; when connected then, says for a moment what is still to be said.
    pub async fn run(mut self, finish: CancellationToken) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut lost_at: Option<Instant> = None;
        while !finish.is_cancelled() {
            let target = self.context.target.borrow_and_update().clone();
            if self.dial.target != target {
                self.dial = Dial::new(target, self.context.node_id.clone());
            }
            let dialled = tokio::select! {
                () = finish.cancelled() => return,
                dialled = self.dial.connect() => dialled,
            };
            let mut delay = Duration::ZERO;
            match dialled {
                Err(error) => {
                    delay = if error.is_lasting() { RETRY_TOKEN } else { delay };
                    self.is_away(&error.to_string());
                }
                Ok(socket) => {
                    let began = Instant::now();
                    let parting = self.talk(socket, &finish, lost_at).await;
                    // Whoever comes back may have been given a certificate.
                    self.dial.plain_until = None;
                    self.context.watched.send_replace(Watch::default());
                    match parting {
                        Parting::Finished => return,
                        Parting::Again => {}
                        Parting::Lost { why, welcomed } => {
                            self.is_away(&why);
                            lost_at = welcomed.then(Instant::now).or(lost_at);
                            if welcomed && began.elapsed() >= LASTED {
                                backoff.reset();
                            }
                        }
                    }
                }
            }
            lost_at.get_or_insert_with(Instant::now);
            let delay = delay.max(backoff.next_delay());
            self.idle(delay, &finish).await;
        }
    }

    fn is_away(&mut self, why: &str) {
        notify::status(&format!("not connected: {why}"));
        self.context.state.send_if_modified(|state| state.is_away(why));
        self.complaints.add(why);
    }

    /// Waits, and keeps taking what others want to say, so that nobody waits for a link.
    async fn idle(&mut self, delay: Duration, finish: &CancellationToken) {
        let over = tokio::time::sleep(delay);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = finish.cancelled() => return,
                Some(say) = self.context.says.recv() => self.enqueue(say),
                Some(_nobody_watches) = self.context.live.recv() => {}
            }
        }
    }

    /// Puts back what may have been lost with the last link. Whoever has it takes it again without effect.
    fn put_back(&mut self) {
        while let Some((at, say)) = self.said.pop_back() {
            if at.elapsed() < RESAY {
                self.pending.push_front(say);
            }
        }
    }

    fn note_said(&mut self, say: OutgoingFrame) {
        if self.said.len() >= MAX_SAID {
            self.said.pop_front();
        }
        self.said.push_back((Instant::now(), say));
    }

    fn enqueue(&mut self, say: OutgoingFrame) {
        if let FromAgent::LeaseRequest(ask) = &say.frame {
            // What was asked before and not said is out of date.
            let is_old = |one: &OutgoingFrame| matches!(&one.frame, FromAgent::LeaseRequest(old) if old.lease_id == ask.lease_id);
            self.pending.retain(|one| !is_old(one));
        }
        if self.pending.len() >= MAX_PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back(say);
    }
}

/// Logs each distinct reason once, and again every minute that it lasts.
#[derive(Debug, Default)]
struct Complaints {
    said: HashMap<String, Instant>,
}

impl Complaints {
    fn add(&mut self, why: &str) {
        let now = Instant::now();
        if self.said.get(why).is_some_and(|at| now.duration_since(*at) < REPEAT) {
            return;
        }
        if self.said.len() >= MAX_REASONS {
            self.said.clear();
        }
        self.said.insert(why.to_owned(), now);
        tracing::warn!("{why}");
    }

    fn forget(&mut self) {
        self.said.clear();
    }
}
