//! Anchors: what this node keeps of the supervisor's audit record, so that nobody there can write another one unseen.
//!
//! A file of lines of JSON beside the journal, one for each head that the supervisor has told. It is of use to whoever
//! verifies the record (`halctl audit verify --anchors FILE`), and nothing here reads it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use hal_base::clock::{self, Stopwatch};
use hal_base::file;
use hal_protocol::audit::Head;

/// The file in the data folder.
pub const FILE: &str = "audit-anchors.jsonl";

/// Only this user may read it.
const MODE: u32 = 0o600;

/// Bytes at which every second line goes, but for the newest: some ten thousand lines.
const MOST_BYTES: u64 = 2 * 1024 * 1024;

/// Hexadecimal digits of a hash.
const HASH: usize = 64;

/// Between two lines at least; the supervisor tells them every 25 s at most, and at each connection.
const APART: Duration = Duration::from_secs(20);

/// The newest lines, of which all stay.
const NEWEST: usize = 1_000;

/// Where heads are kept.
#[derive(Debug)]
pub struct Anchors {
    path: PathBuf,
    last: Option<Head>,
    written: Option<Stopwatch>,
    is_failing: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: &'a Head,
    supervisor: &'a str,
    at: String,
}

impl Anchors {
    /// In this data folder.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE), last: None, written: None, is_failing: false }
    }

    /// Keeps a head that the supervisor at this address has told.
    /// One that is none, or that comes too soon after the one before, is not: nobody shall fill the disk, or have the older
    /// ones thinned out, in a day.
    pub fn keep(&mut self, head: Head, supervisor: &str) {
        let is_hash = head.hash.len() == HASH && head.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_soon = self.written.as_ref().is_some_and(|written| written.elapsed() < APART);
        if self.last.as_ref() == Some(&head) || !is_hash || is_soon {
            return;
        }
        self.written = Some(Stopwatch::start());
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
        let line = Line { head, supervisor, at: clock::now().to_string() };
        let text = serde_json::to_string(&line)? + "\n";
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(&self.path)?;
        // A line that a power cut has torn is left alone.
        let torn = file.metadata()?.len().checked_sub(1).is_some_and(|last| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, last).is_ok() && byte != *b"\n"
        });
        let text = if torn { format!("\n{text}") } else { text };
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
            anchors.written = None;
            anchors.keep(head(link), "ws://h:1");
        }
        let file = folder.path().join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        anchors.keep(head(4), "ws://h:1");
        anchors.written = None;
        anchors.keep(Head { link: 5, hash: "x".repeat(1 << 20) }, "ws://h:1");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "too soon, and no hash");
        std::fs::write(&file, &text[..text.len() - 9]).unwrap();
        anchors.keep(head(6), "ws://h:1");
        assert_eq!(
            std::fs::read_to_string(&file).unwrap().lines().count(),
            4,
            "a torn line is one by itself"
        );
        let many: String = (0..NEWEST * 3).map(|nth| format!("{nth}\n")).collect();
        let kept = thinned(&many);
        assert_eq!(kept.lines().count(), NEWEST * 2);
        assert!(kept.starts_with("0\n2\n") && kept.ends_with("2998\n2999\n"));
    }
}
