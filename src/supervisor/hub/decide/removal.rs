//! A node's end: an operator removes one that will not come again. What it has told stays readable.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::oneshot;

use super::Work;
use super::backend::UNFIT;
use crate::hub::effect::Effect;
use crate::hub::input::{NotAccepted, Severity};
use crate::hub::live::NodeRef;
use hal_base::clock::Time;
use hal_base::nearest::no_such;
use hal_protocol::command::{Command, CommandState};
use hal_protocol::frame::Hello;
use hal_protocol::mark::Attribution;
use hal_protocol::node::{Node, NodeId};
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;
use hal_rules::command::Refused;
use hal_store::change::RowKind;
use hal_store::node::NodeRecord;

/// What lasts about a node that is not there, and is over when nobody expects it any more.
const ABOUT_A_NODE: [&str; 5] = ["node.offline", "node.clock", "node.disk", "node.memory", UNFIT];

impl Work {
    pub(super) fn remove_node(
        &mut self,
        name: &NodeId,
        who: &Who,
        reply: oneshot::Sender<Result<Box<Node>, NotAccepted>>,
        at: Time,
    ) {
        let answer = match self.view.find_node(name.as_str()).map(NodeRef::to_state) {
            None => {
                let known = self.view.stored.nodes.keys().map(|id| id.as_str());
                Err(NotAccepted::Refused(Refused::NoSuch(no_such("node", name.as_str(), known))))
            }
            Some(state) if state.link.online => Err(NotAccepted::Late(format!(
                "node {name} is online, connected from {}; stop its hal-agent first, or it reconnects at once",
                state.record.address
            ))),
            Some(state) => {
                let shown = self.view.node(name.as_str());
                self.let_go(name, &state.record, &who.name, at);
                let args = json!({"last_heard": state.record.last_heard.to_string()});
                self.write_down(who, "remove node", name.as_str(), &args, at);
                let gone = || NotAccepted::Late(format!("node {name} is already removed"));
                shown.map(Box::new).ok_or_else(gone)
            }
        };
        self.effects.push(Effect::reply(reply, answer));
    }

    fn let_go(&mut self, name: &NodeId, record: &NodeRecord, actor: &str, at: Time) {
        self.end_commands_of(name, actor, at);
        self.forfeit_leases(name, at);
        for alert in ABOUT_A_NODE {
            self.resolve(alert, name.as_str(), at);
        }
        let of_node = self.view.stored.sessions.iter().filter(|(_, known)| known.session.node_id == *name);
        let sessions: Vec<SessionId> = of_node.map(|(id, _)| id.clone()).collect();
        for session in &sessions {
            let mut marks = self.marks(session);
            if marks.archived.is_none() {
                marks.archived = Some(Attribution { by: actor.to_owned(), at });
                self.keep_marks(session, &marks, at);
            }
        }
        let data =
            json!({"by": actor, "last_heard": record.last_heard.to_string(), "sessions": sessions.len()});
        self.note(name, "node.removed", &data, at);
        self.view.remove_node(name);
        self.view.stored.gone_nodes.insert(name.clone(), record.clone());
        self.batch.nodes.remove(name.as_str());
        self.batch.edits.gone.push((RowKind::Node, name.to_string()));
    }

    fn end_commands_of(&mut self, name: &NodeId, actor: &str, at: Time) {
        let given = |one: &&Arc<Command>| one.node_id == *name && !one.verb.stays_here();
        let open: Vec<Arc<Command>> = self.view.stored.commands.values().filter(given).cloned().collect();
        for command in open {
            let (state, what) = match command.state {
                CommandState::Queued => (CommandState::Failed, "before it had this; it had no effect"),
                _ => (CommandState::Unknown, "and whether it had done this is not known"),
            };
            let error = Some(format!("node {name} was removed by {actor} {what}"));
            self.put_command(Command { state, error, changed_at: at, ..Command::clone(&command) });
        }
    }

    /// A journal that is known under another name: the node was renamed, or its data folder was copied. Said once,
    /// when the name is new.
    pub(super) fn note_other_name(&mut self, hello: &Hello, address: &str, at: Time) {
        let node = &hello.node_id;
        let is_known =
            self.view.stored.nodes.contains_key(node) || self.view.stored.gone_nodes.contains_key(node);
        if is_known || hello.incarnation.is_empty() {
            return;
        }
        let here = self.view.every_node().map(|state| (state.record, true));
        let gone = self.view.stored.gone_nodes.values().map(|record| (record, false));
        let other = here.chain(gone).find(|(one, _)| one.id != *node && one.knows(&hello.incarnation));
        let Some((was, is_listed)) = other else { return };
        let (was, heard) = (was.id.clone(), was.last_heard.max(was.connected_at));
        let help = match is_listed {
            true => format!(
                "If it was renamed, end the other one with halctl nodes remove {was}; if its data folder was copied, \
                 give it a data_dir of its own"
            ),
            false => "Its sessions are shown under both names".to_owned(),
        };
        let data = json!({"was": was, "address": address, "incarnation": hello.incarnation});
        self.note(node, "node.renamed", &data, at);
        let text = format!(
            "node {node}, at {address}, came with the journal of node {was}, which was last seen at {heard}. {help}"
        );
        self.alert(node, "node.renamed", Severity::Medium, &text, at);
    }
}
