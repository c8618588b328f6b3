//! What is known of rehearsals of a recovery, between starts, too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use hal_base::clock::{self, Time};
use hal_base::file;
use hal_protocol::backup::Rehearsal;
use hal_rules::watch::WatchFinding;

/// Nobody else's business.
const OWNERS_ALONE: u32 = 0o600;

/// What is known of rehearsals; a file beside the store remembers it.
#[derive(Debug)]
pub struct Rehearsals {
    file: PathBuf,
    known: Mutex<Known>,
    every: ArcSwap<Duration>,
    /// Held while one is made.
    pub at_work: tokio::sync::Mutex<()>,
}

/// What the file says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Known {
    /// Since when there are rehearsals here.
    pub since: Time,
    /// The last one.
    pub last: Option<Rehearsal>,
}

impl Rehearsals {
    /// What is remembered beside a store. A file that cannot be read is a rehearsal that failed: nobody knows of a good one.
    pub fn beside(store: &Path) -> Self {
        let file = store.with_extension("rehearsal");
        let fresh = Known { since: clock::now(), last: None };
        let known = match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fresh,
            read => read
                .map_err(|error| error.to_string())
                .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
                .unwrap_or_else(|why| {
                    let problem =
                        format!("what {} says of the last one cannot be read: {why}", file.display());
                    let last = Rehearsal { at: clock::now(), problem: Some(problem), ..Rehearsal::default() };
                    Known { last: Some(last), ..fresh }
                }),
        };
        Self {
            file,
            known: Mutex::new(known),
            every: ArcSwap::from_pointee(Duration::ZERO),
            at_work: Default::default(),
        }
    }

    /// How often one is made by itself; zero: never.
    pub fn set_every(&self, every: Duration) {
        self.every.store(every.into());
        self.remember(|_| {});
    }

    /// How often one is made by itself.
    pub fn every(&self) -> Duration {
        **self.every.load()
    }

    /// What is worth an alert.
    pub fn finding(&self) -> WatchFinding {
        let known = self.known();
        hal_rules::rehearsal::finding(known.last.as_ref(), known.since, **self.every.load(), clock::now())
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known, and the file.
    pub fn remember(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        let written = serde_json::to_vec(&*known).map_err(io::Error::from);
        if let Err(error) = written.and_then(|bytes| file::replace(&self.file, &bytes, OWNERS_ALONE)) {
            tracing::warn!(%error, "cannot note the rehearsal in {}", self.file.display());
        }
    }
}
