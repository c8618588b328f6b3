//! The gate: who may come in, how, and that those who misbehave hurt nobody else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use hal_o_swarm::protocol::frame::{MAX_FRAME_BYTES, ToAgent};

use crate::patience::PATIENCE;
use crate::peer::Peer;
use crate::program::Program;
use crate::world::{TOKEN, Tls, World, text};

#[test]
fn a_probe_without_a_token_is_greeted_and_let_go() {
    let world = World::supervised();
    for path in ["", "/ws/agent"] {
        world.run(async {
            let mut probe = Peer::connect(&format!("{}{path}", world.url("ws")), None).await.unwrap();
            let greeting: Value = serde_json::from_str(&probe.hear_text().await.unwrap()).unwrap();
            assert_eq!(
                (&greeting["service"], &greeting["auth"]),
                (&json!("hal-o-swarm"), &json!("required"))
            );
            assert!(greeting["version"].as_str().is_some_and(|version| !version.is_empty()), "{greeting}");
            let close = probe.hear_text().await.unwrap_err().expect("a close frame");
            assert_eq!(u16::from(close.code), 1000, "a clean close: {close:?}");
        });
    }
    assert_eq!(world.get("/api/v1/nodes").body["meta"]["total"], 0);
}

#[test]
fn a_probe_that_does_not_answer_the_close_as_curl_does_not_is_let_go_all_the_same() {
    let world = World::supervised();
    let mut probe = TcpStream::connect(("127.0.0.1", world.port())).unwrap();
    // Shorter than an agent would be waited for.
    probe.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    probe.write_all(upgrade.as_bytes()).unwrap();
    let mut said = Vec::new();
    probe.read_to_end(&mut said).expect("an end in order, and soon");
    assert!(text(&said).contains("\"auth\":\"required\""), "{}", text(&said));
}

#[test]
fn a_probe_cannot_fill_the_memory() {
    let world = World::supervised();
    world.run(async {
        let mut probe = Peer::connect(&world.url("ws"), None).await.unwrap();
        probe.hear_text().await.unwrap();
        let much = Message::text("x".repeat(MAX_FRAME_BYTES / 2));
        // What was said beyond a few bytes is not even taken in.
        let ended = async { while probe.send(much.clone()).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the link is cut");
    });
}

#[test]
fn an_agent_that_says_too_much_of_itself_is_refused_in_few_words() {
    let world = World::supervised();
    let hello = |change: &dyn Fn(&mut Value)| {
        let mut frame = json!({"version": 1, "type": "hello", "timestamp": 1, "payload": {"protocol": 2,
            "node_id": "loud", "hostname": "loud", "version": "0", "incarnation": "a", "first_seq": 0, "last_seq": 0}});
        change(&mut frame["payload"]);
        frame
    };
    let project = json!({"name": "p", "directory": "/p", "backend": "echo"});
    let cases = [
        (hello(&|one| one["node_id"] = json!("web\u{1b}[2J")), "name"),
        (hello(&|one| one["node_id"] = json!("a@b")), "name"),
        (hello(&|one| one["version"] = json!("v".repeat(1 << 20))), "version"),
        (hello(&|one| one["projects"] = json!(vec![project.clone(); 5000])), "projects"),
        (hello(&|one| one["last_seq"] = json!(u64::MAX)), "numbers"),
        (json!({"version": 1, "type": "hello", "timestamp": 1, "payload": "y".repeat(1 << 20)}), "hello"),
    ];
    for (frame, word) in cases {
        world.run(async {
            let mut peer = Peer::connect(&world.url("ws"), Some(TOKEN)).await.unwrap();
            peer.send(Message::text(frame.to_string())).await.unwrap();
            let close = peer.hear().await.expect_err(word).expect("a close frame");
            assert!(u16::from(close.code) == 1008 && close.reason.contains(word), "{word}: {close:?}");
        });
    }
    assert_eq!(world.get("/api/v1/nodes").body["meta"]["total"], 0);
    let said = world.supervisor().said();
    assert!(said.lines().all(|line| line.len() < 2000), "a peer decides how long a log line is");
    let longest = "n".repeat(253);
    world.run(async { Peer::join(&world.url("ws"), TOKEN, &longest).await });
}

#[test]
fn a_wrong_token_is_not_let_in() {
    let world = World::supervised();
    let refused = world.run(Peer::connect(&world.url("ws"), Some("not-the-token"))).err();
    assert!(matches!(&refused, Some(Error::Http(response)) if response.status() == 401), "{refused:?}");
}

#[test]
fn broken_frames_are_refused_counted_and_hurt_nobody_else() {
    let world = World::with_node();
    let before = world.wait_for_node("web-1", "online");
    let cases = [
        ("garbage", Message::text("hello, is anybody there?"), 1008, "not_an_envelope", "not an envelope"),
        ("binary", Message::binary(vec![0_u8; 64]), 1008, "binary", "binary"),
        ("unordered", Message::text(unordered()), 1008, "order", "not in order"),
        ("oversized", Message::text("x".repeat(MAX_FRAME_BYTES + 1)), 1009, "too_large", "larger than"),
    ];
    for (node, message, code, word, reason) in cases {
        let counter = format!(r#"hal_o_swarm_frames_refused_total{{word="{word}"}}"#);
        assert_eq!(world.metric(&counter), 0.0);
        world.run(async {
            let (mut peer, _) = Peer::join(&world.url("ws"), TOKEN, node).await;
            // The other side may hang up while it is still being talked to.
            let _ = peer.send(message).await;
            match peer.hear().await {
                Err(Some(close)) => {
                    assert_eq!(u16::from(close.code), code, "{node}: {close:?}");
                    assert!(close.reason.contains(reason), "{node}: {close:?}");
                }
                // Whoever still had bytes on the way sees a reset instead of the close.
                Err(None) => assert_eq!(node, "oversized"),
                Ok(frame) => panic!("{node} was answered: {frame:?}"),
            }
        });
        assert_eq!(world.metric(&counter), 1.0, "{node} is counted");
        world.wait_for_node(node, "offline");
    }
    let after = world.wait_for_node("web-1", "online");
    assert_eq!(after["epoch"], before["epoch"], "nobody else noticed");
    let id = world.start_session("shop", "say unhurt");
    world.wait_for_session(&id, "idle");
}

fn unordered() -> String {
    let event = |seq: u64| json!({"seq": seq, "id": format!("e{seq}"), "type": "peer.tick", "occurred_at": 1, "data": {}});
    json!({"version": 1, "type": "events", "timestamp": 1, "payload":
        {"incarnation": "incarnation-of-unordered", "events": [event(1), event(3)]}})
    .to_string()
}

#[test]
fn the_newer_connection_of_a_node_wins() {
    let world = World::supervised();
    world.run(async {
        let (mut old, first) = Peer::join(&world.url("ws"), TOKEN, "twin").await;
        let (mut new, second) = Peer::join(&world.url("ws"), TOKEN, "twin").await;
        assert!(second.epoch > first.epoch);
        let close = loop {
            match old.hear().await {
                Ok(_) => {}
                Err(close) => break close,
            }
        };
        assert!(close.is_some_and(|close| !close.reason.is_empty()), "the older one is told why");
        new.say_events(1..=3).await;
        new.hear_ack(3).await;
    });
    assert_eq!(world.count_events("type=peer.tick"), 3);
}

#[test]
fn an_old_copy_of_a_journal_is_told_what_is_committed_beyond_it() {
    let world = World::supervised();
    world.run(async {
        let (mut peer, welcome) = Peer::join(&world.url("ws"), TOKEN, "copied").await;
        peer.say_events(1..=3).await;
        peer.hear_ack(3).await;
        let mut copy = Peer::connect(&world.url("ws"), Some(TOKEN)).await.unwrap();
        let hello = json!({"version": 1, "type": "hello", "timestamp": 1, "payload": {"protocol": 2, "node_id": "copied",
            "hostname": "copied", "version": "0", "incarnation": peer.incarnation(), "first_seq": 1,
            "last_seq": 2, "epoch": welcome.epoch}});
        copy.send(Message::text(hello.to_string())).await.unwrap();
        let welcome = copy.hear().await.unwrap();
        assert!(matches!(&welcome, ToAgent::Welcome(welcome) if welcome.committed_seq == 3), "{welcome:?}");
    });
}

/// A hello of the agent of a node, holding this epoch and an empty journal of this incarnation.
fn hello_of(node: &str, incarnation: &str, epoch: u64) -> Message {
    let hello = json!({"version": 1, "type": "hello", "timestamp": 1, "payload": {"protocol": 2, "node_id": node,
        "hostname": node, "version": "0", "incarnation": incarnation, "first_seq": 0, "last_seq": 0, "epoch": epoch}});
    Message::text(hello.to_string())
}

#[test]
fn who_claims_a_huge_epoch_locks_nobody_out() {
    let world = World::supervised();
    for huge in [(1 << 62) - 1, 1 << 62, u64::MAX] {
        world.run(async {
            let (own, first) = Peer::join(&world.url("ws"), TOKEN, "mine").await;
            drop(own);
            let mut liar = Peer::connect(&world.url("ws"), Some(TOKEN)).await.unwrap();
            liar.send(hello_of("mine", "another", huge)).await.unwrap();
            // Whether it is let in or not: it is the node no longer than anybody else with the token would be.
            match liar.hear().await {
                Ok(ToAgent::Welcome(welcome)) => assert!(welcome.epoch < first.epoch + 100, "{welcome:?}"),
                other => assert!(matches!(other, Err(Some(_))), "{other:?}"),
            }
            drop(liar);
        });
        world.wait_for_node("mine", "offline");
        for _ in 0..2 {
            let (peer, welcome) = world.run(Peer::join(&world.url("ws"), TOKEN, "mine"));
            assert!(welcome.epoch < 1000, "{welcome:?}");
            drop(peer);
            world.wait_for_node("mine", "offline");
        }
    }
}

#[test]
fn after_its_epochs_are_forgotten_whoever_comes_next_is_the_node() {
    let world = World::supervised();
    let begins_anew = |epoch: u64| {
        let welcome = world.run(async {
            let mut peer = Peer::connect(&world.url("ws"), Some(TOKEN)).await.unwrap();
            peer.send(hello_of("mine", "incarnation-of-mine", epoch)).await.unwrap();
            peer.hear().await.unwrap()
        });
        world.wait_for_node("mine", "offline");
        let ToAgent::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
        (welcome.begin_anew, welcome.epoch)
    };
    let (mut peer, welcome) = world.run(Peer::join(&world.url("ws"), TOKEN, "mine"));
    assert_eq!(welcome.epoch, 1);
    world.run(async {
        // The first word shows that it has stored its epoch.
        peer.send(Message::text(r#"{"version":1,"type":"heartbeat","timestamp":1,"payload":{}}"#))
            .await
            .unwrap();
        peer.say_events(1..=1).await;
        peer.hear_ack(1).await;
    });
    let (code, sentence) = world.ctl_fails(&["nodes", "forget-epoch", "mien"]);
    assert!(code == 4 && sentence.contains("mine"), "{code} {sentence}");
    drop(peer);
    world.wait_for_node("mine", "offline");
    assert_eq!(begins_anew(0), (true, 2), "an older one is another");
    world.ctl_says(&["nodes", "forget-epoch", "mine"]);
    assert!(!begins_anew(0).0, "nobody is older than nothing");
    // One that is connected has to say hello again.
    let mut held = world.run(async {
        let mut peer = Peer::connect(&world.url("ws"), Some(TOKEN)).await.unwrap();
        peer.send(hello_of("mine", "incarnation-of-mine", 1)).await.unwrap();
        peer.hear().await.unwrap();
        peer
    });
    world.ctl_says(&["nodes", "forget-epoch", "mine"]);
    world.run(async { while held.hear().await.is_ok() {} });
    world.wait_for_node("mine", "offline");
    world.until_sql("SELECT count(*) FROM audit_log WHERE action = 'forget_epoch' AND target = 'mine'", "2");
}

#[test]
fn a_port_in_use_is_an_error_at_start() {
    let world = World::supervised();
    let mut config = world.supervisor_config(world.port());
    config["database"]["path"] = json!(world.path().join("other.db"));
    let (code, sentence) = fails_to_start(&world, &config);
    assert_ne!(code, 0);
    assert!(sentence.contains(&world.port().to_string()), "{sentence}");
}

#[test]
fn a_store_in_use_is_an_error_at_start() {
    let world = World::supervised();
    let (code, sentence) = fails_to_start(&world, &world.supervisor_config(0));
    assert_ne!(code, 0);
    assert!(sentence.contains("supervisor.redb"), "{sentence}");
}

/// The exit code and the words of a supervisor that must not come up.
fn fails_to_start(world: &World, config: &Value) -> (i32, String) {
    let path = world.write("failing.json", &config.to_string());
    let program =
        Program::start("failing supervisor", world.hal(&["supervisor", "--config", &path.to_string_lossy()]));
    let (status, said) = program.end();
    (status.code().expect("it ended by itself"), said)
}

/// An authority and a certificate for this machine, as files in the world.
fn certificate(world: &World) -> Tls {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_cert = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let cert = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &Issuer::new(authority, authority_key))
        .unwrap();
    Tls {
        cert: world.write("cert.pem", &cert.pem()),
        key: world.write("key.pem", &key.serialize_pem()),
        ca: world.write("ca.pem", &authority_cert.pem()),
    }
}

#[test]
fn everything_works_over_tls() {
    let mut world = World::empty();
    let tls = certificate(&world);
    world.use_tls(tls);
    world.start_supervisor();
    world.start_agent("web-1", "shop");
    let id = world.start_session("shop", "say in private");
    world.wait_for_session(&id, "idle");
    assert!(world.ctl_says(&["sessions", "logs", &id]).contains("in private"));
    assert_eq!(world.ctl_says(&["--supervisor-url", &world.url("wss"), "nodes", "list"]).lines().count(), 1);
    // What never leaves this machine is taken as it is.
    assert_eq!(world.ctl_says(&["--supervisor-url", &world.url("http"), "nodes", "list"]).lines().count(), 1);
    let mut stranger = world.hal(&["ctl", "--supervisor-url", &world.url("https"), "nodes", "list"]);
    let stranger = stranger.env("HALCTL_AUTH_TOKEN", TOKEN).output().unwrap();
    assert_eq!(
        stranger.status.code(),
        Some(69),
        "an unknown authority is not trusted: {}",
        text(&stranger.stderr)
    );
}

#[test]
fn tls_that_cannot_be_honoured_is_an_error_at_start() {
    let world = World::empty();
    let tls = certificate(&world);
    let other = KeyPair::generate().unwrap();
    let other_key = world.write("other.pem", &other.serialize_pem());
    let no_pem = world.write("no.pem", "this is no certificate");
    let missing = world.path().join("missing.pem");
    for (cert, key, named) in [
        (&missing, &tls.key, "missing.pem"),
        (&tls.cert, &missing, "missing.pem"),
        (&no_pem, &tls.key, "no.pem"),
        (&tls.cert, &other_key, "other.pem"),
    ] {
        let mut config = world.supervisor_config(0);
        config["security"]["tls"] = json!({"enabled": true, "cert_path": cert, "key_path": key});
        let (code, sentence) = fails_to_start(&world, &config);
        assert_ne!(code, 0, "{named}");
        assert!(sentence.contains(named), "{named} is not named: {sentence}");
    }
}

#[test]
fn requests_that_make_no_sense_get_a_sentence() {
    let world = World::supervised();
    let nothing = world.get("/api/v1/nothing");
    assert_eq!(
        (nothing.status.as_u16(), &nothing.body["code"]),
        (404, &json!("NOT_FOUND")),
        "{}",
        nothing.body
    );
    let huge =
        json!({"type": "create_session", "project": "shop", "args": {"prompt": "x".repeat(5 * 1024 * 1024)}});
    let refused = world.ask(&huge);
    assert_eq!(
        (refused.status.as_u16(), &refused.body["code"]),
        (413, &json!("TOO_LARGE")),
        "{}",
        refused.body
    );
    assert_eq!(world.get("/healthz").status.as_u16(), 200);
    assert_eq!(world.get("/readyz").body["components"]["database"]["status"], "ok");
    let document = world.get("/api/v1/openapi.json").body;
    assert!(document["paths"]["/api/v1/sessions"]["get"].is_object(), "the document is made from the code");
}
