//! Commands: stored before they are sent, ended once. They call no noun that asks for one: what has happened to them
//! is a list.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::input::{From, NotAccepted};
use crate::hub::view::View;
use hal_base::clock::Time;
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use hal_protocol::frame::{Cancel, Checkpoint, CommandAck, CommandResult, ToAgent};
use hal_protocol::node::NodeId;
use hal_protocol::who::Who;
use hal_rules::command::{Refused, accept, conclude, frame, lapses, meaning};
use hal_store::audit::AuditRecord;
use hal_store::command::{KeyRecord, scoped_key};
use hal_store::kept::HALT_ALL;

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

/// What has happened to a command, for the nouns that stand above it: whoever drives the transaction tells them.
#[derive(Debug)]
pub(super) enum Happened {
    /// It was taken in, and is to be carried out without a node.
    Here(Command),
    /// It is in another state.
    Changed(Command),
    /// It has stepped in, and this is where its session's directory stood.
    Stood(Command, Checkpoint),
}

impl Work {
    /// Takes a new command of the supervisor's own in, and sends it when its node can take it.
    pub(super) fn order(
        &mut self,
        request: &CommandRequest,
        who: &Who,
        id: CommandId,
        at: Time,
    ) -> Result<Command, NotAccepted> {
        let command = accept(request, who, id, &self.view, at)?;
        self.take_in(command, fingerprint(request), who, at)
    }

    /// Takes a command in that was accepted. One that no node is needed for is carried out when commands are followed.
    pub(super) fn take_in(
        &mut self,
        command: Command,
        meaning: [u8; 32],
        who: &Who,
        at: Time,
    ) -> Result<Command, NotAccepted> {
        check_halt(&self.view, &command)?;
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
        self.put_command(command.clone());
        if command.verb.stays_here() {
            self.happened.push_back(Happened::Here(command.clone()));
        }
        Ok(command)
    }

    /// Ends a command that no node was told of.
    pub(super) fn end_here(&mut self, command: Command, outcome: Result<String, String>, at: Time) {
        let (state, output, error) = match outcome {
            Ok(output) => (CommandState::Done, output, None),
            Err(error) => (CommandState::Failed, String::new(), Some(error)),
        };
        self.put_command(Command { state, output, error, changed_at: at, ..command });
    }

    /// The command as it is now, open or ended with this transaction.
    pub(super) fn command_now(&self, id: &CommandId) -> Option<Command> {
        let open = self.view.stored.commands.get(id).map(|open| Command::clone(open));
        open.or_else(|| self.batch.commands.get(id.as_str()).cloned())
    }

    fn has_room(&self, command: Command) -> Result<Command, NotAccepted> {
        let open = self.view.stored.commands.values().filter(|one| one.node_id == command.node_id).count();
        if open < MOST_OPEN {
            return Ok(command);
        }
        Err(NotAccepted::TooMany { node: command.node_id, open })
    }

    /// True when the node is there, none waits before this one, and it takes so much beside what it has not
    /// acknowledged. One may always go: its acknowledgement lets the next one go.
    fn may_send(&self, command: &Command) -> bool {
        let Some(node) = self.view.find_node(command.node_id.as_str()).filter(|node| node.link.online) else {
            return false;
        };
        let (mut waiting, mut on_the_way) = (false, 0);
        let others = self.view.stored.commands.values().filter(|one| one.node_id == command.node_id);
        for other in others.filter(|other| other.id < command.id) {
            match other.state {
                CommandState::Queued => waiting = true,
                CommandState::Sent => on_the_way += size(other),
                _ => {}
            }
        }
        let credit = if node.link.command_credit == 0 { DEFAULT_CREDIT } else { node.link.command_credit };
        !waiting && (on_the_way == 0 || on_the_way + size(command) <= credit)
    }

    /// Sends what waited for the node's credit.
    fn send_waiting(&mut self, node: &NodeId, at: Time) {
        let queued = |one: &&Arc<Command>| one.node_id == *node && one.state == CommandState::Queued;
        while let Some(next) =
            self.view.stored.commands.values().find(queued).filter(|next| self.may_send(next))
        {
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
    /// it has not begun.
    pub(super) fn cancel(
        &mut self,
        which: &CommandId,
        who: &Who,
        reply: oneshot::Sender<Result<Command, NotAccepted>>,
        at: Time,
    ) {
        let Some(open) = self.view.stored.commands.get(which) else {
            return self.effects.push(Effect::reply(reply, Err(NotAccepted::NotOpen(which.clone()))));
        };
        let why = format!("cancelled by {} before it was sent; it had no effect", who.name);
        let command = self.call_off(Command::clone(open), &why, at);
        let result = if command.state.is_final() { "done" } else { "asked" };
        let record = AuditRecord::new(who, "cancel_command", command.id.as_str(), &json!({}), at);
        self.batch.audit.push(AuditRecord { result: result.to_owned(), ..record });
        let node = command.node_id.clone();
        self.effects.push(Effect::reply(reply, Ok(command)));
        self.send_waiting(&node, at);
    }

    /// The journal that would know what became of them is not there any more: asking again could do them twice.
    pub(super) fn give_up_commands(&mut self, node: &NodeId, at: Time) {
        let given = |one: &&Arc<Command>| {
            one.node_id == *node && one.state != CommandState::Queued && !one.verb.stays_here()
        };
        let open: Vec<Arc<Command>> = self.view.stored.commands.values().filter(given).cloned().collect();
        for command in open {
            let error = format!(
                "node {node} came back with another journal, which does not know whether this was done; check \
                 the session before you retry"
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
            .stored
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
        let Some(command) = self.view.stored.commands.get(&ack.command_id) else { return };
        if command.node_id == from.node && command.state == CommandState::Sent {
            let begun = Command { state: CommandState::Running, changed_at: at, ..Command::clone(command) };
            self.view.stored.commands.insert(ack.command_id.clone(), Arc::new(begun.clone()));
            self.happened.push_back(Happened::Changed(begun));
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
        let Some(command) = self.view.stored.commands.get(id).filter(|command| command.node_id == *node)
        else {
            return;
        };
        let mut ended = conclude(command, result, at);
        if let Some(stood) = &result.stood {
            self.happened.push_back(Happened::Stood(ended.clone(), stood.clone()));
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
            .stored
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

    /// Drops what was asked for and may not begin any more: at once what has not gone out; a node that has it drops it
    /// unless it has begun.
    pub(super) fn drop_halted(&mut self, at: Time) {
        let open: Vec<Command> = self
            .view
            .stored
            .commands
            .values()
            .filter(|one| !one.verb.stays_here() && check_halt(&self.view, one).is_err())
            .map(|one| Command::clone(one))
            .collect();
        for command in open {
            self.call_off(command, "halted before it was sent; it had no effect", at);
        }
    }

    /// Ends a command that has not gone out, for this reason; of one that has its node is told. Its time is over, so that
    /// a node which comes back without having seen it does not begin it.
    fn call_off(&mut self, mut command: Command, why: &str, at: Time) -> Command {
        command.changed_at = at;
        if command.state == CommandState::Queued {
            command.state = CommandState::Failed;
            command.error = Some(why.to_owned());
        } else {
            command.expires_at = command.expires_at.min(at);
            let cancel = ToAgent::Cancel(Cancel { command_id: command.id.clone() });
            self.effects.push(Effect::Tell(command.node_id.clone(), cancel));
        }
        self.put_command(command.clone());
        command
    }

    /// Puts a command in place of what was known of it, and into the batch.
    pub(super) fn put_command(&mut self, command: Command) {
        self.batch.commands.insert(command.id.to_string(), command.clone());
        self.happened.push_back(Happened::Changed(command.clone()));
        if command.state.is_final() {
            self.view.stored.commands.remove(&command.id);
            self.effects.push(Effect::Ended(command));
        } else {
            self.view.stored.commands.insert(command.id.clone(), Arc::new(command));
        }
    }
}

/// What a request means, for its key.
pub(super) fn fingerprint(request: &CommandRequest) -> [u8; 32] {
    Sha256::digest(meaning(request)).into()
}

/// Why a command is refused while work is halted.
fn check_halt(view: &View, command: &Command) -> Result<(), NotAccepted> {
    let begins = matches!(command.verb, Verb::CreateSession | Verb::PromptSession | Verb::RestartSession);
    let Some((what, said)) = view.halt_of(&command.project).filter(|_| begins) else {
        return Ok(());
    };
    let (way, what) = match what.as_str() {
        HALT_ALL => ("--all".to_owned(), "everything".to_owned()),
        project => (format!("--project {project}"), format!("project {project}")),
    };
    Err(NotAccepted::Refused(Refused::Halted(format!(
        "{what} is halted by {} since {}; `halctl sessions halt {way} --release` releases it",
        said.by, said.at
    ))))
}

/// The fields of a JSON object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
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
