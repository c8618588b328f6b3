//! Discord: a bot on the gateway that hears commands and buttons, and a card with buttons for each notice, those of a
//! session in a thread of its own.
//!
//! - `gateway`: what people type and press. `socket`: how the gateway is spoken, hello, identify, heartbeat, resume.
//! - [`rest`]: the HTTP side, a dozen calls. It keeps two promises: a message carries an enforced nonce, so that one that is
//!   sent twice is there once; and a global 429 is waited for.
//! - `render`: how text looks there.

mod gateway;
mod render;
mod rest;
mod socket;

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use self::rest::{DiscordFailure, Rest};
use super::chat;
use crate::config::channels;
use crate::hub::Hub;
use crate::hub::input::Input;
use crate::hub::notice::{AttemptOutcome, Delivery};
use hal_protocol::notice::{Notice, NoticeKind};
use hal_store::kept::THREAD;

/// Characters of a thread's name.
const MOST_NAME: usize = 100;

/// Minutes after which a silent thread is put away.
const THREAD_MINUTES: u32 = 1440;

/// What Discord says of a message, a channel or a thread that is not there, or is closed for good.
const GONE: [u64; 4] = [10_003, 10_008, 50_083, 50_001];

/// What it says when a message has its thread already; the thread bears the message's id.
const HAS_THREAD: u64 = 160_004;

/// The way to Discord.
#[derive(Debug)]
pub struct Discord {
    name: String,
    config: channels::Discord,
    rest: Rest,
    hub: Hub,
}

impl Discord {
    /// Makes the channel from its configuration; `Err` says why it cannot be used.
    pub fn new(name: &str, config: &channels::Discord, hub: &Hub) -> Result<Self, String> {
        let rest = Rest::new(&config.url, &config.token)?;
        Ok(Self { name: name.to_owned(), config: config.clone(), rest, hub: hub.clone() })
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

    async fn post(&self, notice: &Notice) -> Result<String, DiscordFailure> {
        let (place, is_thread) = self.place(notice).await?;
        let mut body = render::message(&self.card(notice).await);
        set_nonce(&mut body, &notice.id);
        let path = format!("/channels/{place}/messages");
        match self.rest.call(Method::POST, &path, &path, &body).await {
            Ok(message) => {
                if let (NoticeKind::Asked, Some(id)) = (notice.kind, &notice.question) {
                    chat::note_delivered(&self.hub, id, &self.name, "discord").await;
                }
                Ok(format!("{place}/{}", text(&message["id"])))
            }
            Err(trouble) if is_thread && GONE.contains(&trouble.code()) => {
                self.remember_thread(&notice.session, None).await;
                Err(DiscordFailure::Later {
                    after: Some(std::time::Duration::ZERO),
                    why: "the session's thread is gone".to_owned(),
                })
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Changes the message that told how it began. One that somebody has deleted needs no change.
    async fn change(&self, notice: &Notice, earlier: &str) -> Result<String, DiscordFailure> {
        let Some((place, message)) = earlier.split_once('/') else { return self.post(notice).await };
        let body = render::message(&self.card(notice).await);
        let (path, bucket) =
            (format!("/channels/{place}/messages/{message}"), format!("/channels/{place}/messages/"));
        match self.rest.call(Method::PATCH, &path, &bucket, &body).await {
            Ok(_) => Ok(earlier.to_owned()),
            Err(trouble) if GONE.contains(&trouble.code()) => Ok(earlier.to_owned()),
            Err(trouble) => Err(trouble),
        }
    }

    async fn card(&self, notice: &Notice) -> chat::Card {
        let approval = match &notice.question {
            Some(id) => chat::approval(&self.hub, id).await.ok(),
            None => None,
        };
        chat::card(notice, approval.as_ref())
    }

    /// Where a notice goes: the thread of its session, which is begun when there is none; and whether it is one.
    async fn place(&self, notice: &Notice) -> Result<(String, bool), DiscordFailure> {
        if notice.session.is_empty() {
            return Ok((self.config.alerts.clone(), false));
        }
        let key = self.key(&notice.session);
        if let Some(known) = self.hub.view().kept(THREAD, &key) {
            return Ok((known, true));
        }
        let thread = self.begin_thread(notice).await?;
        self.remember_thread(&notice.session, Some(thread.clone())).await;
        Ok((thread, true))
    }

    async fn begin_thread(&self, notice: &Notice) -> Result<String, DiscordFailure> {
        let place = if notice.project.is_empty() {
            String::new()
        } else {
            format!(" ({} on {})", notice.project, notice.node)
        };
        let mut body = render::plain(&format!("Session `{}`{place}", notice.session));
        set_nonce(&mut body, &format!("thread {} {}", self.hub.view().stored.store_id, notice.session));
        let path = format!("/channels/{}/messages", self.config.alerts);
        let message = text(&self.rest.call(Method::POST, &path, &path, &body).await?["id"]);
        let name = chat::cut(&format!("{} {}", notice.project, notice.session), MOST_NAME);
        let body = json!({"name": name.trim(), "auto_archive_duration": THREAD_MINUTES});
        let begun = self
            .rest
            .call(Method::POST, &format!("{path}/{message}/threads"), &format!("{path}//threads"), &body)
            .await;
        match begun {
            Ok(thread) => Ok(text(&thread["id"])),
            Err(trouble) if trouble.code() == HAS_THREAD => Ok(message),
            Err(trouble) => Err(trouble),
        }
    }

    async fn remember_thread(&self, session: &str, thread: Option<String>) {
        let (reply, stored) = oneshot::channel();
        let key = self.key(session);
        if self.hub.send(Input::Thread { key, thread, reply }).await.is_ok() {
            let _ = stored.await;
        }
    }

    fn key(&self, session: &str) -> String {
        format!("{}/{session}", self.name)
    }
}

/// The same nonce again within some minutes is the same message.
fn set_nonce(body: &mut Value, of: &str) {
    let nonce: String = Sha256::digest(of).iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    body["nonce"] = nonce.into();
    body["enforce_nonce"] = true.into();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
