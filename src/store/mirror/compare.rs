//! What one store holds and another lacks, table by table, in small steps and with bounded memory.
//!
//! A row with a name is the same in both under that name. A number says nothing: after a restore the same numbers go
//! to other events, and an event that its node has sent again has another number. So an event is known by its node and
//! its own id, an audit record by its id; one without an id, as an operator may have inserted it, by all it says.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;

use redb::{ReadOnlyTable, TableDefinition};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::quarantine::Source;
use super::salvage::fields_of;
use crate::audit;
use crate::change::RowKind;
use crate::reader::Reader;
use crate::sqlite::schema::Table;
use crate::sqlite::sql_row::Fields;
use crate::tables::{AUDIT, COMMANDS, COSTS, EVENTS, NODES, SESSIONS};
use crate::{StoreError, event};
use hal_base::clock::Time;
use hal_base::progress::Progress;

/// The tables that are compared. What a supervisor keeps for itself, and its alerts, come to each of the two by itself.
pub const COMPARED: [RowKind; 6] =
    [RowKind::Event, RowKind::Session, RowKind::Node, RowKind::Cost, RowKind::Audit, RowKind::Command];

/// Rows looked at in one look, and bytes of them, about.
const STEP: (usize, usize) = (2_000, 2 * 1024 * 1024);

/// Rows looked for elsewhere in one go: some 30 MB. With more the other store is read several times.
const MOST: usize = 500_000;

/// By which a numbered row is known.
pub type Identity = u128;

/// A selection of rows, by table, time and session.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of these tables; empty: of all.
    pub tables: Vec<RowKind>,
    /// Stored at or after.
    pub since: Option<Time>,
    /// Stored before.
    pub until: Option<Time>,
    /// Only rows of this session.
    pub session: Option<String>,
}

impl Selection {
    /// True when rows of this table may match.
    pub fn takes_table(&self, kind: RowKind) -> bool {
        // Nodes are of no session.
        (self.tables.is_empty() || self.tables.contains(&kind))
            && !(self.session.is_some() && kind == RowKind::Node)
    }

    /// True when this row matches.
    pub fn takes(&self, kind: RowKind, key: &str, fields: &Fields) -> bool {
        let of = match kind {
            RowKind::Session => Some(key),
            RowKind::Audit => fields.get("target").and_then(Value::as_str),
            _ => fields.get("session_id").and_then(Value::as_str),
        };
        let at = time_of(kind, fields);
        self.session.as_deref().is_none_or(|session| of == Some(session))
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

/// When a row was stored, or last changed.
pub fn time_of(kind: RowKind, fields: &Fields) -> Time {
    let field = match kind {
        RowKind::Session => "active_at",
        RowKind::Node => "last_heard",
        RowKind::Command => "changed_at",
        RowKind::Audit => "at",
        RowKind::Cost => {
            let date = fields.get("date").and_then(Value::as_str).unwrap_or_default();
            return Time::parse(&format!("{date}T00:00:00Z")).unwrap_or_default();
        }
        _ => "timestamp",
    };
    Time(fields.get(field).and_then(Value::as_i64).unwrap_or_default())
}

/// Numbered rows that a store lacks, by their identities.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Their numbers in the store that has them.
    pub rows: HashMap<Identity, u64>,
    /// The last number of the other store that was looked at.
    pub seen: u64,
}

impl Lacking {
    /// Their numbers, in order.
    pub fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.rows.values().copied().collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Is shown a row, by its number in the store that is compared, that says something else in the other one.
pub type Differs<'d> = dyn FnMut(&Reader<'_>, u64) -> Result<(), StoreError> + 'd;

/// Is shown a row by its name, with what both stores say of it.
pub type Sees<'s> = dyn FnMut(&str, Fields, Option<Fields>) -> Result<(), StoreError> + 's;

/// A comparison of one store with another.
pub struct Comparison<'a> {
    /// What has the rows.
    pub there: &'a dyn Source,
    /// What may lack them.
    pub here: &'a dyn Source,
    /// Rows looked at.
    pub progress: &'a Progress,
    /// Rows of `there` that cannot be read.
    pub unreadable: u64,
}

impl<'a> Comparison<'a> {
    /// Prepares one.
    pub fn of(there: &'a dyn Source, here: &'a dyn Source, progress: &'a Progress) -> Self {
        Self { there, here, progress, unreadable: 0 }
    }

    /// Shows the numbered rows of a table that are not in the other store, oldest first, a good many at once; and those
    /// that say something else there.
    pub fn numbered(
        &mut self,
        kind: RowKind,
        lacking: &mut dyn FnMut(&mut Lacking) -> Result<(), StoreError>,
        differs: &mut Differs<'_>,
    ) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let mut open = HashMap::new();
            let is_over = self.unlike(kind, &mut after, &mut open, differs)?;
            let mut found = Lacking { rows: open, seen: 0 };
            if !found.rows.is_empty() {
                self.progress.expect_more(self.here.look()?.rows_of(kind)?);
                self.elsewhere(kind, &mut found, differs)?;
                lacking(&mut found)?;
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Collects rows whose number is free or another's in the other store. True when there are no more.
    fn unlike(
        &mut self,
        kind: RowKind,
        after: &mut u64,
        open: &mut HashMap<Identity, u64>,
        differs: &mut Differs<'_>,
    ) -> Result<bool, StoreError> {
        while open.len() < MOST {
            let (there, here) = (self.there.look()?, self.here.look()?);
            let (there_rows, here_rows) = (there.table(kind)?, here.table(kind)?);
            let rows = next_rows(&there_rows, *after)?;
            let Some((last, _)) = rows.last() else { return Ok(true) };
            *after = *last;
            self.progress.add(rows.len() as u64);
            for (seq, bytes) in rows {
                let other = row_of(&here_rows, seq)?;
                if other.as_ref() == Some(&bytes) {
                    continue;
                }
                let Ok(own) = identity(kind, seq, &bytes) else {
                    self.unreadable += 1;
                    continue;
                };
                match other.filter(|other| identity(kind, seq, other).is_ok_and(|other| other == own)) {
                    None => drop(open.insert(own, seq)),
                    Some(other) if !says_the_same(kind, (seq, &bytes), (seq, &other))? => {
                        differs(&there, seq)?;
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(false)
    }

    /// Takes out what the other store has under other numbers.
    fn elsewhere(
        &self,
        kind: RowKind,
        found: &mut Lacking,
        differs: &mut Differs<'_>,
    ) -> Result<(), StoreError> {
        loop {
            let (there, here) = (self.there.look()?, self.here.look()?);
            let (there_rows, here_rows) = (there.table(kind)?, here.table(kind)?);
            let rows = next_rows(&here_rows, found.seen)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            found.seen = *last;
            self.progress.add(rows.len() as u64);
            for (seq, bytes) in rows {
                if row_of(&there_rows, seq)?.as_ref() == Some(&bytes) {
                    continue;
                }
                let Ok(identity) = identity(kind, seq, &bytes) else { continue };
                let Some(number) = found.rows.remove(&identity) else { continue };
                let said = row_of(&there_rows, number)?.unwrap_or_default();
                if !says_the_same(kind, (number, &said), (seq, &bytes))? {
                    differs(&there, number)?;
                }
            }
        }
    }

    /// Shows the named rows of a table with what both stores say of them, where that is not the same.
    pub fn named(&mut self, kind: RowKind, see: &mut Sees<'_>) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let (there, here) = (self.there.look()?, self.here.look()?);
            let names = there.names(kind, &after, STEP.0)?;
            let Some(last) = names.last() else { return Ok(()) };
            after.clone_from(last);
            self.progress.add(names.len() as u64);
            for name in names {
                let Ok(Some(said)) = fields_of(&there, Table::of(kind), &name) else {
                    self.unreadable += 1;
                    continue;
                };
                let known = fields_of(&here, Table::of(kind), &name)?;
                if known.as_ref().map(plain) != Some(plain(&said)) {
                    see(&name, said, known)?;
                }
            }
        }
    }
}

/// But for the number that each store has given it.
fn plain(fields: &Fields) -> Fields {
    let mut fields = fields.clone();
    fields.remove("no");
    fields
}

/// Whether two rows of the same thing say the same, but for when they were stored.
fn says_the_same(kind: RowKind, one: (u64, &[u8]), other: (u64, &[u8])) -> Result<bool, StoreError> {
    if kind == RowKind::Audit {
        let said = |(seq, bytes): (u64, &[u8])| audit::open(bytes, seq);
        return Ok(said(one)? == said(other)?);
    }
    let (one, other) = (event::view(one.1, one.0)?, event::view(other.1, other.0)?);
    Ok(one.kind == other.kind
        && one.session_id == other.session_id
        && one.project == other.project
        && one.data.get() == other.data.get()
        && (one.occurred_at, one.node_seq) == (other.occurred_at, other.node_seq))
}

fn identity(kind: RowKind, seq: u64, bytes: &[u8]) -> Result<Identity, StoreError> {
    match kind {
        RowKind::Audit => {
            let record = audit::open(bytes, seq)?;
            let said = format!("{}\0{}\0{}\0{}", record.at.0, record.actor, record.action, record.target);
            Ok(digest(&[if record.id.is_empty() { &said } else { &record.id }]))
        }
        _ => event::view(bytes, seq).map(|event| identity_of(&event)),
    }
}

/// By which an event is known.
pub fn identity_of(event: &hal_protocol::event::EventView) -> Identity {
    if !event.id.is_empty() {
        return digest(&[event.node_id.as_str(), &event.id]);
    }
    let numbers = format!("{}\0{}\0{}", event.node_seq, event.timestamp.0, event.occurred_at.0);
    let (node, data) = (event.node_id.as_str(), event.data.get());
    digest(&[node, "", &event.kind, &event.session_id, &event.project, data, &numbers])
}

fn digest(parts: &[&str]) -> Identity {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | Identity::from(*byte))
}

impl Reader<'_> {
    /// The identities of the events after a number, and the last number.
    pub fn identities_after(&self, seq: u64) -> Result<(HashSet<Identity>, u64), StoreError> {
        let (mut found, mut last) = (HashSet::new(), seq);
        for entry in self.txn().open_table(EVENTS)?.range(seq + 1..)? {
            let (seq, bytes) = entry?;
            last = seq.value();
            found.insert(identity(RowKind::Event, last, bytes.value())?);
        }
        Ok((found, last))
    }

    /// How many rows a table has.
    pub fn rows_of(&self, kind: RowKind) -> Result<u64, StoreError> {
        use redb::ReadableTableMetadata;
        Ok(match kind {
            RowKind::Event => self.txn().open_table(EVENTS)?.len()?,
            RowKind::Audit => self.txn().open_table(AUDIT)?.len()?,
            kind => self.txn().open_table(named(kind))?.len()?,
        })
    }

    fn table(&self, kind: RowKind) -> Result<Numbered, StoreError> {
        Ok(self.txn().open_table(if kind == RowKind::Audit { AUDIT } else { EVENTS })?)
    }

    /// The next names of a table after one.
    fn names(&self, kind: RowKind, after: &str, most: usize) -> Result<Vec<String>, StoreError> {
        let table = self.txn().open_table(named(kind))?;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        table.range::<&str>(behind)?.take(most).map(|entry| Ok(entry?.0.value().to_owned())).collect()
    }
}

/// A table of rows that have numbers.
type Numbered = ReadOnlyTable<u64, &'static [u8]>;

/// The next rows after a number.
fn next_rows(table: &Numbered, after: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for entry in table.range(after + 1..)?.take(STEP.0) {
        let (seq, row) = entry?;
        bytes += row.value().len();
        rows.push((seq.value(), row.value().to_vec()));
        if bytes > STEP.1 {
            break;
        }
    }
    Ok(rows)
}

fn row_of(table: &Numbered, seq: u64) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(table.get(seq)?.map(|row| row.value().to_vec()))
}

fn named(kind: RowKind) -> TableDefinition<'static, &'static str, &'static [u8]> {
    match kind {
        RowKind::Node => NODES,
        RowKind::Session => SESSIONS,
        RowKind::Cost => COSTS,
        _ => COMMANDS,
    }
}
