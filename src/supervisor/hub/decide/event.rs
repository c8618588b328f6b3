//! Durable events: each is taken once, in order, and added to its session.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Work;
use super::cost::Charge;
use crate::hub::effect::Effect;
use crate::hub::input::{From, Severity};
use hal_base::clock::Time;
use hal_base::sabotage;
use hal_protocol::event::what::What;
use hal_protocol::event::{Event, EventView};
use hal_protocol::frame::{Ack, Events, ToAgent};
use hal_protocol::lease;
use hal_protocol::node::{NodeId, Project};
use hal_protocol::session::{Session, SessionId};
use hal_rules as rules;
use hal_rules::ledger::{Before, LedgerEvent};
use hal_store::session::SessionRecord;

impl Work {
    pub(super) fn events(&mut self, from: &From, batch: Events, at: Time) {
        let Some(state) = self.current(from) else { return };
        let mut state = state.to_state();
        if state.record.incarnation != batch.incarnation {
            let reason = format!(
                "events of incarnation {} but hello said {}",
                batch.incarnation, state.record.incarnation
            );
            return self.close(from, &reason, at);
        }
        let mut touched = HashMap::new();
        let mut hole = None;
        for mut event in batch.events {
            // What is committed already came again because its acknowledgement was lost.
            if event.seq <= state.record.committed && !sabotage::NO_DEDUP {
                continue;
            }
            if event.seq != state.record.committed + 1 && !sabotage::NO_DEDUP {
                hole = Some(format!(
                    "event {} came after {}: the numbers between are missing",
                    event.seq, state.record.committed
                ));
                break;
            }
            state.record.committed = event.seq;
            state.record.stored += 1;
            state.record.last_id.clone_from(&event.id);
            if self.returned.contains(&event.id) {
                continue;
            }
            // A time that makes no sense, as microseconds taken for milliseconds: it happened before it came here.
            if event.occurred_at == Time::default() {
                event.occurred_at = at;
            }
            self.store_event(&from.node, event, &mut touched, &state.record.projects, at);
        }
        for record in touched.into_values() {
            self.put_session(record);
        }
        state.confirm();
        let ack = Ack {
            incarnation: state.record.incarnation.clone(),
            seq: state.record.committed,
            credit_bytes: self.credit(),
        };
        self.put_node(state);
        self.waiting.push(from.node.clone());
        self.effects.push(Effect::Tell(from.node.clone(), ToAgent::Ack(ack)));
        if let Some(reason) = hole {
            self.close(from, &reason, at);
        }
    }

    /// Gives an event its place and adds it to its session. `touched` holds the sessions of this input by the node's
    /// own names, so that a burst looks up and copies each of them once.
    fn store_event(
        &mut self,
        node: &NodeId,
        event: Event,
        touched: &mut HashMap<SessionId, SessionRecord>,
        projects: &[Project],
        at: Time,
    ) {
        // Parsed here, once, for everybody below.
        let what = event.what();
        self.heed_own(node, &event, &what, at);
        let (seq, timestamp) = self.next_place(at);
        let project = event.project.map(|project| project.to_string()).unwrap_or_default();
        let mut spent = None;
        let is_routed = self.view.concerns_routes(&event.kind);
        let mut routed = None;
        let session_id = match event.session_id {
            None => String::new(),
            Some(local) => {
                let record = match touched.entry(local) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        let id = self.public_id(place.key(), node);
                        let record = self.session_record(&id, node, &project, event.occurred_at);
                        place.insert(record)
                    }
                };
                let before = Before::of(&record.session);
                let session = &mut record.session;
                self.apply(session, node, &what, event.occurred_at);
                name_backend(session, projects);
                let heard = LedgerEvent {
                    what: &what,
                    occurred: event.occurred_at,
                    received: timestamp,
                    before,
                    since: Time::default(),
                };
                let charge = self.charge(session, &heard);
                if charge != Charge::default() && !self.view.budgets.is_empty() {
                    spent = Some((session.clone(), charge));
                }
                self.view.stored.tail.push(record.no, seq);
                routed = is_routed.then(|| session.clone());
                self.fold(record, &what, timestamp)
            }
        };
        let event = EventView {
            seq,
            id: event.id,
            kind: event.kind,
            session_id,
            node_id: node.clone(),
            project,
            data: event.data,
            timestamp,
            occurred_at: event.occurred_at,
            node_seq: event.seq,
        };
        if is_routed {
            self.unrouted.push((event.clone(), routed));
        }
        self.batch.events.push(event);
        // What is told of it has its place after it.
        if let Some((session, charge)) = spent {
            self.spend(&session, &charge, timestamp);
        }
    }

    /// Adds an event to its session. It names the parent as its node does.
    fn apply(&self, session: &mut Session, node: &NodeId, what: &What, at: Time) {
        let parent = session.parent_id.take();
        rules::session::apply(session, what, at);
        let said = session.parent_id.take().map(|local| self.public_id(&local, node));
        session.parent_id = said.or(parent);
    }

    /// What a node says of itself.
    fn heed_own(&mut self, node: &NodeId, event: &Event, what: &What, at: Time) {
        match what {
            What::Gap { count, reason } => self.alert_gap(node, *count, reason.as_deref(), at),
            What::JournalBlocked { seconds, reason } => self.alert_blocked(node, *seconds, reason, at),
            What::AgentRestarted { reason } => self.alert_restarts(node, reason.as_deref(), at),
            What::PermissionReplied(replied)
            | What::QuestionReplied(replied)
            | What::QuestionRejected(replied)
                if replied.is_outside =>
            {
                self.heed_outside(node, event.session_id.as_ref(), what, replied, at);
            }
            _ => match event.kind.as_str() {
                lease::ENDED => self.lease_ended(node, &event.data, at),
                lease::INTERRUPTED => self.interrupted(node, &event.data, at),
                _ => {}
            },
        }
    }

    /// A node says that it may have missed something, or had to drop it.
    fn alert_gap(&mut self, node: &NodeId, count: Option<u64>, reason: Option<&str>, at: Time) {
        let reason = reason.unwrap_or("it does not say why");
        let text = match count {
            Some(count) => format!("node {node} lost {count} events: {reason}"),
            None => format!("node {node} may have missed events: {reason}"),
        };
        self.alert(node, "events.gap", Severity::High, &text, at);
    }

    /// A node could store nothing for a while.
    fn alert_blocked(&mut self, node: &NodeId, seconds: f64, reason: &str, at: Time) {
        let text =
            format!("coding agents on node {node} waited for {seconds:.1} s for its journal: {reason}");
        self.alert(node, "journal.blocked", Severity::Medium, &text, at);
    }

    /// An agent does not stay up.
    fn alert_restarts(&mut self, node: &NodeId, reason: Option<&str>, at: Time) {
        let text = format!("the agent of node {node} was {}", reason.unwrap_or("restarted often"));
        self.alert(node, "agent.restarts", Severity::High, &text, at);
    }

    fn session_record(&mut self, id: &SessionId, node: &NodeId, project: &str, at: Time) -> SessionRecord {
        if let Some(known) = self.view.stored.sessions.get(id) {
            return SessionRecord::clone(known);
        }
        let session = Session::new(id.clone(), node.clone(), project.into(), at);
        SessionRecord { no: self.session_no(id), session }
    }
}

/// A session whose events do not name its backend has that of its project.
fn name_backend(session: &mut Session, projects: &[Project]) {
    if session.backend.is_empty()
        && let Some(project) = projects.iter().find(|project| project.name == session.project)
    {
        session.backend.clone_from(&project.backend);
    }
}
