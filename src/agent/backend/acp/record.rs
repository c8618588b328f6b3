//! Our own record of a session: which one it is at the program, and what was said to it.
//!
//! Programs that speak ACP keep no names of ours. What is about to be said is written down before it is said, and that it
//! was taken when that is known: of what is in between nobody knows, and it is not said again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::KnownSessions;
use crate::backend::piped::Unknowable;
use hal_base::file;
use hal_protocol::session::SessionId;

/// Messages of a session that are remembered: only the newest are ever asked for.
const MOST_SAID: usize = 64;

/// Records that nobody knows a session of are kept this long: a command may still be looked for.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// Permissions of a record.
const PRIVATE: u32 = 0o600;

/// What is kept of a session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its name at the program; empty: it was not begun there.
    pub session: String,
    /// The sum of money that was told last, if the process has ended in order after that.
    pub cost: Option<f64>,
    said: Vec<Said>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Said {
    name: String,
    is_taken: bool,
}

impl Record {
    /// A message is about to be said.
    pub fn say(&mut self, name: &str) {
        self.said.retain(|said| said.name != name);
        let extra = (self.said.len() + 1).saturating_sub(MOST_SAID);
        self.said.drain(..extra);
        self.said.push(Said { name: name.to_owned(), is_taken: false });
    }

    /// It was taken.
    pub fn take(&mut self, name: &str) {
        self.said.iter_mut().filter(|said| said.name == name).for_each(|said| said.is_taken = true);
    }

    /// Whether a message was taken; an error where it may have been.
    pub fn has_taken(&self, name: &str) -> Result<bool, Unknowable> {
        match self.said.iter().find(|said| said.name == name) {
            None => Ok(false),
            Some(said) if said.is_taken => Ok(true),
            Some(_) => Err(Unknowable),
        }
    }
}

/// Where the records of one program are, a file for each session.
#[derive(Clone, Debug)]
pub struct Records(PathBuf);

impl Records {
    /// In the agent's data.
    pub fn of(data_dir: &Path, kind: &str) -> Self {
        Self(data_dir.join("acp").join(kind.replace(':', "-")))
    }

    /// Removes those that nobody will ask for.
    pub fn prune(&self, memory: &KnownSessions) {
        let known: HashSet<String> = memory.keys().map(|id| format!("{id}.json")).collect();
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let is_old =
                entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
            let is_known = entry.file_name().to_str().is_some_and(|name| known.contains(name));
            if !is_known && is_old.is_some_and(|age| age > KEEP) {
                let _gone = std::fs::remove_file(entry.path());
            }
        }
    }

    /// The record of a session; a blank one where there is none.
    pub async fn read(&self, id: &SessionId) -> Result<Record, Unknowable> {
        let file = self.file(id);
        let read = move || match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| Unknowable),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
            Err(_) => Err(Unknowable),
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(Unknowable))
    }

    /// Writes it down; it is on the disk when this is done.
    pub async fn write(&self, id: &SessionId, record: &Record) -> io::Result<()> {
        let (file, text) = (self.file(id), serde_json::to_vec(record)?);
        let write = move || {
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            file::replace(&file, &text, PRIVATE)
        };
        tokio::task::spawn_blocking(write).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn file(&self, id: &SessionId) -> PathBuf {
        // Names are ours, and hold nothing that leads elsewhere.
        self.0.join(format!("{}.json", id.as_str().replace('/', "-")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_said_and_not_seen_to_be_taken_is_unknown_and_not_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::of(folder.path(), "acp:x");
        let id = SessionId::new("one");
        let mut record = records.read(&id).await.unwrap();
        assert_eq!(record.has_taken("m"), Ok(false));
        record.say("m");
        records.write(&id, &record).await.unwrap();
        assert_eq!(records.read(&id).await.unwrap().has_taken("m"), Err(Unknowable));
        record.take("m");
        for number in 0..MOST_SAID - 1 {
            record.say(&number.to_string());
        }
        records.write(&id, &record).await.unwrap();
        let again = records.read(&id).await.unwrap();
        assert_eq!((again.has_taken("m"), again.said.len()), (Ok(true), MOST_SAID));
        std::fs::write(records.file(&id), "{").unwrap();
        assert!(records.read(&id).await.is_err(), "what cannot be read is not nothing");
    }
}
