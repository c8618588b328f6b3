//! Nodes: they appear, go, come back, and say what they can do.

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::json;

use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

#[test]
fn a_node_appears_with_its_projects_and_its_machine() {
    let world = World::with_node();
    let node = world.data("/api/v1/nodes/web-1");
    let project = &node["projects"][0];
    assert_eq!((&project["name"], &project["backend"]), (&json!("shop"), &json!("echo")), "{node}");
    assert_eq!(project["error"], json!(null), "{node}");
    assert!(project["directory"].as_str().unwrap().ends_with("web-1/shop"), "{node}");
    wait_until("a heartbeat brings the machine's state", PATIENCE, || {
        let node = world.data("/api/v1/nodes/web-1");
        let memory = node["resources"]["memory_total"].as_u64().unwrap_or(0);
        if memory > 0 { Ok(()) } else { Err(node.to_string()) }
    });
}

#[test]
fn a_killed_agent_is_offline_and_comes_back() {
    let mut world = World::with_node();
    let before = world.wait_for_node("web-1", "online");
    world.take_agent("web-1").kill();
    let gone = world.wait_for_node("web-1", "offline");
    assert_eq!(gone["projects"], before["projects"], "what it can do is still known");
    world.start_agent_again("web-1");
    let back = world.wait_for_node("web-1", "online");
    assert!(back["epoch"].as_u64() > before["epoch"].as_u64(), "{before}\n{back}");
    let seen: Vec<String> = world
        .events("node_id=web-1&type=node.*")
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(seen, ["node.online", "node.offline", "node.online"]);
}

#[test]
fn an_agent_that_is_asked_to_leave_leaves() {
    let mut world = World::with_node();
    let (status, said) = world.take_agent("web-1").end_with(Signal::TERM);
    assert!(status.success(), "{status}\n{said}");
    world.wait_for_node("web-1", "offline");
}

#[test]
fn a_paused_agent_is_offline_until_it_goes_on() {
    let mut world = World::with_node();
    let agent = world.take_agent("web-1");
    agent.signal(Signal::STOP);
    world.wait_for_node("web-1", "offline");
    agent.signal(Signal::CONT);
    world.wait_for_node("web-1", "online");
}

#[test]
fn an_agent_finds_its_supervisor_again_and_says_why_it_could_not() {
    let mut world = World::with_node();
    world.kill_supervisor();
    let line = wait_until("the agent says why", PATIENCE, || {
        let said = world.agent("web-1").said();
        said.lines()
            .find(|line| line.to_lowercase().contains("connection refused"))
            .map(str::to_owned)
            .ok_or(said)
    });
    assert!(!line.is_empty());
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
}

#[test]
fn a_project_whose_folder_is_gone_is_in_error_and_the_node_goes_on() {
    let mut world = World::supervised();
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    let mut config = world.agent_config("web-1", "shop");
    let gone = world.path().join("web-1/gone");
    config["projects"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "blog", "directory": gone, "backend": "echo"}));
    world.start_agent_with("web-1", &config);
    let node = world.wait_for_node("web-1", "online");
    let blog = node["projects"].as_array().unwrap().iter().find(|project| project["name"] == "blog").unwrap();
    assert!(blog["error"].as_str().is_some_and(|error| error.contains("gone")), "{blog}");
    let refused =
        world.ask(&json!({"type": "create_session", "project": "blog", "args": {"prompt": "say hello"}}));
    assert_eq!(refused.body["data"]["state"], "failed", "{}", refused.body);
    assert!(refused.body["data"]["error"].as_str().unwrap().contains("gone"), "{}", refused.body);
    world.start_session("shop", "say hello");
}

#[test]
fn a_wrong_token_is_refused_with_a_sentence_and_logged_once() {
    let mut world = World::supervised();
    for token in [None, Some("not-the-token")] {
        let reply = world.request(Method::GET, "/api/v1/nodes", token, &[], None);
        assert_eq!((reply.status, &reply.body["code"]), (StatusCode::UNAUTHORIZED, &json!("AUTH_REQUIRED")));
        assert!(reply.body["error"].as_str().is_some_and(|error| error.contains("token")), "{}", reply.body);
    }
    let mut config = world.agent_config("web-1", "shop");
    config["auth_token"] = json!("not-the-token-0123456789-0123456789-0123456789");
    world.start_agent_with("web-1", &config);
    wait_until("the agent has tried twice", PATIENCE, || {
        let refused = world.metric(r#"hal_o_swarm_tokens_refused_total{word="agent"}"#);
        if refused >= 2.0 { Ok(()) } else { Err(world.agent("web-1").said()) }
    });
    let line = world.agent("web-1").line_with("auth_token");
    assert!(!line.contains("not-the-token"), "the token is in the log: {line}");
    let said = world.supervisor().said();
    assert_eq!(said.matches("wrong token").count(), 1, "{said}");
    assert_eq!(world.get("/api/v1/nodes").body["meta"]["total"], 0);
    let (code, sentence) = world.ctl_fails(&["--auth-token", "not-the-token", "nodes", "list"]);
    assert_eq!(code, 77, "{sentence}");
}

#[test]
fn halctl_lists_and_shows_nodes() {
    let mut world = World::with_node();
    world.start_agent("web-2", "blog");
    world.take_agent("web-2").kill();
    world.wait_for_node("web-2", "offline");
    let all = world.ctl_says(&["nodes", "list"]);
    assert_eq!(all.lines().count(), 2, "{all}");
    let online = world.ctl_says(&["nodes", "list", "--status", "online"]);
    assert!(online.lines().count() == 1 && online.contains("web-1"), "{online}");
    assert!(world.ctl_says(&["nodes", "get", "web-1"]).contains("shop"));
    let (code, sentence) = world.ctl_fails(&["nodes", "get", "web-11"]);
    assert!(code == 4 && sentence.contains("web-1"), "{code} {sentence}");
}

#[test]
fn a_node_that_will_not_come_again_is_removed_and_its_sessions_stay_readable() {
    let mut world = World::with_node();
    let id = world.start_session("shop", "say hello");
    world.wait_for_session(&id, "idle");
    let (code, refused) = world.ctl_fails(&["nodes", "remove", "web-1"]);
    assert!(code == 1 && refused.contains("online") && refused.contains("hal-agent"), "{code}: {refused}");
    world.take_agent("web-1").kill();
    world.wait_for_node("web-1", "offline");
    world.ctl_says(&["nodes", "remove", "web-1"]);
    assert_eq!(world.ctl_says(&["nodes", "list"]), "");
    assert_eq!(world.ctl_says(&["sessions", "list"]), "", "its sessions leave the list");
    assert!(world.ctl_says(&["sessions", "list", "--all"]).contains(&id));
    assert!(world.ctl_says(&["sessions", "logs", &id]).contains("hello"));
    let (code, _) = world.ctl_fails(&["nodes", "remove", "web-1"]);
    assert_eq!(code, 4, "it is gone");
    assert!(!world.ctl_says(&["alerts", "list"]).contains("node.offline"), "nobody is told of it any more");

    world.end_supervisor();
    world.start_supervisor();
    assert_eq!(world.ctl_says(&["nodes", "list"]), "", "also after a restart");
    world.start_agent_again("web-1");
    world.wait_for_node("web-1", "online");
    assert!(world.ctl_says(&["sessions", "list", "--all"]).contains(&id), "it is a node as before");
}

#[test]
fn a_journal_that_comes_under_another_name_says_whose_it_was() {
    let mut world = World::with_node();
    world.take_agent("web-1").end_with(Signal::TERM);
    world.wait_for_node("web-1", "offline");
    let mut config = world.agent_config("web-1", "shop");
    config["node_id"] = json!("web-2");
    world.start_agent_with("web-2", &config);
    world.wait_for_node("web-2", "online");
    let told = world.events("node_id=web-2&type=node.renamed");
    assert!(told.len() == 1 && told[0]["data"]["was"] == "web-1", "{told:?}");
    let alerts = world.ctl_says(&["alerts", "list", "--name", "node.renamed"]);
    assert!(alerts.contains("web-1") && alerts.contains("halctl nodes remove web-1"), "{alerts}");
}

#[test]
fn projects_are_listed_with_their_nodes() {
    let world = World::with_node();
    let listed = world.ctl_says(&["projects", "list"]);
    assert!(
        listed.starts_with("project: shop  node_id: web-1  status: ok  backend: echo  directory: /"),
        "{listed}"
    );
    assert_eq!(world.ctl_says(&["projects", "list", "--node-id", "web-9"]), "");
}
