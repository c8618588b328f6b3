//! Tests of the supervisor's store: what is committed is there again, in every order and filter.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::ReadableTable;

use super::*;
use crate::alert::AlertRow;
use crate::audit::{self, AuditRecord};
use crate::change::Change;
use crate::command::{CommandRow, KeyRecord};
use crate::cost::CostRecord;
use crate::event::{self, EventFilter, EventOrder, EventQuery, KindFilter};
use crate::kept::{self, HALT, Kept};
use crate::mirror::backup::Rules;
use crate::mirror::{self, Opened};
use crate::node::{NodeRecord, NodeRow, Past};
use crate::row;
use crate::session::{SessionRecord, SessionRow};
use crate::state::StateRecord;
use crate::tail::Tail;
use hal_protocol::alert::{Alert, AlertState, Severity};
use hal_protocol::command::Command;
use hal_protocol::event::EventView;
use hal_protocol::event::raw;
use hal_protocol::mark::Attribution;
use hal_protocol::who::Who;

fn sample(seq: u64, session: &str, kind: &str) -> EventView {
    EventView {
        seq,
        id: format!("e{seq}"),
        kind: kind.into(),
        session_id: session.into(),
        node_id: "n1".into(),
        project: "p".into(),
        data: raw(&serde_json::json!({ "n": seq })),
        timestamp: Time(1_000_000 + i64::try_from(seq).unwrap() * 10),
        occurred_at: Time(5),
        node_seq: seq,
    }
}

fn record(no: u32, id: &str) -> SessionRecord {
    SessionRecord {
        no,
        session: hal_protocol::session::Session::new(id.into(), "n1".into(), "p".into(), Time(1)),
    }
}

fn filled(path: &Path) -> (Store, Tail) {
    let (store, _) = Store::open(path).unwrap();
    let mut tail = Tail::default();
    let mut batch = Batch::default();
    batch.sessions.insert("a".into(), record(1, "a"));
    batch.sessions.insert("b".into(), record(2, "b"));
    for seq in 1..=100 {
        let (session, no) = if seq % 3 == 0 { ("b", 2) } else { ("a", 1) };
        batch.events.push(sample(
            seq,
            session,
            if seq % 10 == 0 { "session.idle" } else { "message.updated" },
        ));
        tail.push(no, seq);
        if seq == 50 {
            batch.index = tail.take_sorted();
            store.commit(&std::mem::take(&mut batch)).unwrap();
        }
    }
    store.commit(&batch).unwrap();
    (store, tail)
}

fn seqs(store: &Store, tail: &Tail, query: &EventQuery) -> (Vec<u64>, Option<u64>, bool) {
    let page = store.read().unwrap().events(query, tail).unwrap();
    (page.events.iter().map(|event| event.seq).collect(), page.total, page.more)
}

#[test]
fn pages_filters_and_counts_agree_across_index_and_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (store, tail) = filled(&dir.path().join("s.redb"));
    let of_b = EventFilter { session: Some(("b".into(), 2)), ..EventFilter::default() };
    let query = |filter: &EventFilter, order, after, limit| EventQuery {
        filter: filter.clone(),
        order,
        after,
        limit,
        count: true,
    };
    let all_b: Vec<u64> = (1..=100).filter(|seq| seq % 3 == 0).collect();
    let (up, total, more) = seqs(&store, &tail, &query(&of_b, EventOrder::Ascending, None, 1000));
    assert_eq!((up, total, more), (all_b.clone(), Some(33), false));
    let (down, _, more) = seqs(&store, &tail, &query(&of_b, EventOrder::Descending, None, 5));
    assert_eq!((down, more), (vec![99, 96, 93, 90, 87], true));
    let (next, _, _) = seqs(&store, &tail, &query(&of_b, EventOrder::Descending, Some(87), 3));
    assert_eq!(next, vec![84, 81, 78]);
    let idle = EventFilter { kinds: vec![KindFilter::parse("session.*")], ..EventFilter::default() };
    let (found, total, _) = seqs(&store, &tail, &query(&idle, EventOrder::Ascending, Some(50), 2));
    assert_eq!((found, total), (vec![60, 70], Some(10)));
    let late = EventFilter { since: Some(Time(1_000_905)), ..EventFilter::default() };
    let (found, total, _) = seqs(&store, &tail, &query(&late, EventOrder::Ascending, None, 2));
    assert_eq!((found, total), (vec![91, 92], Some(10)));
    let never = EventFilter { since: Some(Time(9_000_000)), ..EventFilter::default() };
    assert_eq!(seqs(&store, &tail, &query(&never, EventOrder::Ascending, None, 2)), (vec![], Some(0), false));
}

#[test]
fn a_start_finds_everything_again_with_the_unmerged_tail() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    let (store, tail) = filled(&path);
    drop(store);
    let (_, loaded) = Store::open(&path).unwrap();
    assert_eq!(loaded.last_seq, 100);
    assert_eq!(loaded.last_time, Time(1_001_000));
    assert_eq!(loaded.sessions.len(), 2);
    assert_eq!(loaded.tail.of(2, 50), tail.of(2, 50));
    assert_eq!(loaded.tail.len(), 50);
}

#[test]
fn a_flipped_bit_in_a_row_is_an_error_that_names_it() {
    let mut bytes = event::seal(&sample(7, "a", "x"));
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    let error = event::session_of(&bytes, 7).unwrap_err();
    assert_eq!(error.to_string(), "row 7 of table events is damaged: its checksum does not match");
    bytes[at] ^= 1;
    assert!(event::session_of(&bytes, 7).is_ok());
    assert!(event::session_of(&bytes, 8).is_err(), "a row in another's place is noticed");
}

#[test]
fn the_second_opener_is_refused_with_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    let (_held, _) = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.to_string().contains("s.redb"), "{error}");
}

/// One row of each kind, in its newest version.
fn rows() -> Vec<(&'static str, Vec<u8>)> {
    let node = NodeRecord {
        hostname: "web-1".into(),
        version: "0.1.0".into(),
        address: "10.0.0.7:40000".into(),
        epoch: 3,
        incarnation: "0199".into(),
        confirmed: 3,
        begun: vec![(1, 0), (3, 40)],
        committed: 42,
        last_id: "evt_42".into(),
        stored: 41,
        given_up: 1,
        past: vec![Past { incarnation: "0198".into(), committed: 7, stored: 7, ..Past::default() }],
        projects: vec![hal_protocol::node::Project {
            name: "shop".into(),
            directory: "/srv/shop".into(),
            backend: "opencode".into(),
            error: None,
        }],
        connected_at: Time(1_795_450_273_000),
        last_heard: Time(1_795_450_274_000),
        ..NodeRecord::new("web-1".into())
    };
    let command = Command {
        id: "c1".into(),
        verb: hal_protocol::command::Verb::PromptSession,
        node_id: "web-1".into(),
        project: "shop".into(),
        session_id: Some("ses_1".into()),
        args: serde_json::Map::new(),
        actor: "token".into(),
        who: None,
        idempotency_key: Some("k".into()),
        state: hal_protocol::command::CommandState::Failed,
        output: String::new(),
        error: Some("no such session".into()),
        created_at: Time(1),
        expires_at: Time(2),
        changed_at: Time(3),
    };
    let key = KeyRecord { command: "c1".into(), meaning: [7; 32] };
    vec![
        ("supervisor-event.1", event::seal(&sample(7, "ses_1", "session.idle"))),
        ("supervisor-session.1", row::seal(&SessionRow::from(&record(9, "ses_1")), "ses_1")),
        ("supervisor-node.2", row::seal(&NodeRow::from(&node), "web-1")),
        ("supervisor-command.1", row::seal(&CommandRow::from(&command), "c1")),
        ("supervisor-key.1", row::seal(&key, "token\0k")),
        ("supervisor-cost.2", row::seal(&cost(), cost().key())),
        ("supervisor-audit.1", audit::seal(&audit(), 3)),
        ("supervisor-alert.1", row::seal(&AlertRow::from(&alert()), 4)),
        ("supervisor-state.1", row::seal(&kept(), "halt/shop")),
        ("supervisor-change.1", row::seal(&Change::Events(1, 9), 5)),
    ]
}

fn cost() -> CostRecord {
    CostRecord {
        date: "2026-11-23".into(),
        provider: "anthropic".into(),
        model: "sonnet".into(),
        project: "shop".into(),
        session_id: "ses_1".into(),
        node_id: "web-1".into(),
        tokens: [1, 2, 3, 4, 5],
        picos: Some(500_000_000_000),
        estimated: 6,
        equivalent: 7,
        unpriced: 8,
        unreported: 9,
    }
}

fn audit() -> AuditRecord {
    AuditRecord {
        id: "a1".into(),
        at: Time(1_795_450_273_000),
        actor: "token".into(),
        action: "create_session".into(),
        target: "shop on web-1".into(),
        args: "{}".into(),
        result: "sent".into(),
        error: None,
        duration_ms: Some(7),
        ip: "10.0.0.7".into(),
        ..AuditRecord::default()
    }
}

fn alert() -> Alert {
    Alert {
        id: 4,
        name: "node.offline".into(),
        about: "web-1".into(),
        severity: Severity::High,
        status: AlertState::Acknowledged,
        text: "node web-1 is away".into(),
        lasting: true,
        count: 2,
        started_at: Time(1_795_450_273_000),
        changed_at: Time(1_795_450_274_000),
        acknowledged_by: "token".into(),
        ..Alert::default()
    }
}

fn kept() -> StateRecord {
    StateRecord { data: r#"{"by":"token"}"#.into(), changed_at: 1_795_450_273_000 }
}

#[test]
fn bytes_of_every_version_still_open_and_the_newest_is_what_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rows");
    for (name, written) in rows() {
        let stored = std::fs::read(folder.join(name)).unwrap_or_default();
        assert!(stored == written, "{name}: a released version never changes; make a new one");
    }
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert_eq!(event::session_of(&read("supervisor-event.1"), 7).unwrap(), "ses_1");
    let session = row::open::<SessionRow>(&read("supervisor-session.1"), "ses_1").unwrap();
    assert_eq!(session.into_record("ses_1"), record(9, "ses_1"));
    for (name, confirmed, stored) in [("supervisor-node.1", 0, 42), ("supervisor-node.2", 3, 41)] {
        let node = row::open::<NodeRow>(&read(name), "web-1").unwrap().into_record("web-1");
        assert_eq!((node.committed, node.past.len(), node.projects.len()), (42, 1, 1), "{name}");
        assert_eq!((node.confirmed, node.stored), (confirmed, stored), "{name}");
    }
    let command = row::open::<CommandRow>(&read("supervisor-command.1"), "c1").unwrap();
    assert_eq!(command.into_command("c1").unwrap().error.as_deref(), Some("no such session"));
    assert_eq!(row::open::<KeyRecord>(&read("supervisor-key.1"), "token\0k").unwrap().command, "c1");
    assert_eq!(row::open::<Change>(&read("supervisor-change.1"), 5).unwrap(), Change::Events(1, 9));
    assert_eq!(row::open::<CostRecord>(&read("supervisor-cost.2"), cost().key()).unwrap(), cost());
    let first = CostRecord { estimated: 0, equivalent: 0, unpriced: 0, unreported: 0, ..cost() };
    assert_eq!(row::open::<CostRecord>(&read("supervisor-cost.1"), cost().key()).unwrap(), first);
    assert_eq!(audit::open(&read("supervisor-audit.1"), 3).unwrap(), audit());
    assert_eq!(row::open::<StateRecord>(&read("supervisor-state.1"), "halt/shop").unwrap(), kept());
    let read = row::open::<AlertRow>(&read("supervisor-alert.1"), 4).unwrap();
    assert_eq!(read.into_alert(4).unwrap(), alert());
}

#[test]
fn what_was_added_at_a_rows_end_is_read_here_and_passed_over_by_the_release_before() {
    let who = Who::in_chat("ada", "discord", "81384788765712384");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rows");
    let before = std::fs::read(folder.join("supervisor-command.1")).unwrap();
    let none = row::open::<CommandRow>(&before, "c1").unwrap().into_command("c1").unwrap();
    let told = Command { actor: "ada".into(), who: Some(who.clone()), ..none.clone() };
    let written = row::seal(&CommandRow::from(&told), "c1");
    assert_eq!(row::open::<CommandRow>(&written, "c1").unwrap().into_command("c1").unwrap(), told);
    let short = row::seal(&CommandRow::from(&Command { who: None, ..told.clone() }), "c1");
    assert_eq!(written[5..short.len()], short[5..], "what the release before reads is at its place");
    let other = Command { actor: "bob".into(), ..told };
    let read = row::seal(&CommandRow::from(&other), "c1");
    let read = row::open::<CommandRow>(&read, "c1").unwrap().into_command("c1").unwrap();
    assert_eq!(read.who, None, "another name has nothing of it");

    let seen = Alert { acknowledged_by: "ada".into(), acknowledged: Some(who.clone()), ..alert() };
    for one in [alert(), seen.clone(), Alert { reported: Some(who), ..alert() }] {
        let written = row::seal(&AlertRow::from(&one), 4);
        assert_eq!(row::open::<AlertRow>(&written, 4).unwrap().into_alert(4).unwrap(), one);
        for cut in 6..written.len() {
            let body = &written[5..cut];
            let whole =
                row::seal(&AlertRow::from(&Alert { acknowledged: None, reported: None, ..one.clone() }), 4);
            let is_whole = whole[5..] == *body;
            assert_eq!(row::open_grown::<AlertRow>(body).is_ok(), is_whole, "cut at {cut}");
        }
    }
}

#[test]
fn a_page_of_large_events_ends_early_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(&dir.path().join("s.redb")).unwrap();
    let large = raw(&serde_json::json!({ "text": "x".repeat(1024 * 1024) }));
    let event = |seq| EventView { data: large.clone(), ..sample(seq, "a", "x") };
    store.commit(&Batch { events: (1..=12).map(event).collect(), ..Batch::default() }).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let query = EventQuery { order: EventOrder::Ascending, after, limit: 1000, ..EventQuery::default() };
        let (page, _, more) = seqs(&store, &Tail::default(), &query);
        assert!(!page.is_empty() && page.len() <= 5, "{} MiB are held at once", page.len());
        after = page.last().copied();
        seen.extend(page);
        if !more {
            break;
        }
    }
    assert!(seen.into_iter().eq(1..=12));
}

/// How many of a store's events can be read, with what else the opening told.
fn opened(path: &Path) -> (usize, Option<SetAside>) {
    let Opened { store, loaded, set_aside: aside, .. } =
        mirror::open(path, &path.with_extension("db"), &Rules::default(), Time(1_700_000_000_000)).unwrap();
    let query = EventQuery { limit: 1000, ..EventQuery::default() };
    (store.read().unwrap().events(&query, &loaded.tail).unwrap().events.len(), aside)
}

#[test]
fn a_sick_store_is_set_aside_under_a_name_that_says_when_and_a_new_one_is_begun() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 4] = [
        ("cut short", |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("no store at all", |path| std::fs::write(path, "a letter to my aunt".repeat(1000)).unwrap()),
        ("emptied", |path| std::fs::write(path, "").unwrap()),
        ("zeroed behind a mark that says to look", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[8192..].fill(0);
            std::fs::write(path, bytes).unwrap();
            suspect::suspect(path);
        }),
    ];
    for (name, harm) in harms {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.redb");
        drop(filled(&path));
        assert_eq!(opened(&path).0, 100);
        harm(&path);
        let (left, aside) = opened(&path);
        let aside = aside.unwrap_or_else(|| panic!("{name}: nobody noticed"));
        assert_eq!(left, 0, "{name}");
        assert!(aside.path.unwrap().ends_with("s.redb.corrupt.1700000000"), "{name}");
        assert!(opened(&path).1.is_none(), "{name}: and all is well again");
    }
}

#[test]
fn a_store_that_is_gone_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    assert!(opened(&path).1.is_none(), "the first start");
    std::fs::remove_file(&path).unwrap();
    let (_, aside) = opened(&path);
    let aside = aside.unwrap();
    assert!(aside.path.is_none() && aside.why.contains("gone"), "{aside:?}");
}

#[test]
fn a_clean_end_leaves_kept_rows_as_the_release_before_has_them_and_anything_else_is_refused_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    let rows = |store: &Store| {
        let reader = store.read().unwrap();
        let table = reader.txn().open_table(crate::tables::STATE).unwrap();
        let all = table.iter().unwrap().map(|entry| {
            let (name, bytes) = entry.unwrap();
            (name.value().to_owned(), bytes.value().to_vec())
        });
        all.collect::<Vec<_>>()
    };
    let said = Attribution { by: "ada".into(), at: Time(5) };
    let unread = StateRecord { data: "no JSON".into(), changed_at: 6 };
    let state = BTreeMap::from([
        ("halt/shop".to_owned(), Some(Arc::new(Kept::new(HALT, &said, Time(5))))),
        ("halt/site".to_owned(), Some(Arc::new(Kept::read("halt/site", unread.clone())))),
    ]);
    let (store, _) = Store::open(&path).unwrap();
    assert_eq!(store.read().unwrap().meta("schema").unwrap(), 1);
    store.commit(&Batch { state, ..Batch::default() }).unwrap();
    assert_eq!(store.read().unwrap().meta("schema").unwrap(), 3, "it is not for the release before");
    assert!(kept::is_new(&rows(&store)[0].1));

    store.commit(&Batch { is_last: true, ..Batch::default() }).unwrap();
    assert_eq!(store.read().unwrap().meta("schema").unwrap(), 1);
    let before = |(name, bytes): &(String, Vec<u8>)| row::open::<StateRecord>(bytes, name).unwrap();
    let left: Vec<StateRecord> = rows(&store).iter().map(before).collect();
    let halt = r#"{"by":"ada","at":"1970-01-01T00:00:00.005Z"}"#;
    assert_eq!(left, [StateRecord { data: halt.into(), changed_at: 5 }, unread]);
    drop(store);
    let (_, loaded) = Store::open(&path).unwrap();
    let read: Vec<bool> = loaded.state.iter().map(|(_, kept)| kept.value.is_ok()).collect();
    assert_eq!(read, [true, false]);
}

#[test]
fn a_record_whose_sync_failed_counts_if_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.redb");
    let disk = crate::disk::Disk::under(&path);
    let (store, _) = Store::open(&path).unwrap();
    let state = |name: &str| {
        let said = Attribution { by: "ada".into(), at: Time(5) };
        let kept = Arc::new(Kept::new(HALT, &said, Time(5)));
        Batch { state: BTreeMap::from([(name.to_owned(), Some(kept))]), ..Batch::default() }
    };
    store.commit(&state("halt/a")).unwrap();
    disk.fail_sync_after(0);
    let error = store.commit(&state("halt/b")).unwrap_err();
    assert!(matches!(error, StoreError::NotAppended { is_certain: false, .. }), "{error}");
    assert!(matches!(store.commit(&state("halt/c")), Err(StoreError::Closed)), "until it is opened again");
    let loaded = store.reopen(true).unwrap();
    let names: Vec<&str> = loaded.state.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["halt/a", "halt/b"], "it reached the disk nevertheless");
    store.commit(&state("halt/c")).unwrap();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().1.state.len(), 3);
}
