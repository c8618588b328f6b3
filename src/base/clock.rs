//! The only place that reads the time. Everything else is handed a [`Time`].

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970 in UTC. Printed as RFC 3339.
///
/// Read from outside it is one that a calendar holds, or [`Time::default`], which means that nobody knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// The first moment that RFC 3339 can say.
    pub const FIRST: Time = Time(-62_135_596_800_000);

    /// The last one, at every offset from UTC.
    pub const LAST: Time = Time(253_402_207_199_999);

    /// What somebody else says a moment is, in milliseconds since 1970. One that no calendar holds (microseconds taken
    /// for milliseconds, for example) is none: nobody knows when it was.
    pub fn said(milliseconds: i64) -> Time {
        Some(Time(milliseconds)).filter(|at| at.is_in_calendar()).unwrap_or_default()
    }

    /// True when RFC 3339 can say it.
    pub fn is_in_calendar(self) -> bool {
        (Time::FIRST..=Time::LAST).contains(&self)
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long ago `earlier` was; zero when it is in the future.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment moved forward, to the end of the calendar at most.
    pub fn plus(self, duration: Duration) -> Time {
        let by = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Time(self.0.saturating_add(by)).clamp(Time::FIRST, Time::LAST)
    }

    /// This moment moved back, to the beginning of the calendar at most.
    pub fn minus(self, duration: Duration) -> Time {
        let by = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Time(self.0.saturating_sub(by)).clamp(Time::FIRST, Time::LAST)
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

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Milliseconds;
        impl Visitor<'_> for Milliseconds {
            type Value = Time;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("milliseconds since 1970")
            }

            fn visit_i64<E>(self, said: i64) -> Result<Time, E> {
                Ok(Time::said(said))
            }

            fn visit_u64<E>(self, said: u64) -> Result<Time, E> {
                Ok(Time::said(i64::try_from(said).unwrap_or(i64::MAX)))
            }

            fn visit_f64<E>(self, said: f64) -> Result<Time, E> {
                // What is too large stays at the largest number.
                Ok(Time::said(said as i64))
            }
        }
        if input.is_human_readable() {
            input.deserialize_any(Milliseconds)
        } else {
            input.deserialize_i64(Milliseconds)
        }
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

/// A difference between two readings of [`Reading::began`] that is no correction any more, in milliseconds.
const JUMP_MS: i64 = 1_000;

/// By how many milliseconds the clock was set while `before` became `now`, two moments at which this machine is said to have
/// begun to run; `None` when it was only corrected, which is followed silently.
pub fn jump(before: Time, now: Time) -> Option<i64> {
    Some(now.0.saturating_sub(before.0)).filter(|by| by.saturating_abs() > JUMP_MS)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_calendar_holds_is_a_time_that_nobody_knows() {
        let read = |text: &str| serde_json::from_str::<Time>(text).unwrap();
        assert_eq!(read("1795450273123"), Time(1_795_450_273_123));
        for text in ["1795450273123000", "-9223372036854775808", "18446744073709551615", "1e300"] {
            assert_eq!(read(text), Time::default(), "{text}");
        }
        assert!(serde_json::from_str::<Time>("\"tomorrow\"").is_err());
    }

    #[test]
    fn no_step_leads_out_of_the_calendar() {
        let long = Duration::from_secs(u64::MAX);
        assert_eq!((Time(0).plus(long), Time(0).minus(long)), (Time::LAST, Time::FIRST));
        let little = Duration::from_millis(1);
        for at in [Time(i64::MAX), Time::LAST] {
            assert_eq!(at.plus(little), Time::LAST);
        }
        for at in [Time(i64::MIN), Time::FIRST] {
            assert_eq!(at.minus(little), Time::FIRST);
        }
        assert_eq!(Time(i64::MIN).since(Time(i64::MAX)), Duration::ZERO);
        assert_eq!(Time(i64::MAX).since(Time(i64::MIN)), Duration::from_millis(i64::MAX.unsigned_abs()));
        for end in [Time::FIRST, Time::LAST] {
            assert_eq!(Time::parse(&end.to_string()), Some(end));
        }
    }
}
