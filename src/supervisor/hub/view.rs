//! The present state: what the hub decides on and what everybody else reads.
//!
//! A view never changes, but for the signs of life of links that are up: see [`super::pulse`]. The hub works on a copy (the maps share what is equal, so a copy costs next to nothing),
//! commits, and publishes the copy; when the commit fails it throws the copy away.

use std::sync::Arc;

use super::live::{Live, NodeLink, NodeRef};
use super::settings::Settings;
use super::stored::StoredState;
use hal_protocol::budget::Budget;
use hal_protocol::command::{Command, CommandView};
use hal_protocol::node::Node;
use hal_protocol::session::{Activity, Session, SessionId, SessionView, Status};
use hal_rules as rules;
use hal_rules::command::CandidateNode;
use hal_rules::price::micros;
use hal_rules::route::index::EventIndex;
use hal_store::hub::Loaded;
use hal_store::kept::LEDGER;

/// Sessions that are looked through for the one that was meant: the hub does nothing else meanwhile.
const MAX_OFFERED: usize = 1000;

/// The hub's state after its last transaction, in three parts by where each comes from.
#[derive(Clone, Debug)]
pub struct View {
    /// What the store holds.
    pub stored: StoredState,
    /// What is only known while links are up and this process runs.
    pub live: Live,
    /// What the configuration says.
    pub settings: Arc<Settings>,
    /// Which of its routes are for which events.
    pub event_routes: Arc<EventIndex>,
    /// Every budget: of the configuration, and set by people.
    pub budgets: Arc<[Budget]>,
}

impl View {
    /// The state a store holds: all nodes offline.
    pub fn of(loaded: Loaded) -> Self {
        let mut view = Self {
            stored: StoredState::default(),
            live: Live::default(),
            settings: Arc::default(),
            event_routes: Arc::default(),
            budgets: Arc::default(),
        };
        view.stored.take(loaded);
        for record in view.stored.nodes.values() {
            view.live.links.insert(record.id.clone(), Arc::new(NodeLink::offline(record)));
        }
        let names: Vec<String> = view.stored.state.keys().cloned().collect();
        names.iter().for_each(|name| view.draw_from(name));
        view
    }

    /// The state another store holds, with what no store holds as it is here.
    pub fn again(&self, loaded: Loaded) -> Self {
        let mut view = Self::of(loaded);
        view.live.began = self.live.began;
        view.live.comings = self.live.comings + 1;
        view.take_settings(self.settings.clone());
        view
    }

    /// Takes over what the configuration says.
    pub fn take_settings(&mut self, settings: Arc<Settings>) {
        self.event_routes = Arc::new(EventIndex::of(&settings.routing));
        self.settings = settings;
        self.budgets = self.list_budgets().into();
    }

    /// A node as the API shows it.
    pub fn node(&self, id: &str) -> Option<Node> {
        let state = self.find_node(id)?;
        Some(state.show(self.stored.open_of_node(id)))
    }

    /// Every node as the API shows it.
    pub fn all_nodes(&self) -> Vec<Node> {
        self.every_node().map(|node| node.show(self.stored.open_of_node(node.record.id.as_str()))).collect()
    }

    /// The status word of a session, its node's absence taken into account, and what it was last known to be.
    pub fn status_of(&self, session: &Session) -> (Status, Option<Status>) {
        let known = rules::session::status_with_helpers(session, self.stored.is_kept_waiting(session));
        let online = self.is_online(&session.node_id);
        if online || known == Status::Ended { (known, None) } else { (Status::Unreachable, Some(known)) }
    }

    /// A session as the API shows it to whoever asks for this one: also what of it nobody knows the price of.
    pub fn session(&self, id: &SessionId) -> Option<SessionView> {
        let mut shown = self.show_session(&self.stored.sessions.get(id)?.session);
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
        self.stored.each_helper(&session.id, &mut |helper| {
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
        self.stored.sessions.get(id).map(|record| &record.session)
    }

    fn session_names(&self) -> Vec<&str> {
        self.stored.by_age.iter().take(MAX_OFFERED).map(|(_, id)| id.as_str()).collect()
    }

    fn is_shared(&self, project: &str) -> bool {
        self.settings.shared_projects.contains(project)
    }

    fn nodes(&self) -> Vec<CandidateNode<'_>> {
        fn place(node: NodeRef<'_>) -> CandidateNode<'_> {
            CandidateNode {
                id: &node.record.id,
                is_online: node.link.online,
                projects: &node.record.projects,
            }
        }
        self.every_node().map(place).collect()
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
        who: command.who.clone(),
        created_at: command.created_at,
        expires_at: command.expires_at,
        timestamp: command.changed_at,
    }
}
