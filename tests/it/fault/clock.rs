//! Clocks that jump an hour: a preloaded `clock_gettime` moves the clock of one program while it runs.

use std::path::PathBuf;
use std::time::Duration;

use hal_o_swarm::base::clock::{Time, now};
use serde_json::{Value, json};

use super::means::{during, is_whole, shim};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

const HOUR: i64 = 3_600_000;

/// The clock of the programs that are started under it.
struct Clock {
    file: PathBuf,
}

impl Clock {
    /// Puts a clock under the programs that the world starts next; `None` where there is no compiler.
    fn under(world: &mut World, name: &str) -> Option<Self> {
        let shim = shim(world.path(), "clock")?;
        let clock = Self { file: world.path().join(name) };
        clock.jump(0);
        world.environment = vec![
            ("LD_PRELOAD".to_owned(), shim.to_string_lossy().into_owned()),
            ("HAL_CLOCK".to_owned(), clock.file.to_string_lossy().into_owned()),
        ];
        Some(clock)
    }

    /// From now on it is so many milliseconds fast. The file is written over: the programs have it mapped.
    fn jump(&self, by_ms: i64) {
        let mut open = std::fs::OpenOptions::new();
        let file = open.write(true).create(true).truncate(false).open(&self.file).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &(by_ms * 1_000_000).to_ne_bytes(), 0).unwrap();
    }
}

/// What the supervisor believes the time is, compared with the truth.
fn ahead(world: &World) -> i64 {
    let told = world.get("/api/v1/health").body["timestamp"].as_str().and_then(Time::parse);
    told.expect("it says when").0 - now().0
}

/// Waits until the supervisor's clock has jumped, and it has said so.
fn has_jumped(world: &World, jumps: usize, by_ms: i64) {
    assert!((ahead(world) - by_ms).abs() < HOUR / 60, "the clock is {} ms ahead", ahead(world));
    wait_until("the supervisor notices", PATIENCE, || {
        let told = world.events("type=clock.jumped");
        let is_so = told.len() >= jumps && told.iter().all(|one| one["data"]["by_ms"].is_i64());
        if is_so { Ok(()) } else { Err(format!("{told:?}")) }
    });
}

fn state(world: &World, command: &str) -> Value {
    world.data(&format!("/api/v1/commands/{command}"))["state"].clone()
}

/// Asks something of a node that is not there.
fn ask(world: &World, expires: u64) -> String {
    let reply = world
        .ask(&json!({"type": "create_session", "project": "yard", "node_id": "web-2", "timeout": 0,
        "args": {"prompt": "burst 1"}, "expires": expires}));
    reply.body["data"]["command_id"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
}

/// The node stays, whatever the clock says: heartbeats come every second.
fn stays_online(world: &World) {
    during(Duration::from_secs(2), || {
        assert_eq!(world.data("/api/v1/nodes/web-1")["status"], "online");
    });
    assert_eq!(world.count_events("node_id=web-1&type=node.offline"), 0);
}

#[test]
fn a_supervisor_whose_clock_jumps_ends_nothing_early_and_nothing_late() {
    let mut world = World::empty();
    let Some(clock) = Clock::under(&mut world, "clock") else { return };
    world.start_supervisor();
    world.environment.clear();
    world.start_agent("web-1", "shop");
    world.start_agent("web-2", "yard");
    world.take_agent("web-2").kill();
    world.wait_for_node("web-2", "offline");
    let id = world.start_session("shop", "pace 6000 500");
    let patient = ask(&world, 300);

    clock.jump(HOUR);
    has_jumped(&world, 1, HOUR);
    stays_online(&world);
    assert_eq!(state(&world, &patient), "queued", "its five minutes are not over");
    let short = ask(&world, 2);
    clock.jump(-HOUR);
    has_jumped(&world, 2, -HOUR);
    wait_until("two seconds are over by any clock", PATIENCE, || {
        let state = state(&world, &short);
        if state == "expired" { Ok(()) } else { Err(state.to_string()) }
    });
    stays_online(&world);
    assert_eq!(state(&world, &patient), "queued");
    world.start_agent_again("web-2");
    wait_until("the patient one is done", PATIENCE, || {
        let state = state(&world, &patient);
        if state == "done" { Ok(()) } else { Err(state.to_string()) }
    });
    clock.jump(0);
    has_jumped(&world, 3, 0);
    is_whole(&world, "web-1", &id, 6_000);
    let events = world.events("");
    let times: Vec<Time> =
        events.iter().map(|event| Time::parse(event["timestamp"].as_str().unwrap()).unwrap()).collect();
    assert!(times.is_sorted(), "the time of storing never runs backwards");
    assert_eq!(world.count_events("node_id=web-2&type=session.created"), 1, "the one that lapsed never ran");
}

#[test]
fn an_agent_whose_clock_jumps_loses_nothing() {
    let mut world = World::supervised();
    let Some(clock) = Clock::under(&mut world, "clock") else { return };
    world.start_agent("web-1", "shop");
    world.environment.clear();
    let id = world.start_session("shop", "pace 3000 500");
    for (by_ms, prompt) in [(HOUR, "say ahead"), (-HOUR, "say behind"), (0, "say as before")] {
        clock.jump(by_ms);
        stays_online(&world);
        let other = world.start_session("shop", prompt);
        world.wait_for_session(&other, "idle");
        let created = world.events(&format!("session_id={other}&type=session.created"));
        let occurred = Time::parse(created[0]["occurred_at"].as_str().unwrap()).unwrap();
        assert!((occurred.0 - now().0 - by_ms).abs() < HOUR / 10, "the jump did not happen: {}", created[0]);
        let deed = json!({"type": "prompt_session", "session_id": other, "args": {"message": "say more"}, "expires": 5});
        world.done(&deed);
    }
    is_whole(&world, "web-1", &id, 3_000);
}
