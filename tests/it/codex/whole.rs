//! All of it together: an agent whose project takes what is there, a supervisor, and an operator who types halctl.

use rustix::process::Signal;
use serde_json::json;

use crate::codex_home::{CodexHome, MODEL};
use crate::opencode_home::FakeModel;
use crate::patience::{PATIENCE, wait_until};
use crate::tool::processes_at;
use crate::world::World;

#[test]
fn an_operator_starts_allows_and_pays_by_the_price_list_and_no_secret_reaches_the_coding_agent() {
    let model = FakeModel::start();
    let Some(home) = CodexHome::new("all of it with Codex", &model) else { return };
    let mut world = World::supervised();
    let mut priced = world.supervisor_config(world.port());
    priced["cost"] = json!({"model_rates": [{"model": format!("fake/{MODEL}"), "input_per_million": 5,
        "output_per_million": 30, "cache_read_per_million": 0.5}]});
    world.write("supervisor.json", &priced.to_string());
    world.supervisor().signal(Signal::HUP);
    wait_until("the price is in force", PATIENCE, || {
        let price = world.data("/api/v1/cost/prices")[0].clone();
        if price["source"] == "configuration" { Ok(()) } else { Err(price.to_string()) }
    });
    let mut config = world.agent_config("web-1", "shop");
    let shop = world.path().join("web-1/shop");
    std::fs::create_dir_all(&shop).unwrap();
    config["projects"][0]["backend"] = json!("auto");
    config["tool_paths"] = json!({ "codex": home.binary() });
    std::fs::create_dir_all(world.path().join("web-1/data")).unwrap();
    world.write("web-1.json", &config.to_string());
    let mut command = world.agent_command("web-1");
    command
        .envs(home.environment())
        .env("HALCTL_AUTH_TOKEN", "a secret of the service")
        .env("PATH", "/usr/bin:/bin");
    world.start_agent_by("web-1", command);
    let node = world.wait_for_node("web-1", "online");
    assert_eq!(node["projects"][0]["backend"], "codex", "{node}");
    let session = world.start_session("shop", "usage 1000 42 300 7 touch paid\nsay all is paid");
    world.wait_for_session(&session, "waiting");
    let environ = std::fs::read(format!("/proc/{}/environ", home.servers()[0])).unwrap();
    let environ = String::from_utf8_lossy(&environ).into_owned();
    assert!(!environ.contains("HALCTL_") && !environ.contains("a secret of the service"), "{environ}");
    world.ctl_says(&["sessions", "allow", &session]);
    world.wait_for_session(&session, "idle");
    assert!(shop.join("paid").exists());
    let said = world.ctl_says(&["sessions", "logs", &session]);
    assert!(said.contains("all is paid"), "{said}");
    let bill = model.bill(&session);
    let tenths = bill.input * 50 + (bill.output + bill.reasoning) * 300 + bill.cached * 5;
    let micros = tenths.div_ceil(10);
    wait_until("the ledger has it", PATIENCE, || {
        let told = world.data(&format!("/api/v1/sessions/{session}"));
        let own = told["own_cost_micros"].as_u64().unwrap_or(0);
        if own.abs_diff(micros) <= 1 { Ok(()) } else { Err(format!("{micros}: {told}")) }
    });
    let said = world.ctl_says(&["backends", "list", "--kind", "codex"]);
    assert!(
        said.contains("status: ok  version: 0.169.0  tested: 0.169.0") && said.contains("projects: shop"),
        "{said}"
    );
    let said = world.ctl_says(&["nodes", "get", "web-1"]);
    assert!(said.contains("codex 0.169.0: tokens (cumulative)") && said.contains("not: cost"), "{said}");
    drop(world);
    assert_eq!(processes_at(&home.path(""), |_| true), Vec::<i32>::new(), "processes are left");
}
