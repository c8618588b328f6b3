//! What a running daemon takes over from a changed file, and what waits for a restart.

/// What comes of reading the file again.
#[derive(Clone, Debug)]
pub struct Reload<C> {
    /// What to run on from now: the old configuration with everything that can be taken over.
    pub config: C,
    /// The keys that changed and hold from now.
    pub applied: Vec<&'static str>,
    /// The keys that changed and hold only after a restart.
    pub needs_restart: Vec<&'static str>,
}

impl<C> Reload<C> {
    /// Of all keys that can be `taken` over and all that are `left`, those that have changed.
    pub fn of(config: C, taken: &[(&'static str, bool)], left: &[(&'static str, bool)]) -> Self {
        Self { config, applied: changed(taken), needs_restart: changed(left) }
    }

    /// Says in the log what has changed and what has not.
    pub fn log(&self) {
        tracing::info!(applied = ?self.applied, "reloaded");
        if !self.needs_restart.is_empty() {
            tracing::warn!(keys = ?self.needs_restart, "these changes wait for a restart");
        }
    }
}

fn changed(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| *key).collect()
}
