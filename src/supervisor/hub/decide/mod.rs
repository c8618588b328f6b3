//! What an input means: pure steps from a view and an input to a new view, rows to write and effects.
//!
//! No I/O and no clock in here. One file for each noun.

mod alert;
pub mod approval;
mod budget;
mod clock;
mod command;
mod cost;
mod dependency;
mod edit;
mod event;
mod handover;
mod incident;
mod kept;
mod lease;
mod mark;
mod node;
mod notice;
mod outside;
mod policy;
mod provider;
mod removal;
mod returned;
mod route;
mod settings;
mod silence;
mod stop;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::effect::Effect;
use super::input::{Alert, From, Input, Timed};
use super::view::{NodeState, View};
use crate::base::clock::Time;
use crate::base::{id, sabotage};
use crate::protocol::alert::Severity;
use crate::protocol::event::{EventView, raw};
use crate::protocol::node::NodeId;
use crate::protocol::session::SessionId;
use crate::protocol::who::Who;
use crate::rules::alert::Seen;
use crate::store::audit::AuditRecord;
use crate::store::change::Kind;
use crate::store::hub::Batch;
use crate::store::kept::{Kept, Kind as StateKind, THREAD};
use crate::store::node::NodeRecord;
use crate::store::state;
use crate::store::tail::MERGE_AT;

/// Bytes of events that all agents together may have on their way unacknowledged.
const TOTAL_CREDIT: u64 = 256 * 1024 * 1024;

/// One agent's share of it at most: enough to keep a link busy while a commit runs.
const MOST_CREDIT: u64 = 1024 * 1024;

/// One agent's share at least: a batch must fit.
const LEAST_CREDIT: u64 = 64 * 1024;

/// Threads of chats that are kept: those of sessions that nobody speaks in any more are not missed.
const MOST_THREADS: usize = 2_000;

/// The name of the alert of a full disk.
const DISK_FULL: &str = "disk.full";

/// One batch of inputs being worked on.
#[derive(Debug)]
pub struct Work {
    /// The new state.
    pub view: View,
    /// What is to be written.
    pub batch: Batch,
    /// What is to be done after the commit.
    pub effects: Vec<Effect>,
    /// Nodes that wait for this commit: their connections end when it fails.
    pub waiting: Vec<NodeId>,
    /// Sessions whose requests have changed with this input.
    asking: BTreeSet<SessionId>,
    /// Of the next input's events those that came back already. Filled in by the hub just before it decides.
    pub returned: HashSet<String>,
    /// The numbers of events that may come back under them, since nobody else has them.
    pub free: HashSet<u64>,
    /// Sessions of which the present input has told policies something.
    told: BTreeSet<SessionId>,
    /// A turn that was to stop has stopped, or what was to stop it has ended.
    stirred: bool,
}

impl Work {
    /// Begins a batch on a copy of the view.
    pub fn on(view: &View) -> Self {
        Self {
            view: view.clone(),
            batch: Batch::default(),
            effects: Vec::new(),
            waiting: Vec::new(),
            asking: BTreeSet::new(),
            returned: HashSet::new(),
            free: HashSet::new(),
            told: BTreeSet::new(),
            stirred: false,
        }
    }

    /// Takes in one input.
    pub fn take(&mut self, Timed { clock, input }: Timed) {
        self.notice_jump(clock);
        let at = clock.at;
        match input {
            Input::Connect { hello, address, link, reply } => self.connect(hello, address, link, reply, at),
            Input::Disconnect { from, reason } => self.disconnect(&from, &reason, at),
            Input::Events { from, batch } => self.events(&from, batch, at),
            Input::Snapshot { from, snapshot } => self.snapshot(&from, snapshot, at),
            Input::Heartbeat { from, heartbeat } => self.heartbeat(&from, heartbeat, at),
            Input::CommandAck { from, ack } => self.command_begun(&from, &ack, at),
            Input::CommandResult { from, id, result } => self.command_ended(&from, &id, &result, at),
            Input::Command(asked) => self.command(*asked, at),
            Input::Cancel { id, who, reply } => self.cancel(&id, &who, reply, at),
            Input::Await { id, reply } => self.effects.push(Effect::Wait(id, reply)),
            Input::Edits { edits, reply } => self.edits(edits, reply, at),
            Input::Move { by, list, reply } => self.move_rows(by, list, reply, at),
            Input::Return { portion, file, by, reply } => self.bring_back(*portion, &file, &by, reply, at),
            Input::Replace { fresh, reply } => self.effects.push(Effect::Replace(fresh, reply)),
            Input::Suspect(why) => self.effects.push(Effect::Suspect(why)),
            Input::Watching(watch) => self.effects.push(Effect::Watch(watch)),
            Input::ForgetEpoch { node, by, reply } => self.forget_epoch(&node, &by, reply, at),
            Input::Settings(settings, reply) => {
                self.settle(settings);
                self.effects.push(Effect::TakenOver(reply));
            }
            Input::Alert(Alert { name, severity, text }) => {
                self.alert(&NodeId::new(""), name, severity, &text, at);
            }
            Input::Audit(record) => self.batch.audit.push(*record),
            Input::Symptom(symptom) => self.symptom(&symptom, at),
            Input::Acknowledge { id, who, reply } => self.acknowledge(id, &who, reply, at),
            Input::RemoveNode { id, by, reply } => self.remove_node(&id, &by, reply, at),
            Input::Thread { key, thread, reply } => {
                self.keep_thread(&key, thread.as_ref(), at);
                self.effects.push(Effect::Settled(reply, true));
            }
            Input::Lease { from, ask } => self.lease_asked(&from, &ask, at),
            Input::Budget { change, by, reply } => self.change_budget(change, &by, reply, at),
            Input::Notice(happening) => self.notice(happening, at),
            Input::Incident(reported) => self.incident(*reported, at),
            Input::Remind(id) => self.remind(id, at),
            Input::Approval(happening) => self.approval(happening, at),
            Input::Billed(billed) => self.billed(*billed, at),
            Input::Tick => {
                self.look_after_kept(at);
                self.look_after_budgets(at);
                self.expire(at);
                self.drop_silent(at);
                self.end_silences(at);
                self.go_on_with_stops(at);
                self.go_on_with_handovers(at);
                self.consider_due(at);
                self.approvals_due(at);
            }
            Input::Stop => {
                self.merge_tail();
                self.batch.is_last = true;
            }
        }
        self.follow_asks(at);
        self.consider_told(at);
        if std::mem::take(&mut self.stirred) {
            self.conclude_stops(at);
        }
    }

    /// Moves the unmerged index entries into the batch once there are many, or when stored events change.
    pub fn merge_tail_when_long(&mut self) {
        if self.view.tail.len() >= MERGE_AT
            || !(self.batch.edits.list.is_empty() && self.batch.moved.list.is_empty())
        {
            self.merge_tail();
        }
    }

    fn merge_tail(&mut self) {
        if !self.view.tail.is_empty() {
            self.batch.index = self.view.tail.take_sorted();
        }
    }

    /// The node an input came from, unless a newer connection has taken its place.
    fn current(&self, from: &From) -> Option<&NodeState> {
        let state = self.view.nodes.get(&from.node)?;
        (state.online && (state.record.epoch == from.epoch || sabotage::NO_FENCING)).then_some(&**state)
    }

    /// Puts a node in place of what was known of it, and into the batch.
    fn put_node(&mut self, state: NodeState) {
        let id = state.record.id.to_string();
        self.batch.edits.is_back(Kind::Node, &id);
        self.batch.nodes.insert(id, state.record.clone());
        self.view.nodes.insert(state.record.id.clone(), Arc::new(state));
    }

    /// Keeps this under this kind and key from now on.
    pub fn keep<T: Clone>(&mut self, kind: StateKind<T>, key: &str, value: &T, at: Time) {
        self.put_state(state::name(kind.name, key), Some(Kept::new(kind, value, at)));
    }

    /// Keeps the thread of a session in a chat; a bounded number of them, and the oldest goes first.
    fn keep_thread(&mut self, key: &str, thread: Option<&String>, at: Time) {
        let Some(thread) = thread else { return self.forget(THREAD, key) };
        self.keep(THREAD, key, thread, at);
        let threads = || self.view.rows_from(THREAD, "");
        let oldest = threads().min_by_key(|(_, kept)| kept.changed_at).map(|(key, _)| key.to_owned());
        if threads().count() > MOST_THREADS
            && let Some(oldest) = oldest
        {
            self.forget(THREAD, &oldest);
        }
    }

    /// Does not keep it any more.
    pub fn forget<T>(&mut self, kind: StateKind<T>, key: &str) {
        self.put_state(state::name(kind.name, key), None);
    }

    fn put_state(&mut self, name: String, kept: Option<Kept>) {
        let kept = kept.map(Arc::new);
        let known = self.view.put_state(name.clone(), kept.clone());
        if kept.is_some() || known.is_some() {
            self.batch.state.insert(name, kept);
        }
    }

    /// The credit of one agent: its share of what all may have.
    fn credit(&self) -> u64 {
        (TOTAL_CREDIT / (self.view.nodes.len() as u64).max(1)).clamp(LEAST_CREDIT, MOST_CREDIT)
    }

    /// The next sequence number and its time, which never runs backwards.
    fn next_place(&mut self, at: Time) -> (u64, Time) {
        self.view.last_seq += 1;
        self.view.last_time = self.view.last_time.max(at);
        (self.view.last_seq, self.view.last_time)
    }

    /// Writes an event of the supervisor's own about a node.
    fn note(&mut self, node: &NodeId, kind: &str, data: &Value, at: Time) {
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
        let routed_event = self.routes_events().then(|| event.clone());
        self.batch.events.push(event);
        if let Some(event) = routed_event {
            self.route_event(&event, None, at);
        }
    }

    /// Writes into the audit log that somebody has done something, to what, with which particulars.
    fn write_down(&mut self, who: &Who, action: &str, target: impl Into<String>, args: &Value, at: Time) {
        self.batch.audit.push(AuditRecord::new(who, action, target, args, at));
    }

    /// Closes a node's connection and writes down why.
    fn close(&mut self, from: &From, reason: &str, at: Time) {
        self.effects.push(Effect::Close(from.node.clone(), reason.to_owned()));
        self.disconnect(from, reason, at);
    }

    /// Writes down what a person should see.
    fn alert(&mut self, node: &NodeId, name: &str, severity: Severity, text: &str, at: Time) {
        self.see(&Seen { name, about: node.as_str(), severity, text, lasting: false }, at);
    }

    /// Writes down that the disk of the store is full.
    pub fn disk_full(&mut self, store: &Path, at: Time) {
        let text =
            format!("the disk of {} is full: nothing new is stored until there is room", store.display());
        self.see(
            &Seen { name: DISK_FULL, about: "", severity: Severity::Critical, text: &text, lasting: true },
            at,
        );
    }

    /// Writes down that there is room again.
    pub fn disk_has_room(&mut self, at: Time) {
        self.well_again(DISK_FULL, "", at);
    }

    /// Writes down that numbers of a node's journal will never come.
    fn note_gap(
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
}

#[cfg(test)]
mod tests;
