//! A closed supervisor: a certificate of its own, agents that prove who they are, and nothing said where others read along.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::network::{SUPERVISOR, Wire, on_a_wire};
use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World, text};

/// A supervisor with a certificate of its own, which agents at the other end of a wire reach.
fn closed() -> World {
    let mut world = World::empty();
    world.bind = "0.0.0.0".to_owned();
    start(&mut world, |_| {});
    world
}

/// Starts the supervisor, with something more in its configuration.
fn start(world: &mut World, more: impl Fn(&mut Value)) {
    let mut config = world.supervisor_config(world.port());
    config["security"]["tls"] = json!({"enabled": true});
    more(&mut config);
    let config = world.write("supervisor.json", &config.to_string());
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &config.to_string_lossy()]));
    world.wait_for_supervisor();
}

/// Makes another authority, which the fleet is to know from the next start on.
fn begin_anew(world: &World) {
    let config = world.path().join("supervisor.json");
    let done =
        world.hal(&["supervisor", "tls", "init", "--config", &config.to_string_lossy()]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
}

/// The configuration of an agent at the other end, which knows an address and the token.
pub fn far(world: &World, node: &str) -> Value {
    let mut config = world.agent_config(node, "shop");
    config["supervisor_url"] = json!(format!("ws://{SUPERVISOR}:{}", world.port()));
    fs::create_dir_all(world.path().join(node).join("shop")).unwrap();
    fs::create_dir_all(world.path().join(node).join("data")).unwrap();
    config
}

pub fn start_far(world: &mut World, wire: &Wire, node: &str, config: &Value) {
    world.under = wire.under();
    world.start_agent_with(node, config);
    world.under.clear();
}

fn pins(world: &World, node: &str) -> PathBuf {
    world.path().join(node).join("data/supervisor.pins")
}

#[test]
fn an_agent_with_only_the_token_says_it_to_nobody_and_knows_its_supervisor_again() {
    on_a_wire("an agent with only the token", |wire| {
        let mut world = closed();
        let config = far(&world, "web-1");
        start_far(&mut world, wire, "web-1", &config);
        world.wait_for_node("web-1", "online");
        let id = world.start_session("shop", "say hello");
        world.wait_for_session(&id, "idle");
        let known = fs::read_to_string(pins(&world, "web-1")).unwrap();
        assert!(known.starts_with(&format!("{SUPERVISOR}:{} sha256:", world.port())), "{known}");
        // Another certificate of the same authority is nothing new.
        let files = world.path().join("supervisor/tls");
        world.end_supervisor();
        for name in ["cert.pem", "key.pem"] {
            fs::remove_file(files.join(name)).unwrap();
        }
        start(&mut world, |_| {});
        world.wait_for_node("web-1", "online");
        assert_eq!(fs::read_to_string(pins(&world, "web-1")).unwrap(), known);
        // Another authority is another supervisor.
        world.end_supervisor();
        fs::remove_dir_all(&files).unwrap();
        begin_anew(&world);
        start(&mut world, |_| {});
        let said = world.agent("web-1").line_with("shows another key than");
        assert!(said.contains("supervisor.pins") && said.contains("somebody stands in between"), "{said}");
        world.wait_for_node("web-1", "offline");
        fs::remove_file(pins(&world, "web-1")).unwrap();
        world.wait_for_node("web-1", "online");
        // And one that speaks no TLS any more is none.
        world.end_supervisor();
        start(&mut world, |config| config["security"]["tls"] = json!({"enabled": false}));
        let said = world.agent("web-1").line_with("and speaks no TLS now");
        assert!(said.contains("supervisor.pins"), "{said}");
    });
}

#[test]
fn an_agent_with_another_token_is_refused_by_name_and_shows_nothing() {
    on_a_wire("an agent with another token", |wire| {
        let mut world = closed();
        let mut config = far(&world, "web-1");
        config["auth_token"] = json!("another-token-of-another-fleet-000000");
        start_far(&mut world, wire, "web-1", &config);
        let said = world.agent("web-1").line_with("does not let this agent in");
        assert!(said.contains("compare auth_token in both files"), "{said}");
        assert!(!pins(&world, "web-1").exists(), "nobody has proved anything to it");
        wait_until("the refusal is an alert", PATIENCE, || {
            let alerts = world.data("/api/v1/alerts");
            let is_it = |alert: &Value| {
                alert["name"] == "agent.refused" && alert["text"].to_string().contains("web-1")
            };
            let all = alerts.as_array().unwrap();
            if all.iter().any(is_it) { Ok(()) } else { Err(alerts.to_string()) }
        });
    });
}

/// Says something to the supervisor from the other end, and gives what came back.
fn say(wire: &Wire, port: u16, words: &str) -> String {
    wire.at_the_agent(|| {
        let mut stream = TcpStream::connect((SUPERVISOR, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    })
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: hub:8420\r\nConnection: close\r\n{more}\r\n")
}

#[test]
fn plain_connections_from_elsewhere_learn_where_to_go_and_nothing_else() {
    on_a_wire("plain connections from elsewhere", |wire| {
        let world = closed();
        let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let socket =
            |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: hub:8420\r\n{upgrade}{more}\r\n");
        for words in [
            get("/", ""),
            get("/healthz", ""),
            get("/metrics", &bearer),
            get("/api/v1/nodes", &bearer),
            get("/api/v1/whoami?token=x", ""),
            socket("/ws/agent", &bearer),
            socket("/ws/agent", "X-Hal-Proof: token\r\nX-Node-ID: web-1\r\n"),
            socket(&format!("/ws/agent?token={TOKEN}"), ""),
        ] {
            let said =
                say(wire, world.port(), &words.replace("Connection: Upgrade", "Connection: Upgrade, close"));
            assert!(said.starts_with("HTTP/1.1 308 "), "{words}\n{said}");
            assert!(said.contains("this supervisor speaks TLS: use wss:// or https://"), "{words}\n{said}");
            assert!(said.contains("location: https://hub:8420/") && !said.contains(TOKEN), "{words}\n{said}");
        }
        let greeted = say(wire, world.port(), &socket("/", ""));
        assert!(greeted.contains("\"service\":\"hal-o-swarm\"") && greeted.contains("101"), "{greeted}");
        // An agent of the release before says where it is sent.
        let garbage = say(wire, world.port(), "\0\x01\x02 garbage\r\n\r\n");
        assert!(garbage.is_empty() || garbage.starts_with("HTTP/1.1 400"), "{garbage}");
        // On its own machine it takes everything as it is.
        assert_eq!(world.get("/api/v1/nodes").status, 200);
    });
}

/// What a program of this world says at the other end of the wire, and whether it went well.
pub fn at_the_other_end(world: &mut World, wire: &Wire, words: &[&str]) -> (bool, String) {
    world.under = wire.under();
    let mut command: Command = world.hal(words);
    world.under.clear();
    let output = command.output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// The line that a machine joins by, as words after `hal`.
fn line(world: &World, more: &[&str]) -> Vec<String> {
    let there = format!("https://{SUPERVISOR}:{}", world.port());
    let said = world.ctl_says(&[&["join-token", "create", "--url", &there], more].concat());
    let line =
        said.lines().find(|line| line.starts_with("hal-agent join ")).unwrap_or_else(|| panic!("{said}"));
    line.strip_prefix("hal-").unwrap().split(' ').map(str::to_owned).collect()
}

fn join(world: &mut World, wire: &Wire, line: &[String], node: &str, more: &[&str]) -> (bool, String) {
    let config = world.path().join(format!("{node}.json")).to_string_lossy().into_owned();
    let mut words: Vec<&str> = line.iter().map(String::as_str).collect();
    words.extend(["--config", &config]);
    words.extend(more);
    at_the_other_end(world, wire, &words)
}

fn written(world: &World, node: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(world.path().join(format!("{node}.json"))).unwrap()).unwrap()
}

#[test]
fn machines_join_by_one_line_and_are_known_by_their_keys() {
    on_a_wire("machines join by one line", |wire| {
        let mut world = closed();
        for node in ["web-1", "web-2"] {
            let config = far(&world, node);
            world.write(&format!("{node}.json"), &config.to_string());
        }
        let once = line(&world, &["--once"]);
        let (went_well, said) = join(&mut world, wire, &once, "web-1", &[]);
        assert!(went_well && said.contains("has joined") && said.contains("as node web-1"), "{said}");
        let config = written(&world, "web-1");
        assert!(config["auth_token"].is_null() && config["key_file"].is_string(), "{config}");
        start_far(&mut world, wire, "web-1", &config);
        world.wait_for_node("web-1", "online");
        // The same line again: this machine is told the same, another one that it was good once.
        let (again, said) = join(&mut world, wire, &once, "web-1", &[]);
        assert!(again, "{said}");
        let (went_well, said) = join(&mut world, wire, &once, "web-2", &[]);
        assert!(!went_well && said.contains("was good once, and node web-1 has joined by it"), "{said}");
        assert_eq!(written(&world, "web-2")["auth_token"], TOKEN, "nothing was changed");
        // A name belongs to its key, and a key to its name.
        let more = line(&world, &[]);
        let (went_well, said) = join(&mut world, wire, &more, "web-2", &["--node-id", "web-1"]);
        assert!(!went_well && said.contains("web-1 is known by a key or token of its own"), "{said}");
        let (stolen, own) =
            (world.path().join("web-1/data/node.key"), world.path().join("web-2/data/node.key"));
        fs::copy(stolen, &own).unwrap();
        let (went_well, said) = join(&mut world, wire, &more, "web-2", &[]);
        assert!(!went_well && said.contains("this key is that of node web-1"), "{said}");
        fs::remove_file(own).unwrap();
        // The token of all does not open the door of a node that has a key.
        let mut other = far(&world, "web-2");
        other["node_id"] = json!("web-1");
        start_far(&mut world, wire, "web-2", &other);
        world.agent("web-2").line_with("has a token of its own, and comes in by no other");
        let _gone = world.take_agent("web-2").kill();
        // Out within a second, and back by another key.
        let id = world.start_session("shop", "say hello");
        world.wait_for_session(&id, "idle");
        world.ctl_says(&["nodes", "revoke", "web-1"]);
        world.wait_for_node("web-1", "offline");
        let said = world.agent("web-1").line_with("does not let this agent in");
        assert!(said.contains("hal-agent join"), "{said}");
        let (went_well, said) = join(&mut world, wire, &more, "web-1", &[]);
        assert!(!went_well && said.contains("this key was revoked"), "{said}");
        fs::remove_file(world.path().join("web-1/data/node.key")).unwrap();
        let (went_well, said) = join(&mut world, wire, &more, "web-1", &[]);
        assert!(!went_well && said.contains("is older than what node web-1 was let in by"), "{said}");
        let newer = line(&world, &[]);
        let (went_well, said) = join(&mut world, wire, &newer, "web-1", &[]);
        assert!(went_well, "{said}");
        world.wait_for_node("web-1", "online");
        let audit = world.ctl_says(&["-o", "json", "audit", "list"]);
        for words in ["create join token", "\"action\":\"join\"", "node web-1", "revoke node"] {
            let plain = audit.replace("\": \"", "\":\"");
            assert!(plain.contains(words), "{words}\n{audit}");
        }
        assert!(!audit.contains(&more[4]), "no token is in the record");
    });
}

#[test]
fn a_line_that_is_wrong_is_one_sentence() {
    on_a_wire("a line that is wrong", |wire| {
        let mut world = closed();
        let config = far(&world, "web-1");
        world.write("web-1.json", &config.to_string());
        let good = line(&world, &[]);
        let with = |at: usize, word: &str| {
            let mut words = good.clone();
            words[at] = word.to_owned();
            words
        };
        let other_pin = format!("sha256:{}", "0".repeat(64));
        let unknown = format!("{}0", &good[4][..good[4].len() - 1]);
        for (words, expected) in [
            (with(6, &other_pin), "its key is not the one of this line"),
            (with(6, "sha256:12"), "64 hexadecimal digits"),
            (with(4, "hal_nobody_0000"), "the token is not this supervisor's"),
            (with(4, &unknown), "the token is not this supervisor's"),
            (with(4, TOKEN), "machines join by a token made for that"),
            (with(2, "ftp://hub"), "is no address of a supervisor"),
            (with(2, &format!("http://{SUPERVISOR}:{}", world.port())), "its address begins with https://"),
        ] {
            let (went_well, said) = join(&mut world, wire, &words, "web-1", &[]);
            assert!(!went_well && said.contains(expected), "{expected}: {words:?}\n{said}");
            assert_eq!(written(&world, "web-1"), config, "{words:?}");
        }
        let (went_well, said) = join(&mut world, wire, &good, "web-1", &["--node-id", "a b"]);
        assert!(!went_well && said.contains("nothing was asked yet") && said.contains("node_id"), "{said}");
        let (went_well, said) = join(&mut world, wire, &good, "web-9", &[]);
        assert!(!went_well && said.contains("--print-sample-config"), "{said}");
        // The token of a line opens no other door.
        for path in ["/api/v1/nodes", "/api/v1/whoami", "/metrics"] {
            let reply = world.request(reqwest::Method::GET, path, Some(&good[4]), &[], None);
            assert_eq!(reply.status, 403, "{path}: {}", reply.body);
        }
    });
}

#[test]
fn the_shared_token_opens_the_agents_door_alone_where_that_is_said() {
    let mut world = World::empty();
    start(&mut world, |config| config["server"]["auth_token_opens"] = json!("agents"));
    let mut config = world.agent_config("web-1", "shop");
    config["supervisor_url"] = json!(format!("ws://127.0.0.1:{}", world.port()));
    fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    world.start_agent_with("web-1", &config);
    world.agent("web-1").line_with("connected to the supervisor");
    for path in ["/api/v1/nodes", "/api/v1/whoami", "/metrics"] {
        let reply = world.get(path);
        assert_eq!(reply.status, 403, "{path}: {}", reply.body);
        assert!(reply.body.to_string().contains("auth_token opens the agents' door alone"), "{}", reply.body);
    }
    let file = world.path().join("supervisor/ctl.token");
    let own = fs::read_to_string(&file).unwrap();
    assert_ne!(own, TOKEN);
    let reply = world.request(reqwest::Method::GET, "/api/v1/whoami", Some(&own), &[], None);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["data"]["name"], "ctl.token", "{}", reply.body);
    // A reload opens it, and shuts it again while streams are open.
    let mut open = world.supervisor_config(world.port());
    open["security"]["tls"] = json!({"enabled": true});
    world.write("supervisor.json", &open.to_string());
    world.supervisor().signal(rustix::process::Signal::HUP);
    wait_until("the token opens everything", PATIENCE, || {
        let reply = world.get("/api/v1/nodes");
        if reply.status == 200 { Ok(()) } else { Err(reply.body.to_string()) }
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), TOKEN);
}

#[test]
fn halctl_elsewhere_knows_the_supervisor_by_its_key() {
    on_a_wire("halctl elsewhere", |wire| {
        let mut world = closed();
        world.ctl_says(&["users", "create", "ada", "--role", "operator"]);
        let made: Value =
            serde_json::from_str(&world.ctl_says(&["-o", "json", "tokens", "create", "ada"])).unwrap();
        let token = made["token"].as_str().unwrap().to_owned();
        let config = world.path().join("supervisor.json").to_string_lossy().into_owned();
        let shown = world.hal(&["supervisor", "tls", "show", "--config", &config]).output().unwrap();
        let shown = text(&shown.stdout);
        let pin = shown.lines().next().and_then(|line| line.strip_prefix("key:")).unwrap().trim().to_owned();
        let there = format!("ws://{SUPERVISOR}:{}", world.port());
        let elsewhere = |world: &mut World, words: &[&str], input: &str| {
            world.under = wire.under();
            let mut command = world.hal(words);
            world.under.clear();
            command.env("HOME", world.path().join("ada")).stdin(std::process::Stdio::piped());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            let mut child = command.spawn().unwrap();
            let _not_read = child.stdin.take().unwrap().write_all(input.as_bytes());
            let output = child.wait_with_output().unwrap();
            (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
        };
        let login = ["ctl", "login", "--supervisor-url", &there];
        let (code, said) = elsewhere(&mut world, &login, &token);
        assert_eq!(code, 77, "{said}");
        assert!(said.contains(&pin) && said.contains("--supervisor-pin"), "{said}");
        let wrong = format!("sha256:{}", "1".repeat(64));
        let (code, said) =
            elsewhere(&mut world, &[&login[..], &["--supervisor-pin", &wrong]].concat(), &token);
        assert!(code == 69 && !said.contains(&token), "{code} {said}");
        let (code, said) = elsewhere(&mut world, &[&login[..], &["--supervisor-pin", &pin]].concat(), &token);
        assert!(code == 0 && said.contains("ada"), "{code} {said}");
        // Remembered: the next call finds its way, by TLS, though it was told ws.
        let (code, said) = elsewhere(&mut world, &["ctl", "whoami"], "");
        assert!(code == 0 && said.contains("ada"), "{code} {said}");
        // The certificate is made anew while it runs, and nobody has to know.
        let renew = ["supervisor", "tls", "renew", "--name", "hal.example.org", "--config", &config];
        let renewed = world.hal(&renew).output().unwrap();
        assert!(renewed.status.success(), "{}", text(&renewed.stderr));
        assert!(text(&renewed.stdout).contains(&pin), "the key stays");
        world.supervisor().line_with("the certificate was renewed");
        let (code, said) = elsewhere(&mut world, &["ctl", "whoami"], "");
        assert!(code == 0 && said.contains("ada"), "{code} {said}");
        // Another supervisor at that place is told nothing.
        world.end_supervisor();
        fs::remove_dir_all(world.path().join("supervisor/tls")).unwrap();
        begin_anew(&world);
        start(&mut world, |_| {});
        let (code, said) = elsewhere(&mut world, &["ctl", "whoami"], "");
        assert_eq!(code, 69, "{said}");
    });
}

/// What three kinds of agents make of a supervisor that is open at first.
#[test]
fn an_open_supervisor_that_is_closed_keeps_its_agents() {
    on_a_wire("an open supervisor that is closed", |wire| {
        let mut world = World::empty();
        world.bind = "0.0.0.0".to_owned();
        let off = |config: &mut Value| config["security"]["tls"] = json!({"enabled": false});
        start(&mut world, off);
        for node in ["web-1", "web-2", "web-3"] {
            let config = far(&world, node);
            world.write(&format!("{node}.json"), &config.to_string());
        }
        // One by the shared token, one by a key, one by a token of its own; each was told ws.
        let there = format!("http://{SUPERVISOR}:{}", world.port());
        let line = world.ctl_says(&["join-token", "create", "--once", "--url", &there]);
        let words: Vec<String> =
            line.lines().next().unwrap()["hal-".len()..].split(' ').map(str::to_owned).collect();
        let (went_well, said) = join(&mut world, wire, &words, "web-2", &[]);
        assert!(went_well, "{said}");
        world.ctl_says(&["users", "create", "web-3", "--role", "agent"]);
        let made: Value =
            serde_json::from_str(&world.ctl_says(&["-o", "json", "tokens", "create", "web-3"])).unwrap();
        let mut own = written(&world, "web-3");
        own["auth_token"] = made["token"].clone();
        for node in ["web-1", "web-2", "web-3"] {
            let config = if node == "web-3" { own.clone() } else { written(&world, node) };
            start_far(&mut world, wire, node, &config);
            world.wait_for_node(node, "online");
        }
        world.end_supervisor();
        start(&mut world, |_| {});
        for node in ["web-1", "web-2"] {
            world.agent(node).line_with("has proved itself; it is known by its key");
            world.wait_for_node(node, "online");
        }
        let said = world.agent("web-3").line_with("is said to nobody unknown");
        assert!(said.contains("supervisor_pin") && !said.contains(made["token"].as_str().unwrap()), "{said}");
        let known = fs::read_to_string(pins(&world, "web-1")).unwrap();
        own["supervisor_pin"] = json!(known.trim().split(' ').next_back().unwrap());
        world.write("web-3.json", &own.to_string());
        world.agent("web-3").signal(rustix::process::Signal::HUP);
        world.wait_for_node("web-3", "online");
        // Nobody goes back to plain text.
        world.end_supervisor();
        start(&mut world, off);
        for node in ["web-1", "web-2"] {
            world.agent(node).line_with("and speaks no TLS now");
        }
    });
}
