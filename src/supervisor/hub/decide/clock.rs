//! A clock that is set while the supervisor runs. What is measured in time is moved along with it: a node is not gone,
//! and a command does not lapse or live longer, because somebody has set a clock.

use serde_json::json;

use super::Work;
use crate::hub::input::Severity;
use crate::hub::live::{NodeLink, NodeRef};
use crate::hub::pulse::{Pulse, Vitals};
use hal_base::clock::{self, Reading, Time};
use hal_protocol::node::NodeId;

impl Work {
    /// Compares the clocks, and moves what depends on the time when one was set.
    pub(super) fn notice_jump(&mut self, clock: Reading) {
        let began = clock.began();
        let before = self.view.live.began.replace(began);
        if let Some(by) = before.and_then(|before| clock::jump(before, began)) {
            self.jump(by, began, clock.at);
        }
    }

    fn jump(&mut self, by: i64, began: Time, at: Time) {
        let moved = |time: Time| Time(time.0.saturating_add(by));
        let links = self.view.live.links.clone();
        for (id, link) in &links {
            if link.online {
                link.pulse.follow(began);
                self.move_connected(id, moved);
            } else {
                let vitals = link.vitals();
                let pulse = Pulse::still(Vitals { heard: moved(vitals.heard), ..vitals });
                self.view.put_link(id, NodeLink { pulse, ..NodeLink::clone(link) });
            }
        }
        let open: Vec<_> = self.view.stored.commands.values().map(|open| (**open).clone()).collect();
        for mut command in open {
            (command.created_at, command.expires_at) = (moved(command.created_at), moved(command.expires_at));
            self.put_command(command);
        }
        self.move_notices(by, at);
        self.move_steps(moved, at);
        self.move_policies(by, at);
        self.move_approvals(moved, at);
        let nowhere = NodeId::new("");
        self.note(&nowhere, "clock.jumped", &json!({"by_ms": by}), at);
        let seconds = by as f64 / 1e3;
        let text =
            format!("the clock of the supervisor's machine was set by {seconds:+.1} s; it is {at} now");
        self.alert(&nowhere, "clock.jumped", Severity::Medium, &text, at);
    }

    /// Since when a node is there: what it has had to do since then is measured from it.
    fn move_connected(&mut self, node: &NodeId, moved: impl Fn(Time) -> Time) {
        let Some(mut state) = self.view.find_node(node.as_str()).map(NodeRef::to_state) else { return };
        state.record.connected_at = moved(state.record.connected_at);
        self.put_node(state);
    }
}
