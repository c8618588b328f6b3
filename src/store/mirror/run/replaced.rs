//! Replaced files: when another file or store is in place, what of the one before is kept, and how to go on.

use rusqlite::Connection;

use super::Runner;
use crate::StoreError;
use crate::mirror::apply::{Given, Standing};
use crate::mirror::classify::{self, FoundMirror, check};
use crate::mirror::file::{remove_sides, side};
use crate::mirror::start::{First, make_from, make_way, newer_events, set_aside};
use crate::mirror::{ops, salvage};
use crate::sqlite::schema;
use hal_base::cause::chain;
use hal_base::clock::Stopwatch;
use hal_base::progress::Progress;

impl Runner {
    /// What is missing of the tables and triggers, if an operator has changed those.
    pub(super) fn amiss(&mut self) -> Result<Option<String>, StoreError> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let looked =
            file.connection().query_row("PRAGMA schema_version", [], |row| row.get(0)).and_then(|now| {
                let is_known = self.shape == Some(now);
                self.shape = Some(now);
                if is_known { Ok(None) } else { schema::amiss(file.connection()) }
            });
        if !matches!(looked, Ok(None)) {
            file.abandon_window();
            self.shape = None;
        }
        Ok(looked?)
    }

    /// Somebody has dropped or changed a table or a trigger: the file is made anew. What was noted until then counts.
    pub(super) fn reshaped(&mut self, what: &str) -> Result<(), StoreError> {
        let mut is_earlier = false;
        if let Some(file) = self.file.take() {
            is_earlier = schema::is_earlier(file.connection())?;
            if let Err(error) = self.take_noted(file.connection(), self.standing.given()) {
                tracing::warn!(
                    error = chain(&error),
                    "what operators have changed in it can no longer be read"
                );
            }
            if is_earlier {
                self.noted = ops::last(file.connection()).ok();
            }
            file.leave();
        }
        if is_earlier {
            tracing::info!("supervisor.db is an earlier release's: it is rebuilt from the store");
            return self.begin(First::Build);
        }
        let aside = set_aside(&self.path, "reshaped")?;
        remove_sides(&self.path);
        tracing::warn!(aside = %aside.display(), what, "a table or a trigger of supervisor.db is not one of this version's: it is set aside and rebuilt from the store");
        self.begin(First::Build)
    }

    /// Learns which store is in place, when it was made anew while our file was closed.
    pub(super) fn know_the_store(&mut self) -> Result<(), StoreError> {
        let replaced = self.store.replaced();
        if replaced == self.replaced {
            return Ok(());
        }
        let store_id = self.store.read()?.store_id()?;
        if store_id != self.store_id {
            (self.store_id, self.again, self.whole) = (store_id, None, 0);
        }
        self.replaced = replaced;
        Ok(())
    }

    /// True when the file alone, without its log, is not the one that we left: a backup was copied onto it, and the log of
    /// the one before made no sense with it.
    pub(super) fn is_of_another_time(&self) -> bool {
        let is_other = |found: &Standing| found.store_id != self.store_id || found.epoch < self.whole;
        matches!(classify::look(&self.path), FoundMirror::Mirror(found) if is_other(&found))
    }

    /// Closes the file.
    pub(super) fn leave(&mut self) {
        if let Some(file) = self.file.take() {
            file.leave();
        }
    }

    /// Closes the file until nobody else has it open, so that it can be held alone again.
    pub(super) fn let_go(&mut self) {
        self.leave();
        self.held = Some(Stopwatch::start());
    }

    /// Another file lies there, or somebody has written over ours.
    pub(super) fn replaced(&mut self) -> Result<(), StoreError> {
        self.leave();
        self.is_checked = false;
        self.begin(First::Follow)
    }

    /// Another store is in place, made from this mirror or begun anew, because the one before was sick.
    pub(super) fn follow_another(&mut self) -> Result<(), StoreError> {
        self.store_id = self.store.read()?.store_id()?;
        if let Some(file) = self.file.take() {
            let taken = self.take_noted(file.connection(), self.standing.given());
            self.noted = ops::last(file.connection()).ok();
            file.leave();
            taken?;
        }
        self.again = None;
        self.whole = 0;
        self.begin(First::Build)
    }

    /// An operator has restored a mirror while we run: the store is made from it.
    pub(super) fn restore(&mut self, found: &Standing) -> Result<(), StoreError> {
        remove_sides(&self.path);
        if let Some(what) = classify::unsound(&self.path) {
            make_way(&self.path, &FoundMirror::Corrupt(what))?;
            return self.begin(First::Build);
        }
        let newer = newer_events(&self.store, found.last.0.max(found.event))?;
        let fresh = side(self.store.path(), ".new");
        make_from(&self.path, found, &fresh, &Progress::default())?;
        self.store_id = self.host.replace(fresh).map_err(StoreError::Refused)?;
        tracing::warn!(
            newer_events = newer,
            "supervisor.db was restored while the supervisor runs: the store is rebuilt from it"
        );
        self.begin(First::Build)
    }

    /// Takes over what operators have changed in a file that is another user's, as after `sudo mv`: we cannot write to
    /// it, nor hold it by a lease.
    pub(super) fn take_over(&self, found: &Standing) -> Result<(), StoreError> {
        tracing::warn!(path = %self.path.display(), "supervisor.db is another user's file, or has another name: it is rebuilt as the service's own");
        remove_sides(&self.path);
        let connection = classify::immutable(&self.path)?;
        if let Some(why) = check(&connection) {
            return Err(StoreError::Damaged { table: "supervisor.db", key: "*".into(), why });
        }
        self.take_noted(&connection, found.given())?;
        salvage::take_over(&connection, &self.store, found, &*self.host)?;
        Ok(())
    }

    /// Takes over all that operators have changed in a file that will not be ours any more.
    pub(super) fn take_noted(&self, connection: &Connection, given: Given) -> Result<(), StoreError> {
        loop {
            let done = self.store.read()?.meta("mirror_oplog")?;
            let noted = ops::read(connection, done, given)?;
            for portion in noted.portions {
                self.host.take(portion).map_err(StoreError::Refused)?;
            }
            if !noted.more {
                return Ok(());
            }
        }
    }
}
