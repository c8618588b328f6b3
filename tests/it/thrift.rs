//! What a single event costs the supervisor: counted, not timed. The bounds are those of the log's design; what is done
//! once a second (redb made durable, a window of the mirror) is allowed for each second that the scene took.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Signal;

use crate::fault::means::can;
use crate::peer::Peer;
use crate::program::Program;
use crate::world::{TOKEN, World};

/// Events, one in each frame, each acknowledged before the next is said.
const EVENTS: u64 = 300;

/// Syncs of a second's upkeep at most: redb twice, the mirror's log and file, the note beside the log, its folder; twice a
/// second at most.
const UPKEEP_SYNCS: u64 = 16;

/// Bytes that an event may have written: its record is one page of the disk.
const EVENT_BYTES: u64 = 9 * 1024;

/// Bytes of a second's upkeep: what redb copies to be durable, and SQLite twice.
const UPKEEP_BYTES: u64 = 1024 * 1024;

/// Counts syncs of a program.
struct Syncs {
    strace: Program,
    log: PathBuf,
}

impl Syncs {
    fn of(pid: u32, folder: &Path) -> Self {
        let log = folder.join("syncs");
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-e", "trace=fdatasync,fsync", "-o"]).arg(&log).args(["-p", &pid.to_string()]);
        let strace = Program::start("strace", command);
        strace.line_with("attached");
        Self { strace, log }
    }

    fn end(self) -> u64 {
        let _detached = self.strace.end_with(Signal::TERM);
        let log = fs::read_to_string(&self.log).unwrap();
        // One that another thread has interrupted has two lines.
        log.lines().filter(|line| line.contains("sync(")).count() as u64
    }
}

fn bytes_written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_single_event_is_one_sync_and_a_page_of_the_disk() {
    if !can("syncs of single events, counted", &["strace"]) {
        return;
    }
    let mut world = World::empty();
    world.start_supervisor();
    let pid = world.supervisor().pid();
    let mut peer = world.run(async { Peer::join(&world.url("ws"), TOKEN, "web-1").await.0 });
    // The first commits make the log and the session's rows.
    world.run(async {
        for seq in 1..=20 {
            peer.say_events(seq..=seq).await;
            peer.hear_ack(seq).await;
        }
    });
    let syncs = Syncs::of(pid, world.path());
    let (begun, before) = (Instant::now(), bytes_written(pid));
    let commits = world.metric("hal_o_swarm_commits_total");
    world.run(async {
        for seq in 21..=20 + EVENTS {
            peer.say_events(seq..=seq).await;
            peer.hear_ack(seq).await;
        }
    });
    let commits = world.metric("hal_o_swarm_commits_total") - commits;
    let seconds = begun.elapsed().as_secs() + 2;
    let (syncs, bytes) = (syncs.end(), bytes_written(pid) - before);
    println!("{EVENTS} events in {seconds} s: {commits} commits, {syncs} syncs, {bytes} bytes");
    assert!(syncs >= EVENTS, "each was acknowledged after a sync: {syncs}");
    assert!(syncs <= EVENTS + UPKEEP_SYNCS * seconds, "{syncs} syncs for {EVENTS} events in {seconds} s");
    let allowed = EVENTS * EVENT_BYTES + UPKEEP_BYTES * seconds;
    assert!(bytes <= allowed, "{bytes} bytes for {EVENTS} events in {seconds} s");
}
