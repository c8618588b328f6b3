//! The dead man's switch: a sign of life to an address outside, only as long as the hub turns. Who waits there for it in
//! vain tells people what the supervisor cannot: that it is gone.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::config::HeartbeatConfig;
use super::hub::input::{Input, Severity, Symptom};
use super::hub::notice::AttemptOutcome;
use super::hub::{Hub, Stopped};
use super::outbound::sign_of_life;
use hal_base::clock::{self, Stopwatch};
use hal_base::id;
use hal_protocol::command::CommandId;

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(1);

/// The hub turns within this, or nothing is sent.
const TURN: Duration = Duration::from_secs(10);

/// So many that were not taken, one after the other, are an alert.
const FAILURES: u32 = 3;

/// The alert of signs of life that nobody takes.
const FAILING: &str = "heartbeat.failing";

/// The configuration in force.
pub type HeartbeatInForce = Arc<ArcSwap<Option<HeartbeatConfig>>>;

/// Sends them as long as the supervisor runs.
pub async fn beat(hub: Hub, config: HeartbeatInForce) -> Result<(), Stopped> {
    let mut last: Option<Stopwatch> = None;
    let mut failures = 0;
    loop {
        let config = config.load_full();
        match &*config {
            None => {
                failures = 0;
                tell(&hub, None).await?;
            }
            Some(config) if last.is_none_or(|last| last.elapsed() >= config.every) => {
                last = Some(Stopwatch::start());
                let sent = send(&hub, config).await;
                failures = if sent.is_ok() { 0 } else { failures + 1 };
                match sent {
                    Ok(()) => tell(&hub, None).await?,
                    Err(why) if failures >= FAILURES => tell(&hub, Some(why)).await?,
                    Err(why) => tracing::warn!("a heartbeat was not taken (alerts.heartbeat): {why}"),
                }
            }
            Some(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn send(hub: &Hub, config: &HeartbeatConfig) -> Result<(), String> {
    if !has_turned(hub).await {
        return Err(format!("the hub has not turned within {} s, so none was sent", TURN.as_secs()));
    }
    let store = hub.health().store;
    let status = if store.is_some() { "degraded" } else { "healthy" };
    let view = hub.view();
    let online = view.every_node().filter(|node| node.link.online).count();
    let body = json!({"type": "supervisor.heartbeat", "timestamp": clock::now().to_string(), "data": {
        "status": status, "version": env!("CARGO_PKG_VERSION"), "nodes_online": online,
        "nodes_known": view.stored.nodes.len(), "every_seconds": config.every.as_secs(),
    }});
    let url = Url::parse(config.url.reveal()).map_err(|error| error.to_string())?;
    let request = sign_of_life(config.allow_private)?
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string());
    match super::outbound::outcome_of(request.send().await).await {
        AttemptOutcome::Delivered { .. } => Ok(()),
        AttemptOutcome::Later { why, .. } | AttemptOutcome::Refused { why } => Err(why),
    }
}

/// Waiting for a command that nobody knows ends with the hub's next turn.
async fn has_turned(hub: &Hub) -> bool {
    let (reply, turned) = oneshot::channel();
    let question = async {
        let asked = hub.send(Input::Await { id: CommandId::new(id::fresh()), reply }).await;
        let _nobody = turned.await;
        asked.is_ok()
    };
    timeout(TURN, question).await.unwrap_or(false)
}

async fn tell(hub: &Hub, why: Option<String>) -> Result<(), Stopped> {
    let is_open = hub.view().stored.open_alert(FAILING, "").is_some();
    if why.is_some() == is_open {
        return Ok(());
    }
    let text = why.map(|why| {
        format!(
            "the last {FAILURES} heartbeats were not taken: {why}. Whoever waits for them will say that the supervisor is gone: \
             check alerts.heartbeat and the way there"
        )
    });
    let (name, about, severity) = (FAILING.to_owned(), String::new(), Severity::High);
    hub.send(Input::Symptom(Symptom { name, about, severity, text })).await
}
