//! Notification channels: a sender for each configured channel takes the notices of its queue, in order, and tries each
//! until it is delivered or refused for good.
//!
//! The queue is the hub's and durable. A sender that was killed between sending and storing that it has sent sends
//! again, with the same identity ([`hal_protocol::notice::Notice::id`]), by which the far side can tell.

mod chat;
mod discord;
mod email;
mod guard;
mod http;
mod pagerduty;
mod slack;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::discord::Discord;
use self::email::Email;
use self::pagerduty::PagerDuty;
use self::slack::Slack;
use self::webhook::Webhook;
use super::config::channels::{self as config, ChannelKind};
use super::hub::input::{Input, Severity, Symptom};
use super::hub::notice::{AttemptOutcome, Delivery, DeliveryClaim, NoticeEvent};
use super::hub::view::View;
use super::hub::{Hub, Stopped};
use hal_base::backoff::Backoff;
use hal_base::clock::{self, Stopwatch, Time};
use hal_base::task::Tasks;
use hal_protocol::notice::{Notice, NoticeState, Queued};
use hal_rules::route::CHANNEL_FAILING;

/// The first and the longest pause between tries, unless the far side asks for another.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The longest pause that a far side may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// A sender looks this often whether a notice that waits for its time is due, whatever else happens.
const LOOK: Duration = Duration::from_secs(60);

/// One try takes no longer.
const LONGEST_TRY: Duration = Duration::from_secs(60);

/// A channel that could tell nothing for longer is an alert.
const FAILING: Duration = Duration::from_secs(60);

/// A way to people: each kind speaks its own protocol.
#[derive(Debug)]
pub enum Channel {
    /// A web address that takes a signed body.
    Webhook(Webhook),
    /// E-mail over SMTP.
    Email(Email),
    /// PagerDuty's events.
    PagerDuty(PagerDuty),
    /// A bot on Discord.
    Discord(Arc<Discord>),
    /// An app on Slack.
    Slack(Arc<Slack>),
}

impl Channel {
    /// As configured; an error says what on this machine stands in the way.
    fn of(name: &str, kind: &ChannelKind, hub: &Hub) -> Result<Self, String> {
        match kind {
            ChannelKind::Discord(config) => {
                Discord::new(name, config, hub).map(|it| Self::Discord(Arc::new(it)))
            }
            ChannelKind::Slack(config) => Slack::new(name, config, hub).map(|it| Self::Slack(Arc::new(it))),
            ChannelKind::PagerDuty(config) => PagerDuty::new(config).map(Self::PagerDuty),
            ChannelKind::Webhook(config) => Webhook::new(config).map(Self::Webhook),
            ChannelKind::Email(config) => Email::new(config).map(Self::Email),
        }
    }

    /// Begins to hear what people say there, where they can say something.
    fn listen(&self, tasks: &Tasks, stop: &CancellationToken) {
        match self {
            Self::Discord(discord) => {
                tasks.spawn_cuttable(discord.clone().listen(tasks.clone(), stop.clone()));
            }
            Self::Slack(slack) => {
                tasks.spawn_cuttable(slack.clone().listen(tasks.clone(), stop.clone()));
            }
            Self::Webhook(_) | Self::Email(_) | Self::PagerDuty(_) => {}
        }
    }

    /// Tries to deliver a notice, once.
    pub async fn deliver(&self, delivery: &Delivery) -> AttemptOutcome {
        match self {
            Self::Discord(discord) => discord.deliver(delivery).await,
            Self::Slack(slack) => slack.deliver(delivery).await,
            Self::Webhook(webhook) => webhook.deliver(delivery).await,
            Self::Email(email) => email.deliver(delivery).await,
            Self::PagerDuty(pagerduty) => pagerduty.deliver(delivery).await,
        }
    }
}

/// The senders that run. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Outbound(Arc<Mutex<BTreeMap<String, Running>>>);

#[derive(Debug)]
struct Running {
    config: config::ChannelConfig,
    channel: Arc<Channel>,
    stop: CancellationToken,
}

impl Outbound {
    /// Starts a sender for each of these channels that has none yet, and ends those of channels that are gone or have
    /// changed.
    pub fn set(&self, channels: &[config::ChannelConfig], hub: &Hub, tasks: &Tasks) {
        let mut running = self.running();
        running.retain(|_, one| {
            let stays = channels.contains(&one.config);
            if !stays {
                one.stop.cancel();
            }
            stays
        });
        for config in channels {
            if running.contains_key(&config.name) {
                continue;
            }
            match Channel::of(&config.name, &config.kind, hub) {
                Ok(channel) => {
                    let (channel, stop) = (Arc::new(channel), CancellationToken::new());
                    let sender = Sender::new(hub.clone(), config, channel.clone());
                    channel.listen(tasks, &stop);
                    let stopped = stop.clone();
                    tasks.spawn_cuttable(async move {
                        let _ = stopped.run_until_cancelled(sender.run()).await;
                    });
                    running.insert(config.name.clone(), Running { config: config.clone(), channel, stop });
                }
                Err(why) => tracing::error!(channel = config.name, "this channel cannot be used: {why}"),
            }
        }
    }

    /// Name and kind of each channel.
    pub fn kinds(&self) -> Vec<(String, &'static str)> {
        self.running().iter().map(|(name, one)| (name.clone(), one.config.kind.as_str())).collect()
    }

    /// Tries a channel out, past its queue. `None`: there is no such channel.
    pub async fn test(&self, name: &str, notice: Notice) -> Option<AttemptOutcome> {
        let channel = self.running().get(name).map(|one| one.channel.clone())?;
        Some(try_once(&channel, &Delivery { notice, earlier: None }).await)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client for signs of life: as webhooks are reached, and no further.
pub fn sign_of_life(allow_private: bool) -> Result<reqwest::Client, String> {
    let builder = http::client();
    let builder = if allow_private { builder } else { builder.dns_resolver(Arc::new(guard::Guarded)) };
    builder.build().map_err(|error| http::short(&error))
}

/// What an answer to one means.
pub async fn outcome_of(sent: reqwest::Result<reqwest::Response>) -> AttemptOutcome {
    http::outcome(sent, |_| String::new()).await
}

async fn try_once(channel: &Channel, delivery: &Delivery) -> AttemptOutcome {
    tokio::time::timeout(LONGEST_TRY, channel.deliver(delivery)).await.unwrap_or_else(|_| {
        let why = format!("no answer within {} s", LONGEST_TRY.as_secs());
        AttemptOutcome::Later { after: None, why }
    })
}

/// Sends what is queued for one channel.
struct Sender {
    hub: Hub,
    queued: watch::Receiver<u64>,
    name: String,
    give_up: Duration,
    channel: Arc<Channel>,
    backoff: Backoff,
    failing: Option<Stopwatch>,
}

/// What a queue says to do now.
enum Next {
    Send(Box<Queued>),
    Wait(Option<Duration>),
}

impl Sender {
    fn new(hub: Hub, config: &config::ChannelConfig, channel: Arc<Channel>) -> Self {
        let (queued, name, give_up) = (hub.queued(), config.name.clone(), config.give_up);
        Self { hub, queued, name, give_up, channel, backoff: Backoff::new(PAUSE.0, PAUSE.1), failing: None }
    }

    /// Sends for ever.
    async fn run(mut self) -> Result<(), Stopped> {
        loop {
            self.step().await?;
        }
    }

    async fn step(&mut self) -> Result<(), Stopped> {
        self.queued.borrow_and_update();
        let view = self.hub.view();
        match next(&view, &self.name, clock::now()) {
            Next::Wait(until) => {
                let pause = tokio::time::sleep(until.unwrap_or(LOOK).min(LOOK));
                tokio::select! {
                    () = pause => Ok(()),
                    changed = self.queued.changed() => changed.map_err(|_| Stopped),
                }
            }
            Next::Send(row) => self.send_one(&view, *row).await,
        }
    }

    async fn send_one(&mut self, view: &Arc<View>, row: Queued) -> Result<(), Stopped> {
        let claim = DeliveryClaim { channel: row.channel, no: row.no, id: row.notice.id.clone() };
        if !self.settle(|reply| NoticeEvent::Claim(claim.clone(), reply)).await? {
            return Ok(());
        }
        let earlier = view.told(&self.name, &row.notice.subject).map(|told| told.reference);
        let (begun, due) = (row.notice.created_at.max(row.not_before), clock::now());
        let mut outcome = try_once(&self.channel, &Delivery { notice: row.notice, earlier }).await;
        let mut pause = None;
        if let AttemptOutcome::Later { after, why } = &outcome {
            let own = self.backoff.next_delay();
            pause = Some(after.map_or(own, |asked| asked.clamp(Duration::ZERO, LONGEST_ASKED)));
            if due.since(begun) > self.give_up {
                let why = format!("{why}; given up after {} tries", row.tries + 1);
                outcome = AttemptOutcome::Refused { why };
            }
        } else {
            self.backoff.reset();
        }
        self.settle(|reply| NoticeEvent::Report(claim.clone(), outcome.clone(), reply)).await?;
        self.tell_how_it_is(&outcome).await?;
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// A channel that fails for a while is an alert itself, for the other channels.
    async fn tell_how_it_is(&mut self, outcome: &AttemptOutcome) -> Result<(), Stopped> {
        let why = match outcome {
            AttemptOutcome::Delivered { .. } => None,
            AttemptOutcome::Later { why, .. } | AttemptOutcome::Refused { why } => Some(why),
        };
        let since = why.map(|_| *self.failing.get_or_insert_with(Stopwatch::start));
        self.failing = since;
        let text = match (why, since) {
            (Some(why), Some(since)) if since.elapsed() > FAILING => {
                Some(format!("channel {} delivers nothing: {why}", self.name))
            }
            (Some(_), _) => return Ok(()),
            (None, _) => None,
        };
        if text.is_some() == self.hub.view().stored.open_alert(CHANNEL_FAILING, &self.name).is_some() {
            return Ok(());
        }
        let about = self.name.clone();
        let symptom = Symptom { name: CHANNEL_FAILING.to_owned(), about, severity: Severity::High, text };
        self.hub.send(Input::Symptom(symptom)).await
    }

    /// Tells the hub until it is stored: what was sent must not be sent again because a disk was full for a moment.
    async fn settle(&self, event: impl Fn(oneshot::Sender<bool>) -> NoticeEvent) -> Result<bool, Stopped> {
        let mut patience = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let (reply, answer) = oneshot::channel();
            self.hub.send(Input::Notice(event(reply))).await?;
            if let Ok(is_right) = answer.await {
                return Ok(is_right);
            }
            tokio::time::sleep(patience.next_delay()).await;
        }
    }
}

/// The first notice that may be sent now; else how long until one may.
fn next(view: &View, channel: &str, now: Time) -> Next {
    let mut until: Option<Duration> = None;
    for row in view.queue(channel).filter(|row| row.state == NoticeState::Waiting) {
        if row.not_before <= now {
            return Next::Send(Box::new(row));
        }
        let wait = row.not_before.since(now);
        until = Some(until.map_or(wait, |known| known.min(wait)));
    }
    Next::Wait(until)
}
