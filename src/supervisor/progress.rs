//! Progress registry: tells how far long work is, for whoever waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use hal_base::progress::Progress;

/// Names of work, and how far it is.
type List = Vec<(&'static str, Progress)>;

/// What is being done. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ProgressRegistry(Arc<Mutex<List>>);

impl ProgressRegistry {
    /// Begins one; it is over when what this gives is dropped.
    pub fn begin(&self, what: &'static str) -> TrackedWork {
        let progress = Progress::default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((what, progress.clone()));
        TrackedWork { all: self.clone(), progress }
    }

    /// All of them: what is done, and of how much.
    pub fn now(&self) -> Vec<(&'static str, (u64, u64))> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(what, progress)| (*what, progress.now())).collect()
    }
}

/// Work that is going on.
#[derive(Debug)]
pub struct TrackedWork {
    all: ProgressRegistry,
    /// How far it is.
    pub progress: Progress,
}

impl Drop for TrackedWork {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, progress)| !progress.is(&self.progress));
    }
}
