//! How often a daemon ended by itself lately and was started again, remembered in a small file beside its data.
//!
//! Whoever stops a daemon and starts it again means to: a run that ended as it was told to is not counted.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::clock::Time;
use super::file;

/// Starts are counted over this time, and no more of them than [`MOST`] are normal: the runbook's figures.
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// See [`WINDOW`].
pub const MOST: usize = 3;

/// Of a longer list, as of a fast loop, the newest ones tell enough.
const REMEMBERED: usize = 100;

/// Only its owner reads it.
const PRIVATE: u32 = 0o600;

/// Notes a start. What it ends in is a sentence when there were too many that nobody asked for.
pub fn note(file: &Path, now: Time) -> io::Result<Option<String>> {
    let earlier = read(file)?.into_iter();
    let mut starts: Vec<Time> = earlier.filter(|at| *at <= now && now.since(*at) < WINDOW).collect();
    starts.push(now);
    write(file, &starts)?;
    let count = starts.len();
    Ok((count > MOST).then(|| {
        format!(
            "started {count} times within {} minutes; `journalctl -p err` shows why it ended",
            WINDOW.as_secs() / 60
        )
    }))
}

/// Notes that this run ends as it was told to: its start counts no more.
fn note_end(file: &Path) -> io::Result<()> {
    let mut starts = read(file)?;
    match starts.pop() {
        Some(_) => write(file, &starts),
        None => Ok(()),
    }
}

/// `note_end`, where nobody can do anything about a failure.
pub fn note_end_of(file: &Path) {
    if let Err(error) = note_end(file) {
        tracing::warn!(%error, "cannot note in {} that this end was asked for", file.display());
    }
}

fn read(file: &Path) -> io::Result<Vec<Time>> {
    let text = match std::fs::read_to_string(file) {
        // What is no list of moments, as after a power cut, holds none.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            String::new()
        }
        read => read?,
    };
    Ok(text.lines().filter_map(Time::parse).collect())
}

fn write(file: &Path, starts: &[Time]) -> io::Result<()> {
    let kept = starts.iter().skip(starts.len().saturating_sub(REMEMBERED));
    let lines: String = kept.map(|at| format!("{at}\n")).collect();
    file::replace(file, lines.as_bytes(), PRIVATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_start_within_five_minutes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("supervisor.starts");
        let told = |seconds: i64| note(&file, Time(seconds * 1000)).unwrap();
        let early: Vec<_> = [1000, 1100, 1200].map(told).into_iter().flatten().collect();
        assert!(early.is_empty(), "{early:?}");
        assert!(told(1290).unwrap().starts_with("started 4 times within 5 minutes"));
        // The first one has left the window, and one from a clock that was ahead is no start of now.
        assert_eq!(told(1405), None);
        assert_eq!(told(200), None);
        std::fs::write(&file, b"\xff\xfe").unwrap();
        assert_eq!(told(1500), None);
    }

    #[test]
    fn a_run_that_ends_as_it_was_told_to_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("supervisor.starts");
        note_end(&file).unwrap();
        for minute in 0..8 {
            assert_eq!(note(&file, Time(60_000 * 100 + minute * 1000)).unwrap(), None, "by hand");
            note_end(&file).unwrap();
        }
        let crashes = (10..14).map(|second| note(&file, Time(60_000 * 100 + second * 1000)).unwrap());
        assert_eq!(crashes.map(|told| told.is_some()).collect::<Vec<_>>(), [false, false, false, true]);
    }
}
