//! Strangers at the door: they guess, wait, or say half of something, and shut nobody else out.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::fault::means::resident;
use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::world::{TOKEN, Tls, World, text};

/// A connection on which a request was made and its answer read; it stays open.
fn asked(world: &World, path: &str, token: Option<&str>) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n");
    let mut first = vec![0; 12];
    let answer = stream.write_all(head.as_bytes()).and_then(|()| stream.read_exact(&mut first));
    let said = answer.map_or_else(|error| error.to_string(), |()| text(&first));
    (stream, said)
}

#[test]
fn guesses_of_the_token_wait_and_a_right_one_from_there_does_not() {
    const GUESSES: usize = 30;
    let world = World::supervised();
    let refused = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for guess in 0..GUESSES {
            let (world, refused) = (&world, &refused);
            scope.spawn(move || {
                let (_, said) = asked(world, "/api/v1/nodes", Some(&format!("guess-{guess}")));
                assert_eq!(said, "HTTP/1.1 401");
                refused.fetch_add(1, Ordering::SeqCst);
            });
        }
        wait_until("some are refused", PATIENCE, || {
            let refused = refused.load(Ordering::SeqCst);
            if refused > 0 { Ok(()) } else { Err("none yet".to_owned()) }
        });
        // By the rules the last one waits for 20 s.
        let (_, said) = asked(&world, "/api/v1/nodes", Some(TOKEN));
        let refused = refused.load(Ordering::SeqCst);
        assert_eq!(said, "HTTP/1.1 200");
        assert!(refused < GUESSES, "the right one waited for all of the {refused} wrong ones");
        let mut link = world.run(Peer::connect(&world.url("ws"), Some(TOKEN))).unwrap();
        world.run(link.send(Message::text("{}"))).unwrap();
    });
}

#[test]
fn idle_connections_shut_nobody_out_where_descriptors_are_few() {
    const LIMIT: usize = 120;
    let mut world = World::empty();
    let words = ["sh", "-c", &format!("ulimit -n {LIMIT} && exec \"$0\" \"$@\"")];
    world.under = words.map(str::to_owned).to_vec();
    world.start_supervisor();
    world.under.clear();
    world.start_agent("web-1", "shop");
    let crowd: Vec<TcpStream> = (0..2 * LIMIT)
        .map(|_| {
            let (stream, said) = asked(&world, "/healthz", None);
            assert_eq!(said, "HTTP/1.1 200", "whoever comes is let in");
            stream
        })
        .collect();
    let (_, said) = asked(&world, "/api/v1/nodes", Some(TOKEN));
    assert_eq!(said, "HTTP/1.1 200", "and so is somebody with the token");
    let id = world.start_session("shop", "say unhurt");
    world.wait_for_session(&id, "idle");
    assert_eq!(world.count_events("type=node.offline"), 0, "the agent was not disturbed");
    drop(crowd);
}

#[test]
fn messages_that_are_never_whole_cost_little() {
    const LINKS: usize = 60;
    const SAID: usize = 7 << 20;
    /// A few large ones, each twice while its buffer grows, and the beginnings of the rest.
    const MOST_MORE: u64 = 160 << 20;
    let world = World::with_node();
    let before = resident(world.supervisor().pid());
    let upgrade = format!(
        "GET /ws/agent HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {TOKEN}\r\nX-Node-ID: half\r\n\r\n"
    );
    let head = |bytes: usize| {
        // A text, whole, masked with zeros.
        let mut head = vec![0x81, 0xff];
        head.extend((bytes as u64).to_be_bytes());
        head.extend([0; 4]);
        head
    };
    let chunk = vec![b'x'; 64 * 1024];
    let mut links = Vec::new();
    for _ in 0..LINKS {
        let mut link = TcpStream::connect(("127.0.0.1", world.port())).unwrap();
        link.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        link.write_all(upgrade.as_bytes()).unwrap();
        let mut first = vec![0; 12];
        link.read_exact(&mut first).unwrap();
        assert_eq!(text(&first), "HTTP/1.1 101");
        link.write_all(&head(SAID + 1)).unwrap();
        let mut said = 0;
        while said < SAID && link.write_all(&chunk).is_ok() {
            said += chunk.len();
        }
        links.push((link, said));
    }
    let whole = links.iter().filter(|(_, said)| *said >= SAID).count();
    let more = resident(world.supervisor().pid()).saturating_sub(before);
    println!("{whole} of {LINKS} links were heard to the end, {} MiB more", more >> 20);
    assert!(more < MOST_MORE, "{} MiB more", more >> 20);
    let id = world.start_session("shop", "say unhurt");
    world.wait_for_session(&id, "idle");
}

/// A proxy that passes requests on without the header that asks for a WebSocket, and puts its name into answers.
fn proxy_without_upgrade(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && client.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = text(&head);
            let kept = head.split("\r\n").filter(|line| {
                let line = line.to_ascii_lowercase();
                !line.starts_with("upgrade:") && !line.starts_with("connection:") && !line.is_empty()
            });
            let kept = kept.collect::<Vec<_>>().join("\r\n") + "\r\nConnection: close\r\n\r\n";
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let _ = server.write_all(kept.as_bytes());
            let mut answer = Vec::new();
            let _ = server.read_to_end(&mut answer);
            let named = text(&answer).replacen("\r\n", "\r\nServer: middlebox/2\r\n", 1);
            let _ = client.write_all(named.as_bytes());
            let _ = client.shutdown(Shutdown::Both);
        }
    });
    port
}

#[test]
fn an_agent_behind_a_proxy_that_drops_the_upgrade_says_what_is_in_between() {
    let mut world = World::supervised();
    let port = proxy_without_upgrade(world.port());
    let mut config = world.agent_config("web-1", "shop");
    config["supervisor_url"] = json!(format!("ws://127.0.0.1:{port}"));
    world.start_agent_with("web-1", &config);
    world.agent("web-1").line_with("drops the header Upgrade (it calls itself \"middlebox/2\")");
}

#[test]
fn a_certificate_made_by_hand_is_trusted_by_whoever_names_it_alone() {
    let mut world = World::empty();
    let pair = rcgen::generate_simple_self_signed(["hal.example.org".to_owned()]).unwrap();
    let cert = world.write("cert.pem", &pair.cert.pem());
    let key = world.write("key.pem", &pair.signing_key.serialize_pem());
    world.use_tls(Tls { cert: cert.clone(), key, ca: cert });
    world.start_supervisor();
    // As halctl finds it on the supervisor's machine.
    let folder = world.path().join("supervisor");
    let mut note: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("ctl.json")).unwrap()).unwrap();
    note["token_file"] = json!(folder.join("ctl.token"));
    // By the network.
    note.as_object_mut().unwrap().remove("socket");
    std::fs::create_dir_all(world.path().join(".config/hal-o-swarm")).unwrap();
    world.write(".config/hal-o-swarm/ctl.json", &note.to_string());
    let listed = world.hal(&["ctl", "nodes", "list"]).output().unwrap();
    assert_eq!(listed.status.code(), Some(0), "{}", text(&listed.stderr));

    // One that is named stands for itself alone; without a name the token proves the supervisor.
    let other = rcgen::generate_simple_self_signed(["hal.example.org".to_owned()]).unwrap();
    let mut config = world.agent_config("web-1", "shop");
    config["ca_file"] = json!(world.write("other.pem", &other.cert.pem()));
    world.start_agent_with("web-1", &config);
    world.agent("web-1").line_with("is not trusted");
    // And the authority is taken over while it runs: no turn has to end for it.
    config["ca_file"] = json!(world.path().join("cert.pem"));
    world.write("web-1.json", &config.to_string());
    world.agent("web-1").signal(Signal::HUP);
    world.agent("web-1").line_with(" to the supervisor at wss://");
}

#[test]
fn a_supervisor_that_listens_in_clear_says_so_at_its_start() {
    let mut world = World::empty();
    world.bind = "0.0.0.0".to_owned();
    world.start_supervisor();
    world.supervisor().line_with(&format!("listens=0.0.0.0:{}", world.port()));
    let said = world.supervisor().said();
    assert!(said.contains("server.bind") && said.contains("without TLS"), "{said}");
}

#[test]
fn a_page_whose_name_was_made_to_lead_here_gets_nothing() {
    let world = World::supervised();
    let evil = format!("evil.example:{}", world.port());
    let ask = |method: Method, headers: &[(&str, &str)], body: Option<&Value>| {
        world
            .request(
                method,
                if body.is_some() { "/api/v1/commands" } else { "/api/v1/nodes" },
                Some(TOKEN),
                headers,
                body,
            )
            .status
    };
    let halt = json!({"type": "halt_work", "args": {}});
    let origin = format!("http://{evil}");
    let rebound = [("Host", evil.as_str()), ("Origin", origin.as_str())];
    assert_eq!(ask(Method::POST, &rebound, Some(&halt)), StatusCode::BAD_REQUEST);
    assert_eq!(
        ask(Method::GET, &[("Host", evil.as_str()), ("Sec-Fetch-Site", "same-origin")], None),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        ask(Method::GET, &[("Host", evil.as_str()), ("Cookie", "a=b")], None),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(ask(Method::GET, &[("Origin", "http://evil.example")], None), StatusCode::BAD_REQUEST);
    assert_eq!(world.data("/api/v1/halts"), json!([]), "nothing was halted");
    // Programs come under any name, and pages of this machine under its own.
    assert_eq!(ask(Method::GET, &[("Host", evil.as_str())], None), StatusCode::OK);
    let here = format!("http://localhost:{}", world.port());
    let host = format!("localhost:{}", world.port());
    assert_eq!(
        ask(Method::GET, &[("Host", host.as_str()), ("Origin", here.as_str()), ("Cookie", "a=b")], None),
        StatusCode::OK
    );
}

#[test]
fn a_supervisor_leaves_no_core() {
    let world = World::supervised();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", world.supervisor().pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
