//! Readers that do not read, callers without number, and too little memory: they hurt themselves alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hal_o_swarm::base::clock::now;
use hal_o_swarm::protocol::frame::{FromAgent, ToAgent};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::means::{can, in_the_middle, is_whole, resident, skip, stored};
use crate::patience::{PATIENCE, wait_until};
use crate::peer::{Peer, batch};
use crate::stream::Stream;
use crate::world::{TOKEN, World};

/// Memory that whoever does not read may cost the supervisor, beside what each of them holds: what is said meanwhile
/// fills the caches of the store (32 MiB) and of its mirror (8 MiB), and the allocator keeps what threads have used.
const MOST_MORE: u64 = 144 * 1024 * 1024;

/// Tries in a second of a listener that cannot take anybody. Not its work is counted: that is the turn's as well, and
/// as much as the build and the machine make of it.
const MOST_TRIES: f64 = 20.0;

/// What a reader of the stream holds: a page, and the event that made it one.
const PAGE: u64 = 5 * 1024 * 1024;

/// Bytes of a text, and texts in a turn: more than a network holds for somebody who does not read.
const TEXT: usize = 80_000;
const TEXTS: usize = 40;

/// Asks for something over a connection of its own, and reads nothing.
fn ask_and_forget(world: &World, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port())).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Bytes that a port of ours wants to say on a connection and that nobody takes.
fn unsaid(from: u16, to: u16) -> u64 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let (from, to) = (format!(":{from:04X}"), format!(":{to:04X}"));
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut ours = fields.filter(|of| of.len() > 4 && of[1].ends_with(&from) && of[2].ends_with(&to));
    ours.next().map_or(0, |of| u64::from_str_radix(&of[4][..8], 16).expect("the kernel counts in hex"))
}

#[test]
fn readers_of_the_stream_that_do_not_read_cost_little_and_miss_nothing() {
    const STUCK: usize = 12;
    let world = World::with_node();
    let url = |path: &str| format!("{}/api/v1/stream{path}", world.url("http"));
    let verdict = world.run(async { Stream::open(&url(""), TOKEN).await.next().await });
    let cursor = verdict.data["cursor"].as_str().unwrap().to_owned();
    let turns = |count: usize| {
        for _ in 0..count {
            let id = world.start_session("shop", &format!("say {}\n", "z".repeat(TEXT)).repeat(TEXTS));
            world.wait_for_session(&id, "idle");
        }
    };
    turns(1);
    let before = resident(world.supervisor().pid());
    let path = format!("/api/v1/stream?cursor={cursor}");
    let mut stuck: Vec<TcpStream> = (0..STUCK).map(|_| ask_and_forget(&world, &path)).collect();
    wait_until("all of them are served", PATIENCE, || {
        let streams = world.metric("hal_o_swarm_streams_active");
        if streams >= STUCK as f64 { Ok(()) } else { Err(streams.to_string()) }
    });
    turns(6);
    let seqs: Vec<u64> = world.events("").iter().filter_map(|event| event["seq"].as_u64()).collect();
    let since: u64 = cursor.rsplit('-').next().unwrap().parse().unwrap();
    let expected: Vec<u64> = seqs.into_iter().filter(|seq| *seq > since).collect();
    let begun = Instant::now();
    let seen = world.run(async {
        let mut reader = Stream::open(&url(&format!("?cursor={cursor}")), TOKEN).await;
        let mut seen = Vec::new();
        while seen.last() != expected.last() {
            let said = reader.next().await;
            seen.extend(said.data["seq"].as_u64());
        }
        seen
    });
    let took = begun.elapsed();
    assert_eq!(seen, expected, "who reads sees everything once");
    let more = resident(world.supervisor().pid()).saturating_sub(before);
    let waiting = stuck.iter().map(|one| unsaid(world.port(), one.local_addr().unwrap().port()));
    let waiting: Vec<u64> = waiting.collect();
    println!(
        "{STUCK} stuck readers with {waiting:?} bytes unsaid: {} MiB more; read in {took:?}",
        more >> 20
    );
    assert!(waiting.iter().all(|bytes| *bytes > 0), "some are not stuck: {waiting:?}");
    assert!(more < STUCK as u64 * PAGE + MOST_MORE, "{} MiB more", more >> 20);
    // One of them begins to read: it has lost its place, not its data.
    assert_eq!(read_until(&mut stuck[7], *expected.last().unwrap()), expected);
}

/// Reads a stream up to this event: the numbers of all of them.
fn read_until(stream: &mut TcpStream, last: u64) -> Vec<u64> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines = BufReader::new(stream).split(b'\n').map(|line| line.expect("it goes on"));
    let mut seen = Vec::new();
    for line in lines {
        let cursor = line.strip_prefix(b"id: ").map(|id| String::from_utf8_lossy(id).into_owned());
        let number = cursor.and_then(|cursor| cursor.rsplit('-').next()?.trim().parse::<u64>().ok());
        // The verdict has the cursor that was asked for.
        seen.extend(number);
        if seen.last() == Some(&last) {
            break;
        }
    }
    seen.split_off(1)
}

#[test]
fn an_agent_that_does_not_read_holds_up_nobody() {
    const ASKED: u32 = 80;
    let world = World::with_node();
    let before = resident(world.supervisor().pid());
    let mut deaf = world.run(async {
        let (mut deaf, _) = Peer::join(&world.url("ws"), TOKEN, "deaf").await;
        let first = batch(deaf.incarnation(), Some("kettle"), 1..=1);
        deaf.send(Message::text(first)).await.expect("the link is open");
        deaf.hear_ack(1).await;
        deaf
    });
    let id = world.start_session("shop", "pace 4000 1000");
    in_the_middle(&world, &id, 4_000);
    let long = "x".repeat(250_000);
    for _ in 0..ASKED {
        let args = json!({"message": long});
        let command = json!({"type": "prompt_session", "session_id": "kettle", "timeout": 0, "args": args});
        let reply = world.ask(&command);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        // It says that it lives for as long as it is heard.
        let _cut = world.run(deaf.send(Message::text(FromAgent::Other("alive".into()).encode(now()))));
    }
    is_whole(&world, "web-1", &id, 4_000);
    let more = resident(world.supervisor().pid()).saturating_sub(before);
    let mut heard = 0;
    world.run(async {
        let hearing = async {
            while let Ok(frame) = deaf.hear().await {
                heard += u32::from(matches!(frame, ToAgent::Command(_)));
            }
        };
        let _over = tokio::time::timeout(PATIENCE, hearing).await;
    });
    println!("{heard} of {ASKED} commands were on their way, {} MiB more", more >> 20);
    assert!(heard > 0 && heard < ASKED, "{heard} of {ASKED} on their way: nothing was held back for it");
    assert!(more < MOST_MORE, "{} MiB more", more >> 20);
}

/// Whether somebody new is answered within this time.
fn is_answered(world: &World, patience: Duration) -> Result<(), String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port()))?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    match ask() {
        Ok(text) if text.contains("healthy") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_supervisor_out_of_descriptors_keeps_its_agents_and_recovers() {
    const LIMIT: usize = 64;
    let mut world = World::empty();
    // The shell sets the limit and becomes the program.
    let words = ["sh", "-c", &format!("ulimit -n {LIMIT} && exec \"$0\" \"$@\"")];
    world.under = words.map(str::to_owned).to_vec();
    world.start_supervisor();
    world.under.clear();
    world.start_agent("web-1", "shop");
    let pid = world.supervisor().pid();
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    // Each shows the token and then says no more: those who show none would be sent away.
    let crowd: Vec<TcpStream> = (0..2 * LIMIT).map(|_| ask_and_forget(&world, "/api/v1/health")).collect();
    wait_until("it has none left", PATIENCE, || {
        let open = open();
        if open >= LIMIT { Ok(()) } else { Err(format!("{open} of {LIMIT}")) }
    });
    is_answered(&world, Duration::from_millis(500)).expect_err("nobody new can come in");
    let failed = || world.metric("hal_o_swarm_accepts_failed_total ") as u64;
    let (begun, before) = (Instant::now(), failed());
    // Over the connection that was there before.
    let id = world.start_session("shop", "pace 1000 500");
    wait_until("it goes on trying", PATIENCE, || {
        if failed() > before { Ok(()) } else { Err(before.to_string()) }
    });
    let (tries, time) = (failed() - before, begun.elapsed());
    assert!(open() >= LIMIT, "there was room meanwhile");
    let most = (MOST_TRIES * time.as_secs_f64()) as u64 + 2;
    assert!(tries <= most, "{tries} tries in {time:?}: it turns in a circle");
    // However long that takes beside a busy neighbour: the crowd may have been let go by then.
    is_whole(&world, "web-1", &id, 1_000);
    assert_eq!(world.count_events("type=node.offline"), 0, "the agent was not disturbed");
    drop(crowd);
    wait_until("somebody new is answered", PATIENCE, || is_answered(&world, PATIENCE));
    println!("{LIMIT} descriptors, {} callers: {tries} tries in {time:?}", 2 * LIMIT);
}

/// A group of processes with little memory; gone when this is.
struct Cage(PathBuf);

impl Cage {
    fn build(bytes: u64) -> Result<Self, String> {
        let folder = PathBuf::from(format!("/sys/fs/cgroup/memory/hal-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let cage = Self(folder);
        let limit = cage.0.join("memory.limit_in_bytes");
        std::fs::write(&limit, bytes.to_string()).map_err(|e| format!("{}: {e}", limit.display()))?;
        Ok(cage)
    }

    fn count(&self, file: &str, word: &str) -> u64 {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or("0");
        value.trim().parse().unwrap_or(0)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_supervisor_killed_for_want_of_memory_is_as_one_killed_otherwise() {
    const SCENE: &str = "a supervisor without memory";
    if !can(SCENE, &["sh"]) {
        return;
    }
    let cage = match Cage::build(96 * 1024 * 1024) {
        Ok(cage) => cage,
        Err(why) => return skip(SCENE, &why),
    };
    let mut world = World::empty();
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", cage.0.display());
    world.under = ["sh", "-c", &enter].map(str::to_owned).to_vec();
    world.start_supervisor();
    world.under.clear();
    world.start_agent("web-1", "shop");
    let id = world.start_session("shop", "pace 6000 1000");
    in_the_middle(&world, &id, 6_000);
    let there = stored(&world, &id);
    // Large bodies are read into memory before they are understood.
    let body =
        json!({"type": "create_session", "project": "shop", "args": {"prompt": "y".repeat(4_000_000)}});
    let killed = starve(&world, &cage, &body);
    if !killed {
        return skip(SCENE, "this kernel ends nobody for it");
    }
    world.kill_supervisor();
    world.start_supervisor();
    assert!(stored(&world, &id) >= there, "what was stored is still there");
    is_whole(&world, "web-1", &id, 6_000);
    println!("killed {} times with {there} stored", cage.count("memory.oom_control", "oom_kill "));
}

/// Takes its memory until the kernel ends it; false when it would not.
fn starve(world: &World, cage: &Cage, body: &Value) -> bool {
    let usage = resident(world.supervisor().pid());
    let limit = cage.0.join("memory.limit_in_bytes");
    let _as_near_as_it_goes = std::fs::write(limit, (usage + (4 << 20)).to_string());
    let begun = Instant::now();
    let text = body.to_string();
    let head = format!(
        "POST /api/v1/commands HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    let mut callers = Vec::new();
    while begun.elapsed() < PATIENCE {
        if cage.count("memory.oom_control", "oom_kill ") > 0 || resident(world.supervisor().pid()) == 0 {
            return true;
        }
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", world.port())) {
            let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
            // All but the last byte, so that it waits for it.
            let _ended = stream.write_all(head.as_bytes());
            let _ended = stream.write_all(&text.as_bytes()[..text.len() - 1]);
            callers.push(stream);
        }
    }
    false
}
