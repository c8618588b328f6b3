//! Committing: a batch becomes a record, the record is appended to the log, and that is the commit.

use std::sync::PoisonError;

use redb::{Durability, ReadableDatabase, ReadableTable};

use super::{Batch, Committer, Store};
use crate::StoreError;
use crate::applier::{Open, begin};
use crate::change::Change;
use crate::kept::{self, Kept};
use crate::log::record::{NamedTable, Record};
use crate::log::{Log, NotAppended};
use crate::recorder::Recorder;
use crate::resolve;
use crate::row;
use crate::schema::{self, SCHEMA_BEFORE};
use crate::sqlite::edit;
use crate::tables::{AUDIT_LEFT_AT, CHANGES, META, POSITION, STATE};
use hal_base::sabotage;

impl Store {
    /// Commits a batch; when this returns `Ok` it is on the disk, and readers see it. When it does not, whether it is
    /// there is known once the store is opened again.
    pub fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut committer = self.committer();
        if committer.is_broken || committer.is_closed {
            return Err(StoreError::Closed);
        }
        let done = self.commit_as(&mut committer, batch);
        committer.is_broken = done.is_err();
        done
    }

    /// True when a commit would fail, since what was committed before cannot be applied.
    pub fn has_failed(&self) -> bool {
        self.shared.is_broken()
    }

    fn commit_as(&self, committer: &mut Committer, batch: &Batch) -> Result<(), StoreError> {
        self.shared.failed()?;
        let guard = self.shared.guard();
        let open = guard.as_ref().ok_or(StoreError::Closed)?;
        if !committer.is_begun {
            begin_log(open, committer.known.position + 1)?;
            committer.is_begun = true;
        }
        committer.run_applier(&self.shared, self.mirror.is_some())?;
        committer.is_as_before = batch.is_last;
        let position = committer.known.position + 1;
        if batch.asks_the_store() {
            self.commit_looking(open, committer, batch, position)?;
        } else {
            let applied = self.shared.applied();
            let sum = |key: &str| resolve::stored_sum(&open.db.begin_read()?, key);
            let rows = resolve::rows(batch, &mut committer.known, applied, sum)?;
            let record = Record { rows };
            if sabotage::APPLY_BEFORE_APPEND {
                self.shared.hand_over(position, record.clone());
                self.shared.wait();
            }
            append(open, position, &record)?;
            self.shared.hand_over(position, record);
        }
        committer.known.position = position;
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner) = committer.known.tip();
        Ok(())
    }

    /// What an operator has changed is decided while the rows are looked at: the transaction that does so becomes the one
    /// that applies, once its rows are in the log.
    fn commit_looking(
        &self,
        open: &Open,
        committer: &mut Committer,
        batch: &Batch,
        position: u64,
    ) -> Result<(), StoreError> {
        self.shared.wait_all()?;
        let durability = if batch.is_last { Durability::Immediate } else { Durability::None };
        let txn = begin(&open.db, durability)?;
        let known = &mut committer.known;
        let sum = |key: &str| resolve::stored_sum(&open.db.begin_read()?, key);
        let recorder = Recorder::new(&txn, resolve::rows(batch, known, position, sum)?)?;
        let mut edited = edit::write(&recorder, &batch.edits, known.account())?;
        edited.extend(edit::write(&recorder, &batch.moved, known.account())?);
        known.read_again(&txn.open_table(META)?)?;
        if !edited.is_empty() {
            edited.iter().try_for_each(|record| recorder.write(known.audit_row(record)))?;
            known.audit_numbers().try_for_each(|row| recorder.write(row))?;
        }
        if batch.is_last {
            as_before(&recorder)?;
            recorder.number(AUDIT_LEFT_AT, position)?;
        }
        let record = Record { rows: recorder.into_rows() };
        known.saw(&record.rows);
        txn.open_table(META)?.insert(POSITION, position)?;
        if batch.is_last {
            mark_for_the_release_before(&txn, position)?;
        }
        append(open, position, &record)?;
        // It is committed from here on: should redb fail now, that is found when the next one comes.
        match txn.commit() {
            Ok(()) => {
                let bytes = record.bytes();
                self.shared.applied_already(position, record.rows.len(), bytes, batch.is_last);
            }
            Err(error) => self.shared.break_off(error.into()),
        }
        Ok(())
    }
}

fn append(open: &Open, position: u64, record: &Record) -> Result<(), StoreError> {
    let log = open.log.as_ref().ok_or(StoreError::Closed)?;
    log.append(position, &record.encode()).map_err(|error| match error {
        NotAppended::Refused(source) => StoreError::NotAppended { source, is_certain: true },
        NotAppended::Unknown(source) => StoreError::NotAppended { source, is_certain: false },
    })
}

/// From here on the log may be ahead of redb: older releases, which do not know it, must not open the store.
fn begin_log(open: &Open, position: u64) -> Result<(), StoreError> {
    let log = open.log.as_ref().ok_or(StoreError::Closed)?;
    log.begin(position).map_err(|source| StoreError::NotAppended { source, is_certain: true })?;
    let txn = begin(&open.db, Durability::Immediate)?;
    {
        let mut meta = txn.open_table(META)?;
        let epoch = meta.get("mirror_epoch")?.map_or(0, |epoch| epoch.value());
        // From the first record on a mirror of an earlier time is known for what it is.
        log.note_mirror(epoch).map_err(|source| StoreError::NotAppended { source, is_certain: true })?;
        meta.insert("schema", schema::SCHEMA)?;
        meta.insert(POSITION, position - 1)?;
    }
    txn.commit()?;
    Ok(())
}

/// Writes what the release before this one cannot read as it would have written it, so that it can take over.
fn as_before(recorder: &Recorder<'_>) -> Result<(), StoreError> {
    let mut again = Vec::new();
    {
        let table = recorder.txn().open_table(STATE)?;
        for entry in table.iter()? {
            let (name, bytes) = entry?;
            if kept::is_new(bytes.value()) {
                let record = Kept::open(bytes.value(), name.value())?.record();
                again.push((name.value().to_owned(), row::seal(&record, name.value())));
            }
        }
    }
    again.into_iter().try_for_each(|(name, bytes)| recorder.named(NamedTable::State, &name, Some(bytes)))?;
    recorder.number("schema", SCHEMA_BEFORE)
}

/// The release before this one counts what its mirror has to catch up with in a list: it finds the last number there, and
/// whether the mirror has it.
fn mark_for_the_release_before(txn: &redb::WriteTransaction, position: u64) -> Result<(), StoreError> {
    let mut changes = txn.open_table(CHANGES)?;
    changes.retain(|_, _| false)?;
    // Numbers of events begin at 1: there is nothing to be looked at.
    changes.insert(position, row::seal(&Change::Events(0, 0), position).as_slice())?;
    Ok(())
}
