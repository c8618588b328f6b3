//! The other half of the dead man's switch: an agent that cannot reach its supervisor for a while says so to an address of
//! its own configuration, once, and that it is back. It says both also when it was restarted in between.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use hal_base::backoff::Backoff;
use hal_base::clock::{self, Stopwatch, Time};
use hal_base::file;
use hal_base::secret::Secret;
use hal_protocol::node::NodeId;

/// One try takes no longer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The first and the longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Permissions of the file that remembers what was said.
const PRIVATE: u32 = 0o600;

/// Whom to tell, and when (`alerts.supervisor_lost`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisorLost {
    /// Where. It may hold a key, so it is shown nowhere.
    pub webhook_url: Secret,
    /// After how long.
    pub after: Duration,
}

/// How the link to the supervisor stands.
#[derive(Clone, Debug)]
pub enum LinkState {
    /// There is none.
    Away {
        /// For how long.
        since: Stopwatch,
        /// Since when.
        at: Time,
        /// Why, as far as it is known.
        why: String,
    },
    /// There is one.
    Connected,
}

impl LinkState {
    /// There was none so far.
    pub fn at_first() -> Self {
        Self::Away { since: Stopwatch::start(), at: clock::now(), why: "not connected yet".to_owned() }
    }

    /// It is gone, or still is, for this reason. True when that is news.
    pub fn is_away(&mut self, reason: &str) -> bool {
        match self {
            Self::Away { why, .. } if why == reason => return false,
            Self::Away { why, .. } => reason.clone_into(why),
            Self::Connected => {
                let (since, at) = (Stopwatch::start(), clock::now());
                *self = Self::Away { since, at, why: reason.to_owned() };
            }
        }
        true
    }
}

/// What was said and not taken back. It is noted before it is said, so that whoever was told hears of the end, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outage {
    since: Time,
    /// Whether it was surely taken.
    is_told: bool,
}

/// Tells what is to be told.
#[derive(Debug)]
pub struct Teller {
    config: SupervisorLost,
    node: NodeId,
    supervisor: String,
    file: PathBuf,
    outage: Option<Outage>,
    client: reqwest::Client,
}

impl Teller {
    /// Remembers in the data folder what it has said. `None`: no client can be made, which the log says.
    pub fn new(config: SupervisorLost, node: NodeId, supervisor: String, data_dir: &Path) -> Option<Self> {
        let file = data_dir.join("supervisor.lost");
        let outage = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hal-agent/", env!("CARGO_PKG_VERSION")))
            .build();
        match client {
            Ok(client) => Some(Self { config, node, supervisor, file, outage, client }),
            Err(error) => {
                tracing::error!(%error, "alerts.supervisor_lost cannot be used");
                None
            }
        }
    }

    /// Works as long as there is a link to look at.
    pub async fn run(mut self, mut link: watch::Receiver<LinkState>) {
        let mut pause = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let state = link.borrow_and_update().clone();
            let wait = match (&state, self.outage.clone()) {
                (LinkState::Connected, None) => Duration::MAX,
                (LinkState::Away { .. }, Some(outage)) if outage.is_told => Duration::MAX,
                (LinkState::Connected, Some(outage)) => {
                    let text = "the supervisor can be reached again";
                    self.say("supervisor.back", &outage, text, None, &mut pause).await
                }
                (LinkState::Away { why, .. }, Some(outage)) => {
                    let told = Outage { is_told: true, ..outage };
                    self.say("supervisor.lost", &told, why, Some(told.clone()), &mut pause).await
                }
                (LinkState::Away { since, at, .. }, None) => {
                    let left = self.config.after.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        self.remember(Some(Outage { since: *at, is_told: false }));
                    }
                    left
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = link.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Tries to say it once, and notes what holds then: how long to wait before the next look.
    async fn say(
        &mut self,
        what: &str,
        outage: &Outage,
        why: &str,
        then: Option<Outage>,
        pause: &mut Backoff,
    ) -> Duration {
        let body = json!({"type": what, "timestamp": clock::now().to_string(), "data": {
            "node": self.node, "supervisor_url": self.supervisor, "since": outage.since.to_string(), "text": why,
        }});
        match self.post(what, outage, &body.to_string()).await {
            Ok(()) => {
                tracing::warn!("{what} was sent to alerts.supervisor_lost.webhook_url: {why}");
                self.remember(then);
                pause.reset();
                Duration::ZERO
            }
            Err(why) => {
                tracing::warn!(
                    "{what} cannot be sent to alerts.supervisor_lost.webhook_url: {why}; trying again"
                );
                pause.next_delay()
            }
        }
    }

    async fn post(&self, what: &str, outage: &Outage, body: &str) -> Result<(), String> {
        let url = Url::parse(self.config.webhook_url.reveal()).map_err(|error| error.to_string())?;
        let request = self.client.post(url).header(CONTENT_TYPE, "application/json");
        // One key for one outage and one word, by which the other side knows what it has.
        let request = request.header("webhook-id", format!("{}-{}-{what}", self.node, outage.since.0));
        let answer = request.body(body.to_owned()).send().await;
        let answer = answer.map_err(|error| hal_base::cause::chain(&error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
    }

    fn remember(&mut self, outage: Option<Outage>) {
        let written = match &outage {
            Some(outage) => file::replace(&self.file, json!(outage).to_string().as_bytes(), PRIVATE),
            None => std::fs::remove_file(&self.file),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "{} cannot be kept", self.file.display());
        }
        self.outage = outage;
    }
}
