//! Whether new connections can be taken: what the listeners report, for the readiness and for a person.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::hub::Hub;
use super::hub::input::{RaisedAlert, Severity};
use hal_base::clock::Stopwatch;

/// The listeners try again twenty times a second: without a failure for this long they work again.
const FRESH: Duration = Duration::from_secs(1);

/// A trouble that lasts is said again this often.
const SAY_AGAIN: Duration = Duration::from_secs(600);

/// The last failure. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Accepting(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    failed: Option<(Stopwatch, String)>,
    said: Option<Stopwatch>,
}

impl Accepting {
    /// A listener could not take a connection.
    pub fn note(&self, error: &io::Error, hub: &Hub) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failed = Some((Stopwatch::start(), error.to_string()));
        if state.said.is_some_and(|said| said.elapsed() < SAY_AGAIN) {
            return;
        }
        state.said = Some(Stopwatch::start());
        let text = format!(
            "new connections cannot be accepted: {error}. Existing ones continue; raise the limit of open \
             files (LimitNOFILE) or find out who opens so many"
        );
        hub.raise(RaisedAlert { name: "listener.blocked", severity: Severity::High, text });
    }

    /// Why connections cannot be taken right now.
    pub fn trouble(&self) -> Option<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = state.failed.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        fresh.map(|(_, why)| format!("new connections cannot be accepted: {why}"))
    }
}
