//! P11: one reader that stops reading and one agent that stands still, and what the others feel of it; and what a
//! burst of events costs in memory.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::process::Signal;
use serde_json::json;

use crate::Plan;
use crate::fleet::Fleet;
use crate::kernel::resident_kib;
use crate::report::{Line, Verdict, ms};
use crate::world::{TOKEN, World};

const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_secs(3);

/// The others: agents, and their events a second together. The stuck reader should have had all of them.
const OTHERS: usize = 20;
const EVENTS_PER_SECOND: u64 = 2_000;

/// Commands that the paused agent is asked in a slice.
const ASKED: usize = 40;

/// What the supervisor may grow by: a page for the reader, commands for the agent, and what redb has cached.
const GROWTH_KIB: f64 = 64.0 * 1024.0;

/// A burst, and what the supervisor may hold then: 64 MiB of frames waiting, as much again of the batch that is being
/// written, 32 MiB of pages, and the program.
const BURST: u64 = 100_000;
const BURST_AGENTS: usize = 100;
const BURST_MIB: f64 = 192.0;

/// P11 and the burst.
pub fn measure(plan: &Plan) -> Vec<Line> {
    vec![others(plan), burst(plan)]
}

fn others(plan: &Plan) -> Line {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    let session = world.start_session("shop", "say ready");
    let mut fleet = Fleet::join(&world, "other", OTHERS);
    fleet = world.run(fleet.keep_saying(EVENTS_PER_SECOND, SLICE));
    fleet.take_delays();
    let pid = world.supervisor().pid();
    let before = resident_kib(pid).0;
    let (mut free, mut stuck) = (Vec::new(), Vec::new());
    let mut slice = |with_trouble: bool| {
        let trouble = with_trouble.then(|| Trouble::make(&world, &session));
        let said = std::mem::take(&mut fleet);
        fleet = world.run(said.keep_saying(EVENTS_PER_SECOND, SLICE));
        let delays = fleet.take_delays();
        let into = if trouble.is_some() { &mut stuck } else { &mut free };
        into.push(delays);
    };
    for _ in 0..ROUNDS {
        for with_trouble in [false, true, true, false] {
            slice(with_trouble);
        }
    }
    let growth = resident_kib(pid).1 - before;
    let (free, stuck) = (together(free), together(stuck));
    let p99 = |seen: &Histogram<u64>| Duration::from_micros(seen.value_at_quantile(0.99));
    let ratio = p99(&stuck).as_secs_f64() / p99(&free).as_secs_f64();
    let bounded = growth <= GROWTH_KIB;
    Line {
        number: "P11",
        what: format!(
            "others' events acknowledged, {EVENTS_PER_SECOND}/s, beside a stuck reader and a paused agent"
        ),
        goal: format!("p99 <= 1.5x, at most {:.0} MiB more", GROWTH_KIB / 1024.0),
        dream: "1.1x".to_owned(),
        measured: format!(
            "p99 {} beside {}; {:.1} MiB more",
            ms(p99(&stuck)),
            ms(p99(&free)),
            growth / 1024.0
        ),
        ratio: format!("{ratio:.2}x"),
        verdict: Verdict::of(ratio <= 1.1 && bounded, ratio <= 1.5 && bounded),
        numbers: json!({"p99_us": p99(&stuck).as_micros() as u64, "p99_free_us": p99(&free).as_micros() as u64,
            "growth_kib": growth}),
    }
}

fn together(all: Vec<Histogram<u64>>) -> Histogram<u64> {
    let sum = all.into_iter().reduce(|mut sum, one| {
        sum.add(one).expect("they are alike");
        sum
    });
    sum.expect("there were rounds")
}

/// A reader that asks for everything and reads nothing, and an agent that is stopped and asked for things.
struct Trouble<'a> {
    world: &'a World,
    _reader: TcpStream,
}

impl<'a> Trouble<'a> {
    fn make(world: &'a World, session: &str) -> Self {
        let mut reader = TcpStream::connect(("127.0.0.1", world.port())).expect("the supervisor listens");
        let request = format!(
            "GET /api/v1/stream?live=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        reader.write_all(request.as_bytes()).expect("the supervisor takes it");
        world.agent("web-1").signal(Signal::STOP);
        let look = json!({"type": "session_status", "session_id": session, "timeout": 0});
        for _ in 0..ASKED {
            let reply = world.ask(&look);
            assert_eq!(reply.body["data"]["state"], "sent", "the agent stands still: {}", reply.body);
        }
        Self { world, _reader: reader }
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        self.world.agent("web-1").signal(Signal::CONT);
        crate::patience::wait_until("the agent has done what it was asked", Duration::from_secs(30), || {
            let open = self.world.data("/api/v1/commands?state=sent&limit=1");
            if open.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(open.to_string()) }
        });
    }
}

fn burst(plan: &Plan) -> Line {
    let mut world = World::empty_in(&plan.folder);
    world.heartbeat_sec = 60;
    world.start_supervisor();
    let mut fleet = Fleet::join(&world, "burst", BURST_AGENTS);
    let pid = world.supervisor().pid();
    let before = resident_kib(pid).0 / 1024.0;
    let rate = fleet.say(&world, BURST);
    let peak = resident_kib(pid).1 / 1024.0;
    Line {
        number: "P11",
        what: format!("a burst of {BURST} events from {BURST_AGENTS} agents, all acknowledged, {rate:.0}/s"),
        goal: format!("bounded: <= {BURST_MIB:.0} MiB"),
        dream: "-".to_owned(),
        measured: format!("at most {peak:.1} MiB, {before:.1} before"),
        ratio: "-".to_owned(),
        verdict: Verdict::of(false, peak <= BURST_MIB),
        numbers: json!({"peak_mib": peak, "before_mib": before}),
    }
}
