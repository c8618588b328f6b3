//! Each kind of kept state, damaged through `sqlite3` and in the store while nobody runs: nothing opens, nothing vanishes,
//! and what is said of each is printed as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hal_o_swarm::base::clock;
use hal_o_swarm::store::hub::{Batch, Store};
use hal_o_swarm::store::kept::Kept;
use hal_o_swarm::store::state::StateRecord;
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// One row of each kind, as a released version has stored it: name and data, a row a line.
const RELEASED: &str = include_str!("../../fixtures/rows/supervisor-state.kinds.1");

/// What a supervisor at work has done with at once: its node or its session is not there, or it is over.
const DONE_WITH: [&str; 9] = [
    "session.handover",
    "session.stopping",
    "policy.facts",
    "policy.memory",
    "notice",
    "told",
    "lately",
    "approval",
    "silence",
];

/// How the rows that have columns are damaged: a field left out, one of another type, nothing at all, no JSON.
const IN_COLUMNS: [(&str, &str, [&str; 4]); 4] = [
    (
        "halt",
        "halts",
        [
            "halted_at = NULL",
            "halted_at = 'never'",
            "halted_by = NULL, halted_at = NULL",
            "extra = 'no JSON'",
        ],
    ),
    (
        "budget",
        "budgets",
        [
            "period = NULL",
            "limit_usd = 'much'",
            "scope = NULL, limit_usd = NULL, period = NULL, at_limit = NULL, warn_percent = NULL, extra = NULL",
            "extra = 'no JSON'",
        ],
    ),
    (
        "approval-over",
        "approvals",
        [
            "what = NULL",
            "answer = '17'",
            "kind = NULL, status = NULL, session_id = NULL, what = NULL, extra = NULL",
            "answer = 'no JSON'",
        ],
    ),
    (
        "approval",
        "approvals",
        ["what = NULL", "answer = '17'", "kind = NULL, extra = NULL", "answer = 'no JSON'"],
    ),
];

const DAMAGES: [&str; 4] = ["a field left out", "another type", "{}", "no JSON"];

/// A person has said one thing or another of a session, and any policy may remember something.
const ALL_MAY_BE_ABSENT: [&str; 2] = ["session.marks", "policy.memory"];

/// Rows of a kind that nobody knows, of a newer version, and under a name that is none: no damage makes them worse.
const STRANGE: [(&str, &str); 3] = [
    ("future.kind/x", r#"{"a":1}"#),
    ("lease/newer", r#"{"unread":{"version":9,"body":[1,2,3]}}"#),
    ("halt", r#"{"by":"token","at":"2026-11-23T16:11:13.000Z"}"#),
];

fn kind_of(name: &str) -> &str {
    name.split_once('/').map_or(name, |(kind, _)| kind)
}

/// A row with this damage.
fn damaged(at: usize, kind: &str, data: &str) -> String {
    let mut whole: Value = serde_json::from_str(data).unwrap();
    match (at, whole.as_object_mut()) {
        (0, Some(fields)) => {
            // Where every field may be absent, one within is left out.
            let inner = fields.values_mut().filter_map(Value::as_object_mut).next();
            match inner.filter(|_| ALL_MAY_BE_ABSENT.contains(&kind)) {
                Some(inner) => drop(inner.remove("at")),
                None => drop(fields.keys().next().cloned().and_then(|name| fields.remove(&name))),
            }
            whole.to_string()
        }
        (0, None) => "null".to_owned(),
        (1, _) => "17".to_owned(),
        (2, _) => "{}".to_owned(),
        _ => "no JSON".to_owned(),
    }
}

/// Writes rows of kept state into the store of a supervisor that has ended, as they are.
fn put(world: &World, rows: &BTreeMap<String, String>) {
    let (store, _) = Store::open(&world.store()).unwrap();
    let kept = |(name, data): (&String, &String)| {
        let record = StateRecord { data: data.clone(), changed_at: clock::now().0 };
        (name.clone(), Some(Arc::new(Kept::read(name, record))))
    };
    let state = rows.iter().map(kept).collect();
    store.commit(&Batch { state, is_last: true, ..Batch::default() }).unwrap();
    store.close();
}

/// What the store of a supervisor that has ended keeps, by name.
fn kept(world: &World) -> BTreeMap<String, String> {
    let (_store, loaded) = Store::open(&world.store()).unwrap();
    loaded.state.into_iter().map(|(name, kept)| (name, kept.record().data)).collect()
}

/// Everything is halted, and a supervisor with a row of each kind that it does not take for done has ended.
fn stopped() -> (World, BTreeMap<String, String>) {
    let mut world = World::with_node();
    world.ctl_says(&["sessions", "halt", "--all"]);
    world.until_mirrored();
    world.end_supervisor();
    let mut rows: BTreeMap<String, String> = RELEASED
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(name, data)| (name.to_owned(), data.to_owned()))
        .collect();
    rows.extend(kept(&world).into_iter().filter(|(name, _)| name == "halt/*"));
    put(&world, &rows);
    (world, rows)
}

fn nothing_begins(world: &World) {
    let (_, said) = world.ctl_fails(&["sessions", "start", "--project", "shop", "say hello"]);
    assert!(said.contains("everything is halted"), "{said}");
}

fn short(text: &str) -> String {
    text.chars().take(150).collect()
}

#[test]
fn a_row_of_any_kind_that_is_damaged_in_the_store_opens_nothing_and_does_not_vanish() {
    let (mut world, mut rows) = stopped();
    let all: BTreeSet<&str> = rows.keys().map(|name| kind_of(name)).collect();
    assert_eq!(all.len(), RELEASED.lines().count(), "{all:?}");
    let strange = STRANGE.map(|(name, data)| (name.to_owned(), data.to_owned()));
    rows.extend(strange.clone());
    for (at, damage) in DAMAGES.iter().enumerate() {
        let mut spoilt: BTreeMap<String, String> =
            (rows.iter()).map(|(name, data)| (name.clone(), damaged(at, kind_of(name), data))).collect();
        spoilt.extend(strange.clone());
        put(&world, &spoilt);
        world.start_supervisor();
        let told = wait_until("each row is an alert", PATIENCE, || {
            let alerts = world.pages("/api/v1/alerts?name=state.unreadable&status=firing&limit=100");
            let told: BTreeMap<String, String> = (alerts.iter())
                .map(|one| (one["about"].as_str().unwrap().into(), one["text"].as_str().unwrap().into()))
                .collect();
            if told.len() == rows.len() { Ok(told) } else { Err(format!("{told:?}")) }
        });
        for (name, said) in &told {
            assert!(rows.contains_key(name) && said.contains(&format!("{name:?}")), "{name}: {said}");
            let (why, holds) =
                said.split_once("cannot be read: ").unwrap().1.split_once(" Until it can: ").unwrap();
            println!("in the store | {:16} | {damage:16} | {} | {holds}", kind_of(name), short(why));
        }
        nothing_begins(&world);
        world.end_supervisor();
        let left = kept(&world);
        for (name, data) in &spoilt {
            assert_eq!(left.get(name), Some(data), "{name} as {damage} is left as it is");
        }
        let (code, said) = world.store_does(&["check"]);
        assert_eq!(code, 1, "{said}");
        for name in rows.keys() {
            assert!(said.contains(&format!("the row {name:?}")), "store check names {name}: {said}");
        }
    }
    // A person gets out by the ordinary command.
    world.start_supervisor();
    world.ctl_says(&["sessions", "halt", "--all", "--release"]);
    world.ctl_says(&["sessions", "halt", "--project", "shop", "--release"]);
    let night = world.ctl_says(&["budgets", "get", "night"]);
    assert!(night.contains("free: 0.00"), "nothing is lent of it: {night}");
    world.ctl_says(&["budgets", "set", "night", "--scope", "fleet", "--limit", "5", "--period", "day"]);
    let still: BTreeSet<String> =
        (world.pages("/api/v1/alerts?name=state.unreadable&status=firing&limit=100").iter())
            .map(|one| one["about"].as_str().unwrap().to_owned())
            .collect();
    assert!(still.contains("lease/l1"), "{still:?}");
}

/// What people read of the last edits that were put back.
fn refusals(world: &World) -> Vec<String> {
    let sql = "SELECT ifnull(error, '') FROM audit_log WHERE result = 'refused' ORDER BY seq";
    world.sql(sql).lines().map(str::to_owned).collect()
}

#[test]
fn a_row_of_any_kind_that_is_damaged_through_sqlite_is_put_back_with_the_reason() {
    let (mut world, rows) = stopped();
    world.start_supervisor();
    world.until_mirrored();
    nothing_begins(&world);
    let mut tried = BTreeSet::new();
    for (name, data) in &rows {
        let (kind, key) = name.split_once('/').unwrap();
        let columns = IN_COLUMNS.iter().find(|(one, _, _)| *one == kind);
        let (table, id) = columns.map_or(("state", name.as_str()), |(_, table, _)| (*table, key));
        let is = format!("WHERE id = '{id}'");
        if world.sql(&format!("SELECT count(*) FROM {table} {is}")) != "1" {
            assert!(DONE_WITH.contains(&kind), "{name} is gone");
            println!("sqlite3 | {kind:16} | the supervisor has done with it");
            continue;
        }
        let whole = format!("SELECT * FROM {table} {is}");
        let before = world.sql(&whole);
        for (at, damage) in DAMAGES.iter().enumerate() {
            let known = refusals(&world).len();
            let set = match columns {
                Some((_, _, set)) => set[at].to_owned(),
                None => format!("data = '{}'", damaged(at, kind_of(name), data).replace('\'', "''")),
            };
            world.sql(&format!("UPDATE {table} SET {set} {is}"));
            let why = wait_until(&format!("{set} of {name} is refused"), PATIENCE, || {
                let all = refusals(&world);
                all.get(known).cloned().ok_or_else(|| world.sql(&whole))
            });
            assert!(!why.is_empty(), "{name} {damage}");
            world.until_sql(&whole, &before);
            println!("sqlite3 | {kind:16} | {damage:16} | {}", short(&why));
        }
        tried.insert(kind);
    }
    nothing_begins(&world);
    assert!(tried.len() >= 15, "{tried:?}");
    let unread = world.get("/api/v1/alerts?name=state.unreadable&status=firing").body;
    assert_eq!(unread["data"], json!([]), "nothing of it counts");
}
