//! When backups are made, and who is told.

use std::time::Duration;

use super::hub::Stopped;
use super::hub::input::{Alert, Severity};
use super::shared::Shared;
use crate::base::cause::chain;
use crate::base::clock::{self, Stopwatch};
use crate::store::StoreError;
use crate::store::mirror::backup::Made;

/// A supervisor that has no backup makes the first one so long after its start.
const FIRST: Duration = Duration::from_secs(600);

/// Between two looks at whether one is due, at least and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// After a failure it is tried again so much later: each failure is an alert.
const AGAIN: Duration = Duration::from_secs(3600);

/// Makes a backup whenever one is due.
pub async fn make_when_due(shared: Shared) {
    let began = Stopwatch::start();
    let mut failed: Option<Stopwatch> = None;
    loop {
        let rules = shared.backups.rules();
        tokio::time::sleep((rules.every / 4).clamp(LOOK.0, LOOK.1)).await;
        let newest = shared.backups.list().into_iter().next();
        let is_due = match newest {
            Some(newest) => clock::now().since(newest.at) >= rules.every,
            None => began.elapsed() >= FIRST.min(rules.every),
        };
        let is_over = failed.as_ref().is_none_or(|failed| failed.elapsed() >= AGAIN.min(rules.every));
        if rules.is_on && is_due && is_over {
            failed = make(&shared).await.err().map(|_| Stopwatch::start());
        }
    }
}

/// Makes one now; what is wrong or strange is an alert.
pub async fn make(shared: &Shared) -> Result<Made, StoreError> {
    let backups = shared.backups.clone();
    let made = tokio::task::spawn_blocking(move || backups.make(clock::now())).await;
    let made = made.unwrap_or_else(|_| Err(StoreError::Refused(Stopped.to_string())));
    match &made {
        Ok(made) => {
            let (backup, bytes, events) = (made.saved.path.display(), made.saved.bytes, made.events);
            tracing::info!(%backup, bytes, events, "supervisor.db is backed up");
            if let Some(strange) = &made.strange {
                let text = format!("the size of the backup {backup} is strange: {strange}");
                shared.hub.raise(Alert { name: "backup.size", severity: Severity::Medium, text });
            }
        }
        Err(error) => {
            let text = format!("supervisor.db could not be backed up: {}", chain(error));
            shared.hub.raise(Alert { name: "backup.failed", severity: Severity::High, text });
        }
    }
    made
}
