//! The rows of events and how pages of them are read.

use std::ops::ControlFlow;

use redb::{ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::StoreError;
use super::reader::Reader;
use super::row::{damaged, seal_as, unseal};
use super::tables::{EVENTS, EVENTS_BY_SESSION};
use super::tail::Tail;
use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_protocol::node::{NodeId, ProjectName};

const TABLE: &str = "events";
const VERSION: u8 = 1;

/// Bytes of data on a page, unless a single event has more: whoever reads slowly holds one page in memory.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Version 1, borrowed from the stored bytes so that a scan copies nothing.
#[derive(Serialize, Deserialize)]
struct EventRow<'a> {
    timestamp: i64,
    occurred_at: i64,
    node_seq: u64,
    node_id: &'a str,
    session_id: &'a str,
    project: &'a str,
    kind: &'a str,
    id: &'a str,
    data: &'a str,
}

/// Seals an event for its table.
pub(super) fn seal(event: &EventView) -> Vec<u8> {
    seal_as(
        TABLE,
        VERSION,
        &event.seq,
        &EventRow {
            timestamp: event.timestamp.0,
            occurred_at: event.occurred_at.0,
            node_seq: event.node_seq,
            node_id: event.node_id.as_str(),
            session_id: &event.session_id,
            project: &event.project,
            kind: &event.kind,
            id: &event.id,
            data: event.data.get(),
        },
    )
}

fn open(bytes: &[u8], seq: u64) -> Result<EventRow<'_>, StoreError> {
    let (version, body) = unseal(TABLE, &seq, bytes)?;
    if version != VERSION {
        return Err(damaged(TABLE, &seq, format!("its version {version} is not known")));
    }
    postcard::from_bytes(body).map_err(|error| damaged(TABLE, &seq, error.to_string()))
}

/// The session of a stored event; empty when it has none.
pub(super) fn session_of(bytes: &[u8], seq: u64) -> Result<String, StoreError> {
    open(bytes, seq).map(|row| row.session_id.to_owned())
}

/// The identity of a stored event.
pub(super) fn id_of(bytes: &[u8], seq: u64) -> Result<&str, StoreError> {
    open(bytes, seq).map(|row| row.id)
}

/// A stored event.
pub(super) fn view(bytes: &[u8], seq: u64) -> Result<EventView, StoreError> {
    open(bytes, seq)?.view(seq)
}

/// A stored event, if its type and time are such.
pub(super) fn view_if(
    bytes: &[u8],
    seq: u64,
    is_such: &dyn Fn(&str, Time) -> bool,
) -> Result<Option<EventView>, StoreError> {
    let row = open(bytes, seq)?;
    is_such(row.kind, Time(row.timestamp)).then(|| row.view(seq)).transpose()
}

impl EventRow<'_> {
    fn view(&self, seq: u64) -> Result<EventView, StoreError> {
        let data = RawValue::from_string(self.data.to_owned())
            .map_err(|error| damaged(TABLE, &seq, format!("its data is not JSON: {error}")))?;
        Ok(EventView {
            seq,
            id: self.id.to_owned(),
            kind: self.kind.to_owned(),
            session_id: self.session_id.to_owned(),
            node_id: NodeId::new(self.node_id),
            project: self.project.to_owned(),
            data,
            timestamp: Time(self.timestamp),
            occurred_at: Time(self.occurred_at),
            node_seq: self.node_seq,
        })
    }
}

/// Which types of events: a whole type, or all that begin like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Exactly this.
    Is(String),
    /// `session.*`: all that begin with `session.`.
    Begins(String),
}

impl KindFilter {
    /// Reads one word of a filter.
    pub fn parse(word: &str) -> Self {
        match word.strip_suffix('*') {
            Some(start) => Self::Begins(start.to_owned()),
            None => Self::Is(word.to_owned()),
        }
    }

    pub(super) fn matches(&self, kind: &str) -> bool {
        match self {
            Self::Is(word) => word == kind,
            Self::Begins(start) => kind.starts_with(start.as_str()),
        }
    }
}

/// Oldest or newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventOrder {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this session: its name and its number.
    pub session: Option<(String, u32)>,
    /// Of this node.
    pub node_id: Option<NodeId>,
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of one of these types; empty: of any.
    pub kinds: Vec<KindFilter>,
    /// Stored at or after.
    pub since: Option<Time>,
    /// Stored before.
    pub until: Option<Time>,
}

impl EventFilter {
    fn matches(&self, row: &EventRow<'_>) -> bool {
        // Ranges are by time already, unless an operator has moved events in time.
        self.since.is_none_or(|since| row.timestamp >= since.0)
            && self.until.is_none_or(|until| row.timestamp < until.0)
            && self.session.as_ref().is_none_or(|(id, _)| id == row.session_id)
            && self.node_id.as_ref().is_none_or(|id| id.as_str() == row.node_id)
            && self.project.as_ref().is_none_or(|project| project.as_str() == row.project)
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(row.kind)))
    }

    /// True when the rows need not be read to know that they match, but for their session.
    fn is_range_only(&self) -> bool {
        self.node_id.is_none() && self.project.is_none() && self.kinds.is_empty()
    }
}

/// Which page of which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Which events.
    pub filter: EventFilter,
    /// Oldest or newest first.
    pub order: EventOrder,
    /// Go on after this one, in the order asked for.
    pub after: Option<u64>,
    /// At most so many; fewer when they are large.
    pub limit: usize,
    /// Also count all that match.
    pub count: bool,
}

/// A page of events.
#[derive(Debug, Default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventView>,
    /// True when there may be more behind the last one.
    pub more: bool,
    /// All that match; only when asked for.
    pub total: Option<u64>,
}

impl Reader<'_> {
    /// The first and the last sequence number that are there; `None` when there is no event.
    pub fn event_bounds(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let table = self.txn().open_table(EVENTS)?;
        let first = table.first()?.map(|(seq, _)| seq.value());
        let last = table.last()?.map(|(seq, _)| seq.value());
        Ok(first.zip(last))
    }

    /// A page of events. `tail` is the view's, from before this reader was made.
    pub fn events(&self, query: &EventQuery, tail: &Tail) -> Result<EventPage, StoreError> {
        let mut page = EventPage::default();
        let Some((low, high)) = self.range(&query.filter)? else {
            page.total = query.count.then_some(0);
            return Ok(page);
        };
        let (from, to) = match (query.order, query.after) {
            (_, None) => (low, high),
            (EventOrder::Ascending, Some(after)) => (low.max(after.saturating_add(1)), high),
            (EventOrder::Descending, Some(after)) => (low, high.min(after.saturating_sub(1))),
        };
        let mut bytes = 0;
        self.visit(&query.filter, (from, to), query.order, tail, |seq, row| {
            bytes += row.data.len();
            if page.events.len() == query.limit || (bytes > PAGE_BYTES && !page.events.is_empty()) {
                page.more = true;
                return Ok(ControlFlow::Break(()));
            }
            page.events.push(row.view(seq)?);
            Ok(ControlFlow::Continue(()))
        })?;
        if query.count {
            page.total = Some(self.count(&query.filter, (low, high), tail)?);
        }
        Ok(page)
    }

    /// How many match.
    fn count(&self, filter: &EventFilter, range: (u64, u64), tail: &Tail) -> Result<u64, StoreError> {
        let mut total = 0;
        let is_ranged = filter.since.is_some() || filter.until.is_some();
        if filter.is_range_only() && !(is_ranged && self.is_disordered()?) {
            if let Some((_, no)) = filter.session {
                // Whoever deletes an event takes its entry out of the index.
                self.visit_session(no, range, EventOrder::Ascending, tail, |_| {
                    total += 1;
                    Ok(ControlFlow::Continue(()))
                })?;
                return Ok(total);
            }
            let rows = self.txn().open_table(EVENTS)?.len()?;
            let whole = self.event_bounds()?;
            if whole == Some(range) {
                return Ok(rows);
            }
            if whole.is_some_and(|(first, last)| last - first + 1 == rows) {
                return Ok(range.1 - range.0 + 1);
            }
        }
        self.visit(filter, range, EventOrder::Ascending, tail, |_, _| {
            total += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(total)
    }

    /// Shows every matching event of a range to `see`, in order, until it breaks.
    fn visit(
        &self,
        filter: &EventFilter,
        (from, to): (u64, u64),
        order: EventOrder,
        tail: &Tail,
        mut see: impl FnMut(u64, &EventRow<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        if from > to {
            return Ok(());
        }
        let table = self.txn().open_table(EVENTS)?;
        let mut look = |seq: u64, bytes: &[u8]| {
            let row = open(bytes, seq)?;
            if filter.matches(&row) { see(seq, &row) } else { Ok(ControlFlow::Continue(())) }
        };
        if let Some((_, no)) = filter.session {
            return self.visit_session(no, (from, to), order, tail, |seq| match table.get(seq)? {
                Some(bytes) => look(seq, bytes.value()),
                None => Ok(ControlFlow::Continue(())),
            });
        }
        let mut rows = table.range(from..=to)?;
        while let Some(entry) = if order == EventOrder::Ascending { rows.next() } else { rows.next_back() } {
            let (seq, bytes) = entry?;
            if look(seq.value(), bytes.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Shows the sequence numbers of a session's events: those in the index, then those still in the tail.
    fn visit_session(
        &self,
        no: u32,
        (from, to): (u64, u64),
        order: EventOrder,
        tail: &Tail,
        mut see: impl FnMut(u64) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let index = self.txn().open_table(EVENTS_BY_SESSION)?;
        let merged = index.range((no, from)..=(no, to))?.map(|entry| Ok(entry?.0.value().1));
        let fresh =
            tail.of(no, self.index_watermark()?).into_iter().filter(|seq| (from..=to).contains(seq)).map(Ok);
        let mut walk = |seqs: &mut dyn Iterator<Item = Result<u64, StoreError>>| {
            for seq in seqs {
                if see(seq?)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        };
        let _ = match order {
            EventOrder::Ascending => walk(&mut merged.chain(fresh))?,
            EventOrder::Descending => walk(&mut fresh.rev().chain(merged.rev()))?,
        };
        Ok(())
    }

    /// The sequence numbers between which a filter's times lie; `None` when no event can match.
    fn range(&self, filter: &EventFilter) -> Result<Option<(u64, u64)>, StoreError> {
        let Some((first, last)) = self.event_bounds()? else { return Ok(None) };
        if self.is_disordered()? {
            return Ok(Some((first, last)));
        }
        let low = match filter.since {
            Some(since) => self.first_at(since, first, last)?,
            None => first,
        };
        let high = match filter.until {
            Some(until) => self.first_at(until, first, last)? - 1,
            None => last,
        };
        Ok((low <= high).then_some((low, high)))
    }

    /// True once an operator has moved an event in time, so that numbers are not in the order of time everywhere.
    pub fn is_disordered(&self) -> Result<bool, StoreError> {
        Ok(self.meta("disordered")? != 0)
    }

    /// The first number stored at or after a time; `last + 1` when there is none. Numbers are in the order of time.
    pub(super) fn first_at(&self, at: Time, first: u64, last: u64) -> Result<u64, StoreError> {
        let table = self.txn().open_table(EVENTS)?;
        let (mut low, mut high) = (first, last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            // Where rows were deleted the next one above speaks for the hole.
            let Some(entry) = table.range(middle..=last)?.next() else {
                high = middle;
                continue;
            };
            let (seq, bytes) = entry?;
            if open(bytes.value(), seq.value())?.timestamp < at.0 {
                low = seq.value() + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }
}
