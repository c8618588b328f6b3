//! The gateway: what people type and press arrives here, is carried out in their name, and answered.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::rest::DiscordFailure;
use super::socket::{Course, End};
use super::{Discord, render};
use crate::config::channels::ChatRole;
use crate::hub::input::{RaisedAlert, Severity};
use crate::outbound::chat::{self, ChatCommand, ChatReply, Person, carry_out};
use hal_base::backoff::Backoff;
use hal_base::task::Tasks;
use hal_protocol::notice::Notice;

/// Interactions that are worked on at once; more wait, and Discord tells their people that it took too long.
const AT_ONCE: usize = 16;

/// Interactions that wait at most; of more than that nobody hears.
const WAITING: usize = 256;

/// The first and the longest pause between two sockets: Discord lets a bot say who it is a thousand times a day.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(120));

/// Sockets in a row that came to nothing, after which no session is gone on with any more.
const MOST_RESUMES: u32 = 5;

/// The answer that only whoever asked can see.
const ONLY_THEM: u32 = 64;

#[derive(Deserialize)]
struct Ready {
    application: Application,
}

#[derive(Deserialize)]
struct Application {
    id: String,
}

/// Something typed or pressed. Fields that Discord may leave out are not insisted on.
#[derive(Clone, Debug, Deserialize)]
struct Interaction {
    id: String,
    token: String,
    application_id: String,
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    guild_id: Option<String>,
    #[serde(default)]
    channel_id: Option<String>,
    #[serde(default)]
    member: Option<Member>,
    #[serde(default)]
    data: Data,
}

#[derive(Clone, Debug, Deserialize)]
struct Member {
    user: User,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    id: String,
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    name: String,
    custom_id: String,
    options: Vec<Given>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Given {
    name: String,
    value: Value,
}

const TYPED: u8 = 2;
const PRESSED: u8 = 3;

impl Discord {
    /// Listens until told to stop, or until Discord does not let the bot in any more, which is an alert.
    pub async fn listen(self: Arc<Self>, tasks: Tasks, stop: CancellationToken) {
        let (room, queue) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(WAITING)));
        let (mut course, mut backoff) = (Course::default(), Backoff::new(PAUSE.0, PAUSE.1));
        let listening = async {
            loop {
                let hear = |kind: &str, data: &RawValue| self.hear(kind, data, &tasks, &room, &queue);
                match self.converse(&mut course, &mut backoff, hear).await {
                    End::ForGood(why) => return self.shut_out(&why),
                    // Discord closes sockets now and then; one after the other is worth a look.
                    End::Again(why) if backoff.tries() == 0 => {
                        tracing::info!(channel = self.name, "Discord's gateway is opened again: {why}");
                    }
                    End::Again(why) => {
                        tracing::warn!(channel = self.name, "Discord's gateway cannot be used: {why}");
                    }
                }
                if backoff.tries() >= MOST_RESUMES {
                    course.forget();
                }
                sleep(backoff.next_delay()).await;
            }
        };
        let _ = Box::pin(stop.run_until_cancelled(listening)).await;
    }

    fn shut_out(&self, why: &str) {
        let text = format!(
            "Discord rejects the bot of channel {}: {why}. Nobody can answer from there; check its bot_token, \
             then reload",
            self.name
        );
        self.hub.raise(RaisedAlert { name: "channel.shut_out", severity: Severity::High, text });
    }

    /// Never waits: the heartbeat must not.
    fn hear(
        self: &Arc<Self>,
        kind: &str,
        data: &RawValue,
        tasks: &Tasks,
        room: &Arc<Semaphore>,
        queue: &Arc<Semaphore>,
    ) {
        let discord = self.clone();
        match kind {
            "READY" => {
                let ready = data.to_owned();
                tasks.spawn(async move { discord.register(&ready).await });
            }
            "INTERACTION_CREATE" => match serde_json::from_str::<Interaction>(data.get()) {
                Ok(asked) => {
                    let Ok(waiting) = queue.clone().try_acquire_owned() else {
                        return tracing::warn!(
                            channel = self.name,
                            "too many interactions: one is not heard"
                        );
                    };
                    let room = room.clone();
                    tasks.spawn(async move {
                        let Ok(_place) = room.acquire_owned().await else { return };
                        drop(waiting);
                        discord.interact(asked).await;
                    });
                }
                Err(error) => tracing::warn!(channel = self.name, "an interaction cannot be read: {error}"),
            },
            _ => {}
        }
    }

    /// Says which commands there are, each time anew: it replaces what was registered before.
    async fn register(&self, ready: &RawValue) {
        let Ok(Ready { application }) = serde_json::from_str(ready.get()) else { return };
        let path = format!("/applications/{}/guilds/{}/commands", application.id, self.config.guild);
        if let Err(trouble) = self.rest.call(Method::PUT, &path, &path, &render::commands()).await {
            tracing::error!(channel = self.name, "the bot's commands could not be registered: {trouble:?}");
        }
    }

    async fn interact(&self, asked: Interaction) {
        let (person, command) = match self.read(&asked) {
            Ok(read) => read,
            Err(why) => return self.reply_only_them(&asked, &why).await,
        };
        let is_look = command.needs() == ChatRole::View;
        let first = match asked.kind {
            PRESSED => json!({"type": 6}),
            _ if is_look || person.power < Some(command.needs()) => {
                json!({"type": 5, "data": {"flags": ONLY_THEM}})
            }
            _ => json!({"type": 5}),
        };
        let path = format!("/interactions/{}/{}/callback", asked.id, asked.token);
        // One that came too late is carried out all the same: whoever pressed meant it. The answer takes another way.
        let in_time = self.rest.answer(Method::POST, &path, &first).await.is_ok();
        let approval = command.approval().map(str::to_owned);
        let said = carry_out(&self.hub, &person, command).await;
        let answered = in_time && self.answer(&asked, &said, approval.as_deref(), is_look).await.is_ok();
        if !answered {
            self.answer_in_channel(&asked, &person, &said).await;
        }
    }

    /// Who asks, and what for.
    fn read(&self, asked: &Interaction) -> Result<(Person, ChatCommand), String> {
        let member = asked.member.as_ref().filter(|_| asked.guild_id.as_ref() == Some(&self.config.guild));
        let member =
            member.ok_or("This bot answers only on the server that its supervisor is configured for.")?;
        let roles = member.roles.iter().map(String::as_str);
        let person = Person {
            name: format!("discord:{}", member.user.username),
            address: format!("user {}", member.user.id),
            over: "discord",
            power: self.config.rights.of(&member.user.id, roles),
        };
        let command = match asked.kind {
            PRESSED => ChatCommand::of_button(&asked.data.custom_id)
                .ok_or("This button is not known; is the message from another bot or version?")?,
            TYPED => {
                let given = |name: &str| {
                    let found = asked.data.options.iter().find(|given| given.name == name)?;
                    found.value.as_str().map(str::to_owned)
                };
                ChatCommand::read(&asked.data.name, given)?
            }
            _ => return Err("This is not known here.".to_owned()),
        };
        Ok((person, command))
    }

    async fn reply_only_them(&self, asked: &Interaction, text: &str) {
        let mut data = render::plain(text);
        data["flags"] = ONLY_THEM.into();
        let path = format!("/interactions/{}/{}/callback", asked.id, asked.token);
        let sent = self.rest.answer(Method::POST, &path, &json!({"type": 4, "data": data})).await;
        if let Err(trouble) = sent {
            tracing::warn!(channel = self.name, "this answer could not be sent: {text:?}: {trouble:?}");
        }
    }

    /// What came of it: a button's own message is changed; what only concerns whoever pressed is for their eyes.
    async fn answer(
        &self,
        asked: &Interaction,
        said: &ChatReply,
        approval: Option<&str>,
        is_look: bool,
    ) -> Result<(), DiscordFailure> {
        let hook = format!("/webhooks/{}/{}", asked.application_id, asked.token);
        let original = format!("{hook}/messages/@original");
        if asked.kind != PRESSED {
            let body = if is_look { render::lines(&said.text) } else { render::plain(&said.text) };
            return self.rest.answer(Method::PATCH, &original, &body).await.map(drop);
        }
        if let Some(id) = approval
            && let Ok(approval) = chat::approval(&self.hub, id).await
        {
            let card = chat::card(&Notice::default(), Some(&approval));
            self.rest.answer(Method::PATCH, &original, &render::message(&card)).await?;
        }
        if said.went_well && approval.is_some() {
            return Ok(());
        }
        let mut body = render::plain(&said.text);
        body["flags"] = ONLY_THEM.into();
        self.rest.answer(Method::POST, &hook, &body).await.map(drop)
    }

    /// The token of the interaction is not good any more: the bot says it where it was asked.
    async fn answer_in_channel(&self, asked: &Interaction, person: &Person, said: &ChatReply) {
        let Some(channel) = &asked.channel_id else { return };
        let path = format!("/channels/{channel}/messages");
        let name = person.name.trim_start_matches("discord:");
        let body = render::plain(&format!("{name}: {}", said.text));
        if let Err(trouble) = self.rest.call(Method::POST, &path, &path, &body).await {
            tracing::warn!(channel = self.name, "{name} could not be answered: {trouble:?}");
        }
    }
}
