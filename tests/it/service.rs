//! A daemon as a service of systemd: what it says of itself, what it is handed, what it leaves for a bad day.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitStatus;

use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World};

/// Systemd's end of what a daemon says, and everything heard so far.
pub struct Ear {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Ear {
    /// Listens where a daemon of this world is told to speak.
    pub fn of(world: &mut World, watchdog_usec: u32) -> Self {
        let path = world.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        world.environment = vec![
            ("NOTIFY_SOCKET".to_owned(), path.to_string_lossy().into_owned()),
            ("WATCHDOG_USEC".to_owned(), watchdog_usec.to_string()),
        ];
        Self { socket, heard: Vec::new() }
    }

    /// Waits for the next message with this line in it, and forgets everything up to it.
    pub fn hears(&mut self, line: &str) -> String {
        self.hears_what(line, |one| one == line)
    }

    /// The same for a line of which only the beginning is known.
    pub fn hears_beginning(&mut self, start: &str) -> String {
        self.hears_what(start, |one| one.starts_with(start))
    }

    fn hears_what(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        wait_until(&format!("systemd hears {what}"), PATIENCE, || {
            self.listen();
            let at = self.heard.iter().position(|heard| heard.lines().any(&is_it));
            at.map(|at| self.heard.drain(..=at).next_back().unwrap()).ok_or(format!("{:?}", self.heard))
        })
    }

    /// True when this line was said since the last time; forgets everything said so far.
    pub fn has_heard(&mut self, line: &str) -> bool {
        self.listen();
        self.heard.drain(..).any(|heard| heard.lines().any(|one| one == line))
    }

    fn listen(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            self.heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
    }
}

#[test]
fn systemd_hears_how_a_supervisor_is() {
    let mut world = World::empty();
    let mut ear = Ear::of(&mut world, 600_000);
    world.start_supervisor_by(world.supervisor_command());
    ear.hears("READY=1");
    assert!(world.supervisor_is_ready().is_ok(), "ready means that halctl finds it");
    assert_eq!(world.request(Method::GET, "/readyz", None, &[], None).status, StatusCode::OK);
    let alive = ear.hears("WATCHDOG=1");
    assert!(alive.contains("STATUS=0 of 0 nodes online, 0 sessions"), "{alive}");
    ear.hears("WATCHDOG=1");
    world.supervisor().signal(Signal::HUP);
    assert!(ear.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    ear.hears("READY=1");
    world.supervisor().signal(Signal::TERM);
    ear.hears("STOPPING=1");
}

#[test]
fn systemd_hears_how_an_agent_is() {
    let mut world = World::supervised();
    let mut ear = Ear::of(&mut world, 600_000);
    world.start_agent("web-1", "shop");
    ear.hears("READY=1");
    // What `systemctl status` shows stays when it is said that the agent lives.
    ear.hears(&format!("STATUS=connected to {}", world.url("ws")));
    for _ in 0..2 {
        assert!(!ear.hears("WATCHDOG=1").contains("STATUS="));
    }
    world.end_supervisor();
    ear.hears_beginning("STATUS=not connected: ");
    world.agent("web-1").signal(Signal::TERM);
    ear.hears("STOPPING=1");
}

#[test]
fn a_daemon_that_does_not_stay_up_is_an_alert() {
    let mut world = World::with_node();
    for _ in 0..3 {
        world.kill_supervisor();
        world.start_supervisor();
    }
    for _ in 0..3 {
        let _killed = world.take_agent("web-1").end_with(Signal::KILL);
        world.start_agent_again("web-1");
        world.wait_for_node("web-1", "online");
    }
    for name in ["supervisor.restarts", "agent.restarts"] {
        wait_until(&format!("the alert {name} is there"), PATIENCE, || {
            let events = world.get("/api/v1/events?type=alert.raised").body;
            let found = events["data"].as_array().is_some_and(|all| {
                let about = all.iter().filter(|event| event["data"]["name"] == name);
                about.filter(|event| event["data"]["text"].to_string().contains("started 4 times")).count()
                    == 1
            });
            if found { Ok(()) } else { Err(events.to_string()) }
        });
    }
}

#[test]
fn restarts_by_hand_are_no_alerts() {
    let mut world = World::with_node();
    for _ in 0..4 {
        world.end_supervisor();
        world.start_supervisor();
        let (status, said) = world.take_agent("web-1").end_with(Signal::TERM);
        assert!(status.success(), "{said}");
        world.start_agent_again("web-1");
        world.wait_for_node("web-1", "online");
    }
    // The agent's word comes with its first events; what it says after them has come, too.
    let id = world.start_session("shop", "say all is well");
    world.wait_for_session(&id, "idle");
    for name in ["supervisor.restarts", "agent.restarts"] {
        let alerts = world.data(&format!("/api/v1/alerts?status=all&name={name}"));
        assert_eq!(alerts, json!([]), "somebody meant them");
    }
}

#[test]
fn a_token_may_come_from_systemd() {
    let mut world = World::empty();
    let credentials = world.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("auth_token"), format!("{TOKEN}\n")).unwrap();
    world.environment =
        vec![("CREDENTIALS_DIRECTORY".to_owned(), credentials.to_string_lossy().into_owned())];
    let mut config = world.supervisor_config(0);
    config["server"].as_object_mut().unwrap().remove("auth_token");
    let path = world.write("supervisor.json", &config.to_string());
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &path.to_string_lossy()]));
    world.wait_for_supervisor();
    assert_eq!(
        world.get("/api/v1/nodes").status,
        StatusCode::OK,
        "the token of the credential opens the door"
    );
}

#[test]
fn the_last_good_configuration_is_kept() {
    let world = World::empty();
    let path = world.write("supervisor.json", &world.supervisor_config(0).to_string());
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let keep = || {
        let mut command = world.hal(&["supervisor", "--keep-backup", "--config", &path.to_string_lossy()]);
        command.output().unwrap()
    };
    let kept = keep();
    let backup = Path::new(&format!("{}.backup", path.display())).to_owned();
    assert_eq!(String::from_utf8_lossy(&kept.stdout), format!("{}\n", backup.display()), "{kept:?}");
    let good = std::fs::read(&path).unwrap();
    assert_eq!(std::fs::read(&backup).unwrap(), good);
    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    std::fs::write(&path, json!({"server": {"port": "x"}}).to_string()).unwrap();
    assert_eq!(keep().status.code(), Some(78));
    assert_eq!(std::fs::read(&backup).unwrap(), good, "what is no good does not replace what is");
}

/// What `systemctl reload` does with a unit of ours, for this program and this file: the exit code of the line that
/// failed, or 0.
fn reload(world: &World, unit: &str, config: &Path, pid: u32) -> i32 {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd").join(unit);
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
    assert!(lines.len() > 1, "{unit}");
    for line in lines {
        let words: Vec<&str> = line.trim_start_matches(['+', '-']).split(' ').collect();
        let path = config.to_string_lossy();
        let ended = match words[0].strip_prefix("/usr/bin/hal-") {
            Some(role) => {
                let args: Vec<&str> =
                    words[1..].iter().map(|word| if word.starts_with('/') { &*path } else { word }).collect();
                world.hal(&[&[role], args.as_slice()].concat()).output().unwrap().status
            }
            None => {
                assert_eq!(words, ["/bin/kill", "-HUP", "$MAINPID"]);
                kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::HUP).unwrap();
                ExitStatus::default()
            }
        };
        if !ended.success() && !line.starts_with(['-']) && !line.starts_with("+-") {
            return ended.code().unwrap();
        }
    }
    0
}

#[test]
fn a_reload_of_a_broken_configuration_fails_and_a_good_one_is_kept() {
    let world = World::with_node();
    let path = world.path().join("supervisor.json");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    let pid = world.supervisor().pid();
    assert_eq!(reload(&world, "hal-supervisor.service", &path, pid), 78);
    assert!(!Path::new(&format!("{}.backup", path.display())).exists(), "what is no good is not kept");
    let mut changed: serde_json::Value = serde_json::from_str(&good).unwrap();
    changed["alerts"] = json!({"reminder": "7m"});
    std::fs::write(&path, changed.to_string()).unwrap();
    assert_eq!(reload(&world, "hal-supervisor.service", &path, pid), 0);
    wait_until("it is reloaded", PATIENCE, || {
        let said = world.supervisor().said();
        if said.contains("reloaded") && said.contains("alerts") { Ok(()) } else { Err(said) }
    });
    let kept = std::fs::read_to_string(format!("{}.backup", path.display())).unwrap();
    assert_eq!(kept, changed.to_string(), "a change that runs is not lost when the file is spoiled later");

    let path = world.path().join("web-1.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let pid = world.agent("web-1").pid();
    std::fs::write(&path, "{").unwrap();
    assert_eq!(reload(&world, "hal-agent.service", &path, pid), 78);
    // A folder that is away for a while keeps no agent from anything.
    let mut changed: serde_json::Value = serde_json::from_str(&good).unwrap();
    changed["projects"][0]["directory"] = json!("/no/such/folder");
    std::fs::write(&path, changed.to_string()).unwrap();
    assert_eq!(reload(&world, "hal-agent.service", &path, pid), 0);
}

/// What root's helper says of the agent's configuration, and what is kept beside it.
fn keeps_the_agents(world: &World) -> (String, Option<String>) {
    let path = |name: &str| world.path().join(name).to_string_lossy().into_owned();
    let (config, vouched) = (path("web-1.json"), path("run/vouched"));
    let mut command = world.hal(&["agent", "--config", &config, "--keep-backup", "--vouched-by", &vouched]);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let kept = std::fs::read_to_string(format!("{config}.backup")).ok();
    (String::from_utf8_lossy(&said.stdout).into_owned(), kept)
}

#[test]
fn an_agents_configuration_is_kept_once_a_supervisor_has_welcomed_it() {
    let mut world = World::supervised();
    std::fs::create_dir_all(world.path().join("run")).unwrap();
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    let run = world.path().join("run").to_string_lossy().into_owned();
    world.environment = vec![("RUNTIME_DIRECTORY".to_owned(), run)];
    let right = world.agent_config("web-1", "shop");
    let mut wrong = right.clone();
    wrong["auth_token"] = json!("another-token-that-no-supervisor-has-ever-known-0123456789");
    world.start_agent_with("web-1", &wrong);
    world.agent("web-1").line_with("token");
    let (said, kept) = keeps_the_agents(&world);
    assert!(said.contains("no supervisor has welcomed it") && kept.is_none(), "{said} {kept:?}");

    world.write("web-1.json", &right.to_string());
    world.agent("web-1").signal(Signal::HUP);
    world.wait_for_node("web-1", "online");
    let good = right.to_string();
    wait_until("the configuration that was welcomed is kept", PATIENCE, || {
        let (said, kept) = keeps_the_agents(&world);
        if kept.as_ref() == Some(&good) { Ok(()) } else { Err(format!("{said} {kept:?}")) }
    });

    // Changed, and not even read; then read, while the link of the other token still stands.
    world.write("web-1.json", &wrong.to_string());
    assert_eq!(keeps_the_agents(&world).1.as_ref(), Some(&good));
    world.agent("web-1").signal(Signal::HUP);
    wait_until("the other token is taken over", PATIENCE, || {
        let said = world.agent("web-1").said();
        if said.matches("reloaded").count() == 2 { Ok(()) } else { Err(said) }
    });
    assert_eq!(keeps_the_agents(&world).1.as_ref(), Some(&good), "another token has not proved itself");

    // What else a standing link takes over is good with it.
    let mut named = right;
    named["projects"][0]["name"] = json!("blog");
    world.write("web-1.json", &named.to_string());
    world.agent("web-1").signal(Signal::HUP);
    wait_until("the configuration with another project is kept", PATIENCE, || {
        let (said, kept) = keeps_the_agents(&world);
        if kept == Some(named.to_string()) { Ok(()) } else { Err(format!("{said} {kept:?}")) }
    });
}
