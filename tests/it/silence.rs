//! Every silence is an alert: what does not run, is not let in, is not there, does not answer or is not asked says so, with
//! what to do, and is over by itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fault::means::{can, skip};
use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;
use crate::world::{TOKEN, World};

/// A supervisor with these keys on top of its configuration.
fn supervised_with(keys: &Value) -> World {
    supervised(World::empty(), keys)
}

fn supervised(mut world: World, keys: &Value) -> World {
    let mut config = world.supervisor_config(0);
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let path = world.write("supervisor.json", &config.to_string());
    let command = world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    world
}

fn open_alerts(world: &World, name: &str) -> Vec<Value> {
    world.get(&format!("/api/v1/alerts?name={name}")).body["data"].as_array().cloned().unwrap_or_default()
}

/// Waits for an alert, and says how long that took.
fn until_open(world: &World, name: &str) -> Value {
    let began = Instant::now();
    let alert = wait_until(&format!("{name} is raised"), PATIENCE, || {
        open_alerts(world, name).into_iter().next().ok_or_else(|| {
            let all = world.get("/api/v1/alerts").body;
            format!("{all}\n{}", world.supervisor().said())
        })
    });
    println!("{name}: {:.1} s until it is raised: {}", began.elapsed().as_secs_f64(), alert["text"]);
    alert
}

fn until_over(world: &World, name: &str) {
    wait_until(&format!("{name} is over"), PATIENCE, || match open_alerts(world, name).as_slice() {
        [] => Ok(()),
        open => Err(format!("{open:?}")),
    });
}

fn text(alert: &Value) -> &str {
    alert["text"].as_str().unwrap()
}

/// A program that says it is opencode, and ends with a complaint when it is to serve.
fn broken_opencode(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(folder).unwrap();
    let program = folder.join("opencode");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 1.18.3; exit 0; }\necho 'loading plugins' >&2\n\
                  echo 'Error: the plugin tides is broken' >&2\nexit 3\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn a_coding_agent_that_does_not_run_is_an_alert_with_its_last_lines() {
    let mut world = supervised_with(&json!({"alerts": {"backend_down": "1s"}}));
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    let mut config = world.agent_config("web-1", "shop");
    let echo = config.clone();
    config["projects"][0]["backend"] = json!("opencode");
    config["tool_paths"] = json!({"opencode": broken_opencode(&world.path().join("bin"))});
    world.start_agent_with("web-1", &config);
    let alert = until_open(&world, "backend.down");
    assert_eq!((&alert["about"], &alert["severity"]), (&json!("web-1/opencode"), &json!("high")), "{alert}");
    for part in ["opencode does not run", "in shop.", "journalctl -u hal-agent", "the plugin tides is broken"]
    {
        assert!(text(&alert).contains(part), "{part}: {alert}");
    }
    let told = world.events("type=alert.raised");
    let of_node = told.iter().find(|one| one["data"]["name"] == "backend.down").unwrap();
    assert_eq!(of_node["node_id"], "web-1", "it is found by its node");

    // Somebody puts it right.
    world.write("web-1.json", &echo.to_string());
    world.agent("web-1").signal(Signal::HUP);
    until_over(&world, "backend.down");

    // A project alone.
    std::fs::remove_dir_all(world.path().join("web-1/shop")).unwrap();
    world.agent("web-1").signal(Signal::HUP);
    let alert = until_open(&world, "project.down");
    assert_eq!(alert["about"], "web-1/shop");
    assert!(text(&alert).contains("does not exist"), "{alert}");
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    world.agent("web-1").signal(Signal::HUP);
    until_over(&world, "project.down");
}

#[test]
fn hal_up_says_that_its_coding_agent_does_not_run_instead_of_ready() {
    let world = World::empty();
    let bin = broken_opencode(&world.path().join("bin"));
    let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
    let data = world.path().join("up-data");
    let args = ["up", "--data", &data.to_string_lossy(), "--port", "0", "--backend", "opencode"];
    let mut command = world.hal(&args);
    command.env("PATH", path);
    let up = Program::start("hal up", command);
    let line = up.line_with("not ready: ");
    assert!(line.contains("opencode does not run: it ended at once"), "{line}");
    up.line_with("the plugin tides is broken");
    let (status, said) = up.end_with(Signal::INT);
    assert!(status.success(), "{status}\n{said}");
    assert!(!said.lines().any(|line| line.starts_with("ready ")), "{said}");
}

#[test]
fn an_agent_that_is_not_let_in_is_one_alert_until_it_is() {
    let mut world = supervised_with(&json!({}));
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    let good = world.agent_config("web-1", "shop");
    let mut wrong = good.clone();
    wrong["auth_token"] = json!("another-token-that-is-long-enough-0123456789");
    world.start_agent_with("web-1", &wrong);
    let alert = until_open(&world, "agent.refused");
    assert_eq!((&alert["about"], &alert["severity"]), (&json!("127.0.0.1"), &json!("high")), "{alert}");
    for part in ["calls itself web-1", "is refused since", "compare auth_token"] {
        assert!(text(&alert).contains(part), "{part}: {alert}");
    }
    // Another one of the same machine that is let in changes nothing of it.
    world.start_agent("web-2", "blog");
    assert_eq!(open_alerts(&world, "agent.refused").len(), 1);
    world.take_agent("web-1").kill();
    world.start_agent_with("web-1", &good);
    world.wait_for_node("web-1", "online");
    until_over(&world, "agent.refused");
}

#[test]
fn who_should_be_there_is_missed_and_who_comes_and_goes_is_not() {
    let nodes = json!([{"id": "never-1"}, {"id": "laptop", "expected": false}]);
    let mut world = supervised_with(&json!({"alerts": {"node_offline": "5s"}, "nodes": nodes}));
    world.start_agent("laptop", "shop");
    world.start_agent("web-1", "blog");
    let alert = until_open(&world, "node.offline");
    assert_eq!(alert["about"], "never-1", "{alert}");
    assert!(text(&alert).contains("has never connected"), "{alert}");
    world.take_agent("laptop").kill();
    world.wait_for_node("laptop", "offline");
    world.start_agent("never-1", "attic");
    until_over(&world, "node.offline");

    // All that should be there, at once: one alert says so.
    let both = ["never-1", "web-1"].map(|node| world.take_agent(node));
    both.into_iter().for_each(|agent| drop(agent.kill()));
    let alert = until_open(&world, "nodes.all_offline");
    assert!(text(&alert).contains("all 2 nodes are offline (never-1, web-1)"), "{alert}");
    assert_eq!(open_alerts(&world, "node.offline"), Vec::<Value>::new());
    // One is back: the other one is missed by itself.
    world.start_agent("web-1", "blog");
    until_over(&world, "nodes.all_offline");
    assert_eq!(until_open(&world, "node.offline")["about"], "never-1");
}

#[test]
fn a_command_that_takes_too_long_is_an_alert_until_it_ends() {
    // The agent that is stopped counts as gone only much later.
    let mut unhurried = World::empty();
    unhurried.heartbeat_sec = 60;
    let mut world = supervised(unhurried, &json!({"alerts": {"command": "1s"}}));
    world.start_agent("web-1", "shop");
    let session = world.start_session("shop", "say hello");
    world.wait_for_session(&session, "idle");
    // A process that is stopped answers nothing.
    world.agent("web-1").signal(Signal::STOP);
    let asked = json!({"type": "session_status", "session_id": session, "timeout": 0});
    let command = world.ask(&asked).body["data"]["command_id"].as_str().unwrap().to_owned();
    let alert = until_open(&world, "command.slow");
    assert_eq!((&alert["about"], &alert["severity"]), (&json!("web-1"), &json!("medium")), "{alert}");
    assert!(text(&alert).contains(&format!("session_status {command} of session {session}")), "{alert}");
    world.agent("web-1").signal(Signal::CONT);
    until_over(&world, "command.slow");
}

#[test]
fn a_daemon_that_uses_its_core_is_an_alert() {
    let world = supervised_with(&json!({"alerts": {"cpu_percent": 1, "cpu_for": "1s"}}));
    let alert = wait_until("cpu.high is raised", PATIENCE, || {
        world.get("/api/v1/openapi.json");
        open_alerts(&world, "cpu.high").into_iter().next().ok_or_else(|| "not yet".to_owned())
    });
    assert!(text(&alert).contains("hal-supervisor uses") && alert["about"] == "", "{alert}");
}

#[test]
fn metrics_that_nobody_asks_for_any_more_are_an_alert_also_after_a_restart() {
    let mut world = supervised_with(&json!({"alerts": {"metrics_unscraped": "1s"}}));
    // A person who looks is no Prometheus.
    assert_eq!(world.get("/metrics").status, 200);
    let scrape = |world: &World| {
        let as_prometheus = [("X-Prometheus-Scrape-Timeout-Seconds", "10")];
        assert_eq!(world.request(Method::GET, "/metrics", Some(TOKEN), &as_prometheus, None).status, 200);
    };
    world.start_agent("web-1", "shop");
    assert_eq!(open_alerts(&world, "metrics.unscraped"), Vec::<Value>::new());
    scrape(&world);
    let alert = until_open(&world, "metrics.unscraped");
    assert_eq!(alert["severity"], "low", "{alert}");
    wait_until("metrics.unscraped is over", PATIENCE, || {
        scrape(&world);
        if open_alerts(&world, "metrics.unscraped").is_empty() {
            Ok(())
        } else {
            Err("still open".to_owned())
        }
    });
    world.end_supervisor();
    let command = world.hal(&["supervisor", "--config", "supervisor.json"]);
    world.start_supervisor_by(command);
    world.wait_for_supervisor();
    until_open(&world, "metrics.unscraped");
}

/// A control group of this scene with little memory, where this machine lets one be made.
struct Group(PathBuf);

impl Group {
    fn make() -> Result<Self, String> {
        let first = Path::new("/sys/fs/cgroup/memory");
        let (root, limit) = match first.is_dir() {
            true => (first, "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let path = root.join(format!("hal-test-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let group = Self(path);
        std::fs::write(group.0.join(limit), "256M").map_err(|error| format!("{limit}: {error}"))?;
        // Where there is swap, what is too much would only be moved there.
        let swap = group.0.join("memory.swap.max");
        if swap.exists() {
            std::fs::write(&swap, "0").map_err(|error| format!("memory.swap.max: {error}"))?;
        }
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_process_that_the_kernel_ended_for_want_of_memory_is_an_alert() {
    let scene = "a process that the kernel ends for want of memory";
    if !can(scene, &["python3"]) {
        return;
    }
    let group = match Group::make() {
        Ok(group) => group,
        Err(why) => return skip(scene, &format!("no control group can be made here: {why}")),
    };
    let mut world = supervised_with(&json!({}));
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
    world.under = ["/bin/sh", "-c", &enter, "sh"].map(str::to_owned).to_vec();
    world.start_agent("web-1", "shop");
    world.under.clear();
    // The watcher has to have seen the agent as it was.
    wait_until("a heartbeat is there", PATIENCE, || {
        let node = world.data("/api/v1/nodes/web-1");
        if node["resources"]["oom_kills"] == 0 { Ok(()) } else { Err(node.to_string()) }
    });
    let heartbeat = world.data("/api/v1/nodes/web-1")["last_heartbeat"].clone();
    wait_until("some heartbeats later", PATIENCE, || {
        let node = world.data("/api/v1/nodes/web-1");
        let apart = node["last_heartbeat"].as_str().unwrap() > heartbeat.as_str().unwrap();
        if apart { Ok(()) } else { Err(node.to_string()) }
    });
    let hungry =
        format!("echo $$ > {}/cgroup.procs && exec python3 -c 'x = bytearray(1 << 30)'", group.0.display());
    let ended = Command::new("/bin/sh").args(["-c", &hungry]).status().unwrap();
    assert!(!ended.success());
    let alert = until_open(&world, "memory.oom");
    assert_eq!(alert["about"], "web-1", "{alert}");
    assert!(text(&alert).contains("raise MemoryMax"), "{alert}");
    world.take_agent("web-1").kill();
}

#[test]
fn a_healthy_fleet_at_work_raises_nothing() {
    const NODES: usize = 6;
    const SESSIONS: usize = 4;
    // What this machine is like is not the fleet's fault: the disk, the memory and the processors of whoever tests.
    let limits = json!({"disk_free_percent": 0, "disk_used_percent": 100, "memory_percent": 100, "cpu_for": "1h",
        "response": "60s", "command": "5m", "command_start": "10m"});
    let mut world = supervised_with(&json!({"alerts": limits}));
    for node in 0..NODES {
        world.start_agent(&format!("web-{node}"), &format!("shop-{node}"));
    }
    let sessions: Vec<String> = (0..NODES * SESSIONS)
        .map(|nth| {
            world.start_session(&format!("shop-{}", nth % NODES), "say hello; run 1; say done; cost 0.01")
        })
        .collect();
    for session in &sessions {
        world.wait_for_session(session, "idle");
        world.done(
            &json!({"type": "prompt_session", "session_id": session, "args": {"message": "say more; run 1"}}),
        );
    }
    for session in &sessions {
        world.wait_for_session(session, "idle");
    }
    // Looked at a few times more while it is at rest.
    let beat =
        |world: &World| world.data("/api/v1/nodes/web-0")["last_heartbeat"].as_str().unwrap().to_owned();
    for _ in 0..6 {
        let before = beat(&world);
        wait_until("a heartbeat later", PATIENCE, || {
            if beat(&world) > before { Ok(()) } else { Err(before.clone()) }
        });
    }
    let all = world.get("/api/v1/alerts?status=all").body;
    assert_eq!(all["meta"]["total"], 0, "{all}");
    println!(
        "{NODES} nodes, {} sessions, {} events, 0 alerts",
        sessions.len(),
        world.metric("hal_o_swarm_events_total ")
    );
}
