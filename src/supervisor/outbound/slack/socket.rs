//! Socket Mode: what people type and press arrives here. It is acknowledged at once, carried out in their name once, and
//! answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use super::{Slack, SlackFailure, render};
use crate::config::channels::ChatRole;
use crate::hub::input::{RaisedAlert, Severity};
use crate::outbound::chat::{self, ChatCommand, ChatReply, Person, WORDS, carry_out};
use hal_base::backoff::Backoff;
use hal_base::secret::Secret;
use hal_base::task::Tasks;
use hal_protocol::notice::Notice;

/// Slack pings every few seconds; a socket that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(120);

/// Opening a socket takes no longer.
const OPENING: Duration = Duration::from_secs(20);

/// The first and the longest pause between two openings.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// What is worked on at once; more is left to Slack, which delivers it again.
const AT_ONCE: usize = 16;

/// Envelopes that are remembered: one that is delivered again is acknowledged and no more.
const REMEMBERED: usize = 512;

/// Reasons for which opening again would not help.
const FOR_GOOD: [&str; 7] = [
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "not_allowed_token_type",
    "missing_scope",
    "link_disabled",
];

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What comes over the socket. Fields that Slack may leave out are not insisted on.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    envelope_id: String,
    reason: String,
    payload: Value,
}

/// Why a socket ended.
enum End {
    /// Slack wants another one, or it broke.
    Again,
    /// Slack does not let the app in any more.
    ForGood(String),
}

/// Something typed or pressed.
struct Interaction {
    user: String,
    name: String,
    channel: String,
    /// The message whose button was pressed.
    message: Option<String>,
    response_url: String,
    command: Result<ChatCommand, String>,
}

impl Slack {
    /// Listens until told to stop, or until Slack does not let the app in any more, which is an alert.
    pub async fn listen(self: Arc<Self>, tasks: Tasks, stop: CancellationToken) {
        let Some(token) = self.config.app_token.clone() else { return };
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let (mut known, mut backoff) = (VecDeque::new(), Backoff::new(PAUSE.0, PAUSE.1));
        let listening = async {
            loop {
                let end = match self.open(&token).await {
                    Ok(socket) => {
                        backoff.reset();
                        self.hear_all(socket, &tasks, &room, &mut known).await
                    }
                    Err(SlackFailure::Refused(word)) if FOR_GOOD.contains(&word.as_str()) => {
                        End::ForGood(word)
                    }
                    Err(trouble) => {
                        tracing::warn!(channel = self.name, "no socket to Slack: {trouble:?}");
                        End::Again
                    }
                };
                match end {
                    End::Again => sleep(backoff.next_delay()).await,
                    End::ForGood(why) => return self.shut_out(&why),
                }
            }
        };
        let _ = Box::pin(stop.run_until_cancelled(listening)).await;
    }

    fn shut_out(&self, why: &str) {
        let text = format!(
            "Slack rejects the app of channel {}: {why}. Nobody can answer from there; check its app_token \
             and Socket Mode, then reload",
            self.name
        );
        self.hub.raise(RaisedAlert { name: "channel.shut_out", severity: Severity::High, text });
    }

    async fn open(&self, token: &Secret) -> Result<Socket, SlackFailure> {
        let later = |why: String| SlackFailure::Later { after: None, why };
        let opened = self.call("apps.connections.open", token, &json!({})).await?;
        let url = opened["url"].as_str().unwrap_or_default();
        match timeout(OPENING, connect_async(url)).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(later(error.to_string())),
            Err(_) => Err(later("it did not open in time".to_owned())),
        }
    }

    async fn hear_all(
        self: &Arc<Self>,
        mut socket: Socket,
        tasks: &Tasks,
        room: &Arc<Semaphore>,
        known: &mut VecDeque<String>,
    ) -> End {
        loop {
            let text = match timeout(SILENCE, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => text,
                Ok(Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_),
                ))) => continue,
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) | Err(_) => return End::Again,
            };
            let heard: Envelope = serde_json::from_str(&text).unwrap_or_default();
            match heard.kind.as_str() {
                "disconnect" if heard.reason == "link_disabled" => return End::ForGood(heard.reason),
                "disconnect" => return End::Again,
                _ if heard.envelope_id.is_empty() => continue,
                _ => {}
            }
            let Ok(place) = room.clone().try_acquire_owned() else { continue };
            let taken = json!({"envelope_id": heard.envelope_id}).to_string();
            if socket.send(Message::text(taken)).await.is_err() {
                return End::Again;
            }
            if known.contains(&heard.envelope_id) {
                continue;
            }
            known.push_back(heard.envelope_id.clone());
            if known.len() > REMEMBERED {
                known.pop_front();
            }
            if let Some(asked) = read(&heard) {
                let slack = self.clone();
                tasks.spawn(async move {
                    slack.interact(asked).await;
                    drop(place);
                });
            }
        }
    }

    async fn interact(&self, asked: Interaction) {
        let person = Person {
            name: format!("slack:{}", asked.name),
            address: format!("user {}", asked.user),
            over: "slack",
            power: self.config.rights.of(&asked.user, std::iter::empty()),
        };
        let (said, approval, is_look) = match &asked.command {
            Ok(command) => {
                let approval = command.approval().map(str::to_owned);
                let said = carry_out(&self.hub, &person, command.clone()).await;
                (said, approval, command.needs() == ChatRole::View)
            }
            Err(why) => (ChatReply { text: why.clone(), went_well: false }, None, false),
        };
        if let (Some(ts), Some(id)) = (&asked.message, &approval)
            && let Ok(approval) = chat::approval(&self.hub, id).await
        {
            let card = chat::card(&Notice::default(), Some(&approval));
            if let Err(trouble) = self.update(&asked.channel, ts, &card).await {
                tracing::warn!(channel = self.name, "a card could not be changed: {trouble:?}");
            }
            if said.went_well {
                return;
            }
        }
        self.answer(&asked, &said, is_look).await;
    }

    /// Says what came of it: where it was asked, by the way that Slack gave; else by a message for their eyes.
    async fn answer(&self, asked: &Interaction, said: &ChatReply, is_look: bool) {
        let text =
            if is_look && said.went_well { render::lines(&said.text) } else { render::plain(&said.text) };
        if let Some(url) = self.trusted(&asked.response_url) {
            let body = json!({"response_type": "ephemeral", "replace_original": false, "text": text});
            let sent = self.http.post(url).json(&body).send().await;
            if sent.is_ok_and(|response| response.status().is_success()) {
                return;
            }
        }
        let body = json!({"channel": asked.channel, "user": asked.user, "text": text});
        if let Err(trouble) = self.call("chat.postEphemeral", &self.config.token, &body).await {
            tracing::warn!(channel = self.name, "{} could not be answered: {trouble:?}", asked.name);
        }
    }

    /// The address of an answer, when it is Slack's own.
    fn trusted(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let is_slacks = url.scheme() == "https" && url.host_str() == Some("hooks.slack.com");
        let same = |one: &Url, other: &Url| {
            (one.scheme(), one.host_str(), one.port()) == (other.scheme(), other.host_str(), other.port())
        };
        let is_stand_in = self.config.url.host_str() != Some("slack.com") && same(&url, &self.config.url);
        (is_slacks || is_stand_in).then_some(url)
    }
}

fn read(heard: &Envelope) -> Option<Interaction> {
    let payload = &heard.payload;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match heard.kind.as_str() {
        "slash_commands" => Some(Interaction {
            user: text(&payload["user_id"]),
            name: text(&payload["user_name"]),
            channel: text(&payload["channel_id"]),
            message: None,
            response_url: text(&payload["response_url"]),
            command: typed(&text(&payload["text"])),
        }),
        "interactive" if payload["type"] == "block_actions" => {
            let user = &payload["user"];
            let name = if user["username"].is_string() { &user["username"] } else { &user["name"] };
            let command = ChatCommand::of_button(&text(&payload["actions"][0]["action_id"]));
            Some(Interaction {
                user: text(&user["id"]),
                name: text(name),
                channel: text(&payload["channel"]["id"]),
                message: payload["container"]["message_ts"].as_str().map(str::to_owned),
                response_url: text(&payload["response_url"]),
                command: command.ok_or_else(|| {
                    "This button is not known; is the message from another version?".to_owned()
                }),
            })
        }
        _ => None,
    }
}

/// Reads what stands behind `/hal`: a word and its parameters; the last one takes all that is left.
fn typed(text: &str) -> Result<ChatCommand, String> {
    let (word, mut rest) = split(text);
    let word = if word.is_empty() { "status" } else { word };
    let found = WORDS.iter().find(|(name, ..)| *name == word);
    let parameters = found.map(|(_, _, parameters)| *parameters).unwrap_or_default();
    let mut given = Vec::new();
    for (name, _, _) in parameters {
        let takes_all = matches!(*name, "text" | "prompt" | "message");
        let (value, left) = if takes_all { (rest, "") } else { split(rest) };
        given.push((*name, value.to_owned()));
        rest = left;
    }
    let value = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    ChatCommand::read(word, value)
}

fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
    (word, rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_by_place() {
        assert_eq!(typed(""), Ok(ChatCommand::Status));
        assert_eq!(
            typed("inject ses_1  say it again "),
            Ok(ChatCommand::Say("ses_1".into(), "say it again".into()))
        );
        assert_eq!(typed("resume ses_1"), Ok(ChatCommand::Say("ses_1".into(), "continue".into())));
        let start =
            ChatCommand::Start { project: "shop".into(), prompt: "make it so".into(), node: String::new() };
        assert_eq!(typed("start shop make it so"), Ok(start));
        assert_eq!(typed("kill"), Err("`kill` needs session: kill SESSION".into()));
        assert!(typed("dance").unwrap_err().contains("there is status, sessions"));
        assert!(typed("ack x").unwrap_err().contains("a number"));
    }
}
