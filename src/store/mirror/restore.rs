//! Restores what a quarantined store holds and the present one lacks, in portions.
//!
//! A row comes back as it was, but for three kinds. A node that is not known any more comes back without where its
//! events stood, so that it says all it still holds again. A command that had not ended comes back as `unknown`: it is
//! not done again. Of costs comes back what is missing of a session's sum over all days: where a node has told its
//! events again, they count for another day.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::compare::{Comparison, Identity, Lacking, Selection, time_of};
use super::quarantine::Source;
use super::salvage::fields_of;
use crate::audit::{self, AuditRecord};
use crate::change::RowKind;
use crate::command::{CommandRow, KeyRecord, scoped_key};
use crate::cost::CostRecord;
use crate::node::{NodeRecord, NodeRow};
use crate::reader::Reader;
use crate::session::{SessionRecord, SessionRow};
use crate::sqlite::schema::Table;
use crate::sqlite::sql_row::{self, Fields};
use crate::tables::{AUDIT, COSTS, EVENTS};
use crate::{StoreError, event, row};
use hal_protocol::command::{Command, CommandState};
use hal_protocol::event::EventView;
use hal_protocol::node::NodeId;

/// Rows brought back in one transaction, and bytes of them, about: ingest waits for it, some 30 ms.
const PORTION: (usize, usize) = (500, 1024 * 1024);

/// Rows that come back in one transaction.
#[derive(Debug, Default)]
pub struct Portion {
    /// Nodes that are not known.
    pub nodes: Vec<NodeRecord>,
    /// Sessions that are not known, or only as they were earlier.
    pub sessions: Vec<SessionRecord>,
    /// Events. One that the store has been told after `seen` is not to come twice.
    pub events: Vec<EventView>,
    /// The last event of the present store that was looked at.
    pub seen: u64,
    /// Commands.
    pub commands: Vec<Command>,
    /// Their idempotency keys.
    pub keys: Vec<(String, KeyRecord)>,
    /// What is to be added to costs.
    pub costs: Vec<CostRecord>,
    /// Audit records.
    pub audit: Vec<AuditRecord>,
    /// Counts the events that came meanwhile.
    pub came: Arc<AtomicU64>,
    /// Bytes of them, about.
    pub bytes: usize,
}

impl Portion {
    /// How many rows of each table.
    pub fn counts(&self) -> [(RowKind, usize); 6] {
        [
            (RowKind::Event, self.events.len()),
            (RowKind::Session, self.sessions.len()),
            (RowKind::Node, self.nodes.len()),
            (RowKind::Cost, self.costs.len()),
            (RowKind::Audit, self.audit.len()),
            (RowKind::Command, self.commands.len()),
        ]
    }

    fn rows(&self) -> usize {
        self.counts().iter().map(|(_, rows)| rows).sum()
    }
}

/// Makes portions of what is selected and lacking, and hands them over.
pub struct Restorer<'a> {
    comparison: Comparison<'a>,
    selection: &'a Selection,
    hand_over: &'a mut dyn FnMut(Portion) -> Result<(), StoreError>,
    portion: Portion,
    /// Sessions that a portion has held: their events bring them along.
    sessions: HashSet<String>,
}

/// Hands over what is selected and lacking.
pub fn restore<'a>(
    comparison: Comparison<'a>,
    selection: &'a Selection,
    hand_over: &'a mut dyn FnMut(Portion) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let portion = Portion::default();
    let mut bringer = Restorer { comparison, selection, hand_over, portion, sessions: HashSet::new() };
    // What others refer to comes first.
    for kind in
        [RowKind::Node, RowKind::Session, RowKind::Event, RowKind::Cost, RowKind::Command, RowKind::Audit]
    {
        if selection.takes_table(kind) {
            match kind {
                RowKind::Event | RowKind::Audit => bringer.numbered(kind)?,
                RowKind::Cost => bringer.costs()?,
                kind => bringer.named(kind)?,
            }
        }
    }
    bringer.send()
}

impl Restorer<'_> {
    fn send(&mut self) -> Result<(), StoreError> {
        if self.portion.rows() == 0 {
            return Ok(());
        }
        (self.hand_over)(std::mem::take(&mut self.portion))
    }

    fn send_when_full(&mut self) -> Result<(), StoreError> {
        match self.portion.rows() >= PORTION.0 || self.portion.bytes >= PORTION.1 {
            true => self.send(),
            false => Ok(()),
        }
    }

    /// Names and what is said under them.
    fn differing(&mut self, kind: RowKind) -> Result<Vec<(String, Option<Fields>)>, StoreError> {
        let (selection, mut found) = (self.selection, Vec::new());
        self.comparison.named(kind, &mut |name, said, known| {
            let is_newer = known.as_ref().is_none_or(|known| time_of(kind, &said) > time_of(kind, known));
            // Costs have no time of their own: more is newer.
            if (is_newer || kind == RowKind::Cost) && selection.takes(kind, name, &said) {
                found.push((name.to_owned(), known));
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn named(&mut self, kind: RowKind) -> Result<(), StoreError> {
        for (name, known) in self.differing(kind)? {
            let there = self.comparison.there;
            let Some(fields) = fields_of(&there.look()?, Table::of(kind), &name)? else { continue };
            match kind {
                // Where a known node's events stand is between it and the supervisor.
                RowKind::Node if known.is_some() => {}
                RowKind::Node => self.portion.nodes.extend(node(&name, fields)),
                RowKind::Session => self.session(&name, fields),
                _ => self.command(&name, fields, known.as_ref())?,
            }
            self.send_when_full()?;
        }
        Ok(())
    }

    fn session(&mut self, name: &str, fields: Fields) {
        let row = sql_row::row::<SessionRow>(fields);
        self.portion.sessions.extend(row.map(|row| row.into_record(name)));
        self.sessions.insert(name.to_owned());
    }

    fn command(&mut self, id: &str, fields: Fields, known: Option<&Fields>) -> Result<(), StoreError> {
        let row = sql_row::row::<CommandRow>(fields).map_err(StoreError::Refused)?;
        let mut command = row.into_command(id)?;
        if !command.state.is_final() {
            if known.is_some() {
                return Ok(());
            }
            command.state = CommandState::Unknown;
            command.error =
                Some("it had not ended when its store was set aside; check before you retry".into());
        }
        if let Some(key) = &command.idempotency_key {
            let scoped = scoped_key(&command.actor, key);
            let record = self.comparison.there.look()?.key(&scoped)?;
            if self.comparison.here.look()?.key(&scoped)?.is_none() {
                self.portion.keys.extend(record.map(|record| (scoped, record)));
            }
        }
        self.portion.commands.push(command);
        Ok(())
    }

    /// What is missing of a session's sums, on the days of which something is missing.
    fn costs(&mut self) -> Result<(), StoreError> {
        let mut missing: BTreeMap<String, i128> = BTreeMap::new();
        let differing = self.differing(RowKind::Cost)?;
        for (key, _) in &differing {
            missing.insert(dateless(key).to_owned(), 0);
        }
        let (there, here) = (self.comparison.there, self.comparison.here);
        sum_costs(there, &mut |key, cost| {
            missing.entry(dateless(key).into()).and_modify(|sum| *sum += total(cost));
        })?;
        sum_costs(here, &mut |key, cost| {
            missing.entry(dateless(key).into()).and_modify(|sum| *sum -= total(cost));
        })?;
        for (key, _) in differing {
            let Some(sum) = missing.get_mut(dateless(&key)).filter(|sum| **sum > 0) else { continue };
            let Some(more) = more_there(&there.look()?, &here.look()?, &key)? else { continue };
            *sum -= total(&more);
            self.portion.costs.push(more);
            self.send_when_full()?;
        }
        Ok(())
    }

    fn numbered(&mut self, kind: RowKind) -> Result<(), StoreError> {
        let Self { comparison, selection, hand_over, portion, sessions } = self;
        let Comparison { there, here, progress, .. } = *comparison;
        // The comparison is lent out while it shows what is lacking.
        let mut events = Restorer {
            comparison: Comparison::of(there, here, progress),
            selection,
            hand_over: &mut **hand_over,
            portion: std::mem::take(portion),
            sessions: std::mem::take(sessions),
        };
        comparison.numbered(
            kind,
            &mut |found| match kind {
                RowKind::Audit => events.audit(found),
                _ => events.events(found),
            },
            &mut |_, _| Ok(()),
        )?;
        events.send()
    }

    fn audit(&mut self, found: &Lacking) -> Result<(), StoreError> {
        for seq in found.numbers() {
            let look = self.comparison.there.look()?;
            let Some(bytes) = look.txn().open_table(AUDIT)?.get(seq)?.map(|row| row.value().to_vec()) else {
                continue;
            };
            let record = audit::open(&bytes, seq)?;
            if self.selection.takes(RowKind::Audit, &seq.to_string(), &sql_row::fields(&record)) {
                self.portion.bytes += bytes.len();
                self.portion.audit.push(record);
                self.send_when_full()?;
            }
        }
        Ok(())
    }

    fn events(&mut self, found: &mut Lacking) -> Result<(), StoreError> {
        let owners: BTreeMap<u64, Identity> =
            found.rows.iter().map(|(identity, seq)| (*seq, *identity)).collect();
        self.comparison.progress.expect_more(owners.len() as u64);
        for (seq, identity) in owners {
            self.comparison.progress.add(1);
            if self.portion.rows() == 0 {
                self.skip_what_is_there(found)?;
            }
            if !found.rows.contains_key(&identity) {
                continue;
            }
            let there = self.comparison.there.look()?;
            let Some(bytes) = there.txn().open_table(EVENTS)?.get(seq)?.map(|row| row.value().to_vec())
            else {
                continue;
            };
            let event = event::view(&bytes, seq)?;
            if self.selection.takes(RowKind::Event, &event.id, &sql_row::event_fields(&event)) {
                self.restore_session(&there, &event.session_id)?;
                self.portion.bytes += bytes.len();
                self.portion.events.push(event);
                self.portion.seen = found.seen;
                self.send_when_full()?;
            }
        }
        self.send()
    }

    /// Nodes may tell again what they still hold while rows come back.
    fn skip_what_is_there(&self, found: &mut Lacking) -> Result<(), StoreError> {
        let (came, last) = self.comparison.here.look()?.identities_after(found.seen)?;
        found.rows.retain(|identity, _| !came.contains(identity));
        found.seen = last;
        Ok(())
    }

    /// Events are found by their session, so it comes with them.
    fn restore_session(&mut self, there: &Reader<'_>, session: &str) -> Result<(), StoreError> {
        if session.is_empty() || !self.sessions.insert(session.to_owned()) {
            return Ok(());
        }
        if self.comparison.here.look()?.session_record(session)?.is_none() {
            self.portion.sessions.extend(there.session_record(session)?);
        }
        Ok(())
    }
}

fn node(name: &str, fields: Fields) -> Option<NodeRecord> {
    let node = sql_row::row::<NodeRow>(fields).ok()?.into_record(name);
    let NodeRecord { hostname, version, address, projects, connected_at, last_heard, .. } = node;
    let blank = NodeRecord::new(NodeId::new(name));
    Some(NodeRecord { hostname, version, address, projects, connected_at, last_heard, ..blank })
}

/// The key of a row of costs but for the day, which comes first.
fn dateless(key: &str) -> &str {
    key.split_once('|').map_or(key, |(_, rest)| rest)
}

fn total(cost: &CostRecord) -> i128 {
    let counts = [cost.picos.unwrap_or(0), cost.equivalent, cost.unpriced, cost.unreported];
    cost.tokens.iter().chain(&counts).map(|count| i128::from(*count)).sum()
}

fn sum_costs(of: &dyn Source, see: &mut dyn FnMut(&str, &CostRecord)) -> Result<(), StoreError> {
    for entry in of.look()?.txn().open_table(COSTS)?.range::<&str>(..)? {
        let (key, bytes) = entry?;
        see(key.value(), &row::open(bytes.value(), key.value())?);
    }
    Ok(())
}

/// What one store has more than the other of a row of costs.
fn more_there(there: &Reader<'_>, here: &Reader<'_>, key: &str) -> Result<Option<CostRecord>, StoreError> {
    let Some(mut more) = there.cost(key)? else { return Ok(None) };
    if let Some(known) = here.cost(key)? {
        let known = known.worth();
        more.set(&more.worth().minus(&known));
    }
    Ok((total(&more) > 0).then_some(more))
}

impl Reader<'_> {
    fn cost(&self, key: &str) -> Result<Option<CostRecord>, StoreError> {
        let table = self.txn().open_table(COSTS)?;
        let Some(bytes) = table.get(key)? else { return Ok(None) };
        row::open(bytes.value(), key).map(Some)
    }

    /// True when an event has this number.
    pub fn has_event(&self, seq: u64) -> Result<bool, StoreError> {
        Ok(self.txn().open_table(EVENTS)?.get(seq)?.is_some())
    }
}
