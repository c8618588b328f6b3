//! Rows of the table `state` that an operator spoils or a restore brings spoilt: nothing opens, nothing vanishes.

use std::fs;

use super::stage::sqlite;
use crate::world::World;

const WHOLE: &str = "SELECT data FROM state WHERE id = 'halt/*'";

/// What is no halt any more: a field left out, nothing at all, another type, no JSON.
const SPOILT: [&str; 4] = [r#"{"by":"ada"}"#, "{}", "17", "no JSON"];

fn halted() -> World {
    let world = World::with_node();
    world.ctl_says(&["sessions", "halt", "--all"]);
    world.until_mirrored();
    world.until_sql("SELECT count(*) FROM state WHERE id = 'halt/*'", "1");
    world
}

fn nothing_begins(world: &World) {
    let (_, said) = world.ctl_fails(&["sessions", "start", "--project", "shop", "say hello"]);
    assert!(said.contains("everything is halted"), "{said}");
}

#[test]
fn a_halt_that_an_operator_spoils_is_put_back_with_the_reason() {
    let world = halted();
    let whole = world.sql(WHOLE);
    for (at, spoilt) in SPOILT.iter().enumerate() {
        world.sql(&format!("UPDATE state SET data = '{spoilt}' WHERE id = 'halt/*'"));
        let refused = "SELECT count(*) FROM audit_log WHERE target = 'halt/*' AND result = 'refused'";
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
        let spoil =
            format!("UPDATE state SET data = '{spoilt}' WHERE id = 'halt/*'; DELETE FROM _hal_oplog;");
        sqlite(&copy, &spoil).unwrap();
        // What comes after the copy makes it one that was restored.
        world.ctl_says(&["sessions", "halt", "--all", "--release"]);
        world.until_mirrored();
        world.end_supervisor();
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(world.path().join(format!("supervisor/supervisor.db{end}")));
        }
        fs::rename(&copy, world.mirror()).unwrap();
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
        world.until_sql(&format!("SELECT data <> '{spoilt}' FROM state WHERE id = 'halt/*'"), "1");
    }
}
