//! While the store takes no writes, time goes on: what it tells without one is shown at once, and is decided and written
//! down as soon as a write succeeds.

use std::sync::Arc;

use super::live::NodeLink;
use super::view::View;
use hal_base::clock::Time;
use hal_protocol::command::{Command, CommandState};
use hal_protocol::node::NodeId;
use hal_rules::command::lapses;

/// A node that fell silent meanwhile, and when it was last heard of.
pub type Silent = (NodeId, Time);

impl View {
    /// Takes over what links have told of nodes, from the view of a batch that was not stored: that is not stored in any
    /// case.
    pub fn take_signs_of_life(&mut self, heard: &Self) {
        let fresh: Vec<(NodeId, NodeLink)> = (self.every_node())
            .filter_map(|known| {
                let heard = heard.find_node(known.record.id.as_str())?;
                let is_same =
                    known.link.online && heard.link.online && known.record.epoch == heard.record.epoch;
                let link = || NodeLink {
                    last_heard: heard.link.last_heard,
                    resources: heard.link.resources,
                    clock_ahead_ms: heard.link.clock_ahead_ms,
                    ..known.link.clone()
                };
                (is_same && known.link.last_heard < heard.link.last_heard)
                    .then(|| (known.record.id.clone(), link()))
            })
            .collect();
        for (id, link) in fresh {
            self.put_link(&id, link);
        }
    }

    /// Shows what the time alone tells: nodes that are silent too long are offline, and commands that nobody has begun in
    /// time have lapsed. Gives the nodes. Nothing of it is decided: the next view is made from the store again.
    pub fn pass_time(&mut self, at: Time) -> Vec<Silent> {
        let liveness = self.settings.liveness;
        let silent: Vec<(NodeId, Arc<NodeLink>)> = (self.live.links.iter())
            .filter(|(_, link)| link.online && liveness.is_gone(link.last_heard, at))
            .map(|(id, link)| (id.clone(), link.clone()))
            .collect();
        for (id, link) in &silent {
            self.put_link(id, NodeLink { online: false, ..NodeLink::clone(link) });
        }
        let late: Vec<Arc<Command>> =
            self.stored.commands.values().filter(|command| lapses(command, at)).cloned().collect();
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
            self.stored.commands.insert(command.id.clone(), Arc::new(shown));
        }
        silent.into_iter().map(|(id, link)| (id, link.last_heard)).collect()
    }
}
