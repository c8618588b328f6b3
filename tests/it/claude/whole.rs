//! All of it together: an agent whose project takes what is there, a supervisor, and an operator who types halctl.

use serde_json::json;

use crate::claude_home::ClaudeHome;
use crate::opencode_home::FakeModel;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

#[test]
fn an_operator_starts_allows_and_pays_and_no_secret_reaches_the_coding_agent() {
    let model = FakeModel::start();
    let Some(home) = ClaudeHome::new("all of it with Claude Code", &model) else { return };
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    let shop = world.path().join("web-1/shop");
    std::fs::create_dir_all(&shop).unwrap();
    config["projects"][0]["backend"] = json!("auto");
    config["tool_paths"] = json!({ "claude": home.binary() });
    std::fs::create_dir_all(world.path().join("web-1/data")).unwrap();
    world.write("web-1.json", &config.to_string());
    let mut command = world.agent_command("web-1");
    command
        .envs(home.environment())
        .env("HALCTL_AUTH_TOKEN", "a secret of the service")
        .env("PATH", "/usr/bin:/bin");
    world.start_agent_by("web-1", command);
    let node = world.wait_for_node("web-1", "online");
    assert_eq!(node["projects"][0]["backend"], "claude", "{node}");
    let session = world.start_session("shop", "usage 1000 42 300 0 touch paid\nsay all is paid");
    world.wait_for_session(&session, "waiting");
    let programs = home.processes(|command| command.contains("--input-format stream-json"));
    let environ = std::fs::read(format!("/proc/{}/environ", programs[0])).unwrap();
    let environ = String::from_utf8_lossy(&environ).into_owned();
    assert!(!environ.contains("HALCTL_") && !environ.contains("a secret of the service"), "{environ}");
    let arguments = std::fs::read(format!("/proc/{}/cmdline", programs[0])).unwrap();
    assert!(String::from_utf8_lossy(&arguments).contains("--permission-mode\0default"), "it asks");
    world.ctl_says(&["sessions", "allow", &session]);
    world.wait_for_session(&session, "idle");
    assert!(shop.join("paid").exists());
    let said = world.ctl_says(&["sessions", "logs", &session]);
    assert!(said.contains("all is paid"), "{said}");
    let bill = model.bill(&session);
    let micros = (bill.input * 40 + bill.output * 200 + bill.cached * 2 + bill.reasoning * 50).div_ceil(10);
    wait_until("the ledger has it", PATIENCE, || {
        let told = world.data(&format!("/api/v1/sessions/{session}"));
        let own = told["own_cost_micros"].as_u64().unwrap_or(0);
        if own.abs_diff(micros) <= 1 { Ok(()) } else { Err(format!("{micros}: {told}")) }
    });
    let said = world.ctl_says(&["backends", "list", "--kind", "claude"]);
    assert!(
        said.contains("status: ok  version: 2.1.330  tested: 2.1.330") && said.contains("projects: shop"),
        "{said}"
    );
}
