//! The stored part of the present state: what the store holds, decoded.

use std::cmp::Reverse;
use std::sync::Arc;

use imbl::{HashMap, HashSet, OrdMap, OrdSet, Vector};

use super::session_index::{SessionClass, SessionIndex, SessionPlace};
use hal_base::clock::Time;
use hal_protocol::alert::Alert;
use hal_protocol::command::{Command, CommandId};
use hal_protocol::node::NodeId;
use hal_protocol::session::{Session, SessionId, Status};
use hal_rules as rules;
use hal_rules::lease::Loan;
use hal_store::hub::Loaded;
use hal_store::kept::{Kept, MARKS};
use hal_store::node::NodeRecord;
use hal_store::session::SessionRecord;
use hal_store::state;
use hal_store::tail::Tail;

/// What the store holds, and what is found through it. It changes with a transaction only.
#[derive(Clone, Debug, Default)]
pub struct StoredState {
    /// The store's id.
    pub store_id: Arc<str>,
    /// The last committed event.
    pub last_seq: u64,
    /// When it was stored. The next one is stored no earlier, whatever the clock does.
    pub last_time: Time,
    /// The number the next new session gets in the index.
    pub next_session_no: u32,
    /// Every node.
    pub nodes: OrdMap<NodeId, Arc<NodeRecord>>,
    /// Every session.
    pub sessions: HashMap<SessionId, Arc<SessionRecord>>,
    /// Nodes that an operator has deleted: what is known of one comes back with it.
    pub gone_nodes: HashMap<NodeId, NodeRecord>,
    /// The numbers of sessions that an operator has deleted.
    pub gone_sessions: HashMap<SessionId, u32>,
    /// Nodes of which events came back from a store that was set aside: they may say them again.
    pub returned_nodes: HashSet<NodeId>,
    /// Every session, newest first.
    pub by_age: OrdSet<SessionPlace>,
    /// Every session by what lists are asked for.
    pub session_index: SessionIndex,
    /// The helpers of a session.
    pub helpers: HashMap<SessionId, Vector<SessionId>>,
    /// How many sessions of each node have not ended.
    open_sessions: HashMap<NodeId, u64>,
    /// Commands that have not ended.
    pub commands: OrdMap<CommandId, Arc<Command>>,
    /// Alerts, oldest first.
    pub alerts: OrdMap<u64, Arc<Alert>>,
    /// The numbers of those that are open, by name and what they are about.
    pub open_alerts: OrdMap<(String, String), u64>,
    /// The number of the next one.
    pub next_alert: u64,
    /// What the supervisor keeps for itself, by kind and key: see [`hal_store::kept`].
    pub state: OrdMap<String, Arc<Kept>>,
    /// The names of those rows of it that cannot be read.
    pub unreadable: OrdSet<String>,
    /// What is lent to nodes.
    pub loans: OrdMap<String, Arc<Loan>>,
    /// Index entries that are not merged yet.
    pub tail: Tail,
}

impl StoredState {
    /// Takes over all that a store holds.
    pub fn take(&mut self, loaded: Loaded) {
        self.store_id = loaded.store_id.into();
        (self.last_seq, self.last_time, self.tail) = (loaded.last_seq, loaded.last_time, loaded.tail);
        (self.next_session_no, self.next_alert) = (self.next_session_no.max(1), self.next_alert.max(1));
        self.gone_nodes = loaded.gone_nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        self.returned_nodes = loaded.returned_nodes.into_iter().map(NodeId::new).collect();
        for (name, kept) in loaded.state {
            self.put_state(name, Some(Arc::new(kept)));
        }
        for alert in loaded.alerts {
            self.put_alert(alert);
        }
        for record in loaded.nodes {
            self.nodes.insert(record.id.clone(), Arc::new(record));
        }
        for record in loaded.sessions {
            self.next_session_no = self.next_session_no.max(record.no.saturating_add(1));
            self.put_session(record);
        }
        for (id, no) in loaded.gone_sessions {
            self.next_session_no = self.next_session_no.max(no.saturating_add(1));
            self.gone_sessions.insert(id.into(), no);
        }
        for command in loaded.open_commands {
            self.commands.insert(command.id.clone(), Arc::new(command));
        }
    }

    /// Puts a session in place of what was known of it.
    pub fn put_session(&mut self, record: SessionRecord) {
        let id = record.session.id.clone();
        let old = self.sessions.get(&id).cloned();
        let (session, old) = (&record.session, old.as_ref().map(|old| &old.session));
        let old_start = old.map(|old| old.started_at);
        if old_start != Some(session.started_at) {
            if let Some(start) = old_start {
                self.by_age.remove(&(Reverse(start), id.clone()));
            }
            self.by_age.insert((Reverse(session.started_at), id.clone()));
        }
        let old_parent = old.and_then(|old| old.parent_id.as_ref());
        let has_moved = session.parent_id.as_ref() != old_parent;
        let mut changed = Vec::new();
        if has_moved {
            changed = self.above(&id);
            if let Some(helpers) = old_parent.and_then(|parent| self.helpers.get_mut(parent)) {
                helpers.retain(|helper| *helper != id);
            }
            if let Some(parent) = &session.parent_id {
                self.helpers.entry(parent.clone()).or_default().push_back(id.clone());
            }
        }
        let was_open = old.filter(|old| old.is_open()).map(|old| old.node_id.clone());
        let is_open = session.is_open().then(|| session.node_id.clone());
        if was_open != is_open {
            self.count_open(was_open, is_open);
        }
        let waits = |session: &Session| rules::session::status(session) == Status::Waiting;
        let is_news_above = has_moved || old.is_some_and(waits) != waits(session);
        let is_as_filed = old.is_some_and(|old| is_filed_alike(old, session));
        self.sessions.insert(id.clone(), Arc::new(record));
        if is_news_above {
            changed.extend(self.above(&id));
        }
        if !is_as_filed {
            changed.push(id);
        }
        changed.iter().for_each(|id| self.file_session(id));
    }

    /// Puts a session where lists find it.
    fn file_session(&mut self, id: &SessionId) {
        let Some(record) = self.sessions.get(id) else { return };
        let session = &record.session;
        let marks = self.state.get(&state::name(MARKS.name, id.as_str()));
        let marks = marks.and_then(|row| MARKS.of(row.value.as_ref().ok()?));
        let class = SessionClass {
            node_id: session.node_id.clone(),
            project: session.project.clone(),
            status: rules::session::status_with_helpers(session, self.is_kept_waiting(session)),
            is_archived: marks.is_some_and(|marks| marks.archived.is_some()),
        };
        let started_at = session.started_at;
        self.session_index.put(id, class, started_at);
    }

    fn count_open(&mut self, was: Option<NodeId>, is: Option<NodeId>) {
        if let Some(count) = was.and_then(|node| self.open_sessions.get_mut(&node)) {
            *count = count.saturating_sub(1);
        }
        if let Some(node) = is {
            *self.open_sessions.entry(node).or_default() += 1;
        }
    }

    /// How many sessions of a node have not ended.
    pub fn open_of_node(&self, node: &str) -> u64 {
        self.open_sessions.get(node).copied().unwrap_or_default()
    }

    /// Forgets a session.
    pub fn remove_session(&mut self, id: &SessionId) {
        let above = self.above(id);
        let Some(record) = self.sessions.remove(id) else { return };
        self.session_index.remove(id);
        self.count_open(record.session.is_open().then(|| record.session.node_id.clone()), None);
        self.by_age.remove(&(Reverse(record.session.started_at), id.clone()));
        if let Some(helpers) =
            record.session.parent_id.as_ref().and_then(|parent| self.helpers.get_mut(parent))
        {
            helpers.retain(|helper| helper != id);
        }
        above.iter().for_each(|id| self.file_session(id));
    }

    /// Puts an alert in place of what was known of it.
    pub fn put_alert(&mut self, alert: Alert) {
        let key = (alert.name.clone(), alert.about.clone());
        if alert.is_open() {
            self.open_alerts.insert(key, alert.id);
        } else if self.open_alerts.get(&key) == Some(&alert.id) {
            self.open_alerts.remove(&key);
        }
        self.next_alert = self.next_alert.max(alert.id.saturating_add(1));
        self.alerts.insert(alert.id, Arc::new(alert));
    }

    /// Forgets an alert.
    pub fn remove_alert(&mut self, id: u64) {
        let Some(alert) = self.alerts.remove(&id) else { return };
        let key = (alert.name.clone(), alert.about.clone());
        if self.open_alerts.get(&key) == Some(&id) {
            self.open_alerts.remove(&key);
        }
    }

    /// The alert of this kind about this that is not over.
    pub fn open_alert(&self, name: &str, about: &str) -> Option<&Arc<Alert>> {
        let id = self.open_alerts.get(&(name.to_owned(), about.to_owned()))?;
        self.alerts.get(id)
    }

    /// Puts a row of kept state in place of what was there, or takes it away. Gives what was there.
    pub fn put_state(&mut self, name: String, kept: Option<Arc<Kept>>) -> Option<Arc<Kept>> {
        match kept.as_ref().is_some_and(|kept| kept.value.is_err()) {
            true => self.unreadable.insert(name.clone()),
            false => self.unreadable.remove(&name),
        };
        let marked = name.strip_prefix(MARKS.name).and_then(|rest| rest.strip_prefix('/'));
        let marked = marked.map(SessionId::new);
        let known = match kept {
            Some(kept) => self.state.insert(name, kept),
            None => self.state.remove(&name),
        };
        if let Some(id) = marked {
            self.file_session(&id);
        }
        known
    }
}

/// True when lists find both at the same place, as long as no helper asks.
fn is_filed_alike(one: &Session, other: &Session) -> bool {
    one.started_at == other.started_at
        && one.node_id == other.node_id
        && one.project == other.project
        && rules::session::status(one) == rules::session::status(other)
}
