//! The only place that reads the time. Everything else is handed a [`Time`].

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970 in UTC. Printed as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long ago `earlier` was; zero when it is in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// This moment moved forward.
    pub fn plus(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment moved back.
    pub fn minus(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// As part of a file's name: `20261126T074915Z`.
    pub fn stamp(self) -> String {
        let text = self.to_string();
        let seconds = text.split('.').next().unwrap_or(&text);
        format!("{}Z", seconds.replace(['-', ':'], ""))
    }

    /// Reads that.
    pub fn of_stamp(stamp: &str) -> Option<Time> {
        let part = |range| stamp.get(range);
        if stamp.len() != 16 {
            return None;
        }
        let day = format!("{}-{}-{}", part(0..4)?, part(4..6)?, part(6..8)?);
        Time::parse(&format!("{day}T{}:{}:{}Z", part(9..11)?, part(11..13)?, part(13..15)?))
    }

    /// Reads an RFC 3339 moment; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Time(at.as_millisecond()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => out.pad(&format!("{at:.3}")),
            Err(_) => out.pad("out of range"),
        }
    }
}

/// The time now, as this machine believes it.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Both clocks, read together: one that can be set, and one that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time, as this machine believes it.
    pub at: Time,
    /// How long this machine has been running, sleep included.
    pub up: Duration,
}

/// Reads both clocks.
pub fn read() -> Reading {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Reading { at: now(), up: Duration::try_from(up).unwrap_or_default() }
}

impl Reading {
    /// When this machine began to run, by the clock that can be set: changes only when that clock is set.
    pub fn began(self) -> Time {
        self.at.minus(self.up)
    }
}

/// Measures how long something takes, by a clock that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// How long since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
