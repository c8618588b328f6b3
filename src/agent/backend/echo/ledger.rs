//! What echo bills: a line for each `cost`, in a file of its own, as a provider keeps its own books. For whoever checks
//! ours against it.

use std::fs::File;
use std::io::Write;
use std::sync::Mutex;

use hal_protocol::session::SessionId;

/// The variable that names the file. Without it nothing is written.
const VARIABLE: &str = "HAL_ECHO_LEDGER";

/// The file, when there is one.
#[derive(Debug)]
pub(super) struct Ledger(Option<Mutex<File>>);

impl Ledger {
    /// The one that the environment names.
    pub(super) fn of_environment() -> Self {
        let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
            return Self(None);
        };
        match File::options().create(true).append(true).open(&path) {
            Ok(file) => Self(Some(Mutex::new(file))),
            Err(error) => {
                tracing::warn!(
                    "what echo bills is not written down, since {path:?} ({VARIABLE}) cannot be opened: {error}"
                );
                Self(None)
            }
        }
    }

    /// One line, at once: several agents may write to one file.
    pub(super) fn write(&self, session: &SessionId, micros: u64) {
        let Some(file) = &self.0 else { return };
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(format!("{session} {micros}\n").as_bytes()) {
            tracing::warn!("echo cannot write its ledger: {error}");
        }
    }
}
