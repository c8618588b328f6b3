//! The other half of the dead man's switch: an agent that cannot reach its supervisor for a while says so to an address of
//! its own configuration, once, and that it is back. It says both also when it was restarted in between.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::watch;

use hal_base::backoff::Backoff;
use hal_base::clock::{self, Stopwatch, Time};
use hal_base::file;
use hal_base::secret::Secret;
use hal_protocol::node::NodeId;
use hal_rules::address::{check, check_host};

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
    /// True when it may be an address of this network.
    pub allow_private: bool,
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

/// The resolver of its client: gives no address of a name when one of them is not of the public internet, so that a name
/// which changes its address leads nowhere else.
#[derive(Clone, Copy, Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            for address in &found {
                let refused = |why| io::Error::other(format!("{name} has a forbidden address: {why}"));
                check(address.ip()).map_err(refused)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
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
            .no_proxy()
            .user_agent(concat!("hal-agent/", env!("CARGO_PKG_VERSION")));
        let client = if config.allow_private { client } else { client.dns_resolver(Arc::new(PublicOnly)) };
        match client.build() {
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
            let was_away = matches!(state, LinkState::Away { .. });
            let has_turned = |now: &LinkState| matches!(now, LinkState::Away { .. }) != was_away;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Another reason for the same is no reason to try sooner.
                turned = link.wait_for(has_turned) => if turned.is_err() { return },
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
        // An address that is written out never comes to the resolver.
        if !self.config.allow_private {
            check_host(&url)?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_this_machine_is_no_public_address() {
        let found = PublicOnly.resolve("localhost".parse().unwrap()).await;
        let why = found.err().unwrap().to_string();
        assert!(why.starts_with("localhost has a forbidden address"), "{why}");
    }

    #[tokio::test]
    async fn another_reason_is_no_reason_to_try_sooner() {
        // The program's own start does that.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (listener, folder) =
            (tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), tempfile::tempdir().unwrap());
        let webhook_url = Secret::new(format!("http://{}/", listener.local_addr().unwrap()));
        let config = SupervisorLost { webhook_url, after: Duration::ZERO, allow_private: true };
        let teller = Teller::new(config, "n".into(), "ws://s".into(), folder.path()).unwrap();
        let state = watch::Sender::new(LinkState::at_first());
        let running = tokio::spawn(teller.run(state.subscribe()));
        let began = Stopwatch::start();
        for try_of in 0..2 {
            // A connection that is closed without an answer is a failed try.
            drop(listener.accept().await.unwrap());
            for reason in 0..20 {
                state.send_if_modified(|state| state.is_away(&format!("{try_of}, {reason}")));
                tokio::task::yield_now().await;
            }
        }
        assert!(began.elapsed() > PAUSE.0 / 2, "{:?}", began.elapsed());
        running.abort();
    }
}
