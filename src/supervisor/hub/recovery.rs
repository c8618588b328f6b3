//! Recovery of a store that fails: it is opened again, set aside when it is sick, and waited for when its disk is
//! full.
//!
//! ```text
//!   Well --a commit fails--> Failed --opened again, and takes a write--> Well
//!                              | (no room: not opened while there is none; it can be read as it is)
//!                              '--opened again on what the ballast left--> Full --room for ballast--> Well
//! ```

use super::decide::Work;
use super::input::{Input, NotAccepted, RaisedAlert, Severity, Timed};
use super::{Owner, Tally};
use hal_base::cause::chain;
use hal_base::clock::{self, Time};
use hal_protocol::command::{Command, CommandState};
use hal_store::StoreError;
use hal_store::hub::Loaded;
use hal_store::mirror;

/// What the store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreHealth {
    /// All it should.
    Well,
    /// Its disk is full: it can be read, and what little is left is for getting rid of something.
    Full,
    /// It refuses everything but reading until it is opened again.
    Failed(StoreFailure),
}

/// Why a store refuses everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoreFailure {
    /// There is no room.
    NoRoom,
    /// What it reads is not what was written.
    Damage,
    /// The disk failed otherwise; it may work again.
    Disk,
}

/// What is answered while the disk is full.
const FULL: &str =
    "the supervisor's disk is full: what is stored can be read, nothing new is accepted until there is space";

impl<T: Tally> Owner<T> {
    /// Opens a store again that failed, and goes back to work once a full disk has room.
    pub(super) fn recover(&mut self, at: Time) -> Result<(), StoreError> {
        match self.condition {
            StoreHealth::Well => Ok(()),
            StoreHealth::Full if self.store.has_room() => self.resume(at),
            StoreHealth::Full => Ok(()),
            StoreHealth::Failed(failure) => self.open_again(failure, at),
        }
    }

    /// What the store holds then is the truth: a commit that failed may have taken effect nevertheless. So the view is
    /// made anew and every agent connects again.
    fn open_again(&mut self, failure: StoreFailure, at: Time) -> Result<(), StoreError> {
        let full = failure == StoreFailure::NoRoom;
        if !self.store.disk_works() {
            return Err(StoreError::DiskDown { path: self.store.path().to_owned() });
        }
        let (loaded, told) = self.reopen(failure, at)?;
        let view = self.view.load().again(loaded);
        let mut work = Work::on(&view);
        if let Some(told) = told {
            raise(&mut work, told);
        }
        for (node, heard) in &self.silent {
            work.note_silence(node, *heard, at);
        }
        for id in &self.refused {
            if let Some(command) = work.view.stored.commands.remove(id) {
                work.batch.commands.insert(id.to_string(), never_begun(&command, at));
            }
        }
        match failure {
            StoreFailure::NoRoom => work.disk_full(self.store.path(), at),
            StoreFailure::Disk => self.own_up(&mut work),
            StoreFailure::Damage => {}
        }
        // Even an empty batch, since only a write shows that the store takes writes again.
        self.store.commit(&work.batch)?;
        tracing::info!(path = %self.store.path().display(), "the store is open again and takes writes");
        self.refused.clear();
        self.silent.clear();
        // Whoever waits for what has ended meanwhile is let go, and finds it in the store.
        self.waiters.retain(|id, _| work.view.stored.commands.contains_key(id));
        self.publish(work);
        self.close_all("the supervisor has opened its store again; say hello again");
        if full && !self.store.has_room() {
            self.condition = StoreHealth::Full;
            self.health.send_modify(|health| health.store = Some(FULL.to_owned()));
        } else if full {
            self.resume(at)?;
        } else {
            self.set_well();
        }
        Ok(())
    }

    /// Opens the file again, and says what a person should know; one that turns out to be sick is set aside, and made anew
    /// from its mirror.
    fn reopen(&self, failure: StoreFailure, at: Time) -> Result<(Loaded, Option<RaisedAlert>), StoreError> {
        match self.store.reopen(failure != StoreFailure::NoRoom) {
            // The file itself is well: it is not given up for a mirror that may have less.
            Err(gap @ StoreError::LogGap { .. }) => {
                let loaded = self.store.reopen_over_gaps()?;
                self.chain_audit(None, true, at);
                Ok((loaded, Some(RaisedAlert::store_lost(&chain(&gap)))))
            }
            Err(damage) if damage.is_damage() => {
                let (loaded, aside) = mirror::begin_anew(&self.store, &damage, at)?;
                self.chain_audit(None, false, at);
                Ok((loaded, Some(RaisedAlert::store_replaced(&aside))))
            }
            opened => {
                self.store.turn().done();
                opened.map(|loaded| (loaded, None))
            }
        }
    }

    /// There is room again: what was turned away is asked for again.
    fn resume(&mut self, at: Time) -> Result<(), StoreError> {
        let mut work = Work::on(&self.view.load());
        work.disk_has_room(at);
        self.commit(&work)?;
        self.publish(work);
        self.close_all("the supervisor's disk has room again; say hello again");
        self.set_well();
        Ok(())
    }

    /// Says what was wrong once it can be written down.
    fn own_up(&self, work: &mut Work) {
        let why = self.health.borrow().store.clone().unwrap_or_default();
        let text = format!("the store could not be written for a while: {why}");
        raise(work, RaisedAlert { name: "store.failed", severity: Severity::High, text });
    }

    fn set_well(&mut self) {
        self.condition = StoreHealth::Well;
        self.health.send_modify(|health| health.store = None);
    }

    fn close_all(&mut self, reason: &str) {
        for (_, link) in self.links.drain() {
            link.close.close(reason);
        }
    }

    /// Takes note that the store may read less than was written. The next input finds out.
    pub(super) fn suspect(&mut self, why: String) {
        if self.condition == StoreHealth::Well {
            tracing::error!("{why}: the store is opened again, checking every page");
            self.condition = StoreHealth::Failed(StoreFailure::Damage);
            self.health.send_modify(|health| health.store = Some(why));
        }
    }

    /// Takes note that the store refused a write.
    pub(super) fn fail(&mut self, error: &StoreError, why: &str) {
        let failure = match self.condition {
            _ if error.is_full() => StoreFailure::NoRoom,
            _ if error.is_damage() => StoreFailure::Damage,
            // After the first failure the store says only that it had one.
            StoreHealth::Failed(failure) => failure,
            _ => StoreFailure::Disk,
        };
        if failure == StoreFailure::NoRoom {
            self.store.release_ballast();
        }
        self.condition = StoreHealth::Failed(failure);
        self.health.send_modify(|health| health.store = Some(why.to_owned()));
    }
}

/// What cannot be taken while the disk is full.
pub(super) fn turn_away(input: Input) {
    refuse(input, FULL);
}

/// What cannot be taken. Agents are not acknowledged, and say it again.
pub(super) fn refuse(input: Input, why: &str) {
    match input {
        Input::Connect { reply, .. } => drop(reply.send(Err(why.to_owned()))),
        Input::Return { reply, .. } => drop(reply.send(Err(why.to_owned()))),
        Input::Command(asked) => drop(asked.reply.send(Err(NotAccepted::NotTaken(why.to_owned())))),
        Input::Cancel { reply, .. } => drop(reply.send(Err(NotAccepted::NotTaken(why.to_owned())))),
        _ => {}
    }
}

/// A command that was refused for want of a store, and is in the store nevertheless.
fn never_begun(command: &Command, at: Time) -> Command {
    Command {
        state: CommandState::Failed,
        error: Some("it could not be stored when it was requested, so it was not done".to_owned()),
        changed_at: at,
        ..command.clone()
    }
}

fn raise(work: &mut Work, alert: RaisedAlert) {
    work.take(Timed { clock: clock::read(), input: Input::Alert(alert) });
}
