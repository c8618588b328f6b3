//! P6, P7 and P8: from the start of the process until it says it is ready, with an empty store and a full one, after
//! a clean end and after a kill; and the size of what is installed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::patience::wait_until;
use crate::program::Program;
use crate::report::{Line, Verdict, median, ms, spread};
use crate::world::{HAL, World};

/// Starts of each kind.
const STARTS: usize = 5;

/// Events said in one go while the store is filled.
const SHOVEL: u64 = 200_000;

/// Between two looks at a starting supervisor.
const GLANCE: Duration = Duration::from_micros(500);

/// Longer than any start may take.
const LIMIT: Duration = Duration::from_secs(120);

/// P6 and P8.
pub fn measure_starts(plan: &Plan) -> Vec<Line> {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    world.end_supervisor();
    let empty = starts(&world, Signal::TERM);
    let millions = if plan.full { 10 } else { 1 };
    world.start_supervisor();
    fill(&world, millions * 1_000_000);
    world.end_supervisor();
    let full = starts(&world, Signal::TERM);
    let killed = starts(&world, Signal::KILL);
    let events = format!("{millions} million events");
    let whole = if plan.full { "" } else { " (--full: 10 million)" };
    vec![
        line("P6", "cold start until ready, empty".to_owned(), &empty, 100, 30),
        line("P6", format!("cold start until ready, {events}{whole}"), &full, 300, 100),
        line("P8", format!("ready again after kill -9, {events}{whole}"), &killed, 1000, 150),
    ]
}

fn line(number: &'static str, what: String, times: &[f64], goal: u64, dream: u64) -> Line {
    let (low, high) = spread(times);
    let middle = median(&mut times.to_vec());
    let within = |limit: u64| middle <= Duration::from_millis(limit).as_secs_f64();
    Line {
        number,
        what,
        goal: format!("{goal} ms"),
        dream: format!("{dream} ms"),
        measured: format!("{} ({:.0}..{:.0})", ms(Duration::from_secs_f64(middle)), low * 1e3, high * 1e3),
        ratio: "-".to_owned(),
        verdict: Verdict::of(within(dream), within(goal)),
        numbers: json!({"seconds": times}),
    }
}

/// Seconds until ready, several times, each ended in this way. The page cache is as warm as it is.
fn starts(world: &World, end: Signal) -> Vec<f64> {
    let once = || {
        let begun = Instant::now();
        let program = Program::start("supervisor", world.supervisor_command());
        while !is_ready(world.port()) {
            assert!(begun.elapsed() < LIMIT, "not ready after {LIMIT:?}:\n{}", program.said());
            std::thread::park_timeout(GLANCE);
        }
        let took = begun.elapsed().as_secs_f64();
        if end == Signal::KILL {
            program.kill();
        } else {
            program.end_with(end);
        }
        took
    };
    // The first start of a kind follows the other kind of end.
    once();
    (0..STARTS).map(|_| once()).collect()
}

fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok::<_, std::io::Error>(head.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

/// Fills the store with events of a thousand sessions.
pub fn fill(world: &World, events: u64) {
    let mut fleet = Fleet::join(world, "fill", 50).with_sessions(20);
    for said in (0..events).step_by(usize::try_from(SHOVEL).expect("it is small")) {
        let rate = fleet.say(world, SHOVEL.min(events - said));
        println!("  {} of {events} events, {rate:.0}/s", said + SHOVEL);
    }
    drop(fleet);
    wait_until("all events are counted", LIMIT, || {
        let stored = world.count_events("type=peer.tick");
        if stored >= events { Ok(()) } else { Err(format!("{stored} of {events}")) }
    });
}

/// P7.
pub fn measure_size(_plan: &Plan) -> Vec<Line> {
    let bytes = std::fs::metadata(HAL).map_or(f64::NAN, |file| file.len() as f64);
    let mib = bytes / f64::from(1 << 20);
    vec![Line {
        number: "P7",
        what: "the stripped binary".to_owned(),
        goal: "<= 20 MiB".to_owned(),
        dream: "14 MiB".to_owned(),
        measured: format!("{mib:.1} MiB"),
        ratio: "-".to_owned(),
        verdict: Verdict::of(mib <= 14.0, mib <= 20.0),
        numbers: json!({"bytes": bytes}),
    }]
}
