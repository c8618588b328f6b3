//! The mirror's thread: one window after another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::apply::{self, Standing};
use super::build::build;
use super::classify::{self, Found, MALFORMED, check};
use super::feed::Todo;
use super::file::{Hold, MirrorFile, NoWindow, is_damage, remove_sides};
use super::ops;
use super::start::{First, make_way};
use super::{Desk, Health};
use crate::base::backoff::Backoff;
use crate::base::cause::chain;
use crate::base::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::hub::{Batch, Mark, Store};
use crate::store::sheet::edit::Edits;
use crate::store::sheet::schema::TABLES;

/// Between two looks at whether there is something to do.
const LOOK: Duration = Duration::from_millis(25);

/// Between two windows while the store changes: a window costs two syncs.
const PAUSE: Duration = Duration::from_millis(400);

/// Rows of one window: about a third of a second with the lease, for which a `cp` that begins then waits.
const ROWS: u64 = 5_000;

/// How long nobody may hold the file before we write beside him: after an operator's edit, and without one.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(20));

/// Nodes' heartbeats are shown this often.
const HEARTBEATS: Duration = Duration::from_secs(10);

/// Between two attempts after a failure, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The thread's own state.
pub struct Runner {
    store: Arc<Store>,
    store_id: String,
    path: PathBuf,
    desk: Box<dyn Desk>,
    health: Arc<Mutex<Health>>,
    file: Option<MirrorFile>,
    standing: Standing,
    /// When the last window was.
    last: Stopwatch,
    /// Since when there is something to do.
    waiting: Option<Stopwatch>,
    /// Since when somebody else holds the file.
    held: Option<Stopwatch>,
    heartbeats: Stopwatch,
    shown: BTreeMap<String, &'static str>,
    /// The next event to look at again, after changes were lost.
    again: Option<u64>,
    more: bool,
    is_checked: bool,
}

impl Runner {
    pub fn new(
        store: Arc<Store>,
        store_id: String,
        path: PathBuf,
        desk: Box<dyn Desk>,
        health: Arc<Mutex<Health>>,
    ) -> Self {
        Self {
            store,
            store_id,
            path,
            desk,
            health,
            file: None,
            standing: Standing::default(),
            last: Stopwatch::start(),
            waiting: None,
            held: None,
            heartbeats: Stopwatch::start(),
            shown: BTreeMap::new(),
            again: None,
            more: false,
            is_checked: false,
        }
    }

    pub fn run(mut self, first: First, stop: &Receiver<()>) {
        let mut first = first;
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let done = match &self.file {
                None => self.begin(first),
                Some(_) => self.step(false),
            };
            let pause = match done {
                Ok(()) => {
                    backoff.reset();
                    first = First::Follow;
                    LOOK
                }
                Err(error) => {
                    first = self.recover(&error);
                    backoff.next_delay()
                }
            };
            match stop.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => break,
            }
        }
        self.end();
    }

    /// Takes the file into use, or makes it.
    fn begin(&mut self, first: First) -> Result<(), StoreError> {
        if first == First::Build {
            let begun = Stopwatch::start();
            let standing = build(&self.store, &self.store_id, &self.path, &*self.desk)?;
            tracing::info!(
                rows = standing.rows(),
                seconds = begun.elapsed().as_secs_f64(),
                "supervisor.db is made from the store"
            );
            self.is_checked = true;
        }
        let file = MirrorFile::open(&self.path)?;
        self.standing = Standing::read(file.connection())?;
        if let Some(why) = &file.no_leases {
            tracing::warn!(
                why,
                "this file system gives no leases: a plain cp of supervisor.db may be torn; use sqlite3 supervisor.db \".backup FILE\""
            );
        }
        self.file = Some(file);
        self.shown.clear();
        self.mark();
        if !self.is_checked {
            self.is_checked = true;
            self.check()?;
        }
        Ok(())
    }

    /// Reads all pages of a file that was here before us, while the supervisor serves.
    fn check(&self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        match check(file.connection()) {
            None => Ok(()),
            Some(what) => Err(StoreError::Damaged { table: "supervisor.db", key: "*".into(), why: what }),
        }
    }

    /// One look, and a window when there is something to do.
    fn step(&mut self, is_last: bool) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let news = file.has_news();
        let behind = self.store.read()?.last_change()? > self.standing.change || self.again.is_some();
        let nodes = self.desk.nodes();
        let moved = nodes.iter().any(|(id, status, _)| self.shown.get(id) != Some(status));
        let beats =
            self.heartbeats.elapsed() >= HEARTBEATS && nodes.iter().any(|(_, status, _)| *status == "online");
        self.tell(behind || news);
        let due = news || self.more || is_last || self.last.elapsed() >= PAUSE;
        if !(due && (news || behind || moved || beats || is_last)) {
            return Ok(());
        }
        self.waiting.get_or_insert_with(Stopwatch::start);
        let limit = if news { PATIENCE.0 } else { PATIENCE.1 };
        let patient = self.held.is_none_or(|held| held.elapsed() < limit) && !is_last;
        let Some(file) = &mut self.file else { return Ok(()) };
        match file.open_window(patient)? {
            Ok(hold) => self.window(hold, &nodes),
            Err(NoWindow::Busy) => {
                self.held.get_or_insert_with(Stopwatch::start);
                Ok(())
            }
            Err(NoWindow::Replaced) => self.replaced(),
        }
    }

    fn window(
        &mut self,
        hold: Hold,
        nodes: &[(String, &'static str, crate::base::clock::Time)],
    ) -> Result<(), StoreError> {
        let portions = match self.exchange(nodes) {
            Ok(portions) => portions,
            Err(error) => {
                if let Some(file) = &mut self.file {
                    file.abandon_window();
                }
                return Err(error);
            }
        };
        let Some(file) = &mut self.file else { return Ok(()) };
        let is_whole = file.close_window(hold)?;
        if hold == Hold::Alone {
            self.held = None;
        }
        if is_whole {
            self.mark();
        }
        self.last = Stopwatch::start();
        self.waiting = None;
        for portion in portions {
            self.desk.take(portion).map_err(StoreError::Refused)?;
        }
        Ok(())
    }

    /// What is read and written inside a window.
    fn exchange(
        &mut self,
        nodes: &[(String, &'static str, crate::base::clock::Time)],
    ) -> Result<Vec<Edits>, StoreError> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let connection = file.connection();
        let reader = self.store.read()?;
        let noted = ops::take(connection, reader.meta("mirror_oplog")?, self.standing.event)?;
        let mut standing = self.standing.clone();
        standing.events_changed(noted.events.0, noted.events.1);
        // Beyond that, rows of the store could be written over edits that were not read yet.
        if noted.read < ops::MOST {
            let mut todo = reader.changes(standing.change, ROWS)?;
            if todo.is_lost {
                tracing::warn!("supervisor.db has missed changes: all rows are looked at again");
                self.again = Some(reader.event_bounds()?.map_or(0, |(first, _)| first));
                todo.rows.extend(reader.row_keys()?);
                for table in &TABLES[1..] {
                    todo.rows
                        .extend(apply::names(connection, table)?.into_iter().map(|name| (table.kind, name)));
                }
            }
            look_again(&mut self.again, reader.meta("last_seq")?, &mut todo);
            apply::apply(connection, &reader, &todo, &*self.desk, &mut standing)?;
            standing.change = todo.upto;
            self.more = todo.more || self.again.is_some();
        }
        apply::nodes_now(connection, nodes, &self.shown)?;
        standing.epoch += 1;
        standing.take_numbers(&reader)?;
        standing.count_small(connection)?;
        standing.write(connection)?;
        drop(reader);
        self.standing = standing;
        self.shown = nodes.iter().map(|(id, status, _)| (id.clone(), *status)).collect();
        self.heartbeats = Stopwatch::start();
        Ok(noted.portions)
    }

    /// Another file lies there, or somebody has written over ours.
    fn replaced(&mut self) -> Result<(), StoreError> {
        if let Some(file) = self.file.take() {
            file.leave();
        }
        self.is_checked = false;
        match classify::look(&self.path) {
            Found::Mirror(found) if found.store_id == self.store_id && found.epoch >= self.standing.epoch => {
                Ok(())
            }
            Found::Mirror(_) => {
                tracing::warn!(
                    "supervisor.db was replaced while the supervisor runs; restart it to restore from that file"
                );
                Err(StoreError::Refused(
                    "supervisor.db is another one now: restart the supervisor to restore it, or remove it"
                        .into(),
                ))
            }
            other => {
                make_way(&self.path, &other)?;
                self.begin(First::Build)
            }
        }
    }

    /// What to do after a failure.
    fn recover(&mut self, error: &StoreError) -> First {
        let is_damaged = match error {
            StoreError::Mirror(error) => is_damage(error),
            StoreError::Damaged { table, .. } => *table == "supervisor.db",
            _ => false,
        };
        let why = chain(error);
        self.set_trouble(Some(why.clone()));
        if !is_damaged {
            tracing::warn!(error = why, "supervisor.db is not in step");
            return if self.path.exists() { First::Follow } else { First::Build };
        }
        tracing::error!(error = why, "supervisor.db: {MALFORMED}");
        if let Some(file) = self.file.take() {
            file.leave();
        }
        remove_sides(&self.path);
        match make_way(&self.path, &Found::Corrupt(why)) {
            Ok(()) => First::Build,
            Err(_) => First::Follow,
        }
    }

    /// Tells the store where its mirror stands.
    fn mark(&self) {
        self.store.leave_mark(Mark { epoch: self.standing.epoch, change: self.standing.change });
    }

    fn tell(&mut self, behind: bool) {
        if !behind {
            self.waiting = None;
        }
        let lag = self.waiting.as_ref().map_or(Duration::ZERO, Stopwatch::elapsed);
        let no_leases = self.file.as_ref().and_then(|file| file.no_leases.as_ref());
        let trouble = match (no_leases, &self.held) {
            (Some(why), _) => Some(format!("no plain copies: this file system gives no leases ({why})")),
            (None, Some(held)) if held.elapsed() > PATIENCE.1 => {
                Some("somebody has supervisor.db open for long".to_owned())
            }
            _ => None,
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        *health = Health { lag, rows: self.standing.rows(), trouble };
    }

    fn set_trouble(&self, trouble: Option<String>) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }

    /// The last window, then nothing is left beside the file.
    fn end(mut self) {
        for _ in 0..LAST {
            let is_behind =
                self.store.read().and_then(|reader| reader.last_change()).unwrap_or(0) > self.standing.change;
            if !is_behind || self.step(true).is_err() {
                break;
            }
        }
        if let Some(file) = self.file.take() {
            file.close();
        }
        // The hub has ended: nobody else writes the mark.
        if let Err(error) = self.store.commit(&Batch::default()) {
            tracing::warn!(error = chain(&error), "the store does not know where supervisor.db stands");
        }
    }
}

/// Windows at the end at most: what is still missing then comes with the next start.
const LAST: usize = 20;

/// The next portion of all events, after changes were lost.
fn look_again(again: &mut Option<u64>, last: u64, todo: &mut Todo) {
    if let Some(from) = *again {
        todo.ranges.push((from, from + ROWS - 1));
        *again = (from + ROWS <= last).then_some(from + ROWS);
    }
}
