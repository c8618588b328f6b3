//! When backups are made, and who is told.

use std::time::Duration;

use super::hub::Stopped;
use super::hub::input::{RaisedAlert, Severity};
use super::shared::Shared;
use hal_base::cause::chain;
use hal_base::clock::{self, Stopwatch};
use hal_base::config::unit::write_duration;
use hal_store::StoreError;
use hal_store::mirror::backup::{Made, Rules};

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
        // A sick one is replaced at once: it is the one that would be restored.
        let is_sick = shared.backups.seen().is_some_and(|seen| seen.problem.is_some());
        if rules.is_on && (is_due || is_sick) && is_over {
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
                let text = format!("the size of the backup {backup} is unusual: {strange}");
                shared.hub.raise(RaisedAlert { name: "backup.size", severity: Severity::Medium, text });
            }
        }
        Err(error) => {
            shared.metrics.backup_failures.inc();
            let text = format!("supervisor.db could not be backed up: {}", chain(error));
            shared.hub.raise(RaisedAlert { name: "backup.failed", severity: Severity::High, text });
        }
    }
    made
}

/// Tells when no backup was made for long, and when the newest one is not what was written.
pub async fn watch(shared: Shared) {
    let began = Stopwatch::start();
    let (mut was_late, mut was_sick) = (false, None);
    loop {
        let rules = shared.backups.rules();
        tokio::time::sleep((rules.every / 4).clamp(LOOK.0, LOOK.1)).await;
        // One that is due when we start is made first, and a start has better things to do than to read a large file.
        let is_early = began.elapsed() < FIRST.min(rules.every);
        let late = if is_early { None } else { late(&shared, &rules, began.elapsed()) };
        if let Some(text) = late.as_ref().filter(|_| !was_late) {
            shared.hub.raise(RaisedAlert {
                name: "backup.late",
                severity: Severity::High,
                text: text.clone(),
            });
        }
        was_late = late.is_some();
        if is_early && shared.backups.seen().is_none() {
            continue;
        }
        let (backups, again) = (shared.backups.clone(), rules.every.clamp(LOOK.1, AGAIN * 24));
        let _looked = tokio::task::spawn_blocking(move || backups.look_at_newest(clock::now(), again)).await;
        let sick = shared.backups.seen().and_then(|seen| seen.problem);
        if let Some(why) = sick.as_ref().filter(|_| sick != was_sick) {
            let next =
                if rules.is_on { "another one is made" } else { "make another one: halctl backup now" };
            let text = format!("the newest backup is damaged: {why}; {next}");
            shared.hub.raise(RaisedAlert { name: "backup.damaged", severity: Severity::High, text });
        }
        was_sick = sick;
    }
}

/// What is said when the newest backup is older than two intervals.
fn late(shared: &Shared, rules: &Rules, running: Duration) -> Option<String> {
    let newest = shared.backups.list().into_iter().next();
    let age = newest.as_ref().map_or(running, |newest| clock::now().since(newest.at));
    if !rules.is_on || age <= rules.every * 2 {
        return None;
    }
    let newest =
        newest.map_or_else(|| "there is none".to_owned(), |newest| format!("the newest is of {}", newest.at));
    let every = write_duration(rules.every);
    Some(format!(
        "no backup of supervisor.db was made for longer than two times {every} (backup.interval): {newest}"
    ))
}
