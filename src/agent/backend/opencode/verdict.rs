//! What is wrong with a turn although opencode does not say so, and what is done about it.

use std::collections::BTreeSet;

use serde_json::json;
use serde_json::value::RawValue;

use super::Shared;
use super::outside::{self, Replied};
use super::stream::{EndOfStream, Listener, field};
use super::words::StatusInfo;
use crate::backend::{BackendEvent, Report};
use hal_base::clock::now;
use hal_protocol::event::raw;
use hal_protocol::session::SessionId;

impl Listener<'_> {
    /// Says what is wrong with a turn before an event that tells its end: whoever waits for that is to see how it ended.
    pub(super) async fn judge_end(
        &mut self,
        session: &SessionId,
        kind: &str,
        directory: Option<&str>,
        data: &RawValue,
    ) -> Result<(), EndOfStream> {
        if !is_over(kind, data) {
            return Ok(());
        }
        let is_stopped = self.shared.stopped().remove(session);
        let verdict = self.tracker.turns.get_mut(session).and_then(|turns| turns.over(is_stopped));
        match verdict {
            Some(why) => self.report(wrong(session, directory, &why, self.shared)).await,
            None => Ok(()),
        }
    }

    /// Somebody has answered who must not: the turn stops.
    pub(super) async fn stop_after(&mut self, replied: &Replied) -> Result<(), EndOfStream> {
        let Replied { session_id, request_id, reply } = replied;
        let what = format!("request {request_id} was answered outside ({reply}), not through the supervisor");
        tracing::warn!("session {session_id}: {what}; stopping its turn");
        let (root, done) = match outside::root(self.client, session_id).await {
            Ok(root) => {
                let id = SessionId::new(&root.id);
                (id, outside::stop(self.client, &root, replied).await)
            }
            Err(error) => (session_id.clone(), Err(error)),
        };
        let is_done = done.is_ok();
        let text = match done {
            Ok(done) => format!("{what}; {done}"),
            Err(error) => format!("{what}; its turn could not be stopped, kill the session: {error}"),
        };
        // Said at the end of the turn, which is at hand when it was stopped.
        for one in BTreeSet::from([session_id, &root]) {
            self.tracker.turns.entry(one.clone()).or_default().condemn(text.clone());
        }
        match is_done {
            true => Ok(()),
            false => self.report(wrong(session_id, None, &text, self.shared)).await,
        }
    }
}

/// True for an event that tells the end of a turn.
fn is_over(kind: &str, data: &RawValue) -> bool {
    let is_idle = || field::<StatusInfo>(data, "status").is_some_and(|status| !status.is_busy());
    kind == "session.idle" || (kind == "session.status" && is_idle())
}

/// Says of a turn what opencode does not.
fn wrong(session: &SessionId, directory: Option<&str>, why: &str, shared: &Shared) -> Report {
    Report::Event(BackendEvent {
        id: None,
        kind: "session.error".into(),
        session_id: Some(session.clone()),
        directory: directory.map(|directory| shared.directories.configured(directory)),
        occurred_at: now(),
        data: raw(&json!({"sessionID": session, "error": {"name": "", "data": {"message": why}}})),
        mark: None,
    })
}
