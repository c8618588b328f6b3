//! Routes: which channel is told what, and when.

use std::time::Duration;

use crate::base::clock::Time;
use crate::protocol::notice::Notice;

/// The alert of a channel that delivers nothing.
pub const CHANNEL_FAILING: &str = "channel.failing";

/// Everything that decides who is told what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routing {
    /// Every configured channel.
    pub channels: Vec<Way>,
}

/// A channel, as far as routes need to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Its name.
    pub name: String,
    /// Notices of the same name within this time are one.
    pub group: Duration,
}

/// Why a notice waits, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Until when; a time that is past: it does not wait.
    pub until: Time,
    /// Why; empty: it does not wait.
    pub why: String,
}

impl Routing {
    /// Which channels are told this, and when.
    pub fn places(&self, _notice: &Notice, _at: Time) -> Vec<(String, Hold)> {
        self.channels.iter().map(|way| (way.name.clone(), Hold::default())).collect()
    }
}
