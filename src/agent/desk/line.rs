//! The order of prompts: one line for each session, and what is still in it when the session is killed is dropped.

use std::collections::HashMap;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::protocol::session::SessionId;

/// What a prompt that was dropped is told.
const KILLED: &str = "the session was killed before this was its turn";

/// The lines of all sessions that have prompts in hand.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<SessionId, Line>);

#[derive(Debug)]
struct Line {
    /// Resolves when the last one is through.
    last: oneshot::Receiver<()>,
    /// Drops those that wait.
    killed: CancellationToken,
    length: usize,
}

/// A place in a line. Whoever stands behind waits until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    before: Option<oneshot::Receiver<()>>,
    killed: CancellationToken,
    _through: oneshot::Sender<()>,
}

impl Lines {
    /// Takes the last place.
    pub(super) fn stand(&mut self, session: &SessionId) -> Place {
        let (through, last) = oneshot::channel();
        match self.0.get_mut(session) {
            Some(line) => {
                line.length += 1;
                let before = Some(std::mem::replace(&mut line.last, last));
                Place { before, killed: line.killed.clone(), _through: through }
            }
            None => {
                let killed = CancellationToken::new();
                self.0.insert(session.clone(), Line { last, killed: killed.clone(), length: 1 });
                Place { before: None, killed, _through: through }
            }
        }
    }

    /// Drops whoever waits; who comes later stands anew.
    pub(super) fn drop_waiting(&mut self, session: &SessionId) {
        if let Some(line) = self.0.get_mut(session) {
            std::mem::take(&mut line.killed).cancel();
        }
    }

    /// One who stood here has gone, through or dropped.
    pub(super) fn leave(&mut self, session: &SessionId) {
        if let Some(line) = self.0.get_mut(session) {
            line.length -= 1;
            if line.length == 0 {
                self.0.remove(session);
            }
        }
    }
}

impl Place {
    /// Waits until everybody before is through. Keep the place until the work is done. No place means no waiting.
    pub(super) async fn wait(place: Option<Self>) -> Result<Option<Self>, &'static str> {
        let Some(mut place) = place else { return Ok(None) };
        if let Some(before) = place.before.take() {
            tokio::select! {
                biased;
                () = place.killed.cancelled() => return Err(KILLED),
                _through = before => {}
            }
        }
        if place.killed.is_cancelled() { Err(KILLED) } else { Ok(Some(place)) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn prompts_keep_their_order() {
        let mut lines = Lines::default();
        let session = SessionId::new("ses");
        let first = Place::wait(Some(lines.stand(&session))).await.unwrap();
        let mut second = Box::pin(Place::wait(Some(lines.stand(&session))));
        assert!((&mut second).now_or_never().is_none(), "the first is not through");
        drop(first);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn a_kill_drops_those_who_wait_and_not_those_who_come_later() {
        let mut lines = Lines::default();
        let session = SessionId::new("ses");
        let first = Place::wait(Some(lines.stand(&session))).await.unwrap();
        let waiting = lines.stand(&session);
        lines.drop_waiting(&session);
        let later = lines.stand(&session);
        assert_eq!(Place::wait(Some(waiting)).await.unwrap_err(), KILLED);
        drop(first);
        assert!(Place::wait(Some(later)).await.is_ok());
        for _ in 0..3 {
            lines.leave(&session);
        }
        assert!(lines.0.is_empty());
    }
}
