//! A hub that hangs while all else goes on: systemd's watchdog must hear nothing more, or nobody would start it anew.

use std::fs::DirEntry;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rustix::process::Signal;

use super::means::can;
use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;
use crate::service::Ear;
use crate::world::World;

/// What systemd is told to expect: a word every 600 ms, so that the supervisor says it every 200.
const WATCHDOG_USEC: u32 = 600_000;

/// Ten words that were not said.
const SILENCE: Duration = Duration::from_secs(2);

/// How long each of the hub's waits for its queue is drawn out, in microseconds.
const HANGS: &str = "30000000";

#[test]
fn the_watchdog_hears_nothing_of_a_supervisor_whose_hub_hangs() {
    if !can("a hub that hangs", &["strace"]) {
        return;
    }
    let mut world = World::empty();
    let mut ear = Ear::of(&mut world, WATCHDOG_USEC);
    world.start_supervisor_by(world.supervisor_command());
    world.wait_for_supervisor();
    ear.hears("WATCHDOG=1");
    let hang = hang_thread(world.supervisor(), "hub");
    let mut last = Instant::now();
    wait_until("the watchdog hears nothing", PATIENCE, || {
        if ear.has_heard("WATCHDOG=1") {
            last = Instant::now();
        }
        if last.elapsed() > SILENCE {
            Ok(())
        } else {
            Err(format!("it heard something {:?} ago", last.elapsed()))
        }
    });
    let alive = world.request(Method::GET, "/healthz", None, &[], None);
    assert_eq!(alive.status, StatusCode::OK, "only the hub hangs, so a mere timer would have gone on");
    let _let_go = hang.end_with(Signal::TERM);
    ear.hears("WATCHDOG=1");
}

/// Draws out every wait of one thread; its end lets the thread go.
fn hang_thread(program: &Program, thread: &str) -> Program {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    let name = |task: &DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    let task = tasks.filter_map(Result::ok).find(|task| name(task).trim() == thread).unwrap();
    let mut command = Command::new("strace");
    command.args([
        "-o",
        "/dev/null",
        "-e",
        "trace=futex",
        "-e",
        &format!("inject=futex:delay_enter={HANGS}"),
        "-p",
    ]);
    let strace = Program::start("strace", {
        command.arg(task.file_name());
        command
    });
    strace.line_with("attached");
    strace
}
