//! A coding agent that talks garbage, and one that hangs: the agent lives, says so, and other projects go on.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::means::{most_resident, skip, soak};
use crate::event::ticks;
use crate::patience::{PATIENCE, wait_until};
use crate::whole::Whole;
use crate::world::World;

/// Memory that an agent may have needed for all of it: the longest event is refused at 32 MiB, read in doubling steps.
const MOST: u64 = 160 * 1024 * 1024;

/// Bytes that a line without an end would have, if somebody read them all.
const ENDLESS: u64 = 1 << 30;

/// Events in a row that are none.
const NONSENSE: usize = 5_000;

/// What the stand-in for a coding agent has done.
#[derive(Default)]
struct Done {
    is_mad: AtomicBool,
    streams: AtomicUsize,
    nonsense: AtomicUsize,
    endless: AtomicU64,
    cut: AtomicUsize,
    pages: AtomicUsize,
}

/// Serves what looks like opencode until one listens to it: the port.
fn listen(world: &World, done: &Arc<Done>) -> u16 {
    let done = done.clone();
    world.run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let done = done.clone();
                // Whoever has heard enough hangs up.
                tokio::spawn(async move {
                    let _hung_up = answer(stream, &done).await;
                });
            }
        });
        port
    })
}

async fn answer(mut stream: TcpStream, done: &Done) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    let body = match path {
        "/global/event" => return talk(stream, done).await,
        "/global/health" => json!({"healthy": true, "version": "1.18.33"}),
        "/session/status" => json!({}),
        _ => json!([]),
    };
    say(&mut stream, "application/json", &body.to_string()).await
}

async fn say(stream: &mut TcpStream, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await
}

/// The first events of every true stream.
const CONNECTED: &str =
    "data: {\"payload\":{\"id\":\"evt_1\",\"type\":\"server.connected\",\"properties\":{}}}\n\n";

/// A stream of events: each is mad in its own way, and from the fourth on there is none.
async fn talk(mut stream: TcpStream, done: &Done) -> std::io::Result<()> {
    let open = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n";
    if !done.is_mad.load(SeqCst) {
        stream.write_all(format!("{open}\r\n{CONNECTED}").as_bytes()).await?;
        return stream.read_u8().await.map(drop);
    }
    match done.streams.fetch_add(1, SeqCst) {
        0 => {
            stream.write_all(format!("{open}\r\n{CONNECTED}").as_bytes()).await?;
            let mad =
                ["{not json", "[]", "{\"payload\":7}", "\u{0}\u{1}", "null", "{\"payload\":{\"type\":{}}}"];
            for number in 0..NONSENSE {
                let line = format!("data: {}\n\n", mad[number % mad.len()]);
                stream.write_all(line.as_bytes()).await?;
                done.nonsense.fetch_add(1, SeqCst);
            }
            stream.write_all(b"data: \xff\xfe\xfd\n\n:\n\nid\n\nevent: x\n\n").await
        }
        1 => {
            stream.write_all(format!("{open}\r\n{CONNECTED}data: ").as_bytes()).await?;
            let piece = vec![b'e'; 1 << 20];
            while done.endless.load(SeqCst) < ENDLESS {
                stream.write_all(&piece).await?;
                done.endless.fetch_add(piece.len() as u64, SeqCst);
            }
            Ok(())
        }
        2 => {
            let chunk = format!("{:x}\r\n{CONNECTED}\r\nffff\r\ndata: {{\"pay", CONNECTED.len());
            done.cut.fetch_add(1, SeqCst);
            stream.write_all(format!("{open}Transfer-Encoding: chunked\r\n\r\n{chunk}").as_bytes()).await
        }
        _ => {
            done.pages.fetch_add(1, SeqCst);
            say(&mut stream, "text/html", "<!doctype html>\n\n<html><body>502 Bad Gateway</body></html>\n")
                .await
        }
    }
}

/// An agent with this stand-in for one project and the built-in backend for another.
fn stand(done: &Arc<Done>) -> World {
    let mut world = World::supervised();
    let port = listen(&world, done);
    let program = world.path().join("not-opencode");
    // It says where it listens and stays.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 1.18.33 && exit\necho opencode server listening on http://127.0.0.1:{port}\nexec tail -f /dev/null\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = world.agent_config("web-1", "yard");
    let directory = |name: &str| world.path().join("web-1").join(name);
    for name in ["shop", "yard"] {
        std::fs::create_dir_all(directory(name)).unwrap();
    }
    let shop = json!({"name": "shop", "directory": directory("shop"), "backend": "opencode"});
    config["projects"].as_array_mut().unwrap().push(shop);
    config["tool_paths"] = json!({"opencode": program});
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    world
}

fn wait_for_event(world: &World, kind: &str, count: usize) -> Vec<Value> {
    wait_until(&format!("{count} of {kind}"), PATIENCE, || {
        let events = world.events(&format!("type={kind}"));
        if events.len() >= count { Ok(events) } else { Err(format!("{events:?}")) }
    })
}

#[test]
fn a_coding_agent_that_talks_garbage_hurts_nobody_else() {
    let done = Arc::new(Done::default());
    done.is_mad.store(true, SeqCst);
    let world = stand(&done);
    let id = world.start_session("yard", "pace 2000 500");
    world.wait_for_session(&id, "running");
    let stopped = wait_for_event(&world, "backend.stopped", 1);
    let reason = stopped[0]["data"]["reason"].as_str().unwrap();
    assert!(reason.contains("its event stream cannot be read"), "{reason}");
    let node = world.data("/api/v1/nodes/web-1");
    let shop = node["projects"].as_array().unwrap().iter().find(|one| one["name"] == "shop").unwrap();
    assert!(shop["error"].is_string(), "people see that nothing can be done there: {node}");
    world.wait_for_session(&id, "idle");
    assert!(ticks(&world, &id).into_iter().eq(1..=2_000), "each once, in order");
    let gaps = wait_for_event(&world, "gap", 1);
    assert!(
        gaps.len() == 1 && gaps[0]["data"]["reason"].as_str().unwrap().contains("cannot be read"),
        "{gaps:?}"
    );

    let endless = done.endless.load(SeqCst);
    assert_eq!(done.nonsense.load(SeqCst), NONSENSE);
    assert!(done.cut.load(SeqCst) == 1 && done.pages.load(SeqCst) > 1, "all kinds of garbage were told");
    assert!(endless > 0 && endless < ENDLESS, "the agent has not stopped listening at {endless} bytes");
    let peak = most_resident(world.agent("web-1").pid());
    let said = world.agent("web-1").said().lines().count();
    println!("{} MiB of one line, the agent needed {} MiB and said {said} lines", endless >> 20, peak >> 20);
    assert!(peak < MOST, "{} MiB", peak >> 20);
    assert!(said < 100, "garbage does not fill the log: {said} lines");

    done.is_mad.store(false, SeqCst);
    wait_until("it works again once it talks sense", PATIENCE, || {
        let node = world.data("/api/v1/nodes/web-1");
        let all_well = node["projects"].as_array().unwrap().iter().all(|one| one["error"].is_null());
        if all_well { Ok(()) } else { Err(node.to_string()) }
    });
}

#[test]
fn a_coding_agent_that_hangs_in_mid_turn_is_noticed_and_started_anew() {
    if !soak() {
        return skip("a coding agent that hangs", "it takes minutes: set HAL_SOAK=1");
    }
    let whole = Whole::begin(json!({"*": "allow"}));
    let id = whole.start("slow 600 100");
    whole.wait(&id, "running");
    let pid = Pid::from_raw(whole.home.servers()[0]).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let begun = std::time::Instant::now();
    whole.world.agent("web-1").line_with_patience("it was silent for 25 s", PATIENCE * 2);
    let noticed = begun.elapsed();
    let session = wait_until("the record says that the turn is over", PATIENCE * 10, || {
        let session = whole.world.data(&format!("/api/v1/sessions/{id}"));
        if session["status"] == "running" { Err(session.to_string()) } else { Ok(session) }
    });
    let over = begun.elapsed();
    println!("noticed after {noticed:?}, over after {over:?}: {session}");
    assert_eq!(whole.world.count_events("type=backend.stopped"), 1, "people are told");
    assert!(whole.home.servers().iter().all(|server| Pid::from_raw(*server) != Some(pid)), "it was ended");
    let next = whole.start("say and on");
    whole.wait(&next, "idle");
}
