//! A recorder: writes rows in a transaction and remembers them for the log. For what can be decided only while the rows
//! are looked at, as an operator's edits.

use std::cell::RefCell;

use redb::WriteTransaction;

use super::StoreError;
use super::apply::apply;
use super::change::RowKind;
use super::log::record::{LogRow, NameSet, NamedTable, NumberedTable, Sealed};

/// What is written in a transaction.
pub struct Recorder<'t> {
    txn: &'t WriteTransaction,
    rows: RefCell<Vec<LogRow>>,
}

impl<'t> Recorder<'t> {
    /// Begins with rows, which are written.
    pub fn new(txn: &'t WriteTransaction, rows: Vec<LogRow>) -> Result<Self, StoreError> {
        apply(txn, &rows)?;
        Ok(Self { txn, rows: RefCell::new(rows) })
    }

    /// For looking at what is there.
    pub fn txn(&self) -> &'t WriteTransaction {
        self.txn
    }

    /// Writes a row. Its table must not be open.
    pub fn write(&self, row: LogRow) -> Result<(), StoreError> {
        apply(self.txn, std::slice::from_ref(&row))?;
        self.rows.borrow_mut().push(row);
        Ok(())
    }

    /// Writes or removes a row with a name.
    pub fn named(&self, table: NamedTable, key: &str, row: Option<Vec<u8>>) -> Result<(), StoreError> {
        self.write(LogRow::Named(table, key.to_owned(), row.map(Sealed)))
    }

    /// Writes or removes a row with a number.
    pub fn numbered(&self, table: NumberedTable, key: u64, row: Option<Vec<u8>>) -> Result<(), StoreError> {
        self.write(LogRow::Numbered(table, key, row.map(Sealed)))
    }

    /// Puts a name into a set or takes it out.
    pub fn member(&self, set: NameSet, name: &str, is_in: bool) -> Result<(), StoreError> {
        self.write(LogRow::Member(set, name.to_owned(), is_in))
    }

    /// Enters an event of a session into the index, or takes it out.
    pub fn indexed(&self, no: u32, seq: u64, is_in: bool) -> Result<(), StoreError> {
        self.write(LogRow::Indexed(no, vec![seq], is_in))
    }

    /// Writes one of the store's numbers.
    pub fn number(&self, key: &str, value: u64) -> Result<(), StoreError> {
        self.write(LogRow::Number(key.to_owned(), value))
    }

    /// Has mirrors look at a row again.
    pub fn look(&self, kind: RowKind, key: String) {
        self.rows.borrow_mut().push(LogRow::Look(kind, key));
    }

    /// All rows, in their order.
    pub fn into_rows(self) -> Vec<LogRow> {
        self.rows.into_inner()
    }
}
