//! Stopping what was started: one stop signal, and tasks that can be waited for.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks that end together. Clones share the group.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task of the group. The task must end soon after [`Tasks::stopped`] resolves.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(task);
    }

    /// Starts a task that is simply dropped when the group stops; for work that may be cut anywhere.
    pub fn spawn_cuttable<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Resolves when the group was told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// True once the group was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells every task to stop; does not wait.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// A child signal that stops with the group and can also be stopped alone.
    pub fn child_stop(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// Tells every task to stop and waits for the last one. False when the deadline passed first.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}
