//! Resolving a batch into the rows of a record: every number and every sum is given here, before the append, since a record
//! may be played twice.

use std::collections::HashMap;

use super::StoreError;
use super::alert::AlertRow;
use super::audit::{self, AuditRecord};
use super::batch::Batch;
use super::command::CommandRow;
use super::cost::CostRecord;
use super::event;
use super::log::record::{LogRow, NameSet, NamedTable, NumberedTable, Sealed};
use super::node::NodeRow;
use super::reader::Reader;
use super::row;
use super::session::SessionRow;
use super::tables::{AUDIT, AUDIT_CHAINED, COSTS, META, POSITION};
use hal_rules::audit::{Account, Tip};
use redb::ReadableTable;

/// Audit records that are looked through at a start for those of open commands, from the newest back. One that was
/// asked for longer ago keeps what was written when it was asked; the command itself says how it ended.
const LOOKED_THROUGH: usize = 10_000;

/// Sums of costs that are remembered: more than that are read again.
const SUMS: usize = 4_096;

/// What the one who commits remembers of what is committed, whether redb has it yet or not.
#[derive(Debug, Default)]
pub struct Committed {
    /// The position of the last record.
    pub position: u64,
    last_time: u64,
    last_audit: u64,
    /// The last link of the chain of audit records.
    tip: Tip,
    /// What of it is not there any more.
    account: Account,
    /// Rows of costs, `None` where one was removed, and the position of the record that they were last written in.
    sums: HashMap<String, (u64, Option<CostRecord>)>,
    /// The audit records of commands that have not ended, by the commands' names.
    asked: HashMap<String, (u64, AuditRecord)>,
}

impl Committed {
    /// As the store says.
    pub fn read(reader: &Reader<'_>) -> Result<Self, StoreError> {
        let mut known = Self {
            position: reader.meta(POSITION)?,
            last_time: reader.meta("last_time")?,
            last_audit: reader.meta("last_audit")?,
            ..Self::default()
        };
        known.tip = reader.audit_tip()?;
        known.account = reader.audit_account()?;
        known.find_asked(reader)?;
        Ok(known)
    }

    fn find_asked(&mut self, reader: &Reader<'_>) -> Result<(), StoreError> {
        let mut open: HashMap<String, ()> =
            reader.open_commands()?.into_iter().map(|command| (command.id.to_string(), ())).collect();
        for entry in reader.txn().open_table(AUDIT)?.iter()?.rev().take(LOOKED_THROUGH) {
            if open.is_empty() {
                break;
            }
            let (seq, bytes) = entry?;
            // One that is damaged is for the scrub to find.
            let Ok(record) = audit::open(bytes.value(), seq.value()) else { continue };
            if open.remove(&record.id).is_some() {
                self.asked.insert(record.id.clone(), (seq.value(), record));
            }
        }
        Ok(())
    }

    /// Reads the numbers again that an operator's edits may have moved, and forgets the rows that they may have changed.
    pub fn read_again(&mut self, meta: &impl ReadableTable<&'static str, u64>) -> Result<(), StoreError> {
        let number = |key: &str| Ok::<_, StoreError>(meta.get(key)?.map_or(0, |value| value.value()));
        self.last_time = number("last_time")?;
        self.last_audit = number("last_audit")?;
        self.sums.clear();
        Ok(())
    }

    /// What of the chain is not there any more.
    pub fn account(&mut self) -> &mut Account {
        &mut self.account
    }

    /// The last link of the chain.
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// Gives an audit record the next number and the next link.
    pub fn audit(&mut self, record: &AuditRecord) -> AuditRecord {
        self.last_audit += 1;
        self.tip.ask(self.last_audit, record)
    }

    /// The same, as a row.
    pub fn audit_row(&mut self, record: &AuditRecord) -> LogRow {
        let record = self.audit(record);
        audit_row(self.last_audit, &record)
    }

    /// Gives a record that has a number the next link; the row of it.
    fn link(&mut self, seq: u64, record: &AuditRecord) -> LogRow {
        let record = self.tip.ask(seq, record);
        let row = audit_row(seq, &record);
        if let Some(asked) = self.asked.get_mut(&record.id).filter(|(known, _)| *known == seq) {
            asked.1 = record;
        }
        row
    }

    /// The last number of an audit record, and the last link of the chain, as rows.
    pub fn audit_numbers(&self) -> impl Iterator<Item = LogRow> {
        let tip = audit::tip_numbers(&self.tip).map(|(key, value)| number(key, value));
        let cut = audit::account_numbers(&self.account).map(|(key, value)| number(key, value));
        tip.into_iter().chain(cut).chain([number("last_audit", self.last_audit)])
    }

    /// These rows were written besides: an audit record that was removed is not written again when its command ends.
    pub fn saw(&mut self, rows: &[LogRow]) {
        for row in rows {
            if let LogRow::Numbered(NumberedTable::Audit, seq, None) = row {
                self.asked.retain(|_, (known, _)| known != seq);
            }
        }
    }
}

fn audit_row(seq: u64, record: &AuditRecord) -> LogRow {
    LogRow::Numbered(NumberedTable::Audit, seq, Some(Sealed(audit::seal(record, seq))))
}

/// A row for one of the store's numbers.
pub fn number(key: &str, value: u64) -> LogRow {
    LogRow::Number(key.to_owned(), value)
}

fn named(table: NamedTable, key: &str, row: Option<Vec<u8>>) -> LogRow {
    LogRow::Named(table, key.to_owned(), row.map(Sealed))
}

/// The rows of a batch, but for what operators have changed. `applied` is the position up to which `sum` reads.
pub fn rows(
    batch: &Batch,
    known: &mut Committed,
    applied: u64,
    sum: impl Fn(&str) -> Result<Option<CostRecord>, StoreError>,
) -> Result<Vec<LogRow>, StoreError> {
    let mut rows = Vec::new();
    events(batch, known, &mut rows);
    for (id, node) in &batch.nodes {
        rows.push(named(NamedTable::Nodes, id, Some(row::seal(&NodeRow::from(node), id))));
    }
    for (id, record) in &batch.sessions {
        rows.push(named(NamedTable::Sessions, id, Some(row::seal(&SessionRow::from(record), id))));
    }
    commands(batch, &mut rows);
    if let Some(highest) = batch.index.iter().map(|(_, seq)| *seq).max() {
        for run in batch.index.chunk_by(|one, next| one.0 == next.0) {
            rows.push(LogRow::Indexed(run[0].0, run.iter().map(|(_, seq)| *seq).collect(), true));
        }
        rows.push(number("index_watermark", highest));
    }
    let back = batch.returned.iter().map(|name| LogRow::Member(NameSet::Returned, name.clone(), true));
    rows.extend(back);
    costs(batch, known, applied, sum, &mut rows)?;
    for (id, alert) in &batch.alerts {
        let sealed = alert.as_ref().map(|alert| Sealed(row::seal(&AlertRow::from(alert), id)));
        rows.push(LogRow::Numbered(NumberedTable::Alerts, *id, sealed));
    }
    for (name, kept) in &batch.state {
        rows.push(named(NamedTable::State, name, kept.as_ref().map(|kept| kept.seal(name))));
    }
    audit_rows(batch, known, &mut rows);
    Ok(rows)
}

fn events(batch: &Batch, known: &mut Committed, rows: &mut Vec<LogRow>) {
    let Some(last) = batch.events.last() else { return };
    let mut is_disordered = false;
    for one in &batch.events {
        rows.push(LogRow::Numbered(NumberedTable::Events, one.seq, Some(Sealed(event::seal(one)))));
        let at = u64::try_from(one.timestamp.0).unwrap_or_default();
        // An old event that came in later: times are no longer found by halving.
        is_disordered |= at < known.last_time;
        known.last_time = known.last_time.max(at);
    }
    rows.push(number("last_seq", last.seq));
    rows.push(number("last_time", known.last_time));
    if is_disordered {
        rows.push(number("disordered", 1));
    }
}

fn commands(batch: &Batch, rows: &mut Vec<LogRow>) {
    for (id, command) in &batch.commands {
        rows.push(named(NamedTable::Commands, id, Some(row::seal(&CommandRow::from(command), id))));
    }
    for (id, command) in &batch.commands {
        rows.push(LogRow::Member(NameSet::OpenCommands, id.clone(), !command.state.is_final()));
    }
    for (key, record) in &batch.keys {
        rows.push(named(NamedTable::Keys, key, Some(row::seal(record, key))));
    }
}

fn costs(
    batch: &Batch,
    known: &mut Committed,
    applied: u64,
    sum: impl Fn(&str) -> Result<Option<CostRecord>, StoreError>,
    rows: &mut Vec<LogRow>,
) -> Result<(), StoreError> {
    if known.sums.len() > SUMS {
        known.sums.retain(|_, (position, _)| *position > applied);
    }
    for (key, change) in &batch.costs {
        let before = match known.sums.get(key) {
            Some((_, before)) => before.clone(),
            None => sum(key)?,
        };
        let after = Some(change.on(before)).filter(|after| !after.is_nothing());
        rows.push(named(NamedTable::Costs, key, after.as_ref().map(|after| row::seal(after, key))));
        known.sums.insert(key.clone(), (known.position + 1, after));
    }
    Ok(())
}

/// Who did what, and what came of the commands that have ended. A record has its command's identity.
fn audit_rows(batch: &Batch, known: &mut Committed, rows: &mut Vec<LogRow>) {
    let before = known.tip.no;
    if let Some(chaining) = batch.chained {
        known.account = chaining.account;
        rows.push(number(AUDIT_CHAINED, if chaining.is_done { 1 } else { 2 }));
    }
    for (seq, record) in &batch.unlinked {
        rows.push(known.link(*seq, record));
    }
    for record in &batch.audit {
        let linked = known.audit(record);
        rows.push(audit_row(known.last_audit, &linked));
        if batch.commands.contains_key(&record.id) {
            known.asked.insert(record.id.clone(), (known.last_audit, linked));
        }
    }
    for command in batch.commands.values().filter(|command| command.state.is_final()) {
        let Some((seq, record)) = known.asked.remove(command.id.as_str()) else { continue };
        let ended = known.tip.end(seq, &record, record.clone().ended_as(command));
        rows.push(audit_row(seq, &ended));
    }
    if known.tip.no > before || batch.chained.is_some() {
        rows.extend(known.audit_numbers());
    }
}

/// A sum of costs as redb has it.
pub fn stored_sum(reader: &redb::ReadTransaction, key: &str) -> Result<Option<CostRecord>, StoreError> {
    let table = reader.open_table(COSTS)?;
    table.get(key)?.map(|bytes| row::open::<CostRecord>(bytes.value(), key)).transpose()
}

/// Up to which position redb has what was committed.
pub fn stored_position(reader: &redb::ReadTransaction) -> Result<u64, StoreError> {
    Ok(reader.open_table(META)?.get(POSITION)?.map_or(0, |value| value.value()))
}
