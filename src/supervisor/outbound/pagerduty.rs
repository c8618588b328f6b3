//! PagerDuty's Events API, version 2: what begins triggers, what somebody knows of is acknowledged, what is over is
//! resolved, all under one `dedup_key`.

use reqwest::Url;
use serde_json::{Value, json};

use super::http;
use crate::config::channels;
use crate::hub::notice::{AttemptOutcome, Delivery};
use hal_base::secret::Secret;
use hal_protocol::alert::Severity;
use hal_protocol::notice::{Notice, NoticeKind};

/// Characters of a summary that PagerDuty takes.
const MOST_SUMMARY: usize = 1024;

/// The way to PagerDuty.
#[derive(Debug)]
pub struct PagerDuty {
    client: reqwest::Client,
    url: Url,
    routing_key: Secret,
}

impl PagerDuty {
    /// Makes the channel from its configuration; `Err` says why it cannot be used.
    pub fn new(config: &channels::PagerDuty) -> Result<Self, String> {
        let client = http::client().build().map_err(|error| http::short(&error))?;
        let url = config.url.join("/v2/enqueue").map_err(|error| error.to_string())?;
        Ok(Self { client, url, routing_key: config.routing_key.clone() })
    }

    /// Tries to deliver a notice, once.
    pub async fn deliver(&self, delivery: &Delivery) -> AttemptOutcome {
        let mut body = event(&delivery.notice);
        body["routing_key"] = self.routing_key.reveal().into();
        let sent = self.client.post(self.url.clone()).json(&body).send().await;
        http::outcome(sent, |_| delivery.notice.subject.clone()).await
    }
}

/// The event without the key.
fn event(notice: &Notice) -> Value {
    let action = match notice.kind {
        NoticeKind::Acknowledged => "acknowledge",
        NoticeKind::Resolved | NoticeKind::Answered => "resolve",
        NoticeKind::Raised | NoticeKind::Asked | NoticeKind::Digest | NoticeKind::Test => "trigger",
    };
    let mut event = json!({"event_action": action, "dedup_key": notice.subject});
    if action == "trigger" {
        let severity = match notice.severity {
            Severity::Critical => "critical",
            Severity::High => "error",
            Severity::Medium => "warning",
            Severity::Low => "info",
        };
        let source = if notice.node.is_empty() { "hal-supervisor" } else { &notice.node };
        let summary: String =
            format!("{}: {}", notice.title, notice.text).chars().take(MOST_SUMMARY).collect();
        event["client"] = "HAL-O-SWARM".into();
        event["payload"] = json!({
            "summary": summary, "source": source, "severity": severity, "timestamp": notice.created_at.to_string(),
            "component": notice.session, "group": notice.project, "class": notice.name, "custom_details": notice,
        });
    }
    event
}
