//! While the store takes no writes, time goes on: what it tells without one is shown at once, and is decided and written
//! down as soon as a write succeeds.

use std::sync::Arc;

use super::nodes::Silent;
use super::view::View;
use hal_base::clock::Time;
use hal_protocol::command::{Command, CommandState};
use hal_rules::command::lapses;

impl View {
    /// Shows what the time alone tells: nodes that are silent too long are offline, and commands that nobody has begun in
    /// time have lapsed. Gives the nodes. Nothing of it is decided: the next view is made from the store again.
    pub fn pass_time(&mut self, at: Time) -> Vec<Silent> {
        let silent = self.silent(at);
        for (id, _) in &silent {
            if let Some(link) = self.live.links.get(id).map(|link| link.cut()) {
                self.put_link(id, link);
            }
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
        silent
    }
}
