//! While the store takes no writes, time goes on: what it tells without one is shown at once, and is decided and written
//! down as soon as a write succeeds.

use std::sync::Arc;

use super::view::{NodeState, View};
use crate::base::clock::Time;
use crate::protocol::command::{Command, CommandState};
use crate::protocol::node::NodeId;
use crate::rules::command::lapses;

/// A node that fell silent meanwhile, and when it was last heard of.
pub type Silent = (NodeId, Time);

impl View {
    /// Takes over what links have told of nodes, from the view of a batch that was not stored: that is not stored in any
    /// case.
    pub fn take_signs_of_life(&mut self, heard: &Self) {
        let fresh: Vec<NodeState> = (self.nodes.iter())
            .filter_map(|(id, known)| {
                let heard = heard.nodes.get(id)?;
                let is_same = known.online && heard.online && known.record.epoch == heard.record.epoch;
                (is_same && known.last_heard < heard.last_heard).then(|| NodeState {
                    last_heard: heard.last_heard,
                    resources: heard.resources,
                    clock_ahead_ms: heard.clock_ahead_ms,
                    ..NodeState::clone(known)
                })
            })
            .collect();
        for node in fresh {
            self.nodes.insert(node.record.id.clone(), Arc::new(node));
        }
    }

    /// Shows what the time alone tells: nodes that are silent too long are offline, and commands that nobody has begun in
    /// time have lapsed. Gives the nodes. Nothing of it is decided: the next view is made from the store again.
    pub fn pass_time(&mut self, at: Time) -> Vec<Silent> {
        let liveness = self.settings.liveness;
        let silent: Vec<Arc<NodeState>> = (self.nodes.values())
            .filter(|node| node.online && liveness.is_gone(node.last_heard, at))
            .cloned()
            .collect();
        for node in &silent {
            let shown = NodeState { online: false, ..NodeState::clone(node) };
            self.nodes.insert(node.record.id.clone(), Arc::new(shown));
        }
        let late: Vec<Arc<Command>> =
            self.commands.values().filter(|command| lapses(command, at)).cloned().collect();
        for command in late {
            let error = format!(
                "node {} did not take it before {}; the store cannot be written at present",
                command.node_id, command.expires_at
            );
            let shown = Command {
                state: CommandState::Expired,
                error: Some(error),
                changed_at: at,
                ..Command::clone(&command)
            };
            self.commands.insert(command.id.clone(), Arc::new(shown));
        }
        silent.iter().map(|node| (node.record.id.clone(), node.last_heard)).collect()
    }
}
