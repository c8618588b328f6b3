//! The big red button: a halt of a project or of everything, which lasts until it is released.

use serde_json::json;

use super::Work;
use super::stop::{HALTED, what_is_halted};
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::command::Command;
use hal_protocol::mark::Attribution;
use hal_protocol::node::NodeId;
use hal_rules::alert::AlertRaised;
use hal_store::kept::{HALT, HALT_ALL};

impl Work {
    /// Halts a project or everything, or lets it go on. The outcome, or `None`: it is not known yet whether all turns
    /// stop.
    pub(super) fn halt(&mut self, command: &Command, at: Time) -> Option<Result<String, String>> {
        let key = if command.project.is_empty() { HALT_ALL } else { &command.project };
        let release = command.args.get("release").and_then(serde_json::Value::as_bool).unwrap_or(false);
        let (by, project) = (&command.actor, command.project.as_str());
        if release {
            self.delete_kept(HALT, key);
        } else {
            let said = self.view.halt(key).unwrap_or(Attribution { by: by.clone(), at });
            self.put_kept(HALT, key, &said, at);
        }
        self.halt_changed(key, by, at);
        match release {
            true => Some(Ok(format!("{} is released", what_is_halted(project)))),
            false => self.stop_outcome(command, at),
        }
    }

    /// What follows from a halt that somebody has set or taken away, by whichever way.
    pub(super) fn halt_changed(&mut self, key: &str, by: &str, at: Time) {
        let project = if key == HALT_ALL { "" } else { key };
        let data = json!({"project": project, "by": by});
        if let Some(said) = self.view.halt(key) {
            let text = self.halt_text(project, &said);
            let (name, about, severity) = (HALTED, project, Severity::Medium);
            self.raise(&AlertRaised { name, about, severity, text: &text, lasting: true }, at);
            self.note(&NodeId::new(""), "halt.set", &data, at);
            self.drop_halted(at);
            self.try_stops_again(|one| project.is_empty() || one.project.as_str() == project, at);
        } else {
            self.resolve(HALTED, project, at);
            self.note(&NodeId::new(""), "halt.released", &data, at);
        }
        self.look_at_all_again();
        self.go_on_with_stops(at);
    }
}
