//! Anchors: what this node keeps of the supervisor's audit record, so that nobody there can write another one unseen.
//!
//! A file of lines of JSON beside the journal, one for each head that the supervisor has told. It is of use to whoever
//! verifies the record (`halctl audit verify --anchors FILE`), and nothing here reads it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use hal_base::clock::{self, Time};
use hal_base::file;
use hal_protocol::audit::Head;

/// The file in the data folder.
pub const FILE: &str = "audit-anchors.jsonl";

/// Only this user may read it.
const MODE: u32 = 0o600;

/// Bytes at which every second line goes, but for the newest: some ten thousand lines.
const MOST_BYTES: u64 = 2 * 1024 * 1024;

/// The newest lines, of which all stay.
const NEWEST: usize = 1_000;

/// Where heads are kept.
#[derive(Debug)]
pub struct Anchors {
    path: PathBuf,
    last: Option<Head>,
    is_failing: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: &'a Head,
    supervisor: &'a str,
    at: Time,
}

impl Anchors {
    /// In this data folder.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE), last: None, is_failing: false }
    }

    /// Keeps a head that the supervisor at this address has told.
    pub fn keep(&mut self, head: Head, supervisor: &str) {
        if self.last.as_ref() == Some(&head) {
            return;
        }
        match self.write(&head, supervisor) {
            Ok(()) => (self.last, self.is_failing) = (Some(head), false),
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    let path = self.path.display();
                    tracing::warn!(%path, %error, "what the supervisor says of its audit record cannot be kept");
                }
            }
        }
    }

    fn write(&self, head: &Head, supervisor: &str) -> std::io::Result<()> {
        let line = Line { head, supervisor, at: clock::now() };
        let text = serde_json::to_string(&line)? + "\n";
        let mut file = OpenOptions::new().append(true).create(true).mode(MODE).open(&self.path)?;
        file.write_all(text.as_bytes())?;
        if file.metadata()?.len() > MOST_BYTES {
            file::replace(&self.path, thinned(&std::fs::read_to_string(&self.path)?).as_bytes(), MODE)?;
        }
        Ok(())
    }
}

/// Every second line of the older ones, and all of the newest.
fn thinned(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let (older, newest) = lines.split_at(lines.len().saturating_sub(NEWEST));
    older.iter().step_by(2).chain(newest).flat_map(|line| [*line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_kept_once_and_a_full_file_is_thinned() {
        let folder = tempfile::tempdir().unwrap();
        let mut anchors = Anchors::in_folder(folder.path());
        let head = |link| Head { link, hash: "00".repeat(32) };
        for link in [1, 1, 2, 2, 3] {
            anchors.keep(head(link), "ws://h:1");
        }
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        let many: String = (0..NEWEST * 3).map(|nth| format!("{nth}\n")).collect();
        let kept = thinned(&many);
        assert_eq!(kept.lines().count(), NEWEST * 2);
        assert!(kept.starts_with("0\n2\n") && kept.ends_with("2998\n2999\n"));
    }
}
