//! What a scene cannot bring about: a store of an earlier shape, and one that turns out to be sick while it is open.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::apply::Standing;
use super::feed::Todo;
use super::file::{MirrorFile, NoWindow};
use super::scrub::Scrub;
use super::*;
use crate::StoreError;
use crate::batch::Batch;
use crate::hub::Mark;
use crate::log::folder::folder_of;
use crate::tables::{EVENTS, STATE};
use hal_base::progress::Progress;
use hal_protocol::event::{EventView, raw};

const NOW: Time = Time(1_795_450_273_000);

/// How often the store was suspected.
#[derive(Default)]
struct Nobody(AtomicU64);

impl MirrorHost for Nobody {
    fn node(&self, node: &NodeRecord) -> (&'static str, Time) {
        ("offline", node.last_heard)
    }

    fn session(&self, _: &SessionRecord) -> (&'static str, &'static str) {
        ("idle", "idle")
    }

    fn nodes(&self, _: &dyn Fn(&str, &'static str, Time) -> bool) -> Vec<ShownNode> {
        Vec::new()
    }

    fn comings(&self) -> u64 {
        0
    }

    fn take(&self, _: Edits) -> Result<(), String> {
        Ok(())
    }

    fn put(&self, _: Vec<Edit>) -> Result<(), String> {
        Ok(())
    }

    fn alert(&self, _: &'static str, _: String) {}

    fn suspect(&self, _: String) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn replace(&self, _: PathBuf) -> Result<String, String> {
        Err("nobody does".into())
    }
}

fn event(seq: u64) -> EventView {
    EventView {
        seq,
        id: format!("e{seq}"),
        kind: "x".into(),
        session_id: String::new(),
        node_id: "n1".into(),
        project: String::new(),
        data: raw(&serde_json::json!({})),
        timestamp: NOW,
        occurred_at: NOW,
        node_seq: seq,
    }
}

/// A store with so many events, and its mirror.
fn both(folder: &Path, events: u64) -> (PathBuf, PathBuf) {
    let (path, mirror) = (folder.join("supervisor.redb"), folder.join("supervisor.db"));
    let (store, loaded) = Store::open(&path).unwrap();
    store.commit(&Batch { events: (1..=events).map(event).collect(), ..Batch::default() }).unwrap();
    let (ends, progress) = (AtomicBool::new(false), Progress::default());
    build::build(&store, &loaded.store_id, &mirror, &Nobody::default(), &ends, &progress, || ()).unwrap();
    (path, mirror)
}

#[test]
fn a_store_of_an_earlier_shape_is_backed_up_before_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mirror) = both(folder.path(), 7);
    let (store, _) = Store::open(&path).unwrap();
    store.transaction(|txn| txn.delete_table(STATE).map(|was| assert!(was)).map_err(Into::into)).unwrap();
    drop(store);
    drop(open(&path, &mirror, &Rules::default(), NOW).unwrap());
    let made = backup::list(&mirror);
    assert_eq!(backup::verify(&made[0].path).unwrap().events(), 7);
    drop(open(&path, &mirror, &Rules::default(), NOW).unwrap());
    assert_eq!(backup::list(&mirror), made, "once");
}

#[test]
fn a_store_that_turns_out_to_be_sick_is_made_anew_from_its_mirror_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mirror) = both(folder.path(), 7);
    let Opened { store, .. } = open(&path, &mirror, &Rules::default(), NOW).unwrap();
    store.commit(&Batch { events: vec![event(8)], ..Batch::default() }).unwrap();
    let damage = StoreError::Damaged { table: "events", key: "3".into(), why: "of a test".into() };
    let turn = store.turn().take();
    assert!(matches!(begin_anew(&store, &damage, NOW), Err(StoreError::Refused(_))), "it is open elsewhere");
    assert!(store.turn().is_wanted());
    drop(turn);
    let (loaded, aside) = begin_anew(&store, &damage, NOW).unwrap();
    assert!(!store.turn().is_wanted());
    assert_eq!((aside.events, loaded.last_seq), (Some(7), 8), "what the mirror has not is in the log");
    assert!(aside.path.unwrap().exists() && store.replaced() == 1);
    assert_eq!(store.read().unwrap().event_bounds().unwrap(), Some((1, 8)));

    std::fs::write(&mirror, vec![0xA5; 100_000]).unwrap();
    assert!(matches!(begin_anew(&store, &damage, NOW), Err(StoreError::Refused(_))), "perhaps later");
    std::fs::copy(&path, mirror.with_added_extension("backup")).unwrap();
    let hopeless = begin_anew(&store, &damage, NOW).unwrap_err().to_string();
    assert!(hopeless.contains("restore the newest backup: cp "), "{hopeless}");
}

#[test]
fn a_store_that_was_lost_gets_the_rest_of_its_log_unless_an_older_mirror_was_restored_with_it() {
    for is_restored in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (path, mirror) = both(folder.path(), 7);
        let Opened { store, .. } = open(&path, &mirror, &Rules::default(), NOW).unwrap();
        store.commit(&Batch { events: vec![event(8)], ..Batch::default() }).unwrap();
        if is_restored {
            // A later window than the one of the mirror that lies there.
            store.leave_mark(Mark { epoch: 9, position: 1 });
            while store.has_mark() {
                std::thread::yield_now();
            }
        }
        drop(store);
        std::fs::remove_file(&path).unwrap();
        let opened = open(&path, &mirror, &Rules::default(), NOW).unwrap();
        assert!(opened.set_aside.is_some(), "its ballast shows that there was one");
        let events = opened.store.read().unwrap().event_bounds().unwrap();
        assert_eq!(events, Some((1, if is_restored { 7 } else { 8 })), "restored: {is_restored}");
    }
}

#[test]
fn where_the_log_is_gone_the_one_that_knows_more_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mirror) = both(folder.path(), 7);
    let Opened { store, .. } = open(&path, &mirror, &Rules::default(), NOW).unwrap();
    store.commit(&Batch { events: vec![event(8)], ..Batch::default() }).unwrap();
    drop(store);
    std::fs::remove_dir_all(folder_of(&path)).unwrap();
    let opened = open(&path, &mirror, &Rules::default(), NOW).unwrap();
    let said = opened.lost.unwrap();
    assert!(said.contains("lacks records: all after 2 ("), "{said}");
    assert_eq!(opened.store.read().unwrap().event_bounds().unwrap(), Some((1, 8)), "redb has all it had");
}

#[test]
fn without_leases_a_file_that_was_written_over_is_noticed_once_nobody_writes_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mirror) = both(folder.path(), 7);
    let earlier = std::fs::read(&mirror).unwrap();
    let mut file = MirrorFile::open(&mirror).unwrap();
    let other = std::fs::File::open(&mirror).unwrap();
    assert!(matches!(file.open_window(true).unwrap(), Err(NoWindow::Busy)), "somebody has it open");
    file.no_leases = Some("of a test".into());
    let hold = file.open_window(true).unwrap().unwrap();
    assert!(file.close_window(hold).unwrap());
    std::fs::write(&mirror, earlier).unwrap();
    let begun = hal_base::clock::Stopwatch::start();
    let noticed = loop {
        match file.open_window(true).unwrap() {
            Err(NoWindow::Busy) => std::thread::park_timeout(std::time::Duration::from_millis(50)),
            other => break other,
        }
    };
    assert!(matches!(noticed, Err(NoWindow::Replaced)), "{noticed:?}");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "while it may be written it is waited for");
    drop(other);
}

#[test]
fn rows_that_the_store_lacks_are_not_removed_from_the_mirror_before_all_its_pages_were_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mirror) = both(folder.path(), 7);
    let (store, _) = Store::open(&path).unwrap();
    // As a damaged page can read.
    let lose = |txn: &redb::WriteTransaction| {
        txn.open_table(EVENTS)?.remove(3)?;
        Ok(())
    };
    store.transaction(lose).unwrap();
    let connection = classify::immutable(&mirror).unwrap();
    let standing = Standing::read(&connection).unwrap();
    let (mut scrub, host) = (Scrub::new(), Nobody::default());
    let mut look = |store: &Store| scrub.step(&connection, store, &standing, &host).unwrap();
    assert_eq!(look(&store), Todo::default());
    assert_eq!(look(&store), Todo::default(), "nobody has looked yet");
    store.reopen(true).unwrap();
    assert_eq!(look(&store).ranges, [(3, 3)], "its pages are whole");
    assert_eq!(host.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_copy_of_a_mirror_that_was_just_made_believes_no_node_beyond_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mirror) = both(folder.path(), 20_000);
    let (store, loaded) = Store::open(&path).unwrap();
    let said = AtomicU64::new(20_000);
    let is_made = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_made.load(Ordering::SeqCst) {
                let seq = said.load(Ordering::SeqCst) + 1;
                let node = NodeRecord { committed: seq, stored: seq, ..NodeRecord::new("n1".into()) };
                let nodes = std::collections::BTreeMap::from([("n1".to_owned(), node)]);
                store.commit(&Batch { events: vec![event(seq)], nodes, ..Batch::default() }).unwrap();
                said.store(seq, Ordering::SeqCst);
            }
        });
        while said.load(Ordering::SeqCst) == 20_000 {
            std::thread::yield_now();
        }
        let (ends, progress) = (AtomicBool::new(false), Progress::default());
        build::build(&store, &loaded.store_id, &mirror, &Nobody::default(), &ends, &progress, || ()).unwrap();
        is_made.store(true, Ordering::SeqCst);
    });
    let connection = classify::immutable(&mirror).unwrap();
    let standing = Standing::read(&connection).unwrap();
    assert!(standing.event < said.load(Ordering::SeqCst), "more was said meanwhile");
    let copy = folder.path().join("copy.redb");
    import::import(&connection, &standing, &copy, &Progress::default()).unwrap();
    let (_, loaded) = Store::open(&copy).unwrap();
    let node = &loaded.nodes[0];
    assert_eq!(
        (node.committed, node.stored),
        (standing.event, standing.event),
        "what it lacks is said again"
    );
}
