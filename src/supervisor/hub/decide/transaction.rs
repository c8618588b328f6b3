//! The transaction under way: what every noun of the hub writes with. It calls none of them.

use std::sync::Arc;

use serde_json::Value;

use super::Work;
use crate::hub::input::From;
use crate::hub::live::{NodeRef, NodeState};
use hal_base::clock::Time;
use hal_base::{id, sabotage};
use hal_protocol::event::{EventView, raw};
use hal_protocol::node::NodeId;
use hal_protocol::who::Who;
use hal_store::audit::AuditRecord;
use hal_store::change::RowKind;
use hal_store::kept::{Kept, StateKind};
use hal_store::state;

/// Bytes of events that all agents together may have on their way unacknowledged.
const TOTAL_CREDIT: u64 = 256 * 1024 * 1024;

/// One agent's share of it at most: enough to keep a link busy while a commit runs.
const MOST_CREDIT: u64 = 1024 * 1024;

/// One agent's share at least: a batch must fit.
const LEAST_CREDIT: u64 = 64 * 1024;

impl Work {
    /// The node an input came from, unless a newer connection has taken its place.
    pub(super) fn current(&self, from: &From) -> Option<NodeRef<'_>> {
        let state = self.view.find_node(from.node.as_str())?;
        (state.link.online && (state.record.epoch == from.epoch || sabotage::NO_FENCING)).then_some(state)
    }

    /// Puts a node in place of what was known of it, and into the batch.
    pub(super) fn put_node(&mut self, state: NodeState) {
        let id = state.record.id.to_string();
        self.batch.edits.is_back(RowKind::Node, &id);
        self.batch.nodes.insert(id, state.record.clone());
        self.view.put_node(state);
    }

    /// Keeps this under this kind and key from now on.
    pub(super) fn put_kept<T: Clone>(&mut self, kind: StateKind<T>, key: &str, value: &T, at: Time) {
        self.put_state(state::name(kind.name, key), Some(Kept::new(kind, value, at)));
    }

    /// Does not keep it any more.
    pub(super) fn delete_kept<T>(&mut self, kind: StateKind<T>, key: &str) {
        self.put_state(state::name(kind.name, key), None);
    }

    pub(super) fn put_state(&mut self, name: String, kept: Option<Kept>) {
        let kept = kept.map(Arc::new);
        let known = self.view.stored.put_state(name.clone(), kept.clone());
        if kept.is_some() || known.is_some() {
            self.batch.state.insert(name, kept);
        }
    }

    /// The credit of one agent: its share of what all may have.
    pub(super) fn credit(&self) -> u64 {
        (TOTAL_CREDIT / (self.view.stored.nodes.len() as u64).max(1)).clamp(LEAST_CREDIT, MOST_CREDIT)
    }

    /// The next sequence number and its time, which never runs backwards.
    pub(super) fn next_place(&mut self, at: Time) -> (u64, Time) {
        self.view.stored.last_seq += 1;
        self.view.stored.last_time = self.view.stored.last_time.max(at);
        (self.view.stored.last_seq, self.view.stored.last_time)
    }

    /// Writes into the audit log that somebody has done something, to what, with which particulars.
    pub(super) fn write_down(
        &mut self,
        who: &Who,
        action: &str,
        target: impl Into<String>,
        args: &Value,
        at: Time,
    ) {
        self.batch.audit.push(AuditRecord::new(who, action, target, args, at));
    }

    /// Writes an event of the supervisor's own about a node.
    pub(super) fn note(&mut self, node: &NodeId, kind: &str, data: &Value, at: Time) {
        let (seq, timestamp) = self.next_place(at);
        let event = EventView {
            seq,
            id: id::fresh(),
            kind: kind.to_owned(),
            session_id: String::new(),
            node_id: node.clone(),
            project: String::new(),
            data: raw(data),
            timestamp,
            occurred_at: at,
            node_seq: 0,
        };
        if self.view.concerns_routes(kind) {
            self.unrouted.push((event.clone(), None));
        }
        self.batch.events.push(event);
    }
}
