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
    /// Shows what the time alone tells: nodes that are silent too long are offline, and commands that nobody has begun in
    /// time have lapsed. Gives the nodes. Nothing of it is decided: the next view is made from the store again.
    pub fn pass_time(&mut self, at: Time) -> Vec<Silent> {
        let liveness = self.settings.liveness;
        let silent: Vec<(NodeId, NodeLink)> = (self.live.links.iter())
            .filter(|(_, link)| link.online && liveness.is_gone(link.vitals().heard, at))
            .map(|(id, link)| (id.clone(), link.cut()))
            .collect();
        let heard: Vec<Silent> = silent.iter().map(|(id, link)| (id.clone(), link.vitals().heard)).collect();
        for (id, link) in silent {
            self.put_link(&id, link);
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
        heard
    }
}
