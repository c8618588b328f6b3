//! Quiet hours: a part of each day in which nobody is told but of what cannot wait.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use hal_base::clock::Time;
use hal_protocol::alert::Severity;

/// A part of each day.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// Its first moment.
    pub from: civil::Time,
    /// The first moment after it; earlier than `from`: on the next day.
    pub to: civil::Time,
    /// The time zone of both times.
    pub zone: TimeZone,
    /// What matters so much is told nevertheless.
    pub except: Severity,
}

impl Quiet {
    /// The end of the quiet hours, if it is quiet then.
    pub fn until(&self, at: Time) -> Option<Time> {
        let now = Timestamp::from_millisecond(at.0).ok()?.to_zoned(self.zone.clone());
        let time = now.time();
        let is_quiet = match self.from <= self.to {
            true => time >= self.from && time < self.to,
            false => time >= self.from || time < self.to,
        };
        if !is_quiet {
            return None;
        }
        let day = if time < self.to { now.date() } else { now.date().tomorrow().ok()? };
        let end = day.to_datetime(self.to).to_zoned(self.zone.clone()).ok()?;
        let end = Time(end.timestamp().as_millisecond());
        // A day on which the clock is put back may give an end that is past.
        Some(end.max(at.plus(Duration::from_secs(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_night_ends_on_the_next_morning() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let quiet = Quiet {
            from: civil::time(22, 0, 0, 0),
            to: civil::time(7, 0, 0, 0),
            zone,
            except: Severity::Critical,
        };
        let until = |text: &str| quiet.until(Time::parse(text).unwrap()).map(|at| at.to_string());
        assert_eq!(until("2026-11-26T19:59:59Z"), None);
        assert_eq!(until("2026-11-26T20:00:00Z").as_deref(), Some("2026-11-27T05:00:00.000Z"));
        assert_eq!(until("2026-11-27T04:59:59Z").as_deref(), Some("2026-11-27T05:00:00.000Z"));
        assert_eq!(until("2026-11-27T05:00:00Z"), None);
    }
}
