//! A consistent look at the supervisor's store. Each noun adds what can be asked of it.

use std::sync::{Arc, RwLockReadGuard};

use redb::ReadTransaction;

use super::StoreError;
use super::applier::Open;
use super::log::folder::FolderLog;
use super::tables::{META, POSITION};

/// A consistent look at what was committed when it was made. While it lives the store is not reopened.
pub struct Reader<'a> {
    txn: ReadTransaction,
    log: Option<Arc<FolderLog>>,
    _open: Option<RwLockReadGuard<'a, Option<Open>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        txn: ReadTransaction,
        log: Option<Arc<FolderLog>>,
        open: RwLockReadGuard<'a, Option<Open>>,
    ) -> Self {
        Self { txn, log, _open: Some(open) }
    }

    /// Of a file that is never reopened.
    pub(super) fn of_file(txn: ReadTransaction) -> Self {
        Self { txn, log: None, _open: None }
    }

    pub(super) fn txn(&self) -> &ReadTransaction {
        &self.txn
    }

    /// The log that this store follows; a file that was set aside has none.
    pub(super) fn log(&self) -> Option<&FolderLog> {
        self.log.as_deref()
    }

    /// Up to which position of the log everything is in here.
    pub(super) fn position(&self) -> Result<u64, StoreError> {
        self.meta(POSITION)
    }

    /// Events up to this number are in the index by session.
    pub(super) fn index_watermark(&self) -> Result<u64, StoreError> {
        self.meta("index_watermark")
    }

    pub(super) fn meta(&self, key: &str) -> Result<u64, StoreError> {
        Ok(self.txn.open_table(META)?.get(key)?.map_or(0, |value| value.value()))
    }
}
