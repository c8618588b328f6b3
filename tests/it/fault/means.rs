//! What the scenes of faults have in common: what they need of the machine, how long they last, and their oracle.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::strace;
use crate::event::ticks;
use crate::patience::{PATIENCE, wait_until};
use crate::world::{World, text};

/// Somebody who owns nothing.
const NOBODY: u32 = 65_534;

/// True when scenes may take their full length: `HAL_SOAK` is set.
pub fn soak() -> bool {
    std::env::var_os("HAL_SOAK").is_some_and(|value| !value.is_empty())
}

/// True when this can be run as root with these tools; else it says why the scene is skipped.
pub fn can(scene: &str, tools: &[&str]) -> bool {
    let root = rustix::process::geteuid().is_root();
    let missing = tools.iter().find(|tool| !is_there(tool));
    let why = match missing {
        _ if !root => "it needs root".to_owned(),
        Some(tool) => format!("it needs {tool}"),
        None if tools.contains(&"strace") => match strace::why_not() {
            Some(why) => why,
            None => return true,
        },
        None => return true,
    };
    skip(scene, &why);
    false
}

/// True when files can be given to others, which takes root with all its rights; else it says that this is skipped.
pub fn can_give_away(scene: &str) -> bool {
    let folder = tempfile::tempdir().expect("there is room");
    let given = std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY));
    if let Err(error) = &given {
        skip(scene, &format!("files cannot be given away here: {error}"));
    }
    given.is_ok()
}

/// Says that a scene was not played. To whoever runs the tests it counts as passed, so that `tests/run` is told, too.
pub fn skip(scene: &str, why: &str) {
    note_skipped(std::thread::current().name(), scene, why);
}

/// Says that a scene was played without a part of it.
pub fn skip_part(part: &str, why: &str) {
    note_skipped(None, part, why);
}

/// `tests/run` takes off the passed ones the tests that are named here; a part has no name of a test.
fn note_skipped(test: Option<&str>, scene: &str, why: &str) {
    let why = why.trim().replace('\n', " ");
    eprintln!("SKIPPED {scene}: {why}");
    if let Some(file) = std::env::var_os("HAL_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
        let line = format!("{}\t{scene}\t{why}\n", test.unwrap_or("-"));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("tests/run has made a file for it");
    }
}

/// Compiles what is preloaded under a program; `None` where there is no compiler.
pub fn shim(folder: &Path, name: &str) -> Option<PathBuf> {
    let shim = folder.join(format!("{name}.so"));
    let source = crate::source::root().join(format!("tests/it/fault/{name}.c"));
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&shim).arg(source).arg("-ldl");
    match compile.output() {
        Ok(done) if done.status.success() => Some(shim),
        Ok(done) => panic!("{}", text(&done.stderr)),
        Err(error) => {
            skip(&format!("scenes with {name}.c"), &format!("cc cannot be run: {error}"));
            None
        }
    }
}

fn is_there(tool: &str) -> bool {
    let places = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    places.split(':').any(|place| std::path::Path::new(place).join(tool).is_file())
}

/// Runs a tool of the machine.
pub fn tool(words: &[&str]) -> Output {
    let run = Command::new(words[0]).args(&words[1..]).output();
    run.unwrap_or_else(|e| panic!("{}: {e}", words.join(" ")))
}

/// Runs a tool that must succeed: what it printed.
pub fn must(words: &[&str]) -> String {
    attempt(words).unwrap_or_else(|why| panic!("{why}"))
}

/// Runs a tool for which this machine may lack a right: what it printed, or why it could not.
pub fn attempt(words: &[&str]) -> Result<String, String> {
    let done = tool(words);
    if done.status.success() {
        Ok(text(&done.stdout))
    } else {
        Err(format!("{}: {}", words.join(" "), text(&done.stderr)))
    }
}

/// Lets time pass, for what must hold meanwhile: `look` panics when it does not.
pub fn during(time: Duration, mut look: impl FnMut()) {
    let begun = std::time::Instant::now();
    let step = Duration::from_millis(100);
    wait_until("the time is over", time + PATIENCE, || {
        look();
        std::thread::park_timeout(step);
        if begun.elapsed() >= time { Ok(()) } else { Err(String::new()) }
    });
}

/// Everything that a turn was told to report is there once and in order, and the node's numbers have no hole.
pub fn is_whole(world: &World, node: &str, id: &str, count: u64) {
    wait_until("all of it is there", PATIENCE, || {
        let there = world.count_events(&format!("session_id={id}&type=echo.tick"));
        if there >= count { Ok(()) } else { Err(format!("{there} of {count}")) }
    });
    world.wait_for_session(id, "idle");
    assert!(ticks(world, id).into_iter().eq(1..=count), "each of {count} once, in order");
    let events = world.events(&format!("node_id={node}"));
    let numbers: Vec<u64> =
        events.iter().filter_map(|event| event["node_seq"].as_u64()).filter(|seq| *seq > 0).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "{node} has holes or doubles");
    assert!(events.iter().all(|event| event["type"] != "gap"), "nothing was given up");
}

/// How many ticks of a session are there.
pub fn stored(world: &World, id: &str) -> u64 {
    world.count_events(&format!("session_id={id}&type=echo.tick"))
}

/// Waits until some of a burst is there, and not all of it.
pub fn in_the_middle(world: &World, id: &str, all: u64) -> u64 {
    let there = wait_until("the burst has begun", PATIENCE, || match stored(world, id) {
        0 => Err("nothing is stored yet".to_owned()),
        some => Ok(some),
    });
    assert!(there < all, "the burst was over before anything could happen");
    there
}

/// Resident bytes of a process.
pub fn resident(pid: u32) -> u64 {
    bytes_of(pid, "VmRSS:")
}

/// The most bytes that a process ever had resident.
pub fn most_resident(pid: u32) -> u64 {
    bytes_of(pid, "VmHWM:")
}

fn bytes_of(pid: u32, word: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("the kernel counts in kB") * 1024
}

/// A program's first line with these words, if it has said one.
pub fn has_said(said: &str, words: &str) -> bool {
    said.lines().any(|line| line.contains(words))
}

/// Numbers that look random and are the same each time.
pub struct Dice(pub u64);

impl Dice {
    /// The next one below this.
    pub fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most.max(1)
    }
}
