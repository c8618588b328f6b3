//! Whether Prometheus still asks for metrics, once it did. A file beside the store remembers that it did, so that a restart
//! does not make its absence a matter of course.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;

use hal_base::clock::Stopwatch;
use hal_base::file;

/// What whoever collects metrics sends, as Prometheus and those who speak for it do; a person who only looks does not.
const SCRAPE: &str = "x-prometheus-scrape-timeout-seconds";

/// Permissions of the file: there is nothing in it.
const ANYBODY_READS: u32 = 0o644;

/// When metrics were last collected.
#[derive(Debug)]
pub struct Scrapes {
    last: Mutex<Option<Stopwatch>>,
    file: PathBuf,
}

impl Scrapes {
    /// What is remembered beside the store. Where metrics were collected before, that is due from now on.
    pub fn beside(store: &Path) -> Self {
        let file = store.with_extension("scraped");
        Self { last: Mutex::new(file.exists().then(Stopwatch::start)), file }
    }

    /// Somebody asks for metrics.
    pub fn note(&self, headers: &HeaderMap) {
        if !headers.contains_key(SCRAPE) {
            return;
        }
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(Stopwatch::start());
        if before.is_none()
            && let Err(error) = file::replace(&self.file, b"", ANYBODY_READS)
        {
            tracing::warn!(%error, "cannot note in {} that metrics are collected", self.file.display());
        }
    }

    /// How long ago that was; `None`: never.
    pub fn since(&self) -> Option<Duration> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last.elapsed())
    }
}
