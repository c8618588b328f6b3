//! What must be remembered of the stream so that nothing is missed or reported twice when it breaks.

use std::collections::{HashMap, HashSet};

use super::turns::Turns;
use crate::backend::KnownSessions;
use hal_protocol::session::{Activity, SessionId};

/// The stream's memory. It lives as long as the backend, over restarts of opencode. It holds a few hundred bytes for
/// each session that exists, and forgets those that are deleted.
#[derive(Debug, Default)]
pub struct Tracker {
    /// The number of the last stored event that was reported, by session.
    pub marks: HashMap<SessionId, u64>,
    /// Sessions that a turn was last heard of.
    pub busy: HashSet<SessionId>,
    /// The real directory of each session.
    pub directories: HashMap<SessionId, String>,
    /// The identity of the last event heard; empty before the first. Identities sort by time.
    pub last_id: String,
    /// What was said to each session and whether it was answered.
    pub turns: HashMap<SessionId, Turns>,
    /// When each session was last said to have changed, in Unix milliseconds.
    pub updated: HashMap<SessionId, i64>,
}

impl Tracker {
    /// Begins with what the journal remembers.
    pub fn new(memory: KnownSessions) -> Self {
        let mut out = Self::default();
        for (id, known) in memory {
            if let Some(mark) = known.mark {
                out.marks.insert(id.clone(), mark);
            }
            if matches!(known.session.activity, Activity::Busy | Activity::Retry(_)) {
                out.busy.insert(id.clone());
            }
            if !matches!(known.session.activity, Activity::Ended(_)) {
                let directory = super::real(known.session.directory.as_ref());
                out.directories.insert(id, super::text(directory));
            }
        }
        out
    }

    /// Takes note of the number of a stored event. False when it was reported before.
    pub fn is_news(&mut self, session: &SessionId, seq: u64) -> bool {
        match self.marks.get_mut(session) {
            Some(mark) if *mark >= seq => false,
            Some(mark) => {
                *mark = seq;
                true
            }
            None => {
                self.marks.insert(session.clone(), seq);
                true
            }
        }
    }

    /// Takes note of the identity of an event.
    pub fn heard(&mut self, id: &str) {
        if id > self.last_id.as_str() {
            id.clone_into(&mut self.last_id);
        }
    }

    /// Takes note that a turn runs, or that none does.
    pub fn set_busy(&mut self, session: &SessionId, is_busy: bool) {
        if is_busy {
            self.busy.insert(session.clone());
        } else {
            self.busy.remove(session);
        }
    }

    /// Takes note of when a session changed.
    pub fn has_changed(&mut self, session: &SessionId, at: i64) {
        let known = self.updated.entry(session.clone()).or_default();
        *known = at.max(*known);
    }

    /// Forgets the sessions that are no more.
    pub fn keep_only(&mut self, there: &HashSet<&SessionId>) {
        self.marks.retain(|id, _| there.contains(id));
        self.busy.retain(|id| there.contains(id));
        self.directories.retain(|id, _| there.contains(id));
        self.turns.retain(|id, _| there.contains(id));
        self.updated.retain(|id, _| there.contains(id));
    }

    /// Forgets a session that was deleted.
    pub fn forget(&mut self, session: &SessionId) {
        self.marks.remove(session);
        self.busy.remove(session);
        self.directories.remove(session);
        self.turns.remove(session);
        self.updated.remove(session);
    }
}
