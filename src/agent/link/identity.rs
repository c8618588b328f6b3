//! Whether the supervisor and this journal mean the same events by the same numbers.

use super::Link;
use super::talk::Break;
use hal_protocol::frame::{MAX_BATCH_BYTES, Welcome};
use hal_store::journal::{JournalError, Span};

/// An event that could not be read was replaced by one of this type, with another identity.
const MENDED: &str = "gap";

impl Link {
    /// True when the journal has another event under the last committed number: it was restored from a copy and went on.
    pub(super) fn went_another_way(&self, welcome: &Welcome) -> Result<bool, Break> {
        let Some(before) = welcome.committed_seq.checked_sub(1) else { return Ok(false) };
        let held = self.context.outbox.batch_after(before, 1, MAX_BATCH_BYTES);
        match held {
            Ok(events) => Ok(events.first().is_some_and(|event| {
                let is_it = event.seq == welcome.committed_seq && event.kind != MENDED;
                is_it && !welcome.committed_id.is_empty() && event.id != welcome.committed_id
            })),
            // It is mended when it is sent, and was committed as it is.
            Err(JournalError::Event { .. }) => Ok(false),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// The numbers of this journal mean something else to the supervisor: others are given.
    pub(super) async fn begin_anew(&self, welcome: &Welcome, span: &Span) -> Result<(), Break> {
        let acknowledged = self.context.outbox.acknowledged();
        // A supervisor that was restored may have less than it once acknowledged.
        let sure =
            if welcome.begin_anew { welcome.committed_seq } else { acknowledged.min(welcome.committed_seq) };
        tracing::warn!(
            "the supervisor has {} events of this journal, which holds {} to {}: it was restored from an older copy \
             or copied from another machine; beginning a new incarnation with what follows {sure}",
            welcome.committed_seq,
            span.first,
            span.last
        );
        let begun = self.context.outbox.begin_anew(sure, welcome.epoch).await;
        begun.map(|_| ()).map_err(|error| Break::lost(error.to_string()))
    }
}
