//! What all edges of the supervisor share: the way to the hub, who may come in, and the counters.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::accept::Accepting;
use super::archive::Archivist;
use super::auth_failures::AuthFailures;
use super::codes::Codes;
use super::config::{Opens, ServerConfig};
use super::entrance::Entrance;
use super::growth::Growing;
use super::hub::Hub;
use super::last_uses::LastUses;
use super::live::Switchboard;
use super::metrics::Metrics;
use super::outbound::Outbound;
use super::progress::ProgressRegistry;
use super::provider::Providers;
use super::refused_agents::RefusedAgents;
use super::rehearsals::Rehearsals;
use super::scrapes::Scrapes;
use super::throttle::Throttle;
use super::tls::Certificate;
use super::topics::Listings;
use hal_base::clock::{self, Time};
use hal_base::id;
use hal_base::secret::{Secret, SecretDigest};
use hal_base::task::Tasks;
use hal_protocol::actor::Role;
use hal_rules::network::Networks;
use hal_store::mirror::backup::Backups;
use hal_store::mirror::{HealthOf, Mirror};

/// Sources remembered for the log of refusals; the oldest is forgotten.
const SOURCES: usize = 1024;

/// Pages of the dashboard that follow at once; one costs what its topics hold, some 100 KB.
pub const MOST_PAGES: usize = 1024;

/// A source that is refused again and again is mentioned this often.
const MENTION_AGAIN: Duration = Duration::from_secs(600);

/// Who may come in: replaced as a whole when the configuration is reloaded.
#[derive(Clone, Debug)]
pub struct Doors {
    /// The token that all share, to compare others with.
    pub token: SecretDigest,
    /// And as it is: what is proved by it is proved without saying it.
    pub secret: Secret,
    /// The role of whoever shows it to the API.
    pub token_role: Role,
    /// Browser origins beside the supervisor's own.
    pub origins: Vec<String>,
    /// What may be done from where.
    pub networks: Networks,
    /// What this machine calls itself.
    pub host: String,
}

impl Doors {
    /// The limits that the configuration sets.
    pub fn of(config: &ServerConfig) -> Self {
        // Without a name it is known by its addresses.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            token: config.auth_token.digest(),
            secret: config.auth_token.clone(),
            token_role: match config.auth_token_opens {
                Opens::Everything => Role::Admin,
                Opens::Agents => Role::Agent,
            },
            origins: config.allowed_origins.clone(),
            networks: config.networks.clone(),
            host: host.trim().to_owned(),
        }
    }
}

/// What all edges share. Clones share it.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The way to the hub.
    pub hub: Hub,
    /// How the mirror is.
    pub mirror: HealthOf,
    /// What leaves the store when it is old.
    pub archive: Archivist,
    /// The backups of the mirror.
    pub backups: Backups,
    /// How much there is, and how fast that grows.
    pub growing: Growing,
    /// Who may come in.
    pub doors: Arc<ArcSwap<Doors>>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Held while rows come back from a store that was set aside.
    pub merging: Arc<Mutex<()>>,
    /// Work that takes long.
    pub progress: ProgressRegistry,
    /// Who fetches what providers bill.
    pub providers: Providers,
    /// The token in `ctl.token` where the shared one opens the agents' door alone; another one at each start.
    pub ctl_token: Arc<Secret>,
    /// And to compare others with.
    pub ctl_digest: SecretDigest,
    /// The certificate of the listeners; `None`: nothing is encrypted.
    pub certificate: Option<Certificate>,
    /// Live events.
    pub live: Switchboard,
    /// Who came in by this listener.
    pub entrance: Entrance,
    /// Whether new connections can be taken.
    pub accepting: Accepting,
    /// Notification channels.
    pub outbound: Outbound,
    /// Everything that runs.
    pub tasks: Tasks,
    /// Who was denied.
    pub auth_failures: Arc<AuthFailures>,
    /// Codes that log a browser in.
    pub codes: Arc<Codes>,
    /// How many more pages of the dashboard may follow.
    pub pages: Arc<Semaphore>,
    /// What those pages are told.
    pub listings: Arc<Listings>,
    /// When each token was shown last.
    pub last_uses: Arc<LastUses>,
    /// Agents that are not let in.
    pub refused_agents: Arc<RefusedAgents>,
    /// What is known of rehearsals of a recovery.
    pub rehearsals: Arc<Rehearsals>,
    /// When metrics were last asked for.
    pub scrapes: Arc<Scrapes>,
    /// How often whoever is denied may try again.
    pub throttle: Arc<Throttle>,
    refusals: Arc<Mutex<HashMap<IpAddr, Time>>>,
}

impl Shared {
    /// Puts it together.
    pub fn new(
        hub: Hub,
        mirror: &Mirror,
        doors: Doors,
        certificate: Option<Certificate>,
        metrics: Arc<Metrics>,
        tasks: Tasks,
    ) -> Self {
        let ctl_token = Secret::new(id::fresh_secret());
        let archive = Archivist::beside(hub.store().path(), mirror.health());
        Self {
            scrapes: Arc::new(Scrapes::beside(hub.store().path())),
            rehearsals: Arc::new(Rehearsals::beside(hub.store().path())),
            growing: Growing::of(hub.clone(), mirror.health(), mirror.backups(), archive.clone()),
            archive,
            hub,
            mirror: mirror.health(),
            backups: mirror.backups(),
            doors: Arc::new(ArcSwap::from_pointee(doors)),
            metrics,
            merging: Arc::default(),
            progress: ProgressRegistry::default(),
            providers: Providers::default(),
            ctl_digest: ctl_token.digest(),
            ctl_token: Arc::new(ctl_token),
            certificate,
            live: Switchboard::default(),
            entrance: Entrance::default(),
            accepting: Accepting::default(),
            outbound: Outbound::default(),
            tasks,
            auth_failures: Arc::default(),
            codes: Arc::default(),
            pages: Arc::new(Semaphore::new(MOST_PAGES)),
            listings: Arc::default(),
            last_uses: Arc::default(),
            refused_agents: Arc::default(),
            throttle: Arc::default(),
            refusals: Arc::default(),
        }
    }

    /// The same, as those see it who came in by one listener.
    pub fn at(&self, entrance: Entrance) -> Self {
        Self { entrance, ..self.clone() }
    }

    /// True when a refusal of this source should be logged: the first one, and then now and then.
    pub fn mention_refusal(&self, source: IpAddr) -> bool {
        let now = clock::now();
        let mut known = self.refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.get(&source).is_some_and(|last| now.since(*last) < MENTION_AGAIN) {
            return false;
        }
        if known.len() >= SOURCES
            && let Some(oldest) = known.iter().min_by_key(|(_, at)| **at).map(|(source, _)| *source)
        {
            known.remove(&oldest);
        }
        known.insert(source, now);
        true
    }
}
