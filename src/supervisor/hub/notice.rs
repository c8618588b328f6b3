//! Delivery of notices: what happens to them on their way out, and where the hub keeps them.
//!
//! A sender claims a notice before it sends it for the first time, and reports what became of it. Both are stored before
//! it goes on: a notice that was claimed may have been sent, so nothing else becomes of it but the report. After a kill
//! in between it is sent again under the same identity.

use std::time::Duration;

use tokio::sync::oneshot;

use super::view::View;
use hal_protocol::notice::{Notice, Queued};
use hal_protocol::silence::Silence;
use hal_protocol::who::Who;
use hal_rules::notice::SentNotice;
use hal_store::kept::{QUEUED, TOLD};

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The far side has it.
    Delivered {
        /// What the far side calls it, such as a message's id; empty: it does not say.
        reference: String,
    },
    /// Not now: it is tried again.
    Later {
        /// No earlier than after this, as the far side says.
        after: Option<Duration>,
        /// Why, in a few words without secrets.
        why: String,
    },
    /// Trying again would not help.
    Refused {
        /// Why, in a few words without secrets.
        why: String,
    },
}

/// Which notice in which queue. The identity guards against a place that was used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryClaim {
    /// The channel's name.
    pub channel: String,
    /// The place in its queue.
    pub no: u64,
    /// The identity of the notice.
    pub id: String,
}

/// A notice as a channel gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The notification to deliver.
    pub notice: Notice,
    /// What the far side calls the first notice of the same subject, when it has one: what it may change instead of
    /// saying something new.
    pub earlier: Option<String>,
}

/// What happens to notices.
#[derive(Debug)]
pub enum NoticeEvent {
    /// A sender is about to send one. It is told whether it may.
    Claim(DeliveryClaim, oneshot::Sender<bool>),
    /// A sender has tried. It is told when that is stored.
    Report(DeliveryClaim, AttemptOutcome, oneshot::Sender<bool>),
    /// Somebody wants nobody to be told of some alerts for a while. Told whether it is so.
    Silence((Silence, Who), oneshot::Sender<bool>),
    /// Somebody ends a silence before its time. Told whether there was one.
    Unsilence {
        /// The silence's id.
        id: String,
        /// Who ends it.
        who: Who,
        /// The answer.
        reply: oneshot::Sender<bool>,
    },
    /// What was given up on this channel is tried again.
    Retry(String, oneshot::Sender<bool>),
}

/// The key of a queued notice: keys sort as their places do.
pub fn key(channel: &str, no: u64) -> String {
    format!("{channel}/{no:012}")
}

impl View {
    /// The queue of a channel, in its order.
    pub fn queue<'a>(&'a self, channel: &str) -> impl Iterator<Item = Queued> + use<'a> {
        let begin = format!("{channel}/");
        let rows = self.all_kept_from(QUEUED, &begin);
        rows.take_while(move |(key, _)| key.starts_with(&begin)).map(|(_, row)| Queued::clone(row))
    }

    /// The last place in the queue of a channel that is taken, be it by a row that cannot be read; 0: none is.
    pub fn last_place(&self, channel: &str) -> u64 {
        let begin = format!("{channel}/");
        let rows = self.rows_from(QUEUED, &begin);
        rows.map_while(|(key, _)| key.strip_prefix(&begin))
            .filter_map(|no| no.parse().ok())
            .max()
            .unwrap_or(0)
    }

    /// What this channel was told about this subject.
    pub fn told(&self, channel: &str, subject: &str) -> Option<SentNotice> {
        let key = format!("{channel}/{subject}");
        // Whoever may have been told is told the end, too.
        self.kept(TOLD, &key).or_else(|| self.is_unreadable(TOLD, &key).then(SentNotice::default))
    }
}
