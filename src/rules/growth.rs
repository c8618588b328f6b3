//! How what is kept grows, and when there is no more room for it if it goes on like that.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use hal_base::clock::Time;
use hal_protocol::alert::Severity;

use super::watch::{WatchFinding, WatchLimits};

const DAY: Duration = Duration::from_secs(86_400);

/// Between two samples that are remembered, at least.
const STEP: Duration = Duration::from_secs(3_600);

/// The rate is that of the last day, or of the last two weeks, whichever is higher: what has begun today counts today,
/// and what comes once a week counts, too.
const SPANS: [Duration; 2] = [DAY, Duration::from_secs(14 * 86_400)];

/// Two weeks of samples, and the one that comes.
const MOST: usize = 14 * 24 + 2;

/// A rate that was seen for a shorter time is none: a backup that was just made does not go on.
const LEAST: Duration = Duration::from_secs(6 * 3_600);

/// What lies further ahead than five years is not foreseen.
const FAR: Duration = Duration::from_secs(5 * 366 * 86_400);

/// Further ahead than this a day is said with its year.
const WITHOUT_YEAR: Duration = Duration::from_secs(300 * 86_400);

/// From here on what `retention.max_size` bounds has reached it: it grows no more, the oldest events leave.
const REACHED_PERCENT: u64 = 98;

/// How much was used, at times: some hundred samples of the last two weeks, oldest first. Bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Growth(VecDeque<(Time, u64)>);

impl Growth {
    /// So many bytes are used. True when that is remembered, once an hour. What is of a time that is yet to come was
    /// seen while the clock was wrong, and is forgotten.
    pub fn see(&mut self, now: Time, used: u64) -> bool {
        let oldest = SPANS[1] + STEP;
        self.0.retain(|(at, _)| *at <= now && now.since(*at) <= oldest);
        if self.0.back().is_some_and(|(last, _)| now.since(*last) < STEP) {
            return false;
        }
        self.0.push_back((now, used));
        while self.0.len() > MOST {
            self.0.pop_front();
        }
        true
    }

    /// Bytes that come in a day, less what leaves; `None`: it was not seen for long enough.
    pub fn per_day(&self, now: Time, used: u64) -> Option<i64> {
        let of = |span: Duration| {
            let is_within = |(at, _): &&(Time, u64)| *at <= now && now.since(*at) <= span;
            let (at, then) = self.0.iter().find(is_within)?;
            let elapsed = now.since(*at);
            let days = elapsed.as_secs_f64() / DAY.as_secs_f64();
            // A number that is too large for the type stays at its end.
            (elapsed >= LEAST).then(|| ((used as f64 - *then as f64) / days) as i64)
        };
        SPANS.into_iter().filter_map(of).max()
    }
}

/// What is bounded: a file system, or what `retention.max_size` speaks of. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Which.
    pub kind: SpaceKind,
    /// What is used of it.
    pub used: u64,
    /// What there is.
    pub limit: u64,
    /// What comes in a day, less what leaves; `None`: not known yet.
    pub per_day: Option<i64>,
}

/// Which of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpaceKind {
    /// The file system of the folder with the data.
    Disk(String),
    /// `retention.max_size`.
    Bound,
}

impl Space {
    /// Percent in use; nothing is in use of what has no size.
    pub fn percent(&self) -> u64 {
        let percent = u128::from(self.used) * 100 / u128::from(self.limit.max(1));
        if self.limit == 0 { 0 } else { u64::try_from(percent).unwrap_or(u64::MAX) }
    }

    /// When all of it is in use at the present rate; `None`: that is not in sight.
    pub fn full_at(&self, now: Time) -> Option<Time> {
        let per_day = self.per_day.filter(|rate| *rate > 0)? as f64;
        let days = self.limit.saturating_sub(self.used) as f64 / per_day;
        (days * DAY.as_secs_f64() < FAR.as_secs_f64()).then(|| now.plus(DAY.mul_f64(days)))
    }

    fn is_reached(&self) -> bool {
        self.kind == SpaceKind::Bound && self.percent() >= REACHED_PERCENT
    }

    /// What is said of it.
    fn sentence(&self, now: Time) -> String {
        let (percent, at) = (self.percent(), self.full_at(now).map(|at| day(at, now)));
        let rate =
            self.per_day.map(|rate| format!("{} a day", size(rate.unsigned_abs()))).unwrap_or_default();
        let unseen = match self.per_day {
            None => "; how fast it fills is known after some hours: halctl store status",
            Some(_) => "; at the present rate it will not be full for years",
        };
        match (&self.kind, at) {
            (SpaceKind::Disk(folder), Some(at)) => format!(
                "the file system of {folder} is {percent} % full, and full on {at} at this rate ({rate}): free some \
                 space, or keep less (retention, backup.keep)"
            ),
            (SpaceKind::Disk(folder), None) => {
                format!("the file system of {folder} is {percent} % full{unseen}")
            }
            (SpaceKind::Bound, Some(at)) => format!(
                "the store and its mirror hold {percent} % of retention.max_size, and all of it on {at} at this rate \
                 ({rate}): from then on the oldest events are moved to the archive"
            ),
            (SpaceKind::Bound, None) => {
                format!("the store and its mirror hold {percent} % of retention.max_size{unseen}")
            }
        }
    }
}

impl WatchLimits {
    /// Whether one of these is full soon, or much of it is in use. What is said already stays so until it is clearly
    /// over. `None`: nobody can say, since nothing was seen for long enough.
    pub fn filling(&self, spaces: &[Space], is_said: bool, now: Time) -> Option<WatchFinding> {
        let slack = |percent: u64| if is_said { percent.saturating_sub(2) } else { percent };
        let within = if is_said { self.full_within + self.full_within / 4 } else { self.full_within };
        let spaces: Vec<&Space> = spaces.iter().filter(|space| !space.is_reached()).collect();
        // What is full first keeps the other from growing, or is worse.
        let first = spaces.iter().filter_map(|space| space.full_at(now)).min();
        let finding = |space: &&Space| {
            let at = space.full_at(now);
            let is_soon = at.is_some_and(|at| Some(at) == first && at.since(now) < within);
            let is_much = space.percent() >= slack(self.disk_used_percent);
            let is_disk = space.kind != SpaceKind::Bound;
            let severity = if is_soon && is_disk { Severity::High } else { Severity::Medium };
            (is_soon || is_much).then(|| (severity, at.unwrap_or(Time::LAST), space.sentence(now)))
        };
        let worst = spaces
            .iter()
            .filter_map(finding)
            .min_by_key(|(severity, at, _)| (std::cmp::Reverse(*severity), *at));
        let is_known = spaces.iter().all(|space| space.per_day.is_some());
        match worst {
            Some((severity, _, text)) => Some(Some((severity, text))),
            None => is_known.then_some(None),
        }
    }
}

/// `14 December`, in UTC; with the year when that is far away.
fn day(at: Time, now: Time) -> String {
    let Ok(stamp) = Timestamp::from_millisecond(at.0) else { return at.to_string() };
    let format = if at.since(now) < WITHOUT_YEAR { "%-d %B" } else { "%-d %B %Y" };
    stamp.to_zoned(TimeZone::UTC).strftime(format).to_string()
}

fn size(bytes: u64) -> String {
    let (mib, gib) = (bytes as f64 / 1_048_576.0, bytes as f64 / 1_073_741_824.0);
    if gib >= 1.0 { format!("{gib:.1} GiB") } else { format!("{mib:.1} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const HOUR: i64 = 3_600_000;

    /// 2026-12-01T00:00:00Z.
    const START: Time = Time(1_796_083_200_000);

    fn hours(many: i64) -> Time {
        Time(START.0 + many * HOUR)
    }

    /// What was seen in so many hours.
    fn seen(many: i64, used: impl Fn(i64) -> u64) -> Growth {
        let mut growth = Growth::default();
        for hour in 0..=many {
            growth.see(hours(hour), used(hour));
        }
        growth
    }

    fn disk(used: u64, limit: u64, per_day: Option<i64>) -> Space {
        Space { kind: SpaceKind::Disk("/data".into()), used, limit, per_day }
    }

    fn bound(used: u64, limit: u64, per_day: Option<i64>) -> Space {
        Space { kind: SpaceKind::Bound, used, limit, per_day }
    }

    #[test]
    fn the_rate_is_what_has_come_over_time() {
        let growth = seen(48, |hour| GIB * hour as u64);
        assert_eq!(growth.per_day(hours(48), 48 * GIB), Some(24 * GIB as i64));
        assert_eq!(Growth::default().per_day(START, GIB), None);
        assert_eq!(seen(5, |hour| hour as u64).per_day(hours(5), 5), None, "too short a time");
        assert!(seen(6, |hour| hour as u64).per_day(hours(6), 6).is_some());
        // What has begun today counts today; what came in a week counts, though nothing came today.
        let late = seen(14 * 24, |hour| if hour > 312 { GIB * (hour as u64 - 312) } else { 0 });
        assert_eq!(late.per_day(hours(336), 24 * GIB), Some(24 * GIB as i64));
        let early = seen(14 * 24, |hour| GIB * (hour as u64).min(168));
        assert_eq!(early.per_day(hours(336), 168 * GIB), Some(12 * GIB as i64));
    }

    #[test]
    fn what_shrinks_or_goes_up_and_down_is_never_full() {
        let shrinking = seen(48, |hour| GIB * (100 - hour as u64));
        let per_day = shrinking.per_day(hours(48), 52 * GIB);
        assert!(per_day < Some(0), "{per_day:?}");
        assert_eq!(disk(52 * GIB, 100 * GIB, per_day).full_at(hours(48)), None);
        let saw = seen(336, |hour| GIB * (hour as u64 % 24));
        assert_eq!(saw.per_day(hours(336), 0), Some(0));
        assert_eq!(disk(u64::MAX, 1, Some(1)).full_at(START), Some(START), "it is full");
        assert_eq!(disk(0, u64::MAX, Some(1)).full_at(START), None, "not in sight");
        assert_eq!(disk(0, 0, Some(i64::MAX)).percent(), 0);
    }

    #[test]
    fn a_clock_that_is_set_gives_no_nonsense_and_memory_is_bounded() {
        let mut growth = seen(48, |hour| GIB * hour as u64);
        // Set to 1970, and right again: what was seen there is forgotten.
        assert!(growth.see(Time(5), 48 * GIB));
        assert_eq!(growth.per_day(Time(5), 48 * GIB), None);
        assert!(growth.see(hours(49), 49 * GIB));
        assert_eq!((growth.0.len(), growth.per_day(hours(49), 49 * GIB)), (1, None));
        // Set forward by a year, and back.
        let mut growth = seen(48, |hour| GIB * hour as u64);
        let ahead = hours(48 + 366 * 24);
        assert!(growth.see(ahead, 48 * GIB) && growth.per_day(ahead, 48 * GIB).is_none());
        assert!(growth.see(hours(49), 49 * GIB) && growth.0.len() == 1);
        // Set back by an hour: the rate is about what it was.
        let mut growth = seen(48, |hour| GIB * hour as u64);
        growth.see(hours(47), 48 * GIB);
        let per_day = growth.per_day(hours(47), 48 * GIB).unwrap();
        assert!((24 * GIB as i64..26 * GIB as i64).contains(&per_day), "{per_day}");
        assert_eq!(seen(10_000, |hour| hour as u64).0.len(), MOST);
        assert!(!seen(1, |_| 0).see(Time(hours(1).0 + 5), 7), "once an hour");
        for at in [Time(i64::MIN), Time::FIRST, Time::LAST, Time(i64::MAX)] {
            let mut growth = seen(8, |_| u64::MAX);
            growth.see(at, 0);
            let _any = growth.per_day(at, u64::MAX);
        }
    }

    #[test]
    fn what_is_full_first_is_said_with_its_day() {
        let limits = WatchLimits::default();
        let said = |spaces: &[Space]| limits.filling(spaces, false, START);
        let gib = |many: u64| i64::try_from(many * GIB).unwrap();
        let full = said(&[disk(87 * GIB, 100 * GIB, Some(gib(1)))]).unwrap().unwrap();
        assert_eq!(full.0, Severity::Medium, "13 days are not soon");
        assert!(
            full.1.contains("87 % full, and full on 14 December at this rate (1.0 GiB a day)"),
            "{}",
            full.1
        );
        let soon = said(&[disk(50 * GIB, 100 * GIB, Some(gib(10)))]).unwrap().unwrap();
        assert_eq!(soon.0, Severity::High);
        assert!(soon.1.contains("50 % full, and full on 6 December"), "{}", soon.1);
        let far = said(&[disk(80 * GIB, 1000 * GIB, Some(gib(2)))]);
        assert_eq!(far, Some(None));
        let still = said(&[disk(80 * GIB, 100 * GIB, Some(0))]).unwrap().unwrap();
        assert!(still.0 == Severity::Medium && still.1.contains("not be full for years"), "{}", still.1);
        let unknown = said(&[disk(80 * GIB, 100 * GIB, None)]).unwrap().unwrap();
        assert!(unknown.1.contains("known after some hours"), "{}", unknown.1);
        assert_eq!(said(&[disk(79 * GIB, 100 * GIB, None)]), None, "nobody can say");

        // The store comes to its bound before the disk is full, and does not grow beyond it.
        let both = [disk(40 * GIB, 100 * GIB, Some(gib(10))), bound(10 * GIB, 50 * GIB, Some(gib(9)))];
        let first = said(&both).unwrap().unwrap();
        assert!(
            first.0 == Severity::Medium && first.1.contains("max_size, and all of it on 5 December"),
            "{}",
            first.1
        );
        let reached = [disk(40 * GIB, 100 * GIB, Some(0)), bound(49 * GIB, 50 * GIB, Some(gib(9)))];
        assert_eq!(said(&reached), Some(None), "that the oldest leave is said by retention.size");
        let next_year = said(&[disk(900 * GIB, 1000 * GIB, Some(gib(100) / 366))]).unwrap().unwrap();
        assert!(next_year.1.contains("2 December 2027"), "{}", next_year.1);
    }

    #[test]
    fn what_is_said_is_not_over_at_the_same_line() {
        let limits = WatchLimits::default();
        let much = [disk(79 * GIB, 100 * GIB, Some(0))];
        assert_eq!(limits.filling(&much, false, START), Some(None));
        assert!(limits.filling(&much, true, START).unwrap().is_some());
        let soon = [disk(20 * GIB, 100 * GIB, Some(10 * GIB as i64))];
        assert_eq!(limits.filling(&soon, false, START), Some(None), "8 days");
        assert!(limits.filling(&soon, true, START).unwrap().is_some());
        assert_eq!(limits.filling(&[disk(77 * GIB, 100 * GIB, Some(0))], true, START), Some(None));
    }
}
