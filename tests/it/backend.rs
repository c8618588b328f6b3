//! Coding agents that nodes have: which version, what each can, and what is said of one that cannot be used.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// A program that says this version and can do nothing else.
pub fn write_program(path: &Path, version: &str) {
    let new = path.with_extension("new");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$1\" >>{}.calls\n[ \"$1\" = --version ] && echo '{version}'\n",
        path.display()
    );
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// What a node tells of this kind, once it does.
fn wait_backend(world: &World, kind: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(&format!("{kind} is told"), PATIENCE, || {
        let all = world.data(&format!("/api/v1/backends?kind={kind}"));
        all.as_array().and_then(|all| all.iter().find(|one| is_so(one)).cloned()).ok_or(all.to_string())
    })
}

/// Alerts about coding agents that cannot be used: status and text.
fn unfit(world: &World, status: &str) -> Vec<(String, String)> {
    let alerts = world.data(&format!("/api/v1/alerts?status={status}"));
    let its = alerts.as_array().unwrap().iter().filter(|alert| alert["name"] == "backend.unfit");
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    its.map(|alert| (text(alert, "status"), text(alert, "text"))).collect()
}

#[test]
fn a_node_tells_what_its_coding_agents_can() {
    let world = World::with_node();
    let echo = wait_backend(&world, "echo", |_| true);
    assert_eq!((&echo["node_id"], &echo["projects"]), (&json!("web-1"), &json!(["shop"])), "{echo}");
    assert_eq!(
        (&echo["abilities"]["cost"], &echo["abilities"]["tokens"], &echo["abilities"]["survives"]),
        (&json!(true), &json!("per_turn"), &json!(false)),
        "{echo}"
    );
    let said = world.ctl_says(&["backends", "list", "--kind", "echo"]);
    assert!(said.contains("backend: echo  node_id: web-1  status: ok"), "{said}");
    let said = world.ctl_says(&["nodes", "get", "web-1"]);
    assert!(
        said.contains("echo: cost, tokens (per_turn)") && said.contains("not: steer, survives"),
        "{said}"
    );
}

#[test]
fn one_of_another_version_is_an_alert_with_the_way_out_until_it_is_replaced() {
    let mut world = World::supervised();
    let program = world.path().join("bin/opencode");
    write_program(&program, "opencode v3.0.1");
    let mut config = world.agent_config("web-1", "shop");
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    config["projects"][0]["backend"] = json!("opencode");
    config["tool_paths"] = json!({ "opencode": program });
    world.start_agent_with("web-1", &config);
    let told = wait_backend(&world, "opencode", |one| one["version"] == "3.0.1");
    assert!(
        told["fault"].as_str().is_some_and(|fault| fault.contains("only 1.x and 2.x are supported")),
        "{told}"
    );
    let alerts = unfit(&world, "firing");
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    let (status, text) = &alerts[0];
    assert!(
        status == "firing" && text.starts_with("opencode (shop): ") && text.contains("npm install"),
        "{text}"
    );
    let said = world.ctl_says(&["backends", "list", "--kind", "opencode"]);
    assert!(said.contains("status: unfit  version: 3.0.1  tested: 1.18.x; 2.0.x"), "{said}");

    write_program(&program, "1.18.33");
    let told = wait_backend(&world, "opencode", |one| one["version"] == "1.18.33" && one["fault"].is_null());
    let login = told["login"].as_str().unwrap();
    assert!(login == "unknown" || login.starts_with("by "), "it is told, and never by a secret: {told}");
    assert_eq!((unfit(&world, "firing").len(), unfit(&world, "resolved").len()), (0, 1));
    let calls = std::fs::read_to_string(format!("{}.calls", program.display())).unwrap();
    assert!(calls.starts_with("--version\n"), "it is asked before anything is started: {calls}");
}
