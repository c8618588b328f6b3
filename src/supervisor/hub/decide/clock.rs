//! A clock that is set while the supervisor runs. What is measured in time is moved along with it: a node is not gone,
//! and a command does not lapse or live longer, because somebody has set a clock.

use serde_json::json;

use super::Work;
use crate::hub::input::Severity;
use crate::hub::live::NodeLink;
use hal_base::clock::{Reading, Time};
use hal_protocol::node::NodeId;

/// A difference to the clock that cannot be set which is no correction any more. Smaller ones are followed silently.
const JUMP_MS: i64 = 1_000;

impl Work {
    /// Compares the clocks, and moves what depends on the time when one was set.
    pub(super) fn notice_jump(&mut self, clock: Reading) {
        let began = clock.began();
        let by = self.view.live.began.map_or(0, |before| began.0 - before.0);
        self.view.live.began = Some(began);
        if by.abs() > JUMP_MS {
            self.jump(by, clock.at);
        }
    }

    fn jump(&mut self, by: i64, at: Time) {
        let moved = |time: Time| Time(time.0.saturating_add(by));
        let links = std::mem::take(&mut self.view.live.links);
        for (id, link) in &links {
            self.view.put_link(id, NodeLink { last_heard: moved(link.last_heard), ..NodeLink::clone(link) });
        }
        let open: Vec<_> = self.view.stored.commands.values().map(|open| (**open).clone()).collect();
        for mut command in open {
            command.expires_at = moved(command.expires_at);
            self.put_command(command);
        }
        self.move_notices(by, at);
        self.move_policies(by, at);
        self.move_approvals(moved, at);
        let nowhere = NodeId::new("");
        self.note(&nowhere, "clock.jumped", &json!({"by_ms": by}), at);
        let seconds = by as f64 / 1e3;
        let text =
            format!("the clock of the supervisor's machine was set by {seconds:+.1} s; it is {at} now");
        self.alert(&nowhere, "clock.jumped", Severity::Medium, &text, at);
    }
}
