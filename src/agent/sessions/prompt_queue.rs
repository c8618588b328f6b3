//! Prompt queues, one for each session: keep the order, and drop what still waits when the session is killed.

use std::collections::HashMap;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use hal_protocol::session::SessionId;

/// What a prompt that was dropped is told.
const KILLED: &str = "the session was killed before this was its turn";

/// What a command that was cancelled is told.
const CANCELLED: &str = "it was cancelled, or its time was over, before it began; it had no effect";

/// The queues of all sessions that have prompts in hand.
#[derive(Debug, Default)]
pub(super) struct PromptQueues(HashMap<SessionId, PromptQueue>);

#[derive(Debug)]
struct PromptQueue {
    /// Resolves when the last one is done.
    last: oneshot::Receiver<()>,
    /// Drops those that wait.
    killed: CancellationToken,
    length: usize,
}

/// Where a command waits for its turn. Whoever stands behind waits until it is dropped.
#[derive(Debug)]
pub(super) struct PromptSlot {
    queue: Option<Queued>,
    cancelled: CancellationToken,
}

#[derive(Debug)]
struct Queued {
    before: Option<oneshot::Receiver<()>>,
    killed: CancellationToken,
    /// Whoever stands behind notices when it is dropped.
    done: oneshot::Sender<()>,
}

impl PromptQueues {
    /// Takes the last slot.
    pub(super) fn enqueue(&mut self, session: &SessionId, cancelled: CancellationToken) -> PromptSlot {
        let (done, last) = oneshot::channel();
        let (before, killed) = match self.0.get_mut(session) {
            Some(queue) => {
                queue.length += 1;
                (Some(std::mem::replace(&mut queue.last, last)), queue.killed.clone())
            }
            None => {
                let killed = CancellationToken::new();
                self.0.insert(session.clone(), PromptQueue { last, killed: killed.clone(), length: 1 });
                (None, killed)
            }
        };
        PromptSlot { queue: Some(Queued { before, killed, done }), cancelled }
    }

    /// Drops whoever waits; who comes later is queued anew.
    pub(super) fn drop_waiting(&mut self, session: &SessionId) {
        if let Some(queue) = self.0.get_mut(session) {
            std::mem::take(&mut queue.killed).cancel();
        }
    }

    /// One of its prompts has gone, done or dropped.
    pub(super) fn dequeue(&mut self, session: &SessionId) {
        if let Some(queue) = self.0.get_mut(session) {
            queue.length -= 1;
            if queue.length == 0 {
                self.0.remove(session);
            }
        }
    }
}

impl PromptSlot {
    /// Of a command that waits for nobody.
    pub(super) fn outside(cancelled: CancellationToken) -> Self {
        Self { queue: None, cancelled }
    }

    /// True when it is in the queue of a session.
    pub(super) fn is_queued(&self) -> bool {
        self.queue.is_some()
    }

    /// Waits until everybody before is done. Whoever is told why not leaves by [`PromptSlot::give_up`].
    pub(super) async fn wait(&mut self) -> Result<(), &'static str> {
        if let Some(queue) = &mut self.queue {
            if let Some(before) = &mut queue.before {
                tokio::select! {
                    biased;
                    () = queue.killed.cancelled() => return Err(KILLED),
                    () = self.cancelled.cancelled() => return Err(CANCELLED),
                    _done = before => {}
                }
                queue.before = None;
            }
            if queue.killed.is_cancelled() {
                return Err(KILLED);
            }
        }
        if self.cancelled.is_cancelled() { Err(CANCELLED) } else { Ok(()) }
    }

    /// Resolves with the reason when it is not wanted any more.
    pub(super) async fn dropped(&self) -> &'static str {
        let killed = async {
            match &self.queue {
                Some(queue) => queue.killed.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = killed => KILLED,
            () = self.cancelled.cancelled() => CANCELLED,
        }
    }

    /// Gives the slot up once everybody before is done, so that nobody behind overtakes them.
    pub(super) async fn give_up(self) {
        let Some(Queued { before: Some(before), done, .. }) = self.queue else { return };
        let _gone = before.await;
        drop(done);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn enqueue(queues: &mut PromptQueues, session: &SessionId) -> PromptSlot {
        queues.enqueue(session, CancellationToken::new())
    }

    async fn first_of(queues: &mut PromptQueues, session: &SessionId) -> PromptSlot {
        let mut slot = enqueue(queues, session);
        slot.wait().await.unwrap();
        slot
    }

    #[tokio::test]
    async fn prompts_keep_their_order() {
        let mut queues = PromptQueues::default();
        let session = SessionId::new("ses");
        let first = first_of(&mut queues, &session).await;
        let mut second = enqueue(&mut queues, &session);
        assert!(second.wait().now_or_never().is_none(), "the first is not done");
        drop(first);
        assert!(second.wait().await.is_ok());
    }

    #[tokio::test]
    async fn a_kill_drops_those_who_wait_and_not_those_who_come_later() {
        let mut queues = PromptQueues::default();
        let session = SessionId::new("ses");
        let first = first_of(&mut queues, &session).await;
        let mut waiting = enqueue(&mut queues, &session);
        queues.drop_waiting(&session);
        let mut later = enqueue(&mut queues, &session);
        assert_eq!(waiting.wait().await.unwrap_err(), KILLED);
        drop(first);
        waiting.give_up().await;
        assert!(later.wait().await.is_ok());
        for _ in 0..3 {
            queues.dequeue(&session);
        }
        assert!(queues.0.is_empty());
    }

    #[tokio::test]
    async fn a_cancelled_one_goes_and_nobody_behind_overtakes() {
        let mut queues = PromptQueues::default();
        let session = SessionId::new("ses");
        let first = first_of(&mut queues, &session).await;
        let cancelled = CancellationToken::new();
        let mut second = queues.enqueue(&session, cancelled.clone());
        let mut third = enqueue(&mut queues, &session);
        cancelled.cancel();
        assert_eq!(second.wait().await.unwrap_err(), CANCELLED);
        let mut leaving = Box::pin(second.give_up());
        assert!((&mut leaving).now_or_never().is_none());
        assert!(third.wait().now_or_never().is_none(), "the first is not done");
        drop(first);
        leaving.await;
        assert!(third.wait().await.is_ok());
        assert_eq!(PromptSlot::outside(cancelled).wait().await.unwrap_err(), CANCELLED);
    }
}
