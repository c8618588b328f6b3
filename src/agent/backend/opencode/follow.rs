//! Reports what other opencodes have done, as far as it is stored.

use super::catch_up::unheard;
use super::classify_event::plain_kind;
use super::stream::{EndOfStream, Listener, field};
use super::words::{MessageInfo, SessionInfo};
use crate::backend::BackendError;
use hal_base::clock::now;
use hal_protocol::session::SessionId;

impl Listener<'_> {
    /// Reports what other opencodes have stored in the sessions of our projects.
    pub(super) async fn look_after_others(
        &mut self,
        changed: Option<Result<Vec<SessionInfo>, BackendError>>,
    ) -> Result<(), EndOfStream> {
        let changed = match changed {
            Some(Ok(changed)) => changed,
            Some(Err(error)) => {
                tracing::debug!("what other opencode processes do is not known: {error}");
                return Ok(());
            }
            None => return Ok(()),
        };
        let found = self.others.found(&changed, &self.shared.directories.existing(), self.tracker);
        if found.is_empty() {
            return Ok(());
        }
        match unheard(self.client, self.tracker, &found, now()).await {
            Ok(events) => {
                for event in events {
                    let session = SessionId::new(&event.event.aggregate_id);
                    let message = field::<MessageInfo>(&event.event.data, "info");
                    let message = message.filter(|_| plain_kind(&event.event.kind) == "message.updated");
                    self.others.heard(&session, message.as_ref());
                    self.report_missed(event).await?;
                }
                for info in changed.iter().filter(|info| found.contains(info.id.as_str())) {
                    self.tracker.has_changed(&SessionId::new(&info.id), info.time.updated);
                }
            }
            Err(error) => tracing::warn!("what another opencode process has done is not known: {error}"),
        }
        Ok(())
    }
}
