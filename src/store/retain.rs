//! How long rows are kept, and which of them leave.
//!
//! Numbers of events are in the order of time, so an age is a number: what lies below it is older. A round for an age
//! looks only at what has crossed it since the last round, whatever survives below it because its type is kept longer.

use std::collections::BTreeSet;
use std::time::Duration;

use super::StoreError;
use super::archive::Old;
use super::audit;
use super::change::RowKind;
use super::event::{self, KindFilter};
use super::reader::Reader;
use super::tables::{AUDIT, EVENTS};
use hal_base::clock::Time;

/// Rows looked at in one look at the store: some 20 ms.
const LOOKED_AT: usize = 20_000;

/// Bytes of rows that leave in one look, about: an event may be large.
const LOOK_BYTES: usize = 8 * 1024 * 1024;

/// How long rows are kept; `None`: for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events of types that have no rule of their own.
    pub events: Option<Duration>,
    /// Events of some types.
    pub types: Types,
    /// Audit records.
    pub audit: Option<Duration>,
    /// Whether they are archived before they are deleted.
    pub archive: bool,
    /// Bytes that the store and its mirror may keep; beyond it the oldest events leave before their time.
    pub max_size: Option<u64>,
}

impl Default for Retention {
    /// Nothing leaves unless somebody says so.
    fn default() -> Self {
        Self { events: None, types: Types::default(), audit: None, archive: true, max_size: None }
    }
}

impl Retention {
    /// How long events of a type are kept.
    pub fn of(&self, kind: &str) -> Option<Duration> {
        self.types.of(kind).or(self.events)
    }

    /// All ages at which events leave, the youngest first.
    pub fn ages(&self) -> Vec<Duration> {
        let all: BTreeSet<Duration> = self.types.0.iter().map(|(_, keep)| *keep).chain(self.events).collect();
        all.into_iter().collect()
    }
}

/// Rules for types of events: the longest one that matches counts, and a whole name before all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types(Vec<(KindFilter, Duration)>);

impl Types {
    /// From what was configured: `message.part.updated`, `session.*`.
    pub fn new(rules: impl IntoIterator<Item = (String, Duration)>) -> Self {
        let mut rules: Vec<_> = rules.into_iter().collect();
        rules.sort_by_key(|(name, _)| (name.ends_with('*'), std::cmp::Reverse(name.len())));
        Self(rules.into_iter().map(|(name, keep)| (KindFilter::parse(&name), keep)).collect())
    }

    fn of(&self, kind: &str) -> Option<Duration> {
        self.0.iter().find(|(filter, _)| filter.matches(kind)).map(|(_, keep)| *keep)
    }
}

/// Which rows leave.
#[derive(Clone, Copy)]
pub struct Leaving<'a> {
    /// The table of the rows.
    pub kind: RowKind,
    /// Between these numbers, both included.
    pub span: (u64, u64),
    /// So many at most.
    pub most: usize,
    /// Tells by type and time; audit records have no type.
    pub is_old: &'a dyn Fn(&str, Time) -> bool,
}

/// One look at rows that may leave.
#[derive(Debug, Default)]
pub struct ExpiredRows {
    /// Those that leave, in the order of their numbers.
    pub rows: Vec<Old>,
    /// The last number that was looked at.
    pub last: u64,
    /// True when nothing behind it leaves.
    pub is_over: bool,
}

impl Reader<'_> {
    /// The last number up to which events were stored before a time, all those after `done`; `done` when there is none.
    pub fn last_before(&self, at: Time, done: u64) -> Result<u64, StoreError> {
        let Some((first, last)) = self.event_bounds()? else { return Ok(done) };
        if !self.is_disordered()? {
            return Ok(self.first_at(at, first, last)?.saturating_sub(1).max(done));
        }
        let mut upto = done;
        for entry in self.txn().open_table(EVENTS)?.range(done + 1..)? {
            let (seq, bytes) = entry?;
            if event::view_if(bytes.value(), seq.value(), &|_, stored| stored < at)?.is_none() {
                break;
            }
            upto = seq.value();
        }
        Ok(upto)
    }

    /// Looks at some rows of those that may leave.
    pub fn leaving(&self, leaving: Leaving<'_>) -> Result<ExpiredRows, StoreError> {
        match leaving.kind {
            RowKind::Event => self.events_leaving(leaving),
            _ => self.audit_leaving(leaving),
        }
    }

    fn events_leaving(
        &self,
        Leaving { span, most, is_old, .. }: Leaving<'_>,
    ) -> Result<ExpiredRows, StoreError> {
        let mut look = ExpiredRows { last: span.1, is_over: true, ..ExpiredRows::default() };
        if span.0 > span.1 {
            return Ok(look);
        }
        let mut bytes_taken = 0;
        for (nth, entry) in self.txn().open_table(EVENTS)?.range(span.0..=span.1)?.enumerate() {
            let (seq, bytes) = entry?;
            if let Some(event) = event::view_if(bytes.value(), seq.value(), is_old)? {
                bytes_taken += bytes.value().len();
                look.rows.push(Old::event(&event));
            }
            if nth + 1 == LOOKED_AT || bytes_taken > LOOK_BYTES || look.rows.len() == most {
                (look.last, look.is_over) = (seq.value(), false);
                break;
            }
        }
        Ok(look)
    }

    /// The oldest are at the front: where nothing is old, nothing behind it is, but for what operators moved.
    fn audit_leaving(&self, Leaving { span, is_old, .. }: Leaving<'_>) -> Result<ExpiredRows, StoreError> {
        let mut look = ExpiredRows { last: span.1, is_over: true, ..ExpiredRows::default() };
        for (nth, entry) in self.txn().open_table(AUDIT)?.range(span.0..=span.1)?.enumerate() {
            let (seq, bytes) = entry?;
            let record = audit::open(bytes.value(), seq.value())?;
            if is_old("", record.at) {
                look.rows.push(Old::audit(seq.value(), &record));
            }
            if nth + 1 == LOOKED_AT {
                (look.last, look.is_over) = (seq.value(), look.rows.is_empty());
                break;
            }
        }
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_counts_and_a_whole_name_before_all_others() {
        let day = |days: u64| Duration::from_secs(days * 86_400);
        let rules =
            [("message.*", 5), ("message.part.*", 2), ("message.part.updated", 7), ("session.*", 365)];
        let types = Types::new(rules.map(|(name, days)| (name.to_owned(), day(days))));
        let retention = Retention { events: Some(day(90)), types, ..Retention::default() };
        let kept = |kind| retention.of(kind);
        assert_eq!(kept("message.part.updated"), Some(day(7)));
        assert_eq!(kept("message.part.removed"), Some(day(2)));
        assert_eq!(kept("message.updated"), Some(day(5)));
        assert_eq!((kept("messages"), kept("session")), (Some(day(90)), Some(day(90))));
        assert_eq!(kept("session.idle"), Some(day(365)));
        assert_eq!(retention.ages(), [2, 5, 7, 90, 365].map(day));
    }
}
