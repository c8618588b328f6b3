//! Rows of kept state in the mirror: people query and change them by columns, and one that an operator spoils or a restore
//! brings spoilt opens nothing and does not vanish.

use std::fs;

use serde_json::{Value, json};

use super::agree::full;
use super::stage::sqlite;
use crate::world::World;

const WHOLE: &str = "SELECT id, halted_by, halted_at, extra IS NULL FROM halts WHERE id = '*'";

/// What is no halt any more: a column left out, nothing at all, another type, no JSON, more than there is.
const SPOILT: [&str; 5] = [
    "halted_at = NULL",
    "halted_by = NULL, halted_at = NULL",
    "halted_at = 'never'",
    "extra = 'no JSON'",
    "extra = '{\"until\": 5}'",
];

/// The database of the release before this one, when its supervisor had ended: two sessions, one of them paused, an
/// answered approval and one that waits, a halt, a budget, a silence.
const BEFORE: &str = include_str!("../../fixtures/mirror/3.sql");

fn halted() -> World {
    let world = World::with_node();
    world.ctl_says(&["sessions", "halt", "--all"]);
    world.until_mirrored();
    world.until_sql("SELECT count(*) FROM halts WHERE id = '*'", "1");
    world
}

fn nothing_begins(world: &World) {
    let (_, said) = world.ctl_fails(&["sessions", "start", "--project", "shop", "say hello"]);
    assert!(said.contains("everything is halted"), "{said}");
}

/// Puts a database in place of the supervisor's, which has ended.
fn put_in_place(world: &World, copy: &std::path::Path) {
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(world.path().join(format!("supervisor/supervisor.db{end}")));
    }
    fs::rename(copy, world.mirror()).unwrap();
}

#[test]
fn a_halt_that_an_operator_spoils_is_put_back_with_the_reason() {
    let world = halted();
    let whole = world.sql(WHOLE);
    for (at, spoilt) in SPOILT.iter().enumerate() {
        world.sql(&format!("UPDATE halts SET {spoilt} WHERE id = '*'"));
        let refused = "SELECT count(*) FROM audit_log WHERE target = '*' AND action = 'update halts' AND result = 'refused'";
        world.until_sql(refused, &(at + 1).to_string());
        world.until_sql(WHOLE, &whole);
        nothing_begins(&world);
    }
    world.ctl_says(&["sessions", "halt", "--all", "--release"]);
    world.start_session("shop", "say hello");
}

#[test]
fn a_halt_that_a_restored_copy_brings_spoilt_holds_until_it_is_released() {
    let mut world = halted();
    for spoilt in SPOILT {
        world.until_mirrored();
        let copy = world.path().join("copy.db");
        fs::copy(world.mirror(), &copy).unwrap();
        // Damage that nobody has noted down: no edit of an operator's.
        let spoil = format!("UPDATE halts SET {spoilt} WHERE id = '*'; DELETE FROM _hal_oplog;");
        sqlite(&copy, &spoil).unwrap();
        // What comes after the copy makes it one that was restored.
        world.ctl_says(&["sessions", "halt", "--all", "--release"]);
        world.until_mirrored();
        world.end_supervisor();
        put_in_place(&world, &copy);
        world.start_supervisor();
        nothing_begins(&world);
        world.until_sql("SELECT count(*) FROM alerts WHERE name = 'state.unreadable' AND about = 'halt/*' AND status = 'firing'", "1");
        world.end_supervisor();
        let (code, said) = world.store_does(&["check"]);
        assert!(code == 1 && said.contains("the row \"halt/*\" of the table state cannot be read"), "{said}");
        world.start_supervisor();
        nothing_begins(&world);
        world.ctl_says(&["sessions", "halt", "--all", "--release"]);
        world.wait_for_node("web-1", "online");
        let id = world.start_session("shop", "say hello");
        world.wait_for_session(&id, "idle");
        world.ctl_says(&["sessions", "halt", "--all"]);
        let is_whole = "SELECT halted_by IS NOT NULL AND halted_at LIKE '20%' AND extra IS NULL FROM halts";
        world.until_sql(is_whole, "1");
    }
}

#[test]
fn what_people_ask_for_is_in_columns_and_changed_there() {
    let mut world = full();
    let asked = "SELECT kind, status, project, about, what, answer IS NULL FROM approvals";
    world.until_sql(asked, "permission|waiting|shop|bash|rm -rf build|1");
    let id = world.sql("SELECT session_id FROM approvals");
    world.ctl_says(&["sessions", "allow", &id]);
    let answered = "SELECT status, json_extract(answer, '$.reply'), count(*) FROM approvals";
    world.until_sql(answered, "settled|once|1");

    world.ctl_says(&["budgets", "set", "night", "--scope", "fleet", "--limit", "5", "--period", "day"]);
    world
        .until_sql("SELECT id, scope, limit_usd, period, at_limit FROM budgets", "night|fleet|5.0|day|pause");
    world.sql("UPDATE budgets SET limit_usd = 7.25; INSERT INTO budgets (id, limit_usd) VALUES ('noon', 1)");
    let limits = || {
        let budgets = world.get("/api/v1/budgets").body["data"].clone();
        let mut all: Vec<(String, u64)> = (budgets.as_array().unwrap().iter())
            .map(|one| (one["name"].as_str().unwrap().into(), one["limit_micros"].as_u64().unwrap()))
            .collect();
        all.sort();
        all
    };
    world.until_sql("SELECT count(*) FROM audit_log WHERE action LIKE '% budgets' AND result = 'done'", "2");
    assert_eq!(limits(), [("night".to_owned(), 7_250_000), ("noon".to_owned(), 1_000_000)]);
    world.sql("UPDATE budgets SET period = 'fortnight' WHERE id = 'noon'");
    world.until_sql(
        "SELECT count(*) FROM audit_log WHERE action = 'update budgets' AND result = 'refused'",
        "1",
    );
    world.until_sql("SELECT period FROM budgets WHERE id = 'noon'", "day");
    world.sql("DELETE FROM budgets WHERE id = 'noon'");
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'delete budgets'", "1");
    assert_eq!(limits().len(), 1);

    world.sql("INSERT INTO silences (matches, until) VALUES ('((', '2999-01-31 12:00:00')");
    world.until_sql(
        "SELECT count(*) FROM audit_log WHERE action LIKE '% silences' AND result = 'refused'",
        "1",
    );
    world.until_sql("SELECT count(*) FROM silences", "0");
    world.sql("INSERT INTO silences (matches, until) VALUES ('disk.*', '2999-01-31 12:00:00')");
    world.until_sql(
        "SELECT count(*) FROM audit_log WHERE action = 'insert silences' AND result = 'done'",
        "1",
    );
    let silences = world.get("/api/v1/silences").body["data"].clone();
    assert_eq!(silences[0]["until"], "2999-01-31T12:00:00.000Z", "{silences}");

    // A halt by this way is as whole as one by another: what it says is true, and so is its end.
    world.sql("INSERT INTO halts (id, halted_by) VALUES ('*', 'eve')");
    world.until_sql("SELECT count(*) FROM alerts WHERE name = 'work.halted' AND status = 'firing'", "1");
    nothing_begins(&world);
    world.sql("DELETE FROM halts");
    world.until_sql("SELECT count(*) FROM alerts WHERE name = 'work.halted' AND status = 'resolved'", "1");
    let id = world.start_session("shop", "say hello");
    world.wait_for_session(&id, "idle");
    world.until_mirrored();
    world.end_supervisor();
    let (code, said) = world.store_does(&["check"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_backup_of_the_release_before_brings_everything_back_though_it_lacks_what_came_since() {
    let mut world = World::supervised();
    world.end_supervisor();
    let copy = world.path().join("before.db");
    // Its silence was for three hours of the day on which the file was made.
    let before =
        BEFORE.replace(r#""until":"2026-11-30T08:17:17.637Z""#, r#""until":"2999-01-01T00:00:00.000Z""#);
    assert_ne!(before, BEFORE);
    sqlite(&copy, &before).unwrap();
    assert_eq!(
        sqlite(&copy, "PRAGMA user_version; SELECT count(*) FROM sqlite_master WHERE name = 'halts'")
            .unwrap(),
        "3\n0"
    );
    put_in_place(&world, &copy);
    world.start_supervisor();
    world.until_sql("PRAGMA user_version; SELECT id, halted_by FROM halts", "4\nsite|token");
    assert_eq!(world.sql("SELECT id, limit_usd FROM budgets"), "night|5.0");
    assert_eq!(world.sql("SELECT matches, reason FROM silences"), "disk.*|moving");
    assert_eq!(
        world.sql("SELECT status, what FROM approvals ORDER BY 1"),
        "settled|make\nwaiting|rm -rf build"
    );
    assert_eq!(world.sql("SELECT count(*) FROM state WHERE id LIKE 'halt/%' OR id LIKE 'approval%'"), "0");
    let marks = world.sql("SELECT data FROM state WHERE id LIKE 'session.marks/%'");
    let paused: Value = serde_json::from_str(&marks).unwrap();
    assert_eq!(paused["paused"]["by"], json!("token"));
    let (_, said) = world.ctl_fails(&["sessions", "start", "--project", "site", "say hello"]);
    assert!(said.contains("project site is halted by token"), "{said}");
    let waiting = world.get("/api/v1/approvals").body["data"].clone();
    assert_eq!((waiting[0]["what"].clone(), waiting.as_array().unwrap().len()), (json!("rm -rf build"), 1));
}
