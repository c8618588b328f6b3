//! kill -9 while both are kept in step: no wrong file is taken for the truth, no event is lost, and what an operator did
//! counts once.

use super::steady::Steady;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

#[test]
fn a_great_delete_that_a_kill_interrupts_is_done_after_the_start() {
    let mut world = World::supervised();
    let steady = Steady::begin_and_say(&world, 15_000);
    steady.until(15_000);
    let said = steady.end();
    world.until_mirrored();
    world.sql("DELETE FROM events WHERE type = 'peer.tick'");
    let left = wait_until("some of it is deleted", PATIENCE, || match world.count_events("type=peer.tick") {
        some if some < said => Ok(some),
        all => Err(all.to_string()),
    });
    world.kill_supervisor();
    assert!(left > 0, "the kill came too late");
    world.start_supervisor();
    world.until_events("type=peer.tick", 0);
    let log = world.supervisor().said();
    assert!(!log.contains("has lost rows"), "{log}");
}
