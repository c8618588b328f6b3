//! The money that turns run on here: asked for before one begins, debited as it is used, given back when it is over.
//!
//! ```text
//!   command         -> borrow: journal "asked", ask, wait -> granted: journal it -> the backend begins the turn
//!   session manager -> debit each step; the turn is over -> event lease.ended, and the lease leaves the journal with it
//!   enforce         -> asks for more money or time, interrupts a turn whose money or time is over
//! ```
//! Where no budget holds, nothing is asked and nothing waits. A lease that is found in the journal at the start was that
//! of an agent that died: it is given back as lost once the backend was looked at, and never used again.

mod book;
mod enforce;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{OutgoingFrame, SessionState as HeldSession, View};
use crate::outbox::{Closed, Outbox};
use book::{Book, LeaseRow};
use hal_base::clock::Stopwatch;
use hal_protocol::event::what::What;
use hal_protocol::lease::{Cover, Lease, LeaseVerdict};
use hal_protocol::node::ProjectName;
use hal_protocol::session::{Model, Session, SessionId, Tokens};
use hal_rules::budget::used;
use hal_store::journal::Change;

pub use book::First;

/// What a coding agent says to a model before the first word of a person: its instructions and its tools.
const UNSAID_TOKENS: u64 = 12_000;

/// Bytes of a text that make a token, rather too few.
const BYTES_PER_TOKEN: u64 = 3;

/// Moments that are nearer to each other than this are one.
const SAME_MOMENT: Duration = Duration::from_millis(100);

/// The leases of this node. Clones share them.
#[derive(Clone, Debug)]
pub struct Leases(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    /// False: no budget holds here and nothing is lent, so that nobody need look.
    is_on: AtomicBool,
    /// Counts what may have changed.
    changed: watch::Sender<u64>,
    /// When the first lease of a turn ends, as far as that is to stop the turn.
    first_end: watch::Sender<Option<Instant>>,
    outbox: Outbox,
    says: mpsc::Sender<OutgoingFrame>,
    clock: Stopwatch,
}

/// What a command has borrowed: to be given to [`Leases::release`].
#[derive(Debug)]
pub struct LeaseHold(Option<String>);

impl LeaseHold {
    /// Nothing was borrowed.
    pub fn none() -> Self {
        Self(None)
    }
}

type Sessions = imbl::HashMap<SessionId, HeldSession>;

impl Leases {
    /// With what the journal remembers.
    pub fn new(rows: Vec<(String, String)>, outbox: Outbox, says: mpsc::Sender<OutgoingFrame>) -> Self {
        let book = Book::of(rows);
        let is_on = AtomicBool::new(book.is_on());
        let changed = watch::Sender::new(0);
        Self(Arc::new(Shared {
            book: Mutex::new(book),
            is_on,
            changed,
            first_end: watch::Sender::new(None),
            outbox,
            says,
            clock: Stopwatch::start(),
        }))
    }

    /// True when a budget holds here or something is lent.
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// When the first lease of a turn that runs here ends, as far as that is to stop the turn.
    pub fn first_end(&self) -> watch::Receiver<Option<Instant>> {
        self.0.first_end.subscribe()
    }

    fn tell_first_end(&self) {
        let now = self.now_ms();
        let ends = self.book().first_end_ms();
        let end = ends.map(|ends| Instant::now() + Duration::from_millis(ends.saturating_sub(now)));
        self.0.first_end.send_if_modified(|known| {
            // The same moment is a little another one each time it is reckoned.
            let is_same = match (*known, end) {
                (Some(known), Some(end)) => end.max(known) - end.min(known) < SAME_MOMENT,
                (known, end) => known == end,
            };
            *known = end;
            !is_same
        });
    }

    /// Held for a few lines only, never across an await.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the book, and tells whoever waits for a change of it.
    fn change<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book();
        let done = work(&mut book);
        self.0.is_on.store(book.is_on(), Ordering::Relaxed);
        drop(book);
        self.0.changed.send_modify(|count| *count += 1);
        done
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.clock.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// The supervisor says which sessions need a lease. Stored, since it holds when the supervisor is away, too.
    pub async fn set_cover(&self, cover: Cover) {
        if self.book().cover == cover {
            return;
        }
        // A closed journal is reported by whoever waits for its end.
        let _closed = self.0.outbox.write(vec![book::cover_row(&cover)]).await;
        self.change(|book| book.cover = cover);
    }

    /// The supervisor has answered. What was not wanted any more when the answer came is given back.
    pub async fn take_answer(&self, answer: &Lease) {
        let is_known = self.change(|book| book.hear(answer));
        if !is_known && answer.verdict == LeaseVerdict::Granted {
            let _closed =
                self.0.outbox.write(vec![book::ended(&answer.lease_id, answer.micros, 0, false)]).await;
        }
    }

    /// Waits until there is money for a turn of this session, or of one that is to be created. `dropped` resolves
    /// with the reason when it is not wanted any more.
    pub async fn borrow(
        &self,
        session: Option<&SessionId>,
        project: &ProjectName,
        first: First,
        dropped: impl Future<Output = &'static str>,
    ) -> Result<LeaseHold, String> {
        if !self.is_on() || !self.book().cover.holds_for(project) {
            return Ok(LeaseHold(None));
        }
        let mut changed = self.0.changed.subscribe();
        let (id, asked) = self.change(|book| book.hold(session, project, first));
        self.store(asked.into_iter().collect()).await?;
        tokio::pin!(dropped);
        loop {
            changed.borrow_and_update();
            let decided = self.book().may_begin(&id);
            match decided {
                Some(Ok(())) => break,
                Some(Err(why)) => {
                    self.drop_hold(&id).await;
                    return Err(why);
                }
                None => {}
            }
            tokio::select! {
                why = &mut dropped => {
                    self.drop_hold(&id).await;
                    return Err(why.to_owned());
                }
                _changed = changed.changed() => {}
            }
        }
        let granted = self.change(|book| book.grant(&id));
        self.store(granted.into_iter().collect()).await?;
        Ok(LeaseHold(Some(id)))
    }

    /// A command is through. `session`: the one that it has created.
    pub async fn release(&self, hold: LeaseHold, session: Option<SessionId>, view: &watch::Receiver<View>) {
        let Some(id) = hold.0 else { return };
        self.change(|book| book.bind(&id, session));
        let ended = {
            let sessions = &view.borrow().sessions;
            self.change(|book| book.release(&id, |root| runs(sessions, root)))
        };
        let _closed = self.store(ended).await;
    }

    async fn drop_hold(&self, id: &str) {
        let ended = self.change(|book| book.release(id, |_| false));
        let _closed = self.store(ended).await;
    }

    async fn store(&self, changes: Vec<Change>) -> Result<(), String> {
        if changes.is_empty() {
            return Ok(());
        }
        self.0.outbox.write(changes).await.map(drop).map_err(|closed: Closed| closed.to_string())
    }

    /// An event has come in: what its session has used since `before` is debited. `None`: it was not known before, so
    /// that what it says of itself is no increment.
    pub fn debit(
        &self,
        sessions: &Sessions,
        session: &Session,
        what: &What,
        before: Option<(Tokens, Option<u64>)>,
    ) {
        let unknown_micros = self.book().cover.unknown_micros;
        let more = before.map_or(0, |before| used(session, before, unknown_micros));
        let message = book::message_cost(what);
        if more == 0 && message.is_none() {
            return;
        }
        let root = root_of(sessions, session);
        self.change(|book| book.debit(&root, more, message));
    }

    /// What is to be written after these sessions have changed: leases of turns that are over are given back, and one
    /// is asked for where a turn runs that nobody has asked for here.
    pub fn settle<'a>(
        &self,
        sessions: &Sessions,
        touched: impl Iterator<Item = &'a SessionId>,
    ) -> Vec<Change> {
        let roots: std::collections::BTreeSet<SessionId> = touched
            .filter_map(|id| sessions.get(id))
            .map(|held| root_of(sessions, &held.record.session))
            .collect();
        let mut changes = Vec::new();
        for root in roots {
            let Some(project) = sessions.get(&root).map(|held| held.record.session.project.clone()) else {
                continue;
            };
            let at_work = runs(sessions, &root);
            changes.extend(self.change(|book| book.settle(&root, &project, at_work)));
        }
        changes
    }

    /// A backend was looked at: what was lent to an agent that died is given back, for its sessions and for those that
    /// nobody knows.
    pub fn give_back_old(&self, sessions: &Sessions, backend: &str) -> Vec<Change> {
        let is_its = |row: &LeaseRow| {
            let held = row.session.as_ref().and_then(|id| sessions.get(id));
            held.is_none_or(|held| held.record.session.backend == backend)
        };
        self.change(|book| book.give_back_old(is_its))
    }
}

/// The session that a person began, of which this one is a helper; else itself.
pub(super) fn root_of(sessions: &Sessions, session: &Session) -> SessionId {
    /// Deeper is a loop.
    const MAX_DEPTH: usize = 16;
    let (mut root, mut parent) = (session.id.clone(), session.parent_id.clone());
    for _ in 0..MAX_DEPTH {
        let Some(next) = parent else { break };
        parent = sessions.get(&next).and_then(|held| held.record.session.parent_id.clone());
        root = next;
    }
    root
}

/// What a session's next turn begins with, from what it or the project's latest session has done before.
pub(super) fn first_of(
    sessions: &Sessions,
    session: Option<&SessionId>,
    project: &ProjectName,
    (model, words): (&str, &str),
) -> First {
    let of_project = || {
        let all = sessions.values().map(|held| &held.record.session);
        let known = all.filter(|one| one.project == *project && one.model.is_some());
        known.max_by_key(|one| one.active_at)
    };
    let own = session.and_then(|id| sessions.get(id)).map(|held| &held.record.session);
    let asked =
        model.split_once('/').map(|(provider, id)| Model { provider: provider.into(), id: id.into() });
    let model = asked.or_else(|| own.or_else(of_project)?.model.clone());
    let held = own.and_then(|own| own.context).map_or(UNSAID_TOKENS, |context| context.used);
    First { model, tokens: held.saturating_add(words.len() as u64 / BYTES_PER_TOKEN) }
}

/// True while a turn of it or of its helpers runs.
fn runs(sessions: &Sessions, root: &SessionId) -> bool {
    if sessions.get(root).is_some_and(HeldSession::is_at_work) {
        return true;
    }
    let at_work =
        sessions.values().filter(|held| held.is_at_work() && held.record.session.parent_id.is_some());
    at_work.into_iter().any(|held| root_of(sessions, &held.record.session) == *root)
}
