//! A session as every noun of the hub needs it: its row, its names, its marks and its own events.

use std::sync::Arc;

use serde_json::Value;

use super::Work;
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::event::what::What;
use hal_protocol::event::{EventView, form, raw};
use hal_protocol::mark::Marks;
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_rules::command::public_id;
use hal_store::change::RowKind;
use hal_store::kept::{FACTS, HANDOVER, MARKS, MEMORY, STOPPING};
use hal_store::session::SessionRecord;
use hal_store::state;

impl Work {
    pub(super) fn public_id(&self, local: &SessionId, node: &NodeId) -> SessionId {
        public_id(local, node, self.view.stored.sessions.get(local).map(|record| &record.session))
    }

    /// The number of a new session, or the one it had before an operator deleted it.
    pub(super) fn session_no(&mut self, id: &SessionId) -> u32 {
        if let Some(no) = self.view.stored.gone_sessions.get(id) {
            return *no;
        }
        let no = self.view.stored.next_session_no;
        self.view.stored.next_session_no = no.saturating_add(1);
        no
    }

    pub(super) fn put_session(&mut self, record: SessionRecord) {
        let known = self.view.stored.sessions.get(&record.session.id);
        let asked = known.map(|known| known.session.asks.as_slice()).unwrap_or_default();
        if asked != record.session.asks {
            self.asking.insert(record.session.id.clone());
        }
        let id = record.session.id.to_string();
        self.batch.edits.is_back(RowKind::Session, &id);
        if !record.session.activity.runs() && self.view.is_kept(STOPPING, &id) {
            self.delete_kept(STOPPING, &id);
            self.stirred = true;
        }
        self.batch.sessions.insert(id, record.clone());
        self.view.stored.put_session(record);
    }

    /// Adds an event to a session's facts; gives the session's name.
    pub(super) fn fold(&mut self, record: &SessionRecord, what: &What, at: Time) -> String {
        let id = &record.session.id;
        let watched = Arc::make_mut(self.view.live.watched.entry(id.clone()).or_default());
        if watched.facts.fold(&record.session, what, at) {
            self.told.insert(id.clone());
        }
        id.to_string()
    }

    /// Writes an event of the supervisor's own about a session.
    pub(super) fn note_session(&mut self, record: &SessionRecord, kind: &str, data: &Value, at: Time) {
        let session = &record.session;
        let (seq, timestamp) = self.next_place(at);
        let data = raw(data);
        let session_id = self.fold(record, &form::read(kind, &data), timestamp);
        self.view.stored.tail.push(record.no, seq);
        self.batch.events.push(EventView {
            seq,
            id: id::fresh(),
            kind: kind.to_owned(),
            session_id,
            node_id: session.node_id.clone(),
            project: session.project.to_string(),
            data,
            timestamp,
            occurred_at: at,
            node_seq: 0,
        });
    }

    /// Something that concerns every session has changed.
    pub(super) fn look_at_all_again(&mut self) {
        let all: Vec<SessionId> = self.view.live.watched.keys().cloned().collect();
        all.iter().for_each(|id| self.look_again(id));
    }

    /// Something beside its events has changed.
    pub(super) fn look_again(&mut self, id: &SessionId) {
        if let Some(watched) = self.view.live.watched.get_mut(id) {
            Arc::make_mut(watched).due = Some(Time::default());
        }
    }

    /// What is kept of a session's marks.
    pub(super) fn marks(&self, id: &SessionId) -> Marks {
        self.view.own_marks(id)
    }

    pub(super) fn keep_marks(&mut self, id: &SessionId, marks: &Marks, at: Time) {
        match marks.is_empty() {
            true => self.delete_kept(MARKS, id.as_str()),
            false => self.put_kept(MARKS, id.as_str(), marks, at),
        }
    }

    /// A person goes on with a session: what of its facts and memories cannot be read begins anew.
    pub(super) fn renew_unreadable(&mut self, id: &SessionId) {
        for kind in [FACTS.name, MEMORY.name] {
            let name = state::name(kind, id.as_str());
            if self.view.stored.unreadable.contains(&name) {
                self.put_state(name, None);
            }
        }
    }

    /// A session is gone for good.
    pub(super) fn forget_session(&mut self, id: &SessionId) {
        self.view.live.watched.remove(id);
        [FACTS.name, MEMORY.name, MARKS.name, HANDOVER.name, STOPPING.name]
            .iter()
            .for_each(|kind| self.put_state(state::name(kind, id.as_str()), None));
    }
}
