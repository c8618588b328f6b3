//! When another file lies there, or another store is in place: what of the one before is kept, and how to go on.

use rusqlite::Connection;

use super::Runner;
use crate::base::progress::Progress;
use crate::store::StoreError;
use crate::store::mirror::apply::Standing;
use crate::store::mirror::classify::{self, Found, check};
use crate::store::mirror::file::{remove_sides, side};
use crate::store::mirror::start::{First, make_from, make_way, newer_events};
use crate::store::mirror::{ops, salvage};

impl Runner {
    /// Another file lies there, or somebody has written over ours.
    pub(super) fn replaced(&mut self) -> Result<(), StoreError> {
        if let Some(file) = self.file.take() {
            file.leave();
        }
        self.is_checked = false;
        self.begin(First::Follow)
    }

    /// Another store is in place, made from this mirror or begun anew, because the one before was sick.
    pub(super) fn follow_another(&mut self) -> Result<(), StoreError> {
        self.store_id = self.store.read()?.store_id()?;
        if let Some(file) = self.file.take() {
            let taken = self.take_noted(file.connection(), self.standing.event);
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
        let unsound =
            classify::immutable(&self.path).map_or_else(|e| Some(e.to_string()), |file| check(&file));
        if let Some(what) = unsound {
            make_way(&self.path, &Found::Corrupt(what))?;
            return self.begin(First::Build);
        }
        let newer = newer_events(&self.store, found.last.0.max(found.event))?;
        let fresh = side(self.store.path(), ".new");
        make_from(&self.path, found, &fresh, &Progress::default())?;
        self.store_id = self.desk.replace(fresh).map_err(StoreError::Refused)?;
        tracing::warn!(
            newer_events = newer,
            "supervisor.db was restored while the supervisor runs: the store is made anew from it"
        );
        self.begin(First::Build)
    }

    /// Takes over what operators have changed in a file that is another user's, as after `sudo mv`: we cannot write to
    /// it, nor hold it by a lease.
    pub(super) fn take_over(&self, found: &Standing) -> Result<(), StoreError> {
        tracing::warn!(path = %self.path.display(), "supervisor.db is another user's file, or has another name: it is made anew as ours");
        remove_sides(&self.path);
        let connection = classify::immutable(&self.path)?;
        if let Some(why) = check(&connection) {
            return Err(StoreError::Damaged { table: "supervisor.db", key: "*".into(), why });
        }
        self.take_noted(&connection, found.event)?;
        salvage::take_over(&connection, &self.store, found, &*self.desk)?;
        Ok(())
    }

    /// Takes over all that operators have changed in a file that will not be ours any more.
    pub(super) fn take_noted(&self, connection: &Connection, watermark: u64) -> Result<(), StoreError> {
        loop {
            let done = self.store.read()?.meta("mirror_oplog")?;
            let noted = ops::read(connection, done, watermark)?;
            for portion in noted.portions {
                self.desk.take(portion).map_err(StoreError::Refused)?;
            }
            if noted.read < ops::MOST {
                return Ok(());
            }
        }
    }
}
