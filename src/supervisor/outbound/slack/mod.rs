//! Slack: an app in Socket Mode that hears the command `/hal` and buttons, and a message with buttons for each notice,
//! those of a session in a thread of its own.
//!
//! The client is our own, on `reqwest` and `tokio-tungstenite`, which are here anyway. The crate for it brings 3 MB and a
//! second HTTP stack, refuses what it cannot parse, and acknowledges only after the work is done.

mod render;
mod socket;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{chat, http};
use crate::config::channels;
use crate::hub::Hub;
use crate::hub::input::Input;
use crate::hub::notice::{AttemptOutcome, Delivery};
use hal_base::secret::Secret;
use hal_protocol::notice::{Notice, NoticeKind};
use hal_store::kept::THREAD;

/// Slack takes about one message a second for a channel.
const PACE: Duration = Duration::from_secs(1);

/// Reasons of Slack that may pass.
const MAY_PASS: [&str; 5] =
    ["ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];

/// What Slack says of a message that is not there any more.
const GONE: [&str; 3] = ["message_not_found", "thread_not_found", "cant_update_message"];

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SlackFailure {
    /// It may go well later.
    Later { after: Option<Duration>, why: String },
    /// It will not go well: Slack's word for it.
    Refused(String),
}

impl From<SlackFailure> for AttemptOutcome {
    fn from(trouble: SlackFailure) -> Self {
        match trouble {
            SlackFailure::Later { after, why } => Self::Later { after, why },
            SlackFailure::Refused(word) => Self::Refused { why: format!("Slack answered {word}") },
        }
    }
}

/// The way to Slack.
#[derive(Debug)]
pub struct Slack {
    name: String,
    config: channels::Slack,
    http: reqwest::Client,
    hub: Hub,
    next_post: Mutex<Option<Instant>>,
}

impl Slack {
    /// Makes the channel from its configuration; `Err` says why it cannot be used.
    pub fn new(name: &str, config: &channels::Slack, hub: &Hub) -> Result<Self, String> {
        let http = http::client().build().map_err(|error| http::short(&error))?;
        let (name, config, hub) = (name.to_owned(), config.clone(), hub.clone());
        Ok(Self { name, config, http, hub, next_post: Mutex::default() })
    }

    /// Tries to deliver a notice, once.
    pub async fn deliver(&self, delivery: &Delivery) -> AttemptOutcome {
        let sent = match &delivery.earlier {
            Some(earlier) if !delivery.notice.kind.is_first() => self.change(&delivery.notice, earlier).await,
            _ => self.post(&delivery.notice).await,
        };
        match sent {
            Ok(reference) => AttemptOutcome::Delivered { reference },
            Err(trouble) => trouble.into(),
        }
    }

    async fn post(&self, notice: &Notice) -> Result<String, SlackFailure> {
        let thread = self.thread(notice).await?;
        let mut body = render::message(&self.card(notice).await);
        if let Some(thread) = &thread {
            body["thread_ts"] = json!(thread);
            // Whoever does not follow the thread sees what begins in the channel as well.
            body["reply_broadcast"] = json!(notice.kind.is_first());
        }
        match self.say(body).await {
            Ok((channel, ts)) => {
                if let (NoticeKind::Asked, Some(id)) = (notice.kind, &notice.question) {
                    chat::note_delivered(&self.hub, id, &self.name, "slack").await;
                }
                Ok(format!("{channel}/{ts}"))
            }
            Err(SlackFailure::Refused(word)) if thread.is_some() && GONE.contains(&word.as_str()) => {
                self.remember_thread(&notice.session, None).await;
                Err(SlackFailure::Later {
                    after: Some(Duration::ZERO),
                    why: "the session's thread is gone".to_owned(),
                })
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Changes the message that told how it began. One that somebody has deleted needs no change.
    async fn change(&self, notice: &Notice, earlier: &str) -> Result<String, SlackFailure> {
        let Some((channel, ts)) = earlier.split_once('/') else { return self.post(notice).await };
        let card = self.card(notice).await;
        match self.update(channel, ts, &card).await {
            Err(SlackFailure::Refused(word)) if GONE.contains(&word.as_str()) => Ok(earlier.to_owned()),
            Err(trouble) => Err(trouble),
            Ok(()) => Ok(earlier.to_owned()),
        }
    }

    async fn update(&self, channel: &str, ts: &str, card: &chat::Card) -> Result<(), SlackFailure> {
        let mut body = render::message(card);
        (body["channel"], body["ts"]) = (json!(channel), json!(ts));
        self.call("chat.update", &self.config.token, &body).await.map(drop)
    }

    async fn card(&self, notice: &Notice) -> chat::Card {
        let approval = match &notice.question {
            Some(id) => chat::approval(&self.hub, id).await.ok(),
            None => None,
        };
        chat::card(notice, approval.as_ref())
    }

    /// The thread of a session: its first message, which is sent when there is none.
    async fn thread(&self, notice: &Notice) -> Result<Option<String>, SlackFailure> {
        if notice.session.is_empty() {
            return Ok(None);
        }
        let key = format!("{}/{}", self.name, notice.session);
        if let Some(known) = self.hub.view().kept(THREAD, &key) {
            return Ok(Some(known));
        }
        let place = match notice.project.as_str() {
            "" => String::new(),
            project => format!(" ({project} on {})", notice.node),
        };
        let text = render::escaped(&format!("Session {}{place}", notice.session));
        let (_, ts) = self.say(json!({ "text": text })).await?;
        self.remember_thread(&notice.session, Some(ts.clone())).await;
        Ok(Some(ts))
    }

    async fn remember_thread(&self, session: &str, thread: Option<String>) {
        let (reply, stored) = oneshot::channel();
        let key = format!("{}/{session}", self.name);
        if self.hub.send(Input::Thread { key, thread, reply }).await.is_ok() {
            let _ = stored.await;
        }
    }

    /// Says something in the channel, no faster than Slack takes it; gives the channel and the message's name.
    async fn say(&self, mut body: Value) -> Result<(String, String), SlackFailure> {
        body["channel"] = json!(self.config.alerts);
        {
            let mut next = self.next_post.lock().await;
            if let Some(at) = *next {
                sleep_until(at).await;
            }
            *next = Some(Instant::now() + PACE);
        }
        let said = self.call("chat.postMessage", &self.config.token, &body).await?;
        let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
        Ok((text("channel"), text("ts")))
    }

    async fn call(&self, method: &str, token: &Secret, body: &Value) -> Result<Value, SlackFailure> {
        let url = format!("{}/{method}", self.config.url.as_str().trim_end_matches('/'));
        let later = |error: reqwest::Error| SlackFailure::Later {
            after: None,
            why: http::short(&error.without_url()),
        };
        let sent = self.http.post(url).bearer_auth(token.reveal()).json(body).send().await;
        let response = sent.map_err(later)?;
        let (status, after) = (response.status(), http::retry_after(response.headers()));
        let text = response.text().await.map_err(later)?;
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return Err(SlackFailure::Later { after, why: format!("Slack answered {status}") });
        }
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        match said["error"].as_str() {
            None if said["ok"] == true => Ok(said),
            Some(word) if MAY_PASS.contains(&word) => {
                Err(SlackFailure::Later { after, why: format!("Slack answered {word}") })
            }
            word => Err(SlackFailure::Refused(word.map_or_else(|| status.to_string(), str::to_owned))),
        }
    }
}
