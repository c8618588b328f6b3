//! The journal's promises, one test each.

use std::time::Duration;

use serde_json::json;

use super::*;
use hal_protocol::event::raw;

const NOW: Time = Time(1_795_450_273_000);

fn bounds() -> Bounds {
    Bounds { keep: Duration::from_secs(3600), keep_bytes: 1 << 30, hard_bytes: 1 << 31 }
}

fn open(folder: &Path) -> (Arc<Journal>, Writer, Option<SetAside>) {
    Journal::open(folder, bounds(), NOW).unwrap()
}

fn ticks(numbers: std::ops::Range<u64>) -> Vec<Change> {
    numbers.map(|n| Change::Append(NewEvent::own("echo.tick", NOW, raw(&json!({ "n": n }))))).collect()
}

fn held(journal: &Journal) -> Vec<u64> {
    journal.batch_after(0, 100_000, 1 << 30).unwrap().iter().map(|event| event.seq).collect()
}

#[test]
fn numbers_and_incarnation_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    assert_eq!(journal.span().unwrap().last, 0);
    assert_eq!(writer.commit(&ticks(0..3), 0, NOW).unwrap(), 3);
    let before = journal.span().unwrap();
    drop((journal, writer));
    let (journal, mut writer, aside) = open(folder.path());
    assert!(aside.is_none());
    assert_eq!(journal.span().unwrap(), before);
    assert_eq!(writer.commit(&ticks(3..5), 0, NOW).unwrap(), 5);
    assert_eq!(held(&journal), [1, 2, 3, 4, 5]);
}

#[test]
fn a_batch_is_bounded_by_count_and_bytes_but_never_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..10), 0, NOW).unwrap();
    assert_eq!(journal.batch_after(2, 3, 1 << 20).unwrap().last().unwrap().seq, 5);
    assert_eq!(journal.batch_after(2, 100, 1).unwrap().len(), 1);
    assert!(journal.batch_after(10, 100, 1 << 20).unwrap().is_empty());
}

#[test]
fn acknowledged_events_go_by_age_and_by_bytes_and_the_last_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..10), 0, NOW).unwrap();
    let later = NOW.plus(Duration::from_secs(7200));
    assert!(!writer.trim(4, NOW).unwrap());
    assert_eq!(held(&journal).len(), 10, "young ones stay");
    writer.trim(4, later).unwrap();
    assert_eq!(held(&journal), [5, 6, 7, 8, 9, 10], "old and acknowledged ones go");
    writer.bounds.keep_bytes = 1;
    writer.trim(10, NOW).unwrap();
    assert_eq!(held(&journal), [10]);
}

#[test]
fn beyond_the_hard_bound_the_oldest_go_and_a_counted_gap_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..10), 0, NOW).unwrap();
    writer.bounds.hard_bytes = writer.meta.bytes;
    writer.commit(&ticks(10..13), 0, NOW).unwrap();
    let events = journal.batch_after(0, 100, 1 << 20).unwrap();
    let gap = events.last().unwrap();
    let data: serde_json::Value = serde_json::from_str(gap.data.get()).unwrap();
    assert_eq!((gap.kind.as_str(), gap.seq), ("gap", 14));
    assert_eq!((data["from"].as_u64(), data["to"].as_u64()), (Some(1), Some(events[0].seq - 1)));
}

#[test]
fn a_damaged_event_is_noticed_and_can_be_mended_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..5), 0, NOW).unwrap();
    spoil(&journal, 3);
    assert_eq!(journal.batch_after(0, 10, 1 << 20).unwrap().len(), 2, "what is whole comes first");
    let error = journal.batch_after(2, 10, 1 << 20).unwrap_err();
    assert!(matches!(error, JournalError::Event { seq: 3, .. }), "{error}");
    writer.commit(&[Change::Mend(3)], 0, NOW).unwrap();
    let events = journal.batch_after(0, 10, 1 << 20).unwrap();
    assert_eq!(events.len(), 5);
    assert_eq!(events[2].kind, "gap");
}

fn spoil(journal: &Journal, seq: u64) {
    let handle = journal.handle();
    let transaction = handle.as_ref().unwrap().begin_write().unwrap();
    transaction.open_table(EVENTS).unwrap().insert(seq, b"\x01no row at all".as_slice()).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_file_that_is_no_journal_is_set_aside_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let incarnation = open(folder.path()).0.span().unwrap().incarnation;
    let path = folder.path().join("agent.redb");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() / 2;
    bytes[..last].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let (journal, _writer, aside) = open(folder.path());
    let aside = aside.unwrap();
    assert_eq!(aside.path, folder.path().join(format!("agent.redb.corrupt.{}", NOW.seconds())));
    assert!(aside.path.exists() && !aside.why.is_empty());
    assert_ne!(journal.span().unwrap().incarnation, incarnation);
}

#[test]
fn a_flipped_page_is_found_at_open() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..2_000), 0, NOW).unwrap();
    drop((journal, writer));
    let path = folder.path().join("agent.redb");
    let mut bytes = fs::read(&path).unwrap();
    let needle = bytes.windows(9).position(|window| window == b"echo.tick").unwrap();
    bytes[needle] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(open(folder.path()).2.is_some());
}

#[test]
fn a_second_agent_on_the_same_folder_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let error = Journal::open(folder.path(), bounds(), NOW).unwrap_err();
    assert!(error.to_string().contains("only one agent can run"), "{error}");
}

#[test]
fn commands_and_sessions_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    let record = |id: &str, state| CommandRecord {
        frame: serde_json::from_value(json!({"command_id": id, "type": "abort_session"})).unwrap(),
        received_at: NOW,
        changed_at: NOW,
        state,
        output: String::new(),
        error: None,
    };
    let running = record("one", hal_protocol::command::CommandState::Running);
    let done = record("two", hal_protocol::command::CommandState::Done);
    let session = SessionRecord {
        session: hal_protocol::session::Session::new("ses".into(), "node".into(), "shop".into(), NOW),
        mark: Some(3),
    };
    let changes = [
        Change::Command(Box::new(running.clone())),
        Change::Command(Box::new(done.clone())),
        Change::Session(Box::new(session.clone())),
    ];
    writer.commit(&changes, 0, NOW).unwrap();
    drop((journal, writer));
    let (journal, mut writer, _) = open(folder.path());
    assert_eq!(journal.sessions().unwrap(), [session]);
    assert_eq!(journal.open_commands().unwrap(), std::slice::from_ref(&running));
    assert_eq!(journal.command(&"two".into()).unwrap(), Some(done.clone()));
    let month = NOW.plus(Duration::from_secs(30 * 24 * 3600));
    writer.trim(0, month).unwrap();
    assert!(journal.command(&"two".into()).unwrap().is_some(), "a clock alone makes nothing forgotten");
    let done = |n: i64| {
        let mut record =
            CommandRecord { changed_at: NOW.plus(Duration::from_secs(n as u64)), ..done.clone() };
        record.frame.command_id = format!("late-{n}").as_str().into();
        Change::Command(Box::new(record))
    };
    writer.commit(&(1..=4096).map(done).collect::<Vec<_>>(), 0, NOW).unwrap();
    writer.trim(0, month).unwrap();
    assert_eq!(
        journal.command(&"two".into()).unwrap(),
        None,
        "old outcomes are forgotten when there are many"
    );
    assert!(journal.command(&"late-1".into()).unwrap().is_some());
    assert_eq!(journal.command(&"one".into()).unwrap(), Some(running), "open ones never");
}

#[test]
fn a_restored_copy_begins_anew_and_keeps_what_nobody_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..5), 3, NOW).unwrap();
    writer.commit(&[], 3, NOW).unwrap();
    let before = journal.span().unwrap().incarnation;
    assert_eq!(writer.begin_anew(writer.acked(), 7, NOW).unwrap(), 3);
    assert_ne!(journal.span().unwrap().incarnation, before);
    let kinds: Vec<_> =
        journal.batch_after(0, 10, 1 << 20).unwrap().into_iter().map(|e| (e.seq, e.kind)).collect();
    assert_eq!(kinds, [(1, "gap".into()), (2, "echo.tick".into()), (3, "echo.tick".into())]);
}

#[test]
fn a_reopened_file_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, mut writer, _) = open(folder.path());
    writer.commit(&ticks(0..2), 0, NOW).unwrap();
    assert!(!writer.reopen(false).unwrap(), "no commit was lost or gained");
    writer.commit(&ticks(2..4), 0, NOW).unwrap();
    assert_eq!(held(&journal), [1, 2, 3, 4]);
}
