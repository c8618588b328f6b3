//! What an input means: pure steps from a view and an input to a new view, rows to write and effects.
//!
//! No I/O and no clock in here. One file for each noun.

mod actor;
mod alert;
pub mod approval;
mod backend;
mod budget;
mod clock;
mod command;
mod cost;
mod dependency;
mod edit;
mod escalation;
mod event;
mod halt;
mod handover;
mod incident;
mod join;
mod kept;
mod lease;
mod mark;
mod node;
mod notice;
mod outside;
mod policy;
mod provider;
mod removal;
mod request;
mod returned;
mod route;
mod session;
mod settings;
mod silence;
mod step;
mod stop;
mod transaction;

use std::collections::{BTreeSet, HashSet, VecDeque};

use self::command::Happened;
use super::effect::Effect;
use super::input::{Input, RaisedAlert, Timed};
use super::view::View;
use hal_base::clock::{Reading, Time};
use hal_protocol::event::EventView;
use hal_protocol::node::NodeId;
use hal_protocol::session::{Session, SessionId};
use hal_protocol::silence::Silence;
use hal_store::hub::Batch;
use hal_store::tail::MERGE_AT;

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
    /// Events that routes are asked about when the present input is decided, with their sessions as they were then.
    unrouted: Vec<(EventView, Option<Session>)>,
    /// Channels that have not delivered a notice, and what people are to see of it.
    undelivered: Vec<(String, String)>,
    /// Silences that have ended with the present input, with a time at which each still held.
    unsilenced: Vec<(Silence, Time)>,
    /// What has happened to commands, until those above have been told.
    happened: VecDeque<Happened>,
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
            unrouted: Vec::new(),
            undelivered: Vec::new(),
            unsilenced: Vec::new(),
            happened: VecDeque::new(),
            stirred: false,
        }
    }

    /// Takes in one input.
    pub fn take(&mut self, Timed { clock, input }: Timed) {
        self.notice_jump(clock);
        let at = clock.at;
        match input {
            Input::Connect { hello, address, own, link, reply } => {
                self.come_in(hello, address, own.as_deref(), link, reply, at);
            }
            Input::Disconnect { from, reason } => self.disconnect(&from, &reason, at),
            Input::Events { from, batch } => self.events(&from, batch, at),
            Input::Snapshot { from, snapshot } => self.snapshot(&from, snapshot, at),
            Input::FirstWord { from } => self.first_word(&from),
            Input::CommandAck { from, ack } => self.command_begun(&from, &ack, at),
            Input::CommandResult { from, id, result } => self.command_ended(&from, &id, &result, at),
            Input::Command(asked) => self.request(*asked, at),
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
                self.effects.push(Effect::tell_anyway(reply, ()));
            }
            Input::Alert(RaisedAlert { name, severity, text }) => {
                self.alert(&NodeId::new(""), name, severity, &text, at);
            }
            Input::NodeAlert(node, RaisedAlert { name, severity, text }) => {
                self.alert(&node, name, severity, &text, at);
            }
            Input::Audit(record) => self.batch.audit.push(*record),
            Input::Symptom(symptom) => self.check_symptom(&symptom, at),
            Input::Acknowledge { id, who, reply } => self.acknowledge(id, &who, reply, at),
            Input::RemoveNode { id, by, reply } => self.remove_node(&id, &by, reply, at),
            Input::Thread { key, thread, reply } => {
                self.keep_thread(&key, thread.as_ref(), at);
                self.effects.push(Effect::confirm(reply, true));
            }
            Input::Lease { from, ask } => self.lease_asked(&from, &ask, at),
            Input::Actors { change, by, reply } => self.change_actors(change, &by, reply, at),
            Input::Budget { change, by, reply } => self.change_budget(change, &by, reply, at),
            Input::Notice(event) => self.notice(event, at),
            Input::Incident(reported) => self.incident(*reported, at),
            Input::Remind(id) => self.remind(id, at),
            Input::Approval(event) => self.approval(event, at),
            Input::Billed(billed) => self.billed(*billed, at),
            Input::Tick => {
                self.look_after_kept(at);
                self.look_after_budgets(at);
                self.expire(at);
                self.follow_commands(at);
                self.drop_silent(at);
                self.end_silences(at);
                self.go_on_with_stops(at);
                self.go_on_with_handovers(at);
                self.consider_due(at);
                self.approvals_due(at);
                self.count_after_silences(at);
                self.escalate(at);
            }
            Input::Stop => {
                self.merge_tail();
                self.batch.is_last = true;
            }
        }
        self.follow(at);
    }

    /// Time passes while the disk is full: what has a limit ends by it, which takes little room. All else waits.
    pub fn pass_time(&mut self, clock: Reading) {
        self.notice_jump(clock);
        let at = clock.at;
        self.expire(at);
        self.drop_silent(at);
        self.approvals_due(at);
        self.follow(at);
    }

    /// What follows from an input: each step takes what the nouns below have left on their lists.
    fn follow(&mut self, at: Time) {
        self.follow_commands(at);
        self.follow_asks(at);
        self.consider_told(at);
        self.follow_commands(at);
        if std::mem::take(&mut self.stirred) {
            self.conclude_stops(at);
            self.follow_commands(at);
        }
        self.count_after_silences(at);
        self.ask_routes(at);
        self.raise_undelivered(at);
    }

    /// Moves the unmerged index entries into the batch once there are many, or when stored events change.
    pub fn merge_tail_when_long(&mut self) {
        if self.view.stored.tail.len() >= MERGE_AT
            || !(self.batch.edits.list.is_empty() && self.batch.moved.list.is_empty())
        {
            self.merge_tail();
        }
    }

    fn merge_tail(&mut self) {
        if !self.view.stored.tail.is_empty() {
            self.batch.index = self.view.stored.tail.take_sorted();
        }
    }
}

#[cfg(test)]
mod tests;
