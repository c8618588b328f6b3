//! What is there after a crash, a full disk, and after somebody's hand in the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::command::KeyRecord;
use crate::disk::Disk;
use crate::hub::{Batch, Loaded, Mark, Store};
use crate::kept::{HALT, Kept};
use hal_base::clock::Time;
use hal_protocol::mark::Attribution;

struct Stage {
    folder: TempDir,
    path: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        Self { folder, path }
    }

    fn open(&self) -> (Store, Loaded) {
        Store::open(&self.path).unwrap()
    }

    /// What would be there had the machine stopped now: redb as it was made durable last, and the log.
    fn crashed(&self, redb: &[u8]) -> Self {
        let crashed = Self::new();
        fs::write(&crashed.path, redb).unwrap();
        let (from, to) = (folder::folder_of(&self.path), folder::folder_of(&crashed.path));
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        crashed
    }

    fn names(&self) -> Vec<String> {
        names(&self.open().1)
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> =
            fs::read_dir(folder::folder_of(&self.path)).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.state.iter().map(|(name, _)| name.trim_start_matches("halt/").to_owned()).collect()
}

/// A batch with a halt of this name.
fn halt(name: &str) -> Batch {
    let kept = Kept::new(HALT, &Attribution { by: "ada".into(), at: Time(5) }, Time(5));
    Batch { state: [(format!("halt/{name}"), Some(Arc::new(kept)))].into(), ..Batch::default() }
}

/// Waits until redb has made durable what it has.
fn settle(store: &Store) {
    store.leave_mark(Mark { epoch: 0, position: 0 });
    while store.has_mark() {
        std::thread::yield_now();
    }
}

fn shape(path: &Path) -> Option<u64> {
    schema::of(&Database::create(path).unwrap(), path).unwrap()
}

#[test]
fn what_was_acknowledged_and_not_made_durable_is_played_from_the_log() {
    let stage = Stage::new();
    let (store, _) = stage.open();
    store.commit(&halt("a")).unwrap();
    settle(&store);
    let redb = fs::read(&stage.path).unwrap();
    for name in ["b", "c", "d"] {
        store.commit(&halt(name)).unwrap();
        assert!(
            store.read().unwrap().state().unwrap().iter().any(|(one, _)| one.ends_with(name)),
            "it is read"
        );
    }
    let crashed = stage.crashed(&redb);
    assert_eq!(crashed.names(), ["a", "b", "c", "d"]);
    // Once more: it was made durable, and is not played twice.
    assert_eq!(crashed.names(), ["a", "b", "c", "d"]);
    // A crash in the middle of playing plays it again.
    assert_eq!(stage.crashed(&redb).names(), ["a", "b", "c", "d"]);
}

#[test]
fn a_clean_end_leaves_no_log_and_a_crash_a_shape_that_older_releases_refuse() {
    let stage = Stage::new();
    let (store, _) = stage.open();
    store.commit(&halt("a")).unwrap();
    settle(&store);
    let crashed = stage.crashed(&fs::read(&stage.path).unwrap());
    assert_eq!(shape(&crashed.path), Some(SCHEMA));
    store.commit(&Batch { is_last: true, ..Batch::default() }).unwrap();
    let position = store.read().unwrap().position().unwrap();
    drop(store);
    assert!(!folder::folder_of(&stage.path).exists());
    assert_eq!(shape(&stage.path), Some(schema::SCHEMA_BEFORE));
    // Where the release before this one would go on counting.
    assert_eq!(schema::last_change(&Database::create(&stage.path).unwrap()).unwrap(), position);
    let (store, loaded) = stage.open();
    assert_eq!(names(&loaded), ["a"]);
    store.commit(&halt("b")).unwrap();
    assert_eq!(store.read().unwrap().position().unwrap(), position + 1);
}

#[test]
fn positions_go_on_behind_the_changes_of_a_release_without_a_log() {
    let stage = Stage::new();
    let (store, _) = stage.open();
    store
        .transaction(|txn| {
            txn.open_table(crate::tables::CHANGES)?.insert(4711, [0].as_slice())?;
            Ok(())
        })
        .unwrap();
    drop(store);
    let (store, _) = stage.open();
    assert_eq!(store.read().unwrap().position().unwrap(), 4711);
    store.commit(&halt("a")).unwrap();
    assert_eq!(store.read().unwrap().position().unwrap(), 4712);
}

#[test]
fn a_disk_that_is_full_under_redb_stops_the_hub_and_nothing_of_it_is_lost() {
    let stage = Stage::new();
    let disk = Disk::under(&stage.path);
    let (store, _) = stage.open();
    store.commit(&halt("a")).unwrap();
    settle(&store);
    disk.fill_but_for_the_log();
    store.commit(&halt("b")).unwrap();
    // Something that does not fit into what the file has.
    let kept = Kept::read("x/y", crate::state::StateRecord { data: "z".repeat(8 << 20), changed_at: 7 });
    store
        .commit(&Batch { state: [("x/y".to_owned(), Some(Arc::new(kept)))].into(), ..Batch::default() })
        .unwrap();
    settle(&store);
    assert!(store.has_failed());
    let error = store.commit(&halt("c")).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert!(store.reopen(false).unwrap_err().is_full(), "there is still no room");
    assert!(
        store.read().unwrap().state().unwrap().iter().any(|(name, _)| name == "halt/a"),
        "it can be read"
    );
    disk.fill(false);
    let loaded = store.reopen(false).unwrap();
    assert_eq!(names(&loaded), ["a", "b", "x/y"]);
    store.commit(&halt("c")).unwrap();
    assert_eq!(store.read().unwrap().state().unwrap().len(), 4);
}

#[test]
fn who_decides_sees_what_was_committed_a_moment_ago() {
    let stage = Stage::new();
    let (store, _) = stage.open();
    for n in 0..200_u64 {
        let record = KeyRecord { command: n.to_string(), meaning: [0; 32] };
        store.commit(&Batch { keys: vec![("me\0k".to_owned(), record)], ..Batch::default() }).unwrap();
        assert_eq!(store.key_now("me\0k").unwrap().unwrap().command, n.to_string());
        assert!(store.key_now("me\0other").unwrap().is_none());
    }
}

#[test]
fn a_record_that_was_refused_is_nowhere() {
    let stage = Stage::new();
    let disk = Disk::under(&stage.path);
    let (store, _) = stage.open();
    store.commit(&halt("a")).unwrap();
    settle(&store);
    disk.fill(true);
    assert!(store.commit(&halt("b")).unwrap_err().is_full());
    disk.fill(false);
    let loaded = store.reopen(false).unwrap();
    assert_eq!(names(&loaded), ["a"]);
    store.commit(&halt("c")).unwrap();
    drop(store);
    assert_eq!(stage.names(), ["a", "c"]);
}

#[test]
fn a_log_that_is_gone_or_lacks_a_file_is_missed() {
    let stage = Stage::new();
    let (store, _) = stage.open();
    store.commit(&halt("a")).unwrap();
    settle(&store);
    let redb = fs::read(&stage.path).unwrap();
    store.commit(&halt("b")).unwrap();
    store.reopen(false).unwrap();
    store.commit(&halt("c")).unwrap();

    let crashed = stage.crashed(&redb);
    fs::remove_dir_all(folder::folder_of(&crashed.path)).unwrap();
    let error = Store::open(&crashed.path).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("all after 1 ("), "{error}");
    let (store, loaded) = Store::open_over_gaps(&crashed.path).unwrap();
    assert_eq!(names(&loaded), ["a"]);
    store.commit(&halt("z")).unwrap();
    drop(store);
    assert_eq!(crashed.names(), ["a", "z"], "and all is well from then on");

    let crashed = stage.crashed(&redb);
    let first = crashed.segments().remove(0);
    fs::remove_file(first).unwrap();
    let error = Store::open(&crashed.path).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains(" 2 ("), "{error}");
    assert_eq!(names(&Store::open_over_gaps(&crashed.path).unwrap().1), ["a", "c"]);
    drop(stage.folder);
}
