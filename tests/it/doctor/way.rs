//! The way to the supervisor: tokens, names, ports, firewalls; and nodes that are away.

use std::net::TcpListener;

use serde_json::json;

use super::stage::Machine;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

const CONNECT: &str = "Agent Can't Connect to Supervisor";

/// A token that is not the supervisor's.
const OTHER: &str = "another-token-that-no-supervisor-of-these-tests-has-98765";

/// A machine with an agent's configuration, changed.
fn with_agent(change: impl FnOnce(&mut serde_json::Value)) -> Machine {
    let mut machine = Machine::supervised();
    let mut config = machine.world.agent_config("web-1", "shop");
    std::fs::create_dir_all(machine.config("web-1/shop")).unwrap();
    std::fs::create_dir_all(machine.config("web-1/data")).unwrap();
    change(&mut config);
    machine.world.write("web-1.json", &config.to_string());
    machine.configs.push("web-1.json");
    machine.unit("hal-agent", "active", "running", "MainPID=0\n");
    machine
}

#[test]
fn a_wrong_token_is_found_on_one_machine_and_from_another_and_never_shown() {
    let mut machine = with_agent(|config| config["auth_token"] = json!(OTHER));
    let said = machine.doctor(&[]);
    said.found("token.differs", "high", CONNECT);
    said.found("reach.token", "high", CONNECT);
    assert!(!said.all.contains(OTHER), "{}", said.all);
    // Seen from the agent's machine, which has no configuration of a supervisor.
    machine.configs.retain(|name| *name != "supervisor.json");
    machine.put("hal-supervisor.unit", "LoadState=not-found\n");
    let said = machine.doctor(&[]);
    assert_eq!((said.code, &said.report["machine"]), (3, &json!(["agent"])), "{}", said.all);
    let refused = said.found("reach.token", "high", CONNECT);
    assert!(refused["what"].to_string().contains("web-1.json") && !said.has("token.differs"), "{refused:#}");
    assert!(!said.all.contains(OTHER), "{}", said.all);
}

#[test]
fn a_token_that_systemd_hands_over_is_used() {
    let file = |machine: &Machine| machine.config("token");
    let machine = with_agent(|config| {
        config.as_object_mut().unwrap().remove("auth_token");
    });
    std::fs::write(file(&machine), OTHER).unwrap();
    machine.put(
        "hal-agent.service",
        &format!("[Service]\nLoadCredential=auth_token:{}\n", file(&machine).display()),
    );
    assert!(machine.doctor(&[]).has("token.differs"));
    std::fs::write(file(&machine), crate::world::TOKEN).unwrap();
    let said = machine.doctor(&[]);
    assert!(
        !said.has("token.differs") && !said.has("reach.token") && !said.has("reach.no_token"),
        "{}",
        said.all
    );
}

#[test]
fn a_name_that_nobody_knows_and_a_port_where_nobody_listens_are_told_apart() {
    let unknown = with_agent(|config| config["supervisor_url"] = json!("ws://no-such-host.invalid:8420"));
    let said = unknown.doctor(&[]);
    let dns = said.found("reach.dns", "high", CONNECT);
    assert!(dns["commands"].to_string().contains("getent hosts no-such-host.invalid"), "{dns:#}");
    // Port 1 is never served.
    let silent = with_agent(|config| config["supervisor_url"] = json!("ws://127.0.0.1:1"));
    silent.doctor(&[]).found("reach.refused", "high", CONNECT);
}

#[test]
fn somebody_else_on_the_port_is_named() {
    let mut machine = Machine::supervised();
    machine.crash("");
    let thief = TcpListener::bind(("127.0.0.1", machine.world.port())).expect("the port is free now");
    let said = machine.doctor(&["--fix", "--yes"]);
    let taken = said.found("port.taken", "critical", "Supervisor Process Crashed");
    assert!(taken["evidence"].to_string().contains(&format!("process {}", std::process::id())), "{taken:#}");
    assert!(machine.orders().is_empty(), "a restart does not help as long as it is there");
    drop(thief);
}

#[test]
fn a_firewall_that_drops_the_port_is_found() {
    let machine = Machine::supervised();
    machine.put("ufw.rules", "Status: active\n\nTo    Action  From\n22/tcp    ALLOW    Anywhere\n");
    let said = machine.doctor(&[]);
    let port = machine.world.port();
    let ufw = said.found("firewall", "high", "Supervisor Unreachable from Agents");
    assert!(ufw["commands"].to_string().contains(&format!("sudo ufw allow {port}/tcp")), "{ufw:#}");
    machine.put("ufw.rules", "Status: inactive\n");
    machine
        .put("iptables.rules", &format!("-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport {port} -j DROP\n"));
    let said = machine.doctor(&[]);
    assert!(said.finding("firewall")["evidence"].to_string().contains("-j DROP"), "{}", said.all);
}

#[test]
fn a_node_that_is_away_is_an_incident() {
    let mut machine = Machine::around(World::with_node());
    machine.unit(
        "hal-supervisor",
        "active",
        "running",
        &format!("MainPID={}\n", machine.world.supervisor().pid()),
    );
    machine.configure(|config| config["alerts"] = json!({"node_offline": "1s"}));
    assert!(!machine.doctor(&[]).has("node.offline"));
    machine.world.take_agent("web-1").kill();
    machine.world.wait_for_node("web-1", "offline");
    let said = wait_until("doctor sees that the node is away", PATIENCE, || {
        let said = machine.doctor(&[]);
        if said.has("node.offline") { Ok(said) } else { Err(said.all) }
    });
    let away = said.found("node.offline", "high", CONNECT);
    assert_eq!((said.code, &away["about"]), (3, &json!("web-1")), "{away:#}");
}

#[test]
fn with_fleet_every_node_is_looked_at() {
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    config["projects"][0]["directory"] = json!(world.path().join("gone"));
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    let machine = Machine::around(world);
    machine.unit(
        "hal-supervisor",
        "active",
        "running",
        &format!("MainPID={}\n", machine.world.supervisor().pid()),
    );
    assert!(!machine.doctor(&[]).has("node.project"), "it was not asked for");
    let said = machine.doctor(&["--fleet"]);
    let project = said.found("node.project", "medium", "Agent Process Crashed");
    assert_eq!((said.code, &project["about"]), (3, &json!("web-1/shop")), "{project:#}");
}

#[test]
fn an_agent_without_its_coding_agent_is_found() {
    let machine = with_agent(|config| {
        config["projects"][0]["backend"] = json!("opencode");
        config["tool_paths"] = json!({"opencode": "/nowhere/opencode"});
    });
    let said = machine.doctor(&[]);
    let missing = said.found("agent.opencode", "medium", "Agent Process Crashed");
    assert!(missing["what"].to_string().contains("/nowhere/opencode is not installed here"), "{missing:#}");
}

#[test]
fn an_agent_that_is_installed_and_switched_off_is_not_missed() {
    let machine = with_agent(|config| config["auth_token"] = json!(OTHER));
    machine.unit("hal-agent", "inactive", "dead", "UnitFileState=disabled\nMainPID=0\n");
    let said = machine.doctor(&[]);
    assert_eq!((said.code, &said.report["machine"]), (0, &json!(["supervisor"])), "{}", said.all);
    assert!(said.report["notes"].to_string().contains("hal-agent is disabled here"), "{}", said.all);
}

#[test]
fn an_agent_that_has_ended_is_found() {
    let machine = with_agent(|_| {});
    machine.unit("hal-agent", "failed", "failed", "Result=oom-kill\nExecMainStatus=9\nMainPID=0\n");
    let said = machine.doctor(&[]);
    let down = said.found("agent.down", "high", "Agent Process Crashed");
    assert_eq!(down["fix"], "restart hal-agent", "{down:#}");
}

#[test]
fn a_token_of_the_nodes_own_is_no_difference_and_opens_the_agents_door() {
    let machine = with_agent(|_| {});
    machine.world.ctl_says(&["users", "create", "web-1", "--role", "agent"]);
    let made = machine.world.ctl_says(&["-o", "json", "tokens", "create", "web-1"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let mut config = machine.world.agent_config("web-1", "shop");
    config["auth_token"] = made["token"].clone();
    machine.world.write("web-1.json", &config.to_string());
    let said = machine.doctor(&[]);
    let findings: Vec<_> =
        said.report["findings"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert!(!findings.iter().any(|name| name.as_str().unwrap().contains("reach.")), "{}", said.all);
    assert!(!said.has("token.differs"), "{}", said.all);
}
