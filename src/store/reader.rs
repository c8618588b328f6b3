//! A consistent look at the supervisor's store. Each noun adds what can be asked of it.

use std::sync::RwLockReadGuard;

use redb::{Database, ReadTransaction};

use super::StoreError;
use super::tables::META;

/// A consistent look at what was committed when it was made. While it lives the store is not reopened.
pub struct Reader<'a> {
    txn: ReadTransaction,
    _open: Option<RwLockReadGuard<'a, Option<Database>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(txn: ReadTransaction, open: RwLockReadGuard<'a, Option<Database>>) -> Self {
        Self { txn, _open: Some(open) }
    }

    /// Of a file that is never reopened.
    pub(super) fn of_file(txn: ReadTransaction) -> Self {
        Self { txn, _open: None }
    }

    pub(super) fn txn(&self) -> &ReadTransaction {
        &self.txn
    }

    /// Events up to this number are in the index by session.
    pub(super) fn index_watermark(&self) -> Result<u64, StoreError> {
        self.meta("index_watermark")
    }

    pub(super) fn meta(&self, key: &str) -> Result<u64, StoreError> {
        Ok(self.txn.open_table(META)?.get(key)?.map_or(0, |value| value.value()))
    }
}
