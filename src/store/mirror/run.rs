//! The mirror's thread: one window after another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::apply::{self, Standing};
use super::backup::{self, MirrorCommand};
use super::build::build;
use super::classify::{self, FoundMirror, MALFORMED, check};
use super::drain;
use super::feed::Todo;
use super::file::{FileHold, MirrorFile, NoWindow, is_damage, is_free, is_ours_alone, remove_sides};
use super::import::is_made_from;
use super::ops;
use super::salvage;
use super::scrub::Scrub;
use super::start::{First, make_way, set_aside};
use super::{MirrorHealth, MirrorHost, ShownNode};
use crate::StoreError;
use crate::hub::Store;
use crate::sqlite::edit::Edits;
use crate::sqlite::schema::TABLES;
use hal_base::backoff::Backoff;
use hal_base::cause::chain;
use hal_base::clock::{Stopwatch, Time};
use hal_base::progress::Progress;

/// Between two looks at whether there is something to do.
const LOOK: Duration = Duration::from_millis(25);

/// Between two windows while the store changes: a window costs two syncs.
const PAUSE: Duration = Duration::from_millis(400);

/// Rows of one window: about a third of a second with the lease, for which a `cp` that begins then waits.
const ROWS: u64 = 5_000;

/// Rows of one window while it is far behind: each window costs syncs and a checkpoint, whatever it holds. A `cp` waits some
/// two seconds then.
const MOST_ROWS: u64 = 40_000;

/// How long nobody may hold the file before we write beside him: after an operator's edit, and without one.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(20));

/// Nodes' heartbeats are shown this often.
const HEARTBEATS: Duration = Duration::from_secs(20);

/// Between two attempts after a failure, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

mod end;
mod replaced;
mod status;

/// The thread's own state.
pub struct Runner {
    store: Arc<Store>,
    store_id: String,
    path: PathBuf,
    host: Box<dyn MirrorHost>,
    health: Arc<Mutex<MirrorHealth>>,
    /// True once the supervisor stops.
    ends: Arc<AtomicBool>,
    file: Option<MirrorFile>,
    standing: Standing,
    /// The epoch that the main file has for certain, without its log.
    whole: u64,
    /// When the last window was.
    last: Stopwatch,
    /// Since when there is something to do.
    waiting: Option<Stopwatch>,
    /// Since when somebody else holds the file.
    held: Option<Stopwatch>,
    heartbeats: Stopwatch,
    /// How nodes are shown.
    shown: HashMap<String, (&'static str, Time)>,
    /// The count of comings and goings when all were shown as they are.
    comings: Option<u64>,
    /// The next event to look at again, after changes were lost.
    again: Option<u64>,
    more: bool,
    /// Rows of the next window.
    rows: u64,
    scrub: Scrub,
    /// Rows that the comparison has found wrong.
    wrong: Todo,
    is_checked: bool,
    /// True while the file may hold edits that were noted and nothing tells of: those of before, and those refused.
    may_owe: bool,
    /// The last edit that was read of a file in whose place another one is to come.
    noted: Option<u64>,
    /// The number of the tables' shape when they were looked at.
    shape: Option<i64>,
    /// True once the count of events may be wrong by what operators have noted.
    is_miscounted: bool,
    /// How often the store was known to be replaced.
    replaced: u64,
}

impl Runner {
    pub fn new(
        store: Arc<Store>,
        store_id: String,
        path: PathBuf,
        host: Box<dyn MirrorHost>,
        health: Arc<Mutex<MirrorHealth>>,
        ends: Arc<AtomicBool>,
    ) -> Self {
        Self {
            store,
            store_id,
            path,
            host,
            health,
            ends,
            file: None,
            standing: Standing::default(),
            whole: 0,
            last: Stopwatch::start(),
            waiting: None,
            held: None,
            heartbeats: Stopwatch::start(),
            shown: HashMap::new(),
            comings: None,
            again: None,
            more: false,
            rows: ROWS,
            scrub: Scrub::new(),
            wrong: Todo::default(),
            is_checked: false,
            may_owe: false,
            noted: None,
            shape: None,
            is_miscounted: false,
            replaced: 0,
        }
    }

    pub fn run(mut self, first: First, words: &Receiver<MirrorCommand>) {
        let mut first = first;
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let store = self.store.clone();
        let mut turn = None;
        loop {
            if store.turn().is_wanted() {
                self.leave();
                turn = None;
            } else if turn.is_none() {
                turn = Some(store.turn().take());
            }
            let done = match &self.file {
                _ if turn.is_none() => Ok(()),
                None => self.know_the_store().and_then(|()| self.begin(first)),
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
            match words.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(MirrorCommand::Copy(_, reply)) if turn.is_none() => drop(reply.send(Err(not_ready()))),
                Ok(MirrorCommand::Copy(to, reply)) => drop(reply.send(self.copy(&to))),
                _ => break,
            }
            if self.ends.load(Ordering::Relaxed) {
                break;
            }
        }
        self.end();
    }

    /// Copies the mirror as it stands now; what was committed a moment ago may come with the next window.
    fn copy(&mut self, to: &Path) -> Result<(), StoreError> {
        self.step(true)?;
        if self.file.is_none() {
            self.begin(First::Follow)?;
        }
        match &self.file {
            Some(file) => backup::copy(file.connection(), to, &self.ends),
            None => Err(not_ready()),
        }
    }

    /// Takes the file into use, or makes it.
    fn begin(&mut self, first: First) -> Result<(), StoreError> {
        let is_awaited = self.held.is_some_and(|held| held.elapsed() < PATIENCE.1);
        if first == First::Follow && is_awaited && !is_free(&self.path) {
            return Ok(());
        }
        self.held = None;
        match first {
            First::Build => self.build()?,
            First::Follow => match classify::look(&self.path) {
                FoundMirror::Mirror(found)
                    if found.store_id == self.store_id && found.epoch >= self.whole =>
                {
                    if !is_ours_alone(&self.path) {
                        self.take_over(&found)?;
                        self.build()?;
                    }
                }
                // The store has it already: only the new file is missing.
                FoundMirror::Mirror(found) if is_made_from(&self.store, &found)? => self.build()?,
                FoundMirror::Mirror(found) => return self.restore(&found),
                other => {
                    make_way(&self.path, &other)?;
                    self.build()?;
                }
            },
        }
        let file = MirrorFile::open(&self.path)?;
        self.standing = Standing::read(file.connection())?;
        if let Some(why) = &file.no_leases {
            tracing::warn!(
                why,
                "this file system gives no leases: a plain cp of supervisor.db may be torn; use sqlite3 supervisor.db \".backup FILE\""
            );
        }
        let is_whole = file.is_whole;
        self.file = Some(file);
        (self.shape, self.may_owe) = (None, true);
        self.shown.clear();
        self.comings = None;
        self.scrub.begin_again();
        if is_whole {
            self.mark();
        }
        if !self.is_checked {
            self.is_checked = true;
            self.check()?;
        }
        Ok(())
    }

    /// The last edit in the file that the store was made from: what came after it did not come along.
    fn adopted(&self) -> Result<Option<u64>, StoreError> {
        let FoundMirror::Mirror(found) = classify::look(&self.path) else { return Ok(None) };
        let is_source = is_made_from(&self.store, &found)?;
        is_source.then(|| self.store.read()?.meta("mirror_oplog")).transpose()
    }

    fn build(&mut self) -> Result<(), StoreError> {
        let begun = Stopwatch::start();
        let known = self.noted.take().or(self.adopted()?).or_else(|| drain::last_edit(&self.path));
        let late = || known.and_then(|known| drain::drain(&self.path, known, &self.store, &*self.host));
        let progress = Progress::default();
        let standing =
            build(&self.store, &self.store_id, &self.path, &*self.host, &self.ends, &progress, late)?;
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(rows = standing.rows(), seconds, "supervisor.db is built from the store");
        self.is_checked = true;
        self.whole = standing.epoch;
        Ok(())
    }

    /// Looks through a file that was here before us, while the supervisor serves: its pages, and whether all rows are
    /// there that we left in it.
    fn check(&mut self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(why) = check(file.connection()) {
            return Err(StoreError::Damaged { table: "supervisor.db", key: "*".into(), why });
        }
        if salvage::is_whole(file.connection(), &self.standing)? {
            return Ok(());
        }
        self.take_noted(file.connection(), self.standing.given())?;
        let kept = salvage::take_over(file.connection(), &self.store, &self.standing, &*self.host)?;
        self.leave();
        let aside = set_aside(&self.path, "salvaged")?;
        tracing::warn!(
            rows = kept,
            aside = %aside.display(),
            "supervisor.db has lost rows, as after .recover: what differs in it is taken over, rows that it lacks are kept"
        );
        self.begin(First::Build)
    }

    /// One look, and a window when there is something to do.
    fn step(&mut self, is_last: bool) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.store.replaced() != self.replaced && self.store.read()?.store_id()? != self.store_id {
            return self.follow_another();
        }
        self.replaced = self.store.replaced();
        let news = file.has_news();
        if !(news || self.more || is_last || self.last.elapsed() >= PAUSE) {
            return Ok(());
        }
        if self.store.has_mark() && !(news || is_last) {
            // The store must know of one window before the next: else a copy of the one before passed for ours.
            return Ok(());
        }
        let behind = self.store.read()?.last_change()? > self.standing.change
            || self.again.is_some()
            || self.wrong != Todo::default();
        let nodes = self.nodes_to_show();
        self.report_status(news || behind);
        let Some(file) = &mut self.file else { return Ok(()) };
        let something = news || behind || self.may_owe || !nodes.is_empty() || file.is_changed();
        if !something && file.is_whole {
            self.last = Stopwatch::start();
            return self.compare();
        }
        let limit = if news { PATIENCE.0 } else { PATIENCE.1 };
        // With nothing to write only the lease is waited for, to bring the log into the main file.
        let patient = !something || (self.held.is_none_or(|held| held.elapsed() < limit) && !is_last);
        match file.open_window(patient)? {
            Ok(hold) => self.window(hold, nodes),
            Err(NoWindow::Busy) => {
                self.held.get_or_insert_with(Stopwatch::start);
                Ok(())
            }
            Err(NoWindow::Replaced) => self.replaced(),
            Err(NoWindow::Over) => {
                self.let_go();
                Ok(())
            }
        }
    }

    /// While it is in step, compares some rows.
    fn compare(&mut self) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.scrub.is_due() && self.wrong == Todo::default() {
            self.wrong = self.scrub.step(file.connection(), &self.store, &self.standing, &*self.host)?;
        }
        Ok(())
    }

    /// Nodes that came or went, or all that were heard of once in a while.
    fn nodes_to_show(&mut self) -> Vec<ShownNode> {
        let with_beats = self.heartbeats.elapsed() >= HEARTBEATS;
        let comings = Some(self.host.comings());
        if self.comings == comings && !with_beats {
            return Vec::new();
        }
        let nodes = self.host.nodes(&|id, status, heard| match self.shown.get(id) {
            Some((known, then)) => *known != status || (with_beats && *then != heard),
            None => true,
        });
        self.comings = comings.filter(|_| nodes.is_empty());
        nodes
    }

    fn window(&mut self, hold: FileHold, nodes: Vec<ShownNode>) -> Result<(), StoreError> {
        if let Some(what) = self.amiss()? {
            return self.reshaped(&what);
        }
        let begun = Stopwatch::start();
        let before = (self.standing.clone(), self.again);
        let done = self.exchange(&nodes).and_then(|portions| {
            let Some(file) = &mut self.file else { return Ok((portions, false)) };
            Ok((portions, file.close_window(hold)?))
        });
        let (portions, is_whole) = match done {
            Ok(done) => done,
            Err(error) => {
                // Nothing was written; whoever waits for the lease goes on.
                (self.standing, self.again) = before;
                if let Some(file) = &mut self.file {
                    file.abandon_window();
                }
                return Err(error);
            }
        };
        if self.heartbeats.elapsed() >= HEARTBEATS {
            self.heartbeats = Stopwatch::start();
        }
        self.shown.extend(nodes.into_iter().map(|(id, status, heard)| (id, (status, heard))));
        if hold == FileHold::Alone {
            self.held = None;
        }
        if is_whole {
            self.mark();
        }
        self.last = Stopwatch::start();
        self.may_owe = !portions.is_empty();
        // What was committed since is waiting since then; what did not fit into this window, for longer.
        if !self.more {
            self.waiting = Some(begun);
        }
        for portion in portions {
            self.host.take(portion).map_err(StoreError::Refused)?;
        }
        if self.more { Ok(()) } else { self.compare() }
    }

    /// What is read and written inside a window. Gives edits that are too many to be stored inside it.
    fn exchange(&mut self, nodes: &[ShownNode]) -> Result<Vec<Edits>, StoreError> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let connection = file.connection();
        let done = self.store.read()?.meta("mirror_oplog")?;
        let mut standing = self.standing.clone();
        ops::number_on(connection, done)?;
        self.is_miscounted |= standing.rows_changed(&ops::forget(connection, done)?);
        let mut noted = ops::read(connection, done, standing.given())?;
        ops::remove(connection, &noted.senseless)?;
        if noted.portions.len() <= 1 && !noted.more {
            // Stored at once, so that no row is written here as it was before the operator's edit.
            if let Some(portion) = noted.portions.pop() {
                let done = portion.done;
                self.host.take(portion).map_err(StoreError::Refused)?;
                self.is_miscounted |= standing.rows_changed(&ops::forget(connection, done)?);
            }
            let reader = self.store.read()?;
            let mut todo = reader.changes(standing.change, self.rows)?;
            if todo.is_lost {
                tracing::warn!("supervisor.db has missed changes: all rows are compared again");
                self.again = Some(reader.event_bounds()?.map_or(0, |(first, _)| first));
                todo.rows.extend(reader.row_keys()?);
                for table in &TABLES[1..] {
                    let names = apply::names(connection, table)?;
                    todo.rows.extend(names.into_iter().map(|name| (table.kind, name)));
                }
            }
            todo.ranges.append(&mut self.wrong.ranges);
            todo.rows.append(&mut self.wrong.rows);
            todo.look_again(&mut self.again, reader.meta("last_seq")?, self.rows);
            apply::apply(connection, &reader, &todo, &*self.host, &mut standing)?;
            standing.change = todo.upto;
            self.more = todo.more || self.again.is_some();
            self.rows = if self.more { (2 * self.rows).min(MOST_ROWS) } else { ROWS };
            let audit = standing.last_audit;
            standing.take_numbers(&reader)?;
            if todo.more {
                // Not all of them are here yet.
                standing.last_audit = audit;
            }
            standing.count_small(connection)?;
            if std::mem::take(&mut self.is_miscounted) {
                standing.count_events(connection)?;
            }
        }
        let came_or_went =
            |id: &str, status: &'static str| self.shown.get(id).is_none_or(|(known, _)| *known != status);
        apply::nodes_now(connection, nodes, came_or_went)?;
        standing.epoch += 1;
        standing.write(connection)?;
        self.standing = standing;
        Ok(noted.portions)
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
        self.leave();
        remove_sides(&self.path);
        if self.is_of_another_time() {
            self.is_checked = false;
            return First::Follow;
        }
        match make_way(&self.path, &FoundMirror::Corrupt(why)) {
            Ok(()) => First::Build,
            Err(_) => First::Follow,
        }
    }
}

/// What a copy is answered while there is nothing whole to be copied.
fn not_ready() -> StoreError {
    StoreError::Refused("supervisor.db is not ready yet; try again".into())
}
