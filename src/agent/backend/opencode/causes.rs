//! Why opencode failed, as its own log says it: its answers name a line of the log and nothing else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Failures that are remembered.
const MOST: usize = 32;

/// Characters of a cause.
const CAUSE_MAX: usize = 300;

/// How long the line may come after the answer that names it.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the log of a 1.x says when a start of OpenCode 2 has changed its database: 2.x demands a value that 1.x does
/// not write, and drops a table that 1.x reads.
const FOREIGN: [&str; 2] = ["NOT NULL constraint failed: event.created", "no such table: todo"];

/// What was heard. Clones share it.
#[derive(Clone, Debug)]
pub struct Causes(Arc<CauseLog>);

#[derive(Debug)]
struct CauseLog {
    failures: Mutex<VecDeque<(String, String)>>,
    /// Counts failures.
    news: watch::Sender<u64>,
    is_foreign: watch::Sender<bool>,
}

impl Default for Causes {
    fn default() -> Self {
        Self(Arc::new(CauseLog {
            failures: Mutex::default(),
            news: watch::Sender::new(0),
            is_foreign: watch::Sender::new(false),
        }))
    }
}

impl Causes {
    /// Takes note of a line of the log.
    pub fn hear(&self, line: &str) {
        if FOREIGN.iter().any(|words| line.contains(words)) {
            self.0.is_foreign.send_if_modified(|is_foreign| !std::mem::replace(is_foreign, true));
        }
        let Some((_, rest)) = line.split_once(" ref=") else { return };
        let (Some(reference), Some(cause)) = (rest.split_whitespace().next(), cause_in(rest)) else { return };
        let mut failures = self.failures();
        if failures.len() == MOST {
            failures.pop_front();
        }
        failures.push_back((reference.to_owned(), cause));
        drop(failures);
        self.0.news.send_modify(|count| *count += 1);
    }

    /// The cause of the failure that an answer has named; waits a moment for its line.
    pub async fn of(&self, reference: &str) -> Option<String> {
        let mut news = self.0.news.subscribe();
        let found =
            || self.failures().iter().find(|(other, _)| other == reference).map(|(_, cause)| cause.clone());
        // Time over: it was logged elsewhere, or not at all.
        let _ = timeout(PATIENCE, news.wait_for(|_| found().is_some())).await;
        found()
    }

    /// True once the log has said that the database was changed by OpenCode 2.
    pub fn is_foreign(&self) -> bool {
        *self.0.is_foreign.borrow()
    }

    /// Resolves when the log says so.
    pub async fn turn_foreign(&self) {
        // The sender lives as long as this does.
        let _ = self.0.is_foreign.subscribe().wait_for(|is_foreign| *is_foreign).await;
    }

    fn failures(&self) -> MutexGuard<'_, VecDeque<(String, String)>> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The innermost cause; without one the error as a whole.
fn cause_in(line: &str) -> Option<String> {
    let found = match line.rsplit_once("(cause: ") {
        Some((_, cause)) => cause.split(')').next(),
        None => line.split_once("error=").map(|(_, error)| error.trim_matches('"')),
    };
    let text: String = found?.chars().take(CAUSE_MAX).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "timestamp=2026-11-29T23:51:30.515Z level=ERROR run=b8 message=failed ref=err_5cbd \
        error=\"EffectDrizzleQueryError: Failed query: insert into \\\"event\\\" values (?)\\nparams: evt_1 (cause: \
        Cause([Fail(effect/sql/SqlError: Failed to execute statement (cause: SQLiteError: NOT NULL constraint failed: \
        event.created)))]))\"";

    #[tokio::test]
    async fn the_cause_of_a_failure_is_found_by_its_name() {
        let causes = Causes::default();
        causes.hear("level=ERROR message=failed ref=err_1 error=\"Error: EISDIR: read\"");
        assert_eq!(causes.of("err_1").await.as_deref(), Some("Error: EISDIR: read"));
        assert!(!causes.is_foreign());
        causes.hear(LINE);
        let found = causes.of("err_5cbd").await;
        assert_eq!(found.as_deref(), Some("SQLiteError: NOT NULL constraint failed: event.created"));
        assert!(causes.is_foreign());
        causes.turn_foreign().await;
        assert_eq!(causes.of("err_none").await, None);
    }
}
