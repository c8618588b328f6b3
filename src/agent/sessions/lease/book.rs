//! The book of what is lent: who holds it, what was used of it, and the rows of the journal that say so.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use hal_base::clock;
use hal_base::id;
use hal_protocol::budget::AtLimit;
use hal_protocol::event::raw;
use hal_protocol::event::what::What;
use hal_protocol::lease::{self, Cover, Lease, LeaseEnd, LeaseVerdict};
use hal_protocol::node::ProjectName;
use hal_protocol::session::{Model, SessionId};
use hal_rules::lease::Held;
use hal_rules::session::micros;
use hal_store::journal::{Change, NewEvent};

/// The journal's key of the cover, among the names of leases.
pub const COVER: &str = "cover";

/// Sessions whose dearest step is remembered: with more the memory begins anew.
const MOST_STEPS: usize = 4096;

/// A lease in the journal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LeaseRow {
    pub session: Option<SessionId>,
    pub project: ProjectName,
    /// A turn may have used it. False: it was only asked for.
    pub granted: bool,
}

/// A lease.
#[derive(Debug, Default)]
pub(super) struct LeaseEntry {
    pub held: Held,
    pub session: Option<SessionId>,
    pub project: ProjectName,
    /// Commands that have not begun their turn yet.
    holds: usize,
    pub runs: bool,
    /// The journal says that a turn may use it.
    granted: bool,
    usage: LeaseUsage,
    /// What the turn begins with.
    pub first: First,
}

/// The first call of a turn, as far as it can be foreseen.
#[derive(Clone, Debug, Default)]
pub struct First {
    /// Which model is likely to be asked.
    pub model: Option<Model>,
    /// About how many tokens it reads; 0: nobody knows.
    pub tokens: u64,
}

/// What a session and its helpers have used since the lease began.
#[derive(Debug, Default)]
struct LeaseUsage {
    /// What their sums have grown by.
    by_session: u64,
    /// What each message has cost: it is told before the sums.
    by_message: HashMap<String, u64>,
}

impl LeaseUsage {
    fn add(&mut self, more: u64, message: Option<(String, u64)>) {
        self.by_session = self.by_session.saturating_add(more);
        if let Some((name, cost)) = message {
            let known = self.by_message.entry(name).or_default();
            *known = cost.max(*known);
        }
    }

    fn sum(&self) -> u64 {
        self.by_session.max(self.by_message.values().sum())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub cover: Cover,
    pub entries: HashMap<String, LeaseEntry>,
    /// What sessions have used that are being created: their names come later.
    early: HashMap<SessionId, LeaseUsage>,
    /// The dearest step of sessions that had a lease: the next one is of no use with less.
    steps: HashMap<SessionId, u64>,
    /// Of an agent that died.
    old: Vec<(String, LeaseRow)>,
}

impl Book {
    /// What the journal holds.
    pub fn of(rows: Vec<(String, String)>) -> Self {
        let mut book = Self::default();
        for (key, json) in rows {
            if key == COVER {
                book.cover = serde_json::from_str(&json).unwrap_or_default();
            } else {
                // What cannot be read was lent nevertheless.
                let unreadable = LeaseRow { granted: true, ..LeaseRow::default() };
                book.old.push((key, serde_json::from_str(&json).unwrap_or(unreadable)));
            }
        }
        book
    }

    pub fn is_on(&self) -> bool {
        !self.cover.is_empty() || !self.entries.is_empty() || !self.old.is_empty()
    }

    /// When the first lease ends of a turn that must not go on without one, by the clock of the leases.
    pub fn first_end_ms(&self) -> Option<u64> {
        let stops = |entry: &&LeaseEntry| {
            (entry.runs || entry.holds > 0)
                && entry.held.at_limit > AtLimit::FinishTurn
                && entry.held.expires_ms > 0
        };
        self.entries.values().filter(stops).map(|entry| entry.held.expires_ms).min()
    }

    /// True when it is one of ours.
    pub fn hear(&mut self, answer: &Lease) -> bool {
        match self.entries.get_mut(&answer.lease_id) {
            Some(entry) => entry.held.hear(answer),
            None => return self.old.iter().any(|(id, _)| *id == answer.lease_id),
        }
        true
    }

    /// A command holds the lease of a session, or a new one, whose row is to be written first.
    pub fn hold(
        &mut self,
        session: Option<&SessionId>,
        project: &ProjectName,
        first: First,
    ) -> (String, Option<Change>) {
        if let Some(session) = session
            && let Some((id, entry)) = self.of_session(session)
        {
            entry.holds += 1;
            return (id, None);
        }
        let (id, row) = self.open(session, project);
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.holds, entry.first) = (1, first);
        }
        (id, Some(row))
    }

    fn open(&mut self, session: Option<&SessionId>, project: &ProjectName) -> (String, Change) {
        let id = id::fresh();
        let step = session.and_then(|session| self.steps.get(session)).copied().unwrap_or_default();
        let held = Held { step, ..Held::default() };
        let entry =
            LeaseEntry { held, session: session.cloned(), project: project.clone(), ..LeaseEntry::default() };
        let row = entry.row(&id);
        self.entries.insert(id.clone(), entry);
        (id, row)
    }

    fn of_session(&mut self, session: &SessionId) -> Option<(String, &mut LeaseEntry)> {
        let mut entries = self.entries.iter_mut();
        let (id, entry) = entries.find(|(_, entry)| entry.session.as_ref() == Some(session))?;
        Some((id.clone(), entry))
    }

    /// Whether a turn may begin; `None`: not decided yet.
    pub fn may_begin(&self, id: &str) -> Option<Result<(), String>> {
        let entry = self.entries.get(id)?;
        let held = &entry.held;
        match held.said {
            Some(LeaseVerdict::Refused) if held.left() < held.step.max(1) => Some(Err(held.why.clone())),
            _ if held.lent > 0 && held.left() > 0 => Some(Ok(())),
            _ => None,
        }
    }

    /// From now on a turn may use it.
    pub fn grant(&mut self, id: &str) -> Option<Change> {
        let entry = self.entries.get_mut(id).filter(|entry| !entry.granted)?;
        entry.granted = true;
        Some(entry.row(id))
    }

    /// The session it was borrowed for has a name now; the supervisor is told with the next word.
    pub fn bind(&mut self, id: &str, session: Option<SessionId>) {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.session.is_none()
            && let Some(session) = session
        {
            entry.usage = self.early.remove(&session).unwrap_or_default();
            entry.held.debit(entry.usage.sum());
            entry.session = Some(session);
            (entry.held.said, entry.held.asked_ms, entry.held.waits_since) = (None, None, None);
        }
        if self.entries.values().all(|entry| entry.session.is_some()) {
            self.early.clear();
        }
    }

    /// A command is through, or gave up; what to write when nothing needs the lease any more.
    pub fn release(&mut self, id: &str, runs: impl FnOnce(&SessionId) -> bool) -> Vec<Change> {
        let Some(entry) = self.entries.get_mut(id) else { return Vec::new() };
        entry.holds = entry.holds.saturating_sub(1);
        entry.runs = entry.session.as_ref().is_some_and(runs);
        if entry.holds > 0 || entry.runs { Vec::new() } else { self.end(id) }
    }

    fn end(&mut self, id: &str) -> Vec<Change> {
        let Some(entry) = self.entries.remove(id) else { return Vec::new() };
        if let Some(session) = entry.session.filter(|_| entry.held.step > 0) {
            if self.steps.len() >= MOST_STEPS {
                self.steps.clear();
            }
            self.steps.insert(session, entry.held.step);
        }
        vec![ended(id, entry.held.lent, entry.held.used, false), Change::Lease(id.to_owned(), None)]
    }

    /// A session or one of its helpers has used more.
    pub fn debit(&mut self, root: &SessionId, more: u64, message: Option<(String, u64)>) {
        // Before the name of a session that is being created is known here, its events come already.
        if let Some((_, entry)) = self.of_session(root) {
            entry.usage.add(more, message);
            entry.held.debit(entry.usage.sum().saturating_sub(entry.held.used));
        } else if self.entries.values().any(|entry| entry.session.is_none()) {
            self.early.entry(root.clone()).or_default().add(more, message);
        }
    }

    /// What to write after a session has changed.
    pub fn settle(&mut self, root: &SessionId, project: &ProjectName, runs: bool) -> Vec<Change> {
        let is_covered = self.cover.holds_for(project);
        let unnamed = self.entries.values().any(|entry| entry.session.is_none() && entry.project == *project);
        match self.of_session(root) {
            Some((id, entry)) => {
                entry.runs = runs;
                if runs || entry.holds > 0 { Vec::new() } else { self.end(&id) }
            }
            // A turn that was begun past us, or goes on after we were away.
            None if runs && is_covered && !unnamed => {
                let (id, _asked) = self.open(Some(root), project);
                let Some(entry) = self.entries.get_mut(&id) else { return Vec::new() };
                (entry.runs, entry.granted) = (true, true);
                vec![entry.row(&id)]
            }
            None => Vec::new(),
        }
    }

    pub fn give_back_old(&mut self, is_its: impl Fn(&LeaseRow) -> bool) -> Vec<Change> {
        let (its, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.old).into_iter().partition(|(_, row)| is_its(row));
        self.old = left;
        let back = |(id, row): (String, LeaseRow)| [ended(&id, 0, 0, row.granted), Change::Lease(id, None)];
        its.into_iter().flat_map(back).collect()
    }
}

impl LeaseEntry {
    fn row(&self, id: &str) -> Change {
        let row =
            LeaseRow { session: self.session.clone(), project: self.project.clone(), granted: self.granted };
        Change::Lease(id.to_owned(), Some(raw(&row).get().to_owned()))
    }
}

/// The row of the cover.
pub(super) fn cover_row(cover: &Cover) -> Change {
    Change::Lease(COVER.to_owned(), Some(raw(cover).get().to_owned()))
}

/// The event that gives a lease back.
pub(super) fn ended(id: &str, lent_micros: u64, used_micros: u64, lost: bool) -> Change {
    let end = LeaseEnd { lease_id: id.to_owned(), lent_micros, used_micros, lost };
    Change::Append(NewEvent::own(lease::ENDED, clock::now(), raw(&end)))
}

/// The name and the price of an answer, as far as it is there.
pub(super) fn message_cost(what: &What) -> Option<(String, u64)> {
    let What::Message(told) = what else { return None };
    Some((told.id.clone(), micros(told.cost?).filter(|cost| *cost > 0)?))
}
