//! Clock offset to the supervisor: tells how long a command was on its way, for its time may be over.

use tokio::time::Instant;

use hal_protocol::frame::{CommandFrame, Welcome};

/// When the welcome came here, and when it was said there. What comes later is counted from it on both sides.
pub(super) struct ClockOffset {
    at: Instant,
    said_ms: Option<u64>,
}

impl ClockOffset {
    /// It has just come.
    pub(super) fn now(welcome: &Welcome) -> Self {
        Self { at: Instant::now(), said_ms: welcome.steady_ms }
    }

    /// Takes from a command's time what it needed longer than the welcome.
    pub(super) fn age(&self, command: &mut CommandFrame) {
        let (Some(begun), Some(said)) = (self.said_ms, command.steady_ms) else { return };
        let here = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let late = here.saturating_sub(said.saturating_sub(begun));
        command.ttl_ms = command.ttl_ms.saturating_sub(late);
    }
}
