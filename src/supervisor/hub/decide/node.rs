//! Nodes come, go, and say how they are.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::input::{From, Greeted, Link, Severity};
use crate::hub::live::{NodeLink, NodeRef, NodeState};
use crate::hub::pulse::Vitals;
use hal_base::clock::Time;
use hal_protocol::frame::{Hello, PROTOCOL, Snapshot, Welcome};
use hal_protocol::lease;
use hal_protocol::node::NodeId;
use hal_protocol::who::Who;
use hal_rules::node::{Claim, Fit, believed, claim, fit, kept};
use hal_store::node::NodeRecord;
use hal_store::session::SessionRecord;

impl Work {
    /// Closes a node's connection and writes down why.
    pub(super) fn close(&mut self, from: &From, reason: &str, at: Time) {
        self.effects.push(Effect::Close(from.node.clone(), reason.to_owned()));
        self.disconnect(from, reason, at);
    }

    /// Writes down that numbers of a node's journal will never come.
    pub(super) fn note_gap(
        &mut self,
        record: &NodeRecord,
        incarnation: &str,
        (from, to): (u64, u64),
        why: &str,
        at: Time,
    ) {
        let (node, count, after) = (&record.id, to - from + 1, record.last_heard.max(record.connected_at));
        let data = json!({"incarnation": incarnation, "from": from, "to": to, "count": count, "after": after.to_string(),
            "before": at.to_string(), "reason": why});
        self.note(node, "gap", &data, at);
        let text = format!(
            "{count} events of node {node} ({from} to {to}, of the time between {after} and {at}) will never come: {why}"
        );
        self.alert(node, "events.gap", Severity::High, &text, at);
    }

    pub(super) fn connect(
        &mut self,
        mut hello: Hello,
        address: String,
        link: Link,
        reply: oneshot::Sender<Greeted>,
        at: Time,
    ) {
        let (node, old) =
            (hello.node_id.clone(), self.view.find_node(hello.node_id.as_str()).map(NodeRef::to_state));
        self.note_other_name(&hello, &address, at);
        let owner = old.as_ref().filter(|old| old.link.online);
        let known = old.as_ref().map(|old| &old.record).or_else(|| self.view.stored.gone_nodes.get(&node));
        let mut record = known.cloned().unwrap_or_else(|| NodeRecord::new(node.clone()));
        hello.epoch = believed(record.epoch, hello.epoch);
        let claim = claim(record.confirmed, &hello);
        let replaced = match owner {
            Some(owner) if claim == Claim::Stale => return self.refuse_stale(owner, &address, reply, at),
            Some(owner) => replacing(&owner.record, &address),
            None => String::new(),
        };
        // Numbers that an agent of an older epoch gives may have been given by its successor too.
        let begin_anew = claim == Claim::Stale && record.knows(&hello.incarnation);
        let is_other = hello.protocol >= PROTOCOL
            && !record.incarnation.is_empty()
            && (begin_anew || record.incarnation != hello.incarnation);
        // The predecessor's agents hold no journal: what is known of an earlier one stays.
        if hello.protocol >= PROTOCOL {
            record.turn_to(&hello.incarnation);
            if !begin_anew {
                self.note_hole(&mut record, &hello, at);
            }
        }
        let committed_seq = if begin_anew { record.common_with(hello.epoch) } else { record.committed };
        record.hostname = hello.hostname;
        record.version = hello.version;
        record.projects = kept(hello.projects);
        // A supervisor that was restored knows less than the agent.
        record.begin(record.epoch.max(hello.epoch).saturating_add(1));
        record.address.clone_from(&address);
        (record.connected_at, record.last_heard) = (at, at);
        let welcome = Welcome {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: record.epoch,
            committed_seq,
            committed_id: record.last_id.clone(),
            begin_anew,
            credit_bytes: self.credit(),
            heartbeat_sec: self.view.settings.liveness.interval.as_secs().max(1),
            steady_ms: None,
        };
        let data = json!({"address": address, "epoch": record.epoch, "version": record.version,
            "incarnation": record.incarnation, "replaced": !replaced.is_empty()});
        let resources = old.map(|old| old.link.vitals().resources).unwrap_or_default();
        let vitals = Vitals { heard: at, resources, clock_ahead_ms: 0, held: hello.last_seq };
        link.pulse.begin(vitals, self.view.live.began.unwrap_or_default());
        let state = NodeState { record, link: up(&link, hello.credit_bytes, &hello.capabilities) };
        self.note_since(&node, &state.record.projects, at);
        self.put_node(state);
        self.note_first_backends(&node, hello.backends, at);
        self.note(&node, "node.online", &data, at);
        self.waiting.push(node.clone());
        self.effects.push(Effect::Attach { node: node.clone(), link, reply, greeted: Ok(welcome), replaced });
        self.bring_up_to_date(&node, is_other, begin_anew, at);
    }

    /// What a node that has just come must know. `is_other`: its journal is not the one it had.
    fn bring_up_to_date(&mut self, node: &NodeId, is_other: bool, begin_anew: bool, at: Time) {
        if self.view.find_node(node.as_str()).is_some_and(|node| node.link.takes_leases) {
            self.tell_cover(node);
        }
        if is_other {
            self.give_up_commands(node, at);
            self.forfeit_leases(node, at);
        }
        if !begin_anew {
            self.send_open_commands(node, at);
        }
    }

    /// An agent that is not the node any more, while the one that is is connected.
    fn refuse_stale(&mut self, owner: &NodeState, address: &str, reply: oneshot::Sender<Greeted>, at: Time) {
        let record = &owner.record;
        let reason = format!(
            "node {} is the agent at {}, connected since {}; this one, at {address}, has an older identity. If its \
             data folder was copied, give it a node_id and a data_dir of its own; if it is to take over, stop the \
             other one. Should the other one be the wrong one, end it, then: halctl nodes forget-epoch {0}",
            record.id, record.address, record.connected_at
        );
        let host = host_of(address).to_owned();
        if owner.link.impostor.as_ref() != Some(&host) {
            let data = json!({"address": record.address, "other": address, "epoch": record.epoch});
            self.note(&record.id, "node.cloned", &data, at);
            let text = format!(
                "two agents claim to be node {}: the one at {} writes, the one at {address} is refused",
                record.id, record.address
            );
            self.alert(&record.id, "node.cloned", Severity::High, &text, at);
            self.view.put_link(&record.id, NodeLink { impostor: Some(host), ..owner.link.clone() });
        }
        self.effects.push(Effect::reply(reply, Err(reason)));
    }

    /// Somebody says that the epochs of a node are wrong. Whoever is connected has to say hello again.
    pub(super) fn forget_epoch(&mut self, node: &NodeId, who: &Who, reply: oneshot::Sender<bool>, at: Time) {
        let Some(known) = self.view.find_node(node.as_str()).map(NodeRef::to_state) else {
            return self.effects.push(Effect::confirm(reply, false));
        };
        if known.link.online {
            let from = From { node: node.clone(), epoch: known.record.epoch };
            self.close(&from, "the epochs of this node are forgotten: say hello again", at);
        }
        if let Some(mut state) = self.view.find_node(node.as_str()).map(NodeRef::to_state) {
            state.record.forget_epochs();
            self.put_node(state);
        }
        self.write_down(who, "forget_epoch", node.as_str(), &json!({"epoch": known.record.epoch}), at);
        self.effects.push(Effect::confirm(reply, true));
    }

    /// Writes down what the node's journal no longer holds, so that the link does not wait for it.
    fn note_hole(&mut self, record: &mut NodeRecord, hello: &Hello, at: Time) {
        // What is rolled back is said by the welcome, and the agent begins a new incarnation.
        let Fit::Hole { from, to } = fit(record.committed, hello) else { return };
        let why = "the node's journal no longer holds them";
        self.note_gap(record, &hello.incarnation, (from, to), why, at);
        record.committed = to;
        record.last_id.clear();
        record.given_up += to - from + 1;
    }

    pub(super) fn disconnect(&mut self, from: &From, reason: &str, at: Time) {
        let Some(state) = self.current(from) else { return };
        let mut state = state.to_state();
        state.link = NodeLink { impostor: None, ..state.link.cut() };
        state.record.last_heard = state.link.vitals().heard;
        self.put_node(state);
        self.note(&from.node, "node.offline", &json!({"reason": reason, "epoch": from.epoch}), at);
        self.effects.push(Effect::Detach(from.node.clone()));
    }

    /// A node has spoken over its connection. The first word shows that the agent has stored its epoch.
    pub(super) fn first_word(&mut self, from: &From) {
        let Some(state) = self.current(from).filter(|state| !state.is_confirmed()) else { return };
        let mut state = state.to_state();
        state.confirm();
        self.put_node(state);
    }

    /// Takes a node's own picture where it knows more than its events have said here, as after a lost store.
    pub(super) fn snapshot(&mut self, from: &From, snapshot: Snapshot, at: Time) {
        let Some(state) = self.current(from) else { return };
        let mut state = state.to_state();
        let committed = state.record.committed;
        let projects = kept(snapshot.projects);
        if state.record.projects != projects {
            self.note_since(&from.node, &projects, at);
            state.record.projects = projects;
            state.confirm();
            self.put_node(state);
        } else {
            self.first_word(from);
        }
        self.note_backends(&from.node, snapshot.backends, at);
        if committed < snapshot.as_of_seq {
            return;
        }
        // Events after the picture are applied here already: what they touched is newer than the picture.
        let is_newest = committed == snapshot.as_of_seq;
        for mut session in snapshot.sessions {
            let id = self.public_id(&session.id, &from.node);
            let known = self.view.stored.sessions.get(&id).cloned();
            session.parent_id = session.parent_id.map(|parent| self.public_id(&parent, &from.node));
            session.id = id;
            session.node_id = from.node.clone();
            self.show_as_billed(&mut session, known.is_some(), at);
            if !session.asks.is_empty() {
                self.asking.insert(session.id.clone());
            }
            match known {
                Some(known) => {
                    session.events = known.session.events;
                    let (here, there) = (known.session.active_at, session.active_at);
                    let is_news = if is_newest { here <= there } else { here < there };
                    if is_news && known.session != session {
                        self.put_session(SessionRecord { no: known.no, session });
                    }
                }
                None => {
                    session.events = 0;
                    let no = self.session_no(&session.id);
                    self.put_session(SessionRecord { no, session });
                }
            }
        }
    }

    /// Nodes that were silent too long are gone.
    pub(super) fn drop_silent(&mut self, at: Time) {
        let gone = self.view.silent(at);
        for (node, heard) in gone {
            let Some(epoch) = self.view.find_node(node.as_str()).map(|state| state.record.epoch) else {
                continue;
            };
            self.close(&From { node, epoch }, &format!("timeout: nothing heard since {heard}"), at);
        }
    }

    /// A node fell silent while the store took no writes.
    pub fn note_silence(&mut self, node: &NodeId, heard: Time, at: Time) {
        let reason = format!("timeout: nothing heard since {heard}, while the store took no writes");
        self.note(node, "node.offline", &json!({"reason": reason}), at);
        self.ask_routes(at);
    }
}

/// What the older connection of a node is told.
fn replacing(record: &NodeRecord, address: &str) -> String {
    format!(
        "a newer connection of node {} from {address} replaced the one from {}",
        record.id, record.address
    )
}

/// The host of an address with a port.
pub(super) fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// A link that has just come up.
fn up(link: &Link, command_credit: u64, capabilities: &[String]) -> NodeLink {
    NodeLink {
        online: true,
        pulse: link.pulse.clone(),
        command_credit,
        takes_leases: capabilities.iter().any(|one| one == lease::CAPABILITY),
        impostor: None,
        backends: Arc::default(),
        came_in: Some(Arc::new(link.came_in.clone())),
    }
}
