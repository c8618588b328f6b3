//! A little of what the fuzzers under `tests/fuzz` do without end: the fixtures, mutated, are read or refused.

use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};
use proptest::sample::{Index, select};

use crate::source::root;

#[path = "../fuzz/feed.rs"]
mod feed;

/// Every file in these folders of `tests/fixtures`.
fn seeds(folders: &[&str]) -> Vec<Vec<u8>> {
    let files = folders.iter().flat_map(|folder| files_in(&root().join("tests/fixtures").join(folder)));
    let seeds: Vec<Vec<u8>> = files.map(|file| std::fs::read(file).expect("a fixture can be read")).collect();
    assert!(seeds.len() > 3, "the fixtures of {folders:?} are gone");
    seeds
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    files.retain(|file| file.is_file());
    files.sort();
    files
}

/// Bytes of a seed that are exchanged, cut out or doubled, a few times; or the beginning of one and the end of another.
fn mutated(folders: &[&str]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds = seeds(folders);
    let change = (any::<Index>(), any::<Index>(), 0..5_u8, any::<u8>());
    (select(seeds.clone()), select(seeds), vec(change, 0..6)).prop_map(|(mut bytes, other, changes)| {
        for (from, to, how, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let (from, to) = (from.min(to), from.max(to));
            match how {
                0 => bytes[from] = byte,
                1 => drop(bytes.drain(from..to)),
                2 => bytes.insert(from, byte),
                3 => bytes.extend_from_within(from..to),
                _ => drop(bytes.splice(from.., other[to.min(other.len())..].iter().copied())),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn frames_are_read_or_refused(bytes in mutated(&["frames", "frames/broken"])) {
        feed::frame(&bytes);
    }

    #[test]
    fn events_add_up_whatever_they_say(bytes in mutated(&["events", "frames"])) {
        let line: Vec<u8> = bytes.into_iter().filter(|byte| *byte != b'\n').collect();
        feed::events(&line);
    }

    #[test]
    fn rows_are_read_or_damaged(bytes in mutated(&["rows"])) {
        feed::rows(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn configurations_are_taken_or_explained(bytes in mutated(&["config/agent", "config/supervisor"])) {
        feed::config(&bytes);
    }
}
