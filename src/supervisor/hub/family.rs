//! Sessions and their helpers: who is above and below whom, and what a turn waits for without asking itself.

use super::stored::StoredState;
use super::view::View;
use hal_protocol::session::{HelperAsk, Session, SessionId, Status};
use hal_rules as rules;

/// How far helpers of helpers are followed, down and up; further is broken or a loop.
const MAX_DEPTH: usize = 16;

impl StoredState {
    /// Shows all sessions below this one.
    pub fn each_helper(&self, root: &SessionId, see: &mut impl FnMut(&Session)) {
        self.below(root, root, MAX_DEPTH, see);
    }

    /// Each session has one parent, so those below `root` are a tree unless `root` is below itself.
    fn below(&self, root: &SessionId, id: &SessionId, depth: usize, see: &mut impl FnMut(&Session)) {
        if depth == 0 {
            return;
        }
        for helper in self.helpers.get(id).into_iter().flatten().filter(|helper| *helper != root) {
            if let Some(record) = self.sessions.get(helper) {
                see(&record.session);
                self.below(root, helper, depth - 1, see);
            }
        }
    }

    /// The sessions above this one, the nearest first.
    pub fn above(&self, session: &SessionId) -> Vec<SessionId> {
        let mut out: Vec<SessionId> = Vec::new();
        let mut at = session.clone();
        while let Some(parent) = self.sessions.get(&at).and_then(|record| record.session.parent_id.clone()) {
            if out.len() >= MAX_DEPTH || parent == *session || out.contains(&parent) {
                break;
            }
            out.push(parent.clone());
            at = parent;
        }
        out
    }

    /// True while a helper of a session's running turn waits for a person.
    pub fn is_kept_waiting(&self, session: &Session) -> bool {
        let mut waits = false;
        if session.activity.runs() {
            self.each_helper(&session.id, &mut |helper| {
                waits |= rules::session::status(helper) == Status::Waiting;
            });
        }
        waits
    }
}

impl View {
    /// Shows a session and its helpers as far as a turn of theirs runs.
    pub fn each_running(&self, id: &SessionId, see: &mut impl FnMut(&Session)) {
        let mut running = |session: &Session| {
            if session.activity.runs() {
                see(session);
            }
        };
        if let Some(record) = self.stored.sessions.get(id) {
            running(&record.session);
        }
        self.stored.each_helper(id, &mut running);
    }

    /// What the helpers of a session's running turn wait for, oldest first.
    pub fn helper_asks(&self, session: &Session) -> Vec<HelperAsk> {
        let mut out = Vec::new();
        if !session.activity.runs() {
            return out;
        }
        self.stored.each_helper(&session.id, &mut |helper| {
            if rules::session::status(helper) == Status::Waiting {
                let of_helper = |ask: &_| HelperAsk { session_id: helper.id.clone(), ask: Clone::clone(ask) };
                out.extend(helper.asks.iter().map(of_helper));
            }
        });
        out.sort_by_key(|one| one.ask.since);
        out
    }
}
