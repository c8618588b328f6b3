//! Applying: the rows of records, written to redb as they stand. Doing it twice does no harm.

use std::ops::Bound;

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::StoreError;
use super::log::record::{LogRow, NameSet, NamedTable, NumberedTable, Sealed};
use super::tables::{
    ALERTS, AUDIT, COMMANDS, COSTS, EVENTS, EVENTS_BY_SESSION, GONE, KEYS, META, NODES, OPEN_COMMANDS,
    RETURNED, SESSIONS, STATE,
};

/// A table whose rows have a name.
pub type ByName = TableDefinition<'static, &'static str, &'static [u8]>;

/// A table whose rows have a number.
pub type ByNumber = TableDefinition<'static, u64, &'static [u8]>;

impl NamedTable {
    /// The table.
    pub fn table(self) -> ByName {
        match self {
            Self::Sessions => SESSIONS,
            Self::Nodes => NODES,
            Self::Commands => COMMANDS,
            Self::Keys => KEYS,
            Self::Costs => COSTS,
            Self::State => STATE,
            Self::Gone => GONE,
        }
    }
}

impl NumberedTable {
    /// The table.
    pub fn table(self) -> ByNumber {
        match self {
            Self::Events => EVENTS,
            Self::Audit => AUDIT,
            Self::Alerts => ALERTS,
        }
    }
}

impl NameSet {
    fn table(self) -> TableDefinition<'static, &'static str, ()> {
        match self {
            Self::OpenCommands => OPEN_COMMANDS,
            Self::Returned => RETURNED,
        }
    }
}

/// Writes rows, in their order.
pub fn apply(txn: &WriteTransaction, rows: &[LogRow]) -> Result<(), StoreError> {
    // A table is opened once for all of its rows that stand together.
    for run in rows.chunk_by(is_same_table) {
        match &run[0] {
            LogRow::Named(table, ..) => named(txn, table.table(), run)?,
            LogRow::Numbered(table, ..) => numbered(txn, table.table(), run)?,
            LogRow::Member(set, ..) => members(txn, set.table(), run)?,
            LogRow::Indexed(..) => indexed(txn, run)?,
            LogRow::Number(..) => {
                let mut meta = txn.open_table(META)?;
                for row in run {
                    let LogRow::Number(key, value) = row else { continue };
                    meta.insert(key.as_str(), value)?;
                }
            }
            LogRow::Look(..) => {}
        }
    }
    Ok(())
}

fn is_same_table(one: &LogRow, other: &LogRow) -> bool {
    match (one, other) {
        (LogRow::Named(one, ..), LogRow::Named(other, ..)) => one == other,
        (LogRow::Numbered(one, ..), LogRow::Numbered(other, ..)) => one == other,
        (LogRow::Member(one, ..), LogRow::Member(other, ..)) => one == other,
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn named(txn: &WriteTransaction, table: ByName, run: &[LogRow]) -> Result<(), StoreError> {
    let mut table = txn.open_table(table)?;
    for row in run {
        match row {
            LogRow::Named(_, key, Some(Sealed(bytes))) => drop(table.insert(key.as_str(), bytes.as_slice())?),
            LogRow::Named(_, key, None) => drop(table.remove(key.as_str())?),
            _ => {}
        }
    }
    Ok(())
}

fn numbered(txn: &WriteTransaction, table: ByNumber, run: &[LogRow]) -> Result<(), StoreError> {
    let mut table = txn.open_table(table)?;
    let last = table.last()?.map_or(0, |(last, _)| last.value());
    let is_new = |row: &LogRow, after: u64| match row {
        LogRow::Numbered(_, seq, Some(_)) => *seq > after,
        _ => false,
    };
    let mut rest = run;
    if run.len() > 1 && is_new(&run[0], last) && run.is_sorted_by(follows) {
        // At the end of the tree: pages fill up one after another, and none is looked for.
        let mut end = table.upper_bound_mut(Bound::<u64>::Unbounded)?;
        for row in run {
            if let LogRow::Numbered(_, seq, Some(Sealed(bytes))) = row {
                end.insert_before(*seq, bytes.as_slice())?;
            }
        }
        end.close()?;
        rest = &[];
    }
    for row in rest {
        match row {
            LogRow::Numbered(_, seq, Some(Sealed(bytes))) => drop(table.insert(seq, bytes.as_slice())?),
            LogRow::Numbered(_, seq, None) => drop(table.remove(seq)?),
            _ => {}
        }
    }
    Ok(())
}

fn follows(one: &LogRow, next: &LogRow) -> bool {
    match (one, next) {
        (LogRow::Numbered(_, one, Some(_)), LogRow::Numbered(_, next, Some(_))) => one < next,
        _ => false,
    }
}

fn members(
    txn: &WriteTransaction,
    set: TableDefinition<'static, &'static str, ()>,
    run: &[LogRow],
) -> Result<(), StoreError> {
    let mut set = txn.open_table(set)?;
    for row in run {
        match row {
            LogRow::Member(_, name, true) => drop(set.insert(name.as_str(), ())?),
            LogRow::Member(_, name, false) => drop(set.remove(name.as_str())?),
            _ => {}
        }
    }
    Ok(())
}

fn indexed(txn: &WriteTransaction, run: &[LogRow]) -> Result<(), StoreError> {
    let mut table = txn.open_table(EVENTS_BY_SESSION)?;
    for row in run {
        let LogRow::Indexed(no, seqs, is_in) = row else { continue };
        let Some(first) = seqs.first() else { continue };
        let is_behind = {
            let last = table.range((*no, 0)..=(*no, u64::MAX))?.next_back().transpose()?;
            last.is_none_or(|(entry, _)| entry.value().1 < *first)
        };
        if *is_in && is_behind && seqs.len() > 1 && seqs.is_sorted_by(|one, next| one < next) {
            // Behind what is there of this session already.
            let mut end = table.upper_bound_mut(Bound::Included((*no, u64::MAX)))?;
            for seq in seqs {
                end.insert_before((*no, *seq), ())?;
            }
            end.close()?;
            continue;
        }
        for seq in seqs {
            match is_in {
                true => drop(table.insert((*no, *seq), ())?),
                false => drop(table.remove((*no, *seq))?),
            }
        }
    }
    Ok(())
}
