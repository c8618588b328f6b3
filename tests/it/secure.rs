//! Closing a supervisor that was set up open: who would be cut off is said before, and nobody else is.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::closed::{at_the_other_end, far, start_far};
use crate::fault::network::{SUPERVISOR, Wire, on_a_wire};
use crate::peer::Peer;
use crate::world::{TOKEN, World, text};

/// An open supervisor as it was set up long ago, by a file with comments that names certificates which nobody has made.
fn open() -> (World, PathBuf) {
    let mut world = World::empty();
    world.bind = "0.0.0.0".to_owned();
    world.start_supervisor();
    world.end_supervisor();
    let mut config = world.supervisor_config(world.port());
    config["security"]["tls"] =
        json!({"enabled": false, "cert_path": "/nowhere/cert.pem", "key_path": "/nowhere/key.pem"});
    let file = world.write("supervisor.json", &format!("// mine\n{config:#}"));
    start(&mut world, &file);
    (world, file)
}

fn start(world: &mut World, file: &std::path::Path) {
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &file.to_string_lossy()]));
    world.wait_for_supervisor();
}

/// An agent of an earlier release elsewhere, as long as what this gives lives.
fn old_agent(world: &World, wire: &Wire) -> (Runtime, Peer) {
    let url = format!("ws://{SUPERVISOR}:{}/ws/agent", world.port());
    wire.at_the_agent(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (peer, _) = runtime.block_on(Peer::join(&url, TOKEN, "old-1"));
        (runtime, peer)
    })
}

/// What halctl says to somebody elsewhere who has the shared token.
fn elsewhere(world: &mut World, wire: &Wire, words: &[&str]) -> (bool, String) {
    let there = format!("http://{SUPERVISOR}:{}", world.port());
    let given = ["ctl", "--supervisor-url", &there, "--auth-token", TOKEN];
    at_the_other_end(world, wire, &[&given, words].concat())
}

fn secure(world: &World, file: &std::path::Path, more: &[&str]) -> (bool, String) {
    let file = file.to_string_lossy();
    let mut command = world.hal(&[&["supervisor", "secure", "--config", &file], more].concat());
    command.env("HALCTL_AUTH_TOKEN", TOKEN).env("HALCTL_SUPERVISOR_URL", world.url("http"));
    let output = command.output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn before_a_supervisor_is_closed_it_is_said_who_would_be_cut_off() {
    on_a_wire("before a supervisor is closed", |wire| {
        let (mut world, file) = open();
        let config = far(&world, "web-1");
        start_far(&mut world, wire, "web-1", &config);
        world.wait_for_node("web-1", "online");
        world.start_agent("web-2", "shop");
        let _old = old_agent(&world, wire);
        let (ok, said) = elsewhere(&mut world, wire, &["users", "create", "ada", "--role", "viewer"]);
        assert!(ok, "{said}");
        let before = fs::read_to_string(&file).unwrap();
        let (ok, said) = secure(&world, &file, &["--dry-run"]);
        assert!(ok, "{said}");
        for line in [
            "stays    node web-1: it finds TLS by itself",
            "stays    node web-2: it is on this machine",
            "CUT OFF  node old-1: its agent is of an earlier release",
            "CUT OFF  somebody at 10.99.0.2, who uses the shared token",
            "change   security.tls.enabled: true",
            "change   security.tls.cert_path: (removed",
            "change   server.auth_token_opens: agents",
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
        let (ok, said) = secure(&world, &file, &[]);
        assert!(!ok && said.contains("nothing was changed"), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        let (ok, said) = secure(&world, &file, &["--yes"]);
        assert!(ok, "{said}");
        let after = fs::read_to_string(&file).unwrap();
        assert!(after.starts_with("// mine\n") && !after.contains("/nowhere"), "{after}");
        world.end_supervisor();
        start(&mut world, &file);
        world.agent("web-1").line_with("has proved itself; it is known by its key");
        world.agent("web-2").line_with("connected again");
        assert_eq!(world.get("/api/v1/nodes").status, 403, "the shared token opens the agents' door alone");
        let (ok, said) = elsewhere(&mut world, wire, &["nodes", "list"]);
        assert!(!ok && said.contains("halctl login"), "{said}");
        let (ok, said) = secure(&world, &file, &[]);
        assert!(ok && said.contains("is closed already"), "{said}");
    });
}
