//! What is committed now, for the one who decides: unlike [`Store::read`] it waits for nothing.

use redb::ReadableDatabase;

use super::Store;
use crate::command::{CommandRow, KeyRecord};
use crate::log::record::NamedTable;
use crate::{StoreError, row};
use hal_protocol::command::{Command, CommandId};

impl Store {
    /// What an actor's idempotency key stands for.
    pub fn key_now(&self, scoped: &str) -> Result<Option<KeyRecord>, StoreError> {
        self.row_now(NamedTable::Keys, scoped)?.map(|bytes| row::open(&bytes, scoped)).transpose()
    }

    /// A command.
    pub fn command_now(&self, id: &CommandId) -> Result<Option<Command>, StoreError> {
        let Some(bytes) = self.row_now(NamedTable::Commands, id.as_str())? else { return Ok(None) };
        row::open::<CommandRow>(&bytes, id)?.into_command(id.as_str()).map(Some)
    }

    fn row_now(&self, table: NamedTable, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        // First what waits: it may be in redb by the time that is read, and never the other way round.
        if let Some(row) = self.shared.waiting_row(table, key) {
            return Ok(row.map(|row| row.0));
        }
        let open = self.shared.guard();
        let txn = open.as_ref().ok_or(StoreError::Closed)?.db.begin_read()?;
        Ok(txn.open_table(table.table())?.get(key)?.map(|bytes| bytes.value().to_vec()))
    }
}
