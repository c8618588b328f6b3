//! How often a daemon was started lately, remembered in a small file beside its data.

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

/// Notes a start. What it ends in is a sentence when there were too many.
pub fn note(file: &Path, now: Time) -> io::Result<Option<String>> {
    let text = match std::fs::read_to_string(file) {
        // What is no list of moments, as after a power cut, holds none.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            String::new()
        }
        read => read?,
    };
    let earlier = text.lines().filter_map(Time::parse);
    let mut starts: Vec<Time> = earlier.filter(|at| *at <= now && now.since(*at) < WINDOW).collect();
    starts.push(now);
    let kept = starts.iter().skip(starts.len().saturating_sub(REMEMBERED));
    let lines: String = kept.map(|at| format!("{at}\n")).collect();
    file::replace(file, lines.as_bytes(), PRIVATE)?;
    let count = starts.len();
    Ok((count > MOST).then(|| {
        format!(
            "started {count} times within {} minutes; `journalctl -p err` tells why it ended",
            WINDOW.as_secs() / 60
        )
    }))
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
}
