//! Each of the two made anew from the other, with as many events as are asked for, and compared by SQLite itself.

use std::path::Path;
use std::time::{Duration, Instant};

use super::stage::{TABLES, sqlite};
use super::steady::Steady;
use crate::fault::report::asked;
use crate::patience::wait_until;

/// Events, unless `HAL_SOAK` names more: `HAL_SOAK=million=1000000`.
const EVENTS: u64 = 5_000;

/// How long a mirror may take to catch up.
const LONG: Duration = Duration::from_secs(600);

/// Rows that are in one file and not in the other, in both directions, of all tables.
fn differences(one: &Path, other: &Path) -> u64 {
    // How nodes are now is no row of the store.
    let of = |table: &str| match table {
        "nodes" => "id, hostname, connected_at, extra",
        _ => "*",
    };
    let only = |table: &str, from: &str, to: &str| {
        let columns = of(table);
        format!(
            "(SELECT count(*) FROM (SELECT {columns} FROM {from}.{table} EXCEPT SELECT {columns} FROM {to}.{table}))"
        )
    };
    let all = TABLES.map(|(table, _)| format!("{} + {}", only(table, "main", "b"), only(table, "b", "main")));
    let statement =
        format!("ATTACH 'file:{}?immutable=1' AS b; SELECT {};", other.display(), all.join(" + "));
    let one = format!("file:{}?immutable=1", one.display());
    sqlite(Path::new(&one), &statement).unwrap().parse().unwrap()
}

#[test]
fn each_store_is_made_anew_from_the_other_without_a_difference() {
    let events = asked("million").unwrap_or(EVENTS);
    let mut world = super::agree::full();
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    let steady = Steady::begin_and_say(&world, events);
    steady.until(events);
    let said = steady.end();
    // A million rows take a minute or two.
    wait_until("the mirror has caught up", LONG, || {
        let rows = world.metric("hal_o_swarm_mirror_rows ");
        if rows >= said as f64 { Ok(()) } else { Err(rows.to_string()) }
    });
    world.until_mirrored();
    world.end_supervisor();
    let first = world.path().join("first.db");
    std::fs::copy(world.mirror(), &first).unwrap();
    let time = |words: &[&str]| {
        let begun = Instant::now();
        let said = world.store_did(words);
        (begun.elapsed().as_secs_f64(), said)
    };
    let (mirror, _) = time(&["rebuild", "mirror"]);
    assert_eq!(differences(&world.mirror(), &first), 0, "a mirror made from the store");
    let (store, told) = time(&["rebuild", "store"]);
    assert!(told.contains("events"), "{told}");
    assert_eq!(
        differences(&world.mirror(), &first),
        0,
        "a mirror made from a store that was made from a mirror"
    );
    let (check, told) = time(&["check"]);
    assert!(told.contains("both agree"), "{told}");
    assert_eq!(
        sqlite(&first, "SELECT count(*) FROM events WHERE type = 'peer.tick'").unwrap(),
        said.to_string()
    );
    println!(
        "{said} events: store to mirror {mirror:.1} s, mirror to store and back {store:.1} s, check of both {check:.1} s, \
         0 rows differ"
    );
}
