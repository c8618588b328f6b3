//! A channel: a way to people, as `halctl channels` and the API show it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::notice::{NoticeState, Queued};
use hal_base::clock::Time;

/// A channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Channel {
    /// Its name, as in the configuration.
    pub name: String,
    /// What it is, such as `webhook`.
    pub kind: String,
    /// Notifications that wait to be sent.
    pub waiting: u64,
    /// Notifications that could not be delivered and are no longer retried.
    pub undelivered: u64,
    /// Since when the oldest one waits that may be sent.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub waiting_since: Time,
    /// The error of the last try; empty: it succeeded, or nothing was tried.
    pub trouble: String,
}

impl Channel {
    /// From its queue.
    pub fn of(name: &str, kind: &str, queue: impl Iterator<Item = Queued>) -> Self {
        let mut channel = Self { name: name.to_owned(), kind: kind.to_owned(), ..Self::default() };
        for row in queue {
            if row.state == NoticeState::Undelivered {
                channel.undelivered += 1;
                continue;
            }
            channel.waiting += 1;
            if channel.waiting_since == Time::default() {
                channel.waiting_since = row.notice.created_at.max(row.not_before);
            }
            if row.tries > 0 && channel.trouble.is_empty() {
                channel.trouble = row.why;
            }
        }
        channel
    }
}

/// The result of a test notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Trial {
    /// The channel's name.
    pub channel: String,
    /// True when the receiver has accepted it.
    pub delivered: bool,
    /// Why it has not.
    pub problem: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A route, as `halctl routes` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RouteView {
    /// Its name, as in the configuration.
    pub name: String,
    /// What it is for.
    pub matches: String,
    /// When it is asked: of each `alert`, `event`, `session`, `node`, or of the whole `fleet`.
    pub asked_of: String,
    /// Names of the channels that are notified.
    pub channels: Vec<String>,
    /// How much it matters, when it raises an alert itself.
    pub severity: String,
    /// Whether it fits what was tested; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fits: Option<bool>,
    /// Why, when something was tested.
    pub why: String,
}
