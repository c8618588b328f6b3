//! The present state: what the hub decides on and what everybody else reads.
//!
//! A view never changes. The hub works on a copy (the maps share what is equal, so a copy costs next to nothing),
//! commits, and publishes the copy; when the commit fails it throws the copy away.

use std::cmp::Reverse;
use std::sync::Arc;

use imbl::{HashMap, HashSet, OrdMap, OrdSet, Vector};

use super::settings::Settings;
use crate::base::clock::Time;
use crate::protocol::alert::Alert;
use crate::protocol::budget::Budget;
use crate::protocol::command::{Command, CommandId, CommandView};
use crate::protocol::node::{Journal, Node, NodeId, NodeStatus, Resources};
use crate::protocol::session::{Activity, Session, SessionId, SessionView, Status};
use crate::rules;
use crate::rules::command::Place;
use crate::rules::lease::Loan;
use crate::rules::policy::facts::Facts;
use crate::rules::price::micros;
use crate::store::hub::Loaded;
use crate::store::kept::{Kept, LEDGER};
use crate::store::node::NodeRecord;
use crate::store::session::SessionRecord;
use crate::store::tail::Tail;

/// Sessions that are looked through for the one that was meant: the hub does nothing else meanwhile.
const MAX_OFFERED: usize = 1000;

/// What is known of a node.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// What is stored of it.
    pub record: NodeRecord,
    /// Whether its link is up.
    pub online: bool,
    /// When it was last heard of.
    pub last_heard: Time,
    /// As of the last heartbeat.
    pub resources: Resources,
    /// Milliseconds by which its clock is ahead of ours, as of the last heartbeat.
    pub clock_ahead_ms: i64,
    /// The last number its journal holds, as far as it said.
    pub held: u64,
    /// Bytes of commands it takes before it acknowledges one; 0: it did not say.
    pub command_credit: u64,
    /// Whether its agent asks for leases.
    pub takes_leases: bool,
    /// The host of another agent that claims to be this node, as long as this one is connected.
    pub impostor: Option<String>,
}

impl NodeState {
    /// A node as it stands in the store: not connected.
    pub fn offline(record: NodeRecord) -> Self {
        let (last_heard, held) = (record.last_heard, record.committed);
        Self {
            record,
            online: false,
            last_heard,
            resources: Resources::default(),
            clock_ahead_ms: 0,
            held,
            command_credit: 0,
            takes_leases: false,
            impostor: None,
        }
    }

    /// True when the agent has shown that it stored the epoch it was given.
    pub fn is_confirmed(&self) -> bool {
        self.record.confirmed == self.record.epoch
    }

    /// It has spoken over its present connection, and before that it stored the epoch.
    pub fn confirm(&mut self) {
        self.record.confirmed = self.record.epoch;
    }

    /// As the API shows it.
    fn show(&self, sessions: u64) -> Node {
        let record = &self.record;
        Node {
            id: record.id.clone(),
            hostname: record.hostname.clone(),
            status: if self.online { NodeStatus::Online } else { NodeStatus::Offline },
            last_heartbeat: self.last_heard,
            connected_at: record.connected_at,
            version: record.version.clone(),
            address: record.address.clone(),
            epoch: record.epoch,
            projects: record.projects.clone(),
            resources: self.resources,
            clock_ahead_ms: self.clock_ahead_ms,
            journal: Journal {
                incarnation: record.incarnation.clone(),
                held: self.held.max(record.committed),
                acknowledged: record.committed,
                lag: self.held.saturating_sub(record.committed),
                given_up: record.given_up,
                missing: record.committed.saturating_sub(record.stored + record.given_up),
            },
            sessions,
        }
    }
}

/// The present state.
#[derive(Clone, Debug)]
pub struct View {
    /// The store's name.
    pub store_id: Arc<str>,
    /// The last committed event.
    pub last_seq: u64,
    /// When it was stored. The next one is stored no earlier, whatever the clock does.
    pub last_time: Time,
    /// When this machine began to run, as its clock says; `None` before the first input. It changes when the clock is set.
    pub began: Option<Time>,
    /// The number the next new session gets in the index.
    pub next_session_no: u32,
    /// Every node.
    pub nodes: OrdMap<NodeId, Arc<NodeState>>,
    /// Every session.
    pub sessions: HashMap<SessionId, Arc<SessionRecord>>,
    /// Nodes that an operator has deleted: what is known of one comes back with it.
    pub gone_nodes: HashMap<NodeId, NodeRecord>,
    /// The numbers of sessions that an operator has deleted.
    pub gone_sessions: HashMap<SessionId, u32>,
    /// Nodes of which events came back from a store that was set aside: they may say them again.
    pub returned_nodes: HashSet<NodeId>,
    /// Every session, newest first.
    pub by_age: OrdSet<(Reverse<Time>, SessionId)>,
    /// The helpers of a session.
    pub helpers: HashMap<SessionId, Vector<SessionId>>,
    /// Commands that have not ended.
    pub commands: OrdMap<CommandId, Arc<Command>>,
    /// Alerts, oldest first.
    pub alerts: OrdMap<u64, Arc<Alert>>,
    /// The numbers of those that are open, by name and what they are about.
    pub(super) open_alerts: OrdMap<(String, String), u64>,
    /// The number of the next one.
    pub next_alert: u64,
    /// What the supervisor keeps for itself, by kind and key: see [`crate::store::kept`].
    pub state: OrdMap<String, Arc<Kept>>,
    /// The names of those rows of it that cannot be read.
    pub unreadable: OrdSet<String>,
    /// What the configuration says.
    pub settings: Arc<Settings>,
    /// Every budget: of the configuration, and set by people.
    pub budgets: Arc<[Budget]>,
    /// What is lent to nodes.
    pub loans: OrdMap<String, Arc<Loan>>,
    /// Index entries that are not merged yet.
    pub tail: Tail,
    /// When policies last looked for what is due.
    pub policies_looked: Time,
    /// What policies know of sessions that have not ended.
    pub watched: HashMap<SessionId, Arc<Watched>>,
}

/// What policies know of a session.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What its events told.
    pub facts: Facts,
    /// When to look at it again if no event comes.
    pub due: Option<Time>,
}

impl View {
    /// The state a store holds: all nodes offline.
    pub fn of(loaded: Loaded) -> Self {
        let mut view = Self {
            store_id: loaded.store_id.into(),
            last_seq: loaded.last_seq,
            last_time: loaded.last_time,
            began: None,
            next_session_no: 1,
            nodes: OrdMap::new(),
            sessions: HashMap::new(),
            gone_nodes: loaded.gone_nodes.into_iter().map(|node| (node.id.clone(), node)).collect(),
            gone_sessions: HashMap::new(),
            returned_nodes: loaded.returned_nodes.into_iter().map(NodeId::new).collect(),
            by_age: OrdSet::new(),
            helpers: HashMap::new(),
            commands: OrdMap::new(),
            alerts: OrdMap::new(),
            open_alerts: OrdMap::new(),
            next_alert: 1,
            state: OrdMap::new(),
            unreadable: OrdSet::new(),
            settings: Arc::default(),
            budgets: Arc::default(),
            loans: OrdMap::new(),
            tail: loaded.tail,
            policies_looked: Time::default(),
            watched: HashMap::new(),
        };
        for (name, kept) in loaded.state {
            view.put_state(name.clone(), Some(Arc::new(kept)));
            view.draw_from(&name);
        }
        for alert in loaded.alerts {
            view.put_alert(alert);
        }
        for record in loaded.nodes {
            view.nodes.insert(record.id.clone(), Arc::new(NodeState::offline(record)));
        }
        for record in loaded.sessions {
            view.next_session_no = view.next_session_no.max(record.no.saturating_add(1));
            view.put_session(record);
        }
        for (id, no) in loaded.gone_sessions {
            view.next_session_no = view.next_session_no.max(no.saturating_add(1));
            view.gone_sessions.insert(id.into(), no);
        }
        for command in loaded.open_commands {
            view.commands.insert(command.id.clone(), Arc::new(command));
        }
        view
    }

    /// The state another store holds, with what no store holds as it is here.
    pub fn again(&self, loaded: Loaded) -> Self {
        let mut view = Self { began: self.began, ..Self::of(loaded) };
        view.take_settings(self.settings.clone());
        view
    }

    /// Takes over what the configuration says.
    pub fn take_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
        self.budgets = self.list_budgets().into();
    }

    /// Puts a session in place of what was known of it.
    pub fn put_session(&mut self, record: SessionRecord) {
        let session = &record.session;
        let old = self.sessions.get(&session.id);
        let old_start = old.map(|old| old.session.started_at);
        let old_parent = old.and_then(|old| old.session.parent_id.clone());
        if old_start != Some(session.started_at) {
            if let Some(start) = old_start {
                self.by_age.remove(&(Reverse(start), session.id.clone()));
            }
            self.by_age.insert((Reverse(session.started_at), session.id.clone()));
        }
        if session.parent_id != old_parent {
            if let Some(helpers) = old_parent.and_then(|parent| self.helpers.get_mut(&parent)) {
                helpers.retain(|helper| *helper != session.id);
            }
            if let Some(parent) = &session.parent_id {
                self.helpers.entry(parent.clone()).or_default().push_back(session.id.clone());
            }
        }
        self.sessions.insert(session.id.clone(), Arc::new(record));
    }

    /// Forgets a session.
    pub fn remove_session(&mut self, id: &SessionId) {
        let Some(record) = self.sessions.remove(id) else { return };
        self.by_age.remove(&(Reverse(record.session.started_at), id.clone()));
        if let Some(helpers) =
            record.session.parent_id.as_ref().and_then(|parent| self.helpers.get_mut(parent))
        {
            helpers.retain(|helper| helper != id);
        }
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

    /// A node as the API shows it.
    pub fn node(&self, id: &str) -> Option<Node> {
        let state = self.nodes.get(id)?;
        let open = self.sessions.values().filter(|record| {
            record.session.node_id.as_str() == id && !matches!(record.session.activity, Activity::Ended(_))
        });
        Some(state.show(open.count() as u64))
    }

    /// Every node as the API shows it.
    pub fn all_nodes(&self) -> Vec<Node> {
        let mut open: std::collections::HashMap<&str, u64> = std::collections::HashMap::new();
        for record in self.sessions.values() {
            if !matches!(record.session.activity, Activity::Ended(_)) {
                *open.entry(record.session.node_id.as_str()).or_default() += 1;
            }
        }
        let count = |state: &NodeState| open.get(state.record.id.as_str()).copied().unwrap_or_default();
        self.nodes.values().map(|state| state.show(count(state))).collect()
    }

    /// The status word of a session, its node's absence taken into account, and what it was last known to be.
    pub fn status_of(&self, session: &Session) -> (Status, Option<Status>) {
        let known = rules::session::status_with_helpers(session, self.is_kept_waiting(session));
        let online = self.nodes.get(session.node_id.as_str()).is_some_and(|node| node.online);
        if online || known == Status::Ended { (known, None) } else { (Status::Unreachable, Some(known)) }
    }

    /// A session as the API shows it to whoever asks for this one: also what of it nobody knows the price of.
    pub fn session(&self, id: &SessionId) -> Option<SessionView> {
        let mut shown = self.show_session(&self.sessions.get(id)?.session);
        if let Some(bill) = self.kept(LEDGER, id.as_str()) {
            shown.unreported_calls = bill.sum.unreported;
            shown.unpriced_tokens = bill.sum.unpriced;
            shown.cost_before_micros = micros(bill.before());
        }
        Some(shown)
    }

    /// A session as the API shows it: its node's state and its helpers' costs counted in.
    pub fn show_session(&self, session: &Session) -> SessionView {
        let (status, last_known) = self.status_of(session);
        let mut token_kinds = session.tokens;
        let mut cost_micros = session.cost_micros;
        self.each_helper(&session.id, &mut |helper| {
            token_kinds = token_kinds.plus(&helper.tokens);
            if let Some(cost) = helper.cost_micros {
                cost_micros = Some(cost_micros.unwrap_or(0).saturating_add(cost));
            }
        });
        let retry = match &session.activity {
            Activity::Retry(retry) => Some(retry.clone()),
            _ => None,
        };
        SessionView {
            id: session.id.clone(),
            node_id: session.node_id.clone(),
            project: session.project.clone(),
            status,
            last_known,
            since: session.since,
            tokens: token_kinds.total(),
            cost: cost_micros.map(|micros| micros as f64 / 1e6),
            cost_micros,
            own_cost_micros: session.cost_micros,
            unreported_calls: 0,
            unpriced_tokens: 0,
            cost_before_micros: 0,
            token_kinds,
            started_at: session.started_at,
            active_at: session.active_at,
            title: session.title.clone(),
            directory: session.directory.clone(),
            backend: session.backend.clone(),
            parent_id: session.parent_id.clone(),
            model: session.model.clone(),
            context: session.context,
            compactions: session.compactions,
            asks: session.asks.clone(),
            helper_asks: self.helper_asks(session),
            retry,
            error: session.error.clone(),
            todo: session.todo.clone(),
            events: session.events,
            marks: self.marks_of(session),
        }
    }
}

impl rules::command::Known for View {
    fn session(&self, id: &SessionId) -> Option<&Session> {
        self.sessions.get(id).map(|record| &record.session)
    }

    fn session_names(&self) -> Vec<&str> {
        self.by_age.iter().take(MAX_OFFERED).map(|(_, id)| id.as_str()).collect()
    }

    fn is_shared(&self, project: &str) -> bool {
        self.settings.shared_projects.contains(project)
    }

    fn nodes(&self) -> Vec<Place<'_>> {
        let records = self.nodes.values().map(|state| (&state.record, state.online));
        records
            .map(|(record, is_online)| Place { id: &record.id, is_online, projects: &record.projects })
            .collect()
    }
}

/// A command as the API shows it.
pub fn show_command(command: &Command) -> CommandView {
    CommandView {
        command_id: command.id.clone(),
        verb: command.verb,
        state: command.state,
        status: command.state.legacy_word().to_owned(),
        node_id: command.node_id.clone(),
        project: command.project.clone(),
        session_id: command.session_id.clone(),
        output: command.output.clone(),
        error: command.error.clone(),
        actor: command.actor.clone(),
        created_at: command.created_at,
        expires_at: command.expires_at,
        timestamp: command.changed_at,
    }
}
