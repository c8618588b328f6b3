//! All of it together: an agent whose project names a program that speaks ACP, a supervisor, and an operator who types halctl.

use serde_json::{Value, json};

use super::stage::{AcpHome, Program};
use crate::opencode_home::FakeModel;
use crate::patience::{PATIENCE, wait_until};
use crate::tool::processes_at;
use crate::world::World;

#[test]
fn an_operator_starts_allows_and_sees_what_was_used() {
    let model = FakeModel::start();
    let Some(home) = AcpHome::new("all of it over ACP", Program::Qwen, &model) else { return };
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    let shop = world.path().join("web-1/shop");
    std::fs::create_dir_all(&shop).unwrap();
    let launch = home.launch();
    let env: Value = launch.env.iter().map(|(name, value)| (name.clone(), json!(value.reveal()))).collect();
    config["backends"] = json!({"acp": {"qwen": {"command": launch.command, "env": env}}});
    config["projects"][0]["backend"] = json!("acp:qwen");
    config["projects"][0]["trusted"] = json!(true);
    std::fs::create_dir_all(world.path().join("web-1/data")).unwrap();
    world.write("web-1.json", &config.to_string());
    let mut command = world.agent_command("web-1");
    command.env("HALCTL_AUTH_TOKEN", "a secret of the service");
    world.start_agent_by("web-1", command);
    let node = world.wait_for_node("web-1", "online");
    assert_eq!(node["projects"][0]["backend"], "acp:qwen", "{node}");
    let session = world.start_session("shop", "usage 1000 42 300 7 touch used\nsay all is done");
    world.wait_for_session(&session, "waiting");
    let environ = std::fs::read(format!("/proc/{}/environ", home.programs()[0])).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("a secret of the service"));
    world.ctl_says(&["sessions", "allow", &session]);
    world.wait_for_session(&session, "idle");
    assert!(shop.join("used").exists());
    let said = world.ctl_says(&["sessions", "logs", &session]);
    assert!(said.contains("all is done"), "{said}");
    // What it asks for itself, a title or so, it does not tell.
    assert!(model.bill("none").output > 50, "it has asked for something of its own");
    wait_until("what was used", PATIENCE, || {
        let told = world.data(&format!("/api/v1/sessions/{session}"));
        let kinds = ["output", "cache_read", "reasoning"].map(|kind| told["token_kinds"][kind].as_u64());
        let is_so = kinds == [Some(42 + 8), Some(300), Some(7)] && told["model"]["id"] == "fake-1";
        if is_so { Ok(()) } else { Err(told.to_string()) }
    });
    let said = world.ctl_says(&["backends", "list", "--kind", "acp:qwen"]);
    assert!(said.contains("status: ok  version: 0.24.4") && said.contains("projects: shop"), "{said}");
    drop(world);
    assert_eq!(processes_at(&home.path(""), |_| true), Vec::<i32>::new(), "processes are left");
}
