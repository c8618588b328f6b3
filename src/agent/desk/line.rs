//! The order of prompts: one line for each session, and what is still in it when the session is killed is dropped.

use std::collections::HashMap;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use hal_protocol::session::SessionId;

/// What a prompt that was dropped is told.
const KILLED: &str = "the session was killed before this was its turn";

/// What a command that was cancelled is told.
const CANCELLED: &str = "it was cancelled, or its time was over, before it began; it had no effect";

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

/// Where a command waits for its turn. Whoever stands behind waits until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    line: Option<InLine>,
    cancelled: CancellationToken,
}

#[derive(Debug)]
struct InLine {
    before: Option<oneshot::Receiver<()>>,
    killed: CancellationToken,
    /// Whoever stands behind notices when it is dropped.
    through: oneshot::Sender<()>,
}

impl Lines {
    /// Takes the last place.
    pub(super) fn stand(&mut self, session: &SessionId, cancelled: CancellationToken) -> Place {
        let (through, last) = oneshot::channel();
        let (before, killed) = match self.0.get_mut(session) {
            Some(line) => {
                line.length += 1;
                (Some(std::mem::replace(&mut line.last, last)), line.killed.clone())
            }
            None => {
                let killed = CancellationToken::new();
                self.0.insert(session.clone(), Line { last, killed: killed.clone(), length: 1 });
                (None, killed)
            }
        };
        Place { line: Some(InLine { before, killed, through }), cancelled }
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
    /// Of a command that waits for nobody.
    pub(super) fn nowhere(cancelled: CancellationToken) -> Self {
        Self { line: None, cancelled }
    }

    /// True when it is in the line of a session.
    pub(super) fn is_in_line(&self) -> bool {
        self.line.is_some()
    }

    /// Waits until everybody before is through. Whoever is told why not leaves by [`Place::leave`].
    pub(super) async fn wait(&mut self) -> Result<(), &'static str> {
        if let Some(line) = &mut self.line {
            if let Some(before) = &mut line.before {
                tokio::select! {
                    biased;
                    () = line.killed.cancelled() => return Err(KILLED),
                    () = self.cancelled.cancelled() => return Err(CANCELLED),
                    _through = before => {}
                }
                line.before = None;
            }
            if line.killed.is_cancelled() {
                return Err(KILLED);
            }
        }
        if self.cancelled.is_cancelled() { Err(CANCELLED) } else { Ok(()) }
    }

    /// Resolves with the reason when it is not wanted any more.
    pub(super) async fn dropped(&self) -> &'static str {
        let killed = async {
            match &self.line {
                Some(line) => line.killed.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = killed => KILLED,
            () = self.cancelled.cancelled() => CANCELLED,
        }
    }

    /// Gives the place up once everybody before is through, so that nobody behind overtakes them.
    pub(super) async fn leave(self) {
        let Some(InLine { before: Some(before), through, .. }) = self.line else { return };
        let _gone = before.await;
        drop(through);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn stand(lines: &mut Lines, session: &SessionId) -> Place {
        lines.stand(session, CancellationToken::new())
    }

    async fn first_of(lines: &mut Lines, session: &SessionId) -> Place {
        let mut place = stand(lines, session);
        place.wait().await.unwrap();
        place
    }

    #[tokio::test]
    async fn prompts_keep_their_order() {
        let mut lines = Lines::default();
        let session = SessionId::new("ses");
        let first = first_of(&mut lines, &session).await;
        let mut second = stand(&mut lines, &session);
        assert!(second.wait().now_or_never().is_none(), "the first is not through");
        drop(first);
        assert!(second.wait().await.is_ok());
    }

    #[tokio::test]
    async fn a_kill_drops_those_who_wait_and_not_those_who_come_later() {
        let mut lines = Lines::default();
        let session = SessionId::new("ses");
        let first = first_of(&mut lines, &session).await;
        let mut waiting = stand(&mut lines, &session);
        lines.drop_waiting(&session);
        let mut later = stand(&mut lines, &session);
        assert_eq!(waiting.wait().await.unwrap_err(), KILLED);
        drop(first);
        waiting.leave().await;
        assert!(later.wait().await.is_ok());
        for _ in 0..3 {
            lines.leave(&session);
        }
        assert!(lines.0.is_empty());
    }

    #[tokio::test]
    async fn a_cancelled_one_goes_and_nobody_behind_overtakes() {
        let mut lines = Lines::default();
        let session = SessionId::new("ses");
        let first = first_of(&mut lines, &session).await;
        let cancelled = CancellationToken::new();
        let mut second = lines.stand(&session, cancelled.clone());
        let mut third = stand(&mut lines, &session);
        cancelled.cancel();
        assert_eq!(second.wait().await.unwrap_err(), CANCELLED);
        let mut leaving = Box::pin(second.leave());
        assert!((&mut leaving).now_or_never().is_none());
        assert!(third.wait().now_or_never().is_none(), "the first is not through");
        drop(first);
        leaving.await;
        assert!(third.wait().await.is_ok());
        assert_eq!(Place::nowhere(cancelled).wait().await.unwrap_err(), CANCELLED);
    }
}
