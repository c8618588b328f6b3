//! Commands: stored before they are sent, ended once.

use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::Work;
use super::approval::Claim;
use crate::base::clock::Time;
use crate::base::sabotage;
use crate::protocol::approval::{Approval, Reply};
use crate::protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use crate::protocol::frame::{Cancel, CommandAck, CommandResult, ToAgent};
use crate::protocol::node::NodeId;
use crate::protocol::who::Who;
use crate::rules::command::{accept, conclude, frame, lapses, meaning};
use crate::store::audit::AuditRecord;
use crate::store::command::{KeyRecord, scoped_key};
use crate::supervisor::hub::effect::Effect;
use crate::supervisor::hub::input::{Asked, From, NotAccepted};

/// Open commands of one node at most: all of them must fit into its link's queue after a reconnect.
const MOST_OPEN: usize = 512;

/// Bytes of commands on their way to an agent that does not say what it takes.
const DEFAULT_CREDIT: u64 = 256 * 1024;

/// Bytes of a command on its way, about.
fn size(command: &Command) -> u64 {
    const FRAME: u64 = 256;
    command.args.iter().fold(FRAME, |sum, (key, value)| sum + key.len() as u64 + text_size(value))
}

fn text_size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(list) => list.iter().map(text_size).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() as u64 + text_size(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

impl Work {
    pub(super) fn command(&mut self, mut asked: Asked, at: Time) {
        let meaning: [u8; 32] = Sha256::digest(meaning(&asked.request)).into();
        if let Some(answer) = self.same_key(&asked, &meaning) {
            self.effects.push(Effect::Answer(asked.reply, answer));
            return;
        }
        let claim = match self.claim_answer(&mut asked.request) {
            Claim::Same(command) => return self.effects.push(Effect::Answer(asked.reply, Ok(command))),
            Claim::Late(why) => {
                return self.effects.push(Effect::Answer(asked.reply, Err(NotAccepted::Late(why))));
            }
            Claim::First(approval, reply) => Some((approval, reply)),
            Claim::None => None,
        };
        let accepted = accept(&asked.request, &asked.who.name, asked.id, &self.view, at);
        let answer = accepted
            .map_err(NotAccepted::from)
            .and_then(|command| self.take_in(command, meaning, &asked.who, claim, at));
        self.effects.push(Effect::Answer(asked.reply, answer));
    }

    /// Takes a new command of the supervisor's own in, and sends it when its node can take it.
    pub(super) fn order(
        &mut self,
        request: &CommandRequest,
        who: &Who,
        id: CommandId,
        at: Time,
    ) -> Result<Command, NotAccepted> {
        let command = accept(request, &who.name, id, &self.view, at)?;
        self.take_in(command, Sha256::digest(meaning(request)).into(), who, None, at)
    }

    fn take_in(
        &mut self,
        command: Command,
        meaning: [u8; 32],
        who: &Who,
        claim: Option<(Box<Approval>, Reply)>,
        at: Time,
    ) -> Result<Command, NotAccepted> {
        self.check_halt(&command)?;
        let mut command = self.has_room(command)?;
        if command.verb.stays_here() {
            command.state = CommandState::Running;
        } else if self.may_send(&command) {
            command.state = CommandState::Sent;
            let asks = ToAgent::Command(frame(&command, at));
            self.effects.push(Effect::Tell(command.node_id.clone(), asks));
        }
        if let Some(key) = &command.idempotency_key {
            let record = KeyRecord { command: command.id.to_string(), meaning };
            self.batch.keys.push((scoped_key(&command.actor, key), record));
        }
        self.batch.audit.push(record(&command, who, at));
        if let Some((approval, reply)) = claim {
            self.give(*approval, reply, &command, at);
        }
        self.note_person(&command, at);
        self.put_command(command.clone());
        if command.verb.stays_here()
            && let Some(outcome) = self.carry_out_here(&command, at)
        {
            command = self.end_here(command, outcome, at);
        }
        Ok(command)
    }

    /// Ends a command that no node was told of.
    pub(super) fn end_here(
        &mut self,
        command: Command,
        outcome: Result<String, String>,
        at: Time,
    ) -> Command {
        let (state, output, error) = match outcome {
            Ok(output) => (CommandState::Done, output, None),
            Err(error) => (CommandState::Failed, String::new(), Some(error)),
        };
        let command = Command { state, output, error, changed_at: at, ..command };
        self.put_command(command.clone());
        command
    }

    /// The answer when the key was used before: that command, unless it came to nothing and may be tried again.
    fn same_key(&self, asked: &Asked, meaning: &[u8; 32]) -> Option<Result<Command, NotAccepted>> {
        if asked.request.idempotency_key.is_empty() {
            return None;
        }
        let scoped = scoped_key(&asked.who.name, &asked.request.idempotency_key);
        // Two of the same key in one batch: the store does not know the first one yet.
        let mut new = self.batch.keys.iter().rev().filter(|_| !sabotage::CHECK_THEN_ACT);
        let fresh = new.find(|(key, _)| *key == scoped).map(|(_, record)| record);
        let stored = asked.earlier.as_ref();
        let record = fresh.or(stored.map(|(record, _)| record))?;
        let id = CommandId::new(&record.command);
        let open = self.view.commands.get(&id).map(|command| Command::clone(command));
        let ended =
            stored.filter(|(record, _)| record.command == id.as_str()).and_then(|(_, ended)| ended.clone());
        let just_ended = || self.batch.commands.get(id.as_str()).cloned();
        let command = open.or_else(just_ended).or(ended)?;
        match command.state {
            CommandState::Failed | CommandState::Expired => None,
            _ if record.meaning != *meaning => Some(Err(NotAccepted::KeyTaken(id))),
            _ => Some(Ok(command)),
        }
    }

    fn has_room(&self, command: Command) -> Result<Command, NotAccepted> {
        let open = self.view.commands.values().filter(|one| one.node_id == command.node_id).count();
        if open < MOST_OPEN {
            return Ok(command);
        }
        Err(NotAccepted::TooMany { node: command.node_id, open })
    }

    /// True when the node is there, none waits before this one, and it takes so much beside what it has not
    /// acknowledged. One may always go: its acknowledgement lets the next one go.
    fn may_send(&self, command: &Command) -> bool {
        let Some(node) = self.view.nodes.get(&command.node_id).filter(|node| node.online) else {
            return false;
        };
        let (mut waiting, mut on_the_way) = (false, 0);
        let others = self.view.commands.values().filter(|one| one.node_id == command.node_id);
        for other in others.filter(|other| other.id < command.id) {
            match other.state {
                CommandState::Queued => waiting = true,
                CommandState::Sent => on_the_way += size(other),
                _ => {}
            }
        }
        let credit = if node.command_credit == 0 { DEFAULT_CREDIT } else { node.command_credit };
        !waiting && (on_the_way == 0 || on_the_way + size(command) <= credit)
    }

    /// Sends what waited for the node's credit.
    fn send_waiting(&mut self, node: &NodeId, at: Time) {
        let queued = |one: &&Arc<Command>| one.node_id == *node && one.state == CommandState::Queued;
        while let Some(next) = self.view.commands.values().find(queued).filter(|next| self.may_send(next)) {
            self.send(Command::clone(next), at);
        }
    }

    fn send(&mut self, mut command: Command, at: Time) {
        self.effects.push(Effect::Tell(command.node_id.clone(), ToAgent::Command(frame(&command, at))));
        if command.state == CommandState::Queued {
            (command.state, command.changed_at) = (CommandState::Sent, at);
            self.put_command(command);
        }
    }

    /// Drops a command that its node was never told of; one that it may have is left to the node, which drops it when
    /// it has not begun. Its time is over, so that a node which comes back without having seen it does not begin it.
    pub(super) fn cancel(
        &mut self,
        which: &CommandId,
        who: &Who,
        reply: oneshot::Sender<Result<Command, NotAccepted>>,
        at: Time,
    ) {
        let Some(open) = self.view.commands.get(which) else {
            return self.effects.push(Effect::Answer(reply, Err(NotAccepted::NotOpen(which.clone()))));
        };
        let mut command = Command { changed_at: at, ..Command::clone(open) };
        if command.state == CommandState::Queued {
            command.state = CommandState::Failed;
            command.error = Some(format!("cancelled by {} before it was sent; it had no effect", who.name));
        } else {
            command.expires_at = command.expires_at.min(at);
            let cancel = ToAgent::Cancel(Cancel { command_id: which.clone() });
            self.effects.push(Effect::Tell(command.node_id.clone(), cancel));
        }
        let node = command.node_id.clone();
        let result = if command.state.is_final() { "done" } else { "asked" };
        let record = AuditRecord::new(who, "cancel_command", command.id.as_str(), &json!({}), at);
        self.batch.audit.push(AuditRecord { result: result.to_owned(), ..record });
        self.put_command(command.clone());
        self.effects.push(Effect::Changed(reply, command));
        self.send_waiting(&node, at);
    }

    /// The journal that would know what became of them is not there any more: asking again could do them twice.
    pub(super) fn give_up_commands(&mut self, node: &NodeId, at: Time) {
        let given = |one: &&Arc<Command>| {
            one.node_id == *node && one.state != CommandState::Queued && !one.verb.stays_here()
        };
        let open: Vec<Arc<Command>> = self.view.commands.values().filter(given).cloned().collect();
        for command in open {
            let error = format!(
                "node {node} came back with another journal, which does not know whether this was done; look at the \
                 session before asking again"
            );
            self.put_command(Command {
                state: CommandState::Unknown,
                error: Some(error),
                changed_at: at,
                ..Command::clone(&command)
            });
        }
    }

    /// After a connect the node is asked again for every command that has not ended; it knows those it has seen.
    pub(super) fn send_open_commands(&mut self, node: &NodeId, at: Time) {
        let open: Vec<Command> = self
            .view
            .commands
            .values()
            .filter(|command| command.node_id == *node && !command.verb.stays_here())
            .map(|command| Command::clone(command))
            .collect();
        for command in open {
            if lapses(&command, at) {
                self.lapse(command, at);
                continue;
            }
            if command.state != CommandState::Queued {
                self.send(command, at);
            }
        }
        self.send_waiting(node, at);
    }

    /// `running` is shown but not written: after a crash the node says it again.
    pub(super) fn command_begun(&mut self, from: &From, ack: &CommandAck, at: Time) {
        if self.current(from).is_none() {
            return;
        }
        let Some(command) = self.view.commands.get(&ack.command_id) else { return };
        if command.node_id == from.node && command.state == CommandState::Sent {
            let begun = Command { state: CommandState::Running, changed_at: at, ..Command::clone(command) };
            self.follow_answer(&begun);
            self.view.commands.insert(ack.command_id.clone(), Arc::new(begun));
            self.send_waiting(&from.node, at);
        }
    }

    /// The events that an outcome rests on came before it over the same link, so whoever is told of it can read them.
    pub(super) fn command_ended(&mut self, from: &From, id: &CommandId, result: &CommandResult, at: Time) {
        if self.current(from).is_some() {
            self.end_command(&from.node, id, result, at);
        }
    }

    fn end_command(&mut self, node: &NodeId, id: &CommandId, result: &CommandResult, at: Time) {
        let Some(command) = self.view.commands.get(id).filter(|command| command.node_id == *node) else {
            return;
        };
        let mut ended = conclude(command, result, at);
        if let Some(stood) = &result.stood {
            self.note_stood(&ended, stood, at);
        }
        if ended.verb == Verb::CreateSession && ended.state == CommandState::Done {
            let session = self.public_id(&ended.output.as_str().into(), node);
            ended.output = session.to_string();
            ended.session_id = Some(session);
        }
        self.put_command(ended);
        self.send_waiting(node, at);
    }

    /// Commands whose time is over and whose node was never told of them.
    pub(super) fn expire(&mut self, at: Time) {
        let over: Vec<Command> = self
            .view
            .commands
            .values()
            .filter(|command| lapses(command, at))
            .map(|command| Command::clone(command))
            .collect();
        for command in over {
            self.lapse(command, at);
        }
    }

    fn lapse(&mut self, command: Command, at: Time) {
        let error = format!("node {} did not take it before {}", command.node_id, command.expires_at);
        self.put_command(Command {
            state: CommandState::Expired,
            error: Some(error),
            changed_at: at,
            ..command
        });
    }

    pub(super) fn put_command(&mut self, command: Command) {
        self.follow_answer(&command);
        self.batch.commands.insert(command.id.to_string(), command.clone());
        if command.state.is_final() {
            self.view.commands.remove(&command.id);
            self.policy_command_ended(&command, command.changed_at);
            self.handover_part_ended(&command, command.changed_at);
            self.stop_part_ended(&command, command.changed_at);
            self.effects.push(Effect::Ended(command));
        } else {
            self.view.commands.insert(command.id.clone(), Arc::new(command));
        }
    }
}

/// The audit record of a command that was taken.
fn record(command: &Command, who: &Who, at: Time) -> AuditRecord {
    let target = match &command.session_id {
        Some(session) => session.to_string(),
        None => format!("{} on {}", command.project, command.node_id),
    };
    let args = serde_json::Value::Object(command.args.clone());
    AuditRecord {
        id: command.id.to_string(),
        result: command.state.as_str().to_owned(),
        ..AuditRecord::new(who, command.verb.as_str(), target, &args, at)
    }
}
