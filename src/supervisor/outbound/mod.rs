//! The way out to people: a sender for each configured channel takes the notices of its queue, in order, and tries each
//! until it is delivered or refused for good.
//!
//! The queue is the hub's and durable. A sender that was killed between sending and storing that it has sent sends
//! again, with the same identity ([`crate::protocol::notice::Notice::id`]), by which the far side can tell.

mod http;
mod pagerduty;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::pagerduty::PagerDuty;
use super::config::channels::{self as config, Kind};
use super::hub::input::Input;
use super::hub::notice::{Delivery, Happening, Parcel, Ticket};
use super::hub::view::View;
use super::hub::{Hub, Stopped};
use crate::base::backoff::Backoff;
use crate::base::clock::{self, Time};
use crate::base::task::Tasks;
use crate::protocol::notice::{NoticeState, Queued};

/// The first and the longest pause between tries, unless the far side asks for another.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The longest pause that a far side may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// A sender looks this often whether a notice that waits for its time is due, whatever else happens.
const LOOK: Duration = Duration::from_secs(60);

/// One try takes no longer.
const LONGEST_TRY: Duration = Duration::from_secs(60);

/// A way to people: each kind speaks its own protocol.
#[derive(Debug)]
pub enum Channel {
    /// PagerDuty's events.
    PagerDuty(PagerDuty),
}

impl Channel {
    /// As configured; an error says what on this machine stands in the way.
    fn of(kind: &Kind) -> Result<Self, String> {
        match kind {
            Kind::PagerDuty(config) => PagerDuty::new(config).map(Self::PagerDuty),
            Kind::Webhook(_) | Kind::Email(_) => Err(String::new()),
        }
    }

    /// Tries to deliver a notice, once.
    pub async fn deliver(&self, parcel: &Parcel) -> Delivery {
        match self {
            Self::PagerDuty(pagerduty) => pagerduty.deliver(parcel).await,
        }
    }
}

/// The senders that run.
#[derive(Debug, Default)]
pub struct Outbound {
    running: BTreeMap<String, (config::Channel, CancellationToken)>,
}

impl Outbound {
    /// Starts a sender for each of these channels that has none yet, and ends those of channels that are gone or have
    /// changed.
    pub fn set(&mut self, channels: &[config::Channel], hub: &Hub, tasks: &Tasks) {
        self.running.retain(|_, (config, stop)| {
            let stays = channels.contains(config);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for config in channels {
            if self.running.contains_key(&config.name) {
                continue;
            }
            match Channel::of(&config.kind) {
                Ok(channel) => {
                    let stop = CancellationToken::new();
                    let sending = send(hub.clone(), config.name.clone(), channel);
                    let stopped = stop.clone();
                    tasks.spawn_cuttable(async move {
                        let _ = stopped.run_until_cancelled(sending).await;
                    });
                    self.running.insert(config.name.clone(), (config.clone(), stop));
                }
                Err(why) => tracing::error!(channel = config.name, "this channel cannot be used: {why}"),
            }
        }
    }
}

/// Sends what is queued for a channel, for ever.
async fn send(hub: Hub, name: String, channel: Channel) -> Result<(), Stopped> {
    let mut sender =
        Sender { queued: hub.queued(), hub, name, channel, backoff: Backoff::new(PAUSE.0, PAUSE.1) };
    loop {
        sender.step().await?;
    }
}

struct Sender {
    hub: Hub,
    queued: watch::Receiver<u64>,
    name: String,
    channel: Channel,
    backoff: Backoff,
}

/// What a queue says to do now.
enum Next {
    Send(Box<Queued>),
    Wait(Option<Duration>),
}

impl Sender {
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
        let ticket = Ticket { channel: row.channel, no: row.no, id: row.notice.id.clone() };
        if !self.settle(|reply| Happening::Claim(ticket.clone(), reply)).await? {
            return Ok(());
        }
        let earlier = view.told(&self.name, &row.notice.subject).map(|told| told.reference);
        let parcel = Parcel { notice: row.notice, earlier };
        let tried = tokio::time::timeout(LONGEST_TRY, self.channel.deliver(&parcel)).await;
        let delivery = tried.unwrap_or_else(|_| {
            let why = format!("no answer within {} s", LONGEST_TRY.as_secs());
            Delivery::Later { after: None, why }
        });
        let pause = match &delivery {
            Delivery::Later { after, .. } => {
                let own = self.backoff.next_delay();
                Some(after.map_or(own, |asked| asked.min(LONGEST_ASKED).max(PAUSE.0)))
            }
            Delivery::Delivered { .. } | Delivery::Refused { .. } => {
                self.backoff.reset();
                None
            }
        };
        self.settle(|reply| Happening::Report(ticket.clone(), delivery.clone(), reply)).await?;
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Tells the hub until it is stored: what was sent must not be sent again because a disk was full for a moment.
    async fn settle(&self, happening: impl Fn(oneshot::Sender<bool>) -> Happening) -> Result<bool, Stopped> {
        let mut patience = Backoff::new(PAUSE.0, PAUSE.1);
        loop {
            let (reply, answer) = oneshot::channel();
            self.hub.send(Input::Notice(happening(reply))).await?;
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
