//! Programs that are not what they are said to be: one sentence, that project in error, and the neighbours untouched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;

use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

fn write_script(path: &Path, script: &str) -> PathBuf {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// Answers the hello, begins a session, and then does as it is told.
const SPEAKS: &str = r#"
answer() { id=$(printf '%s' "$1" | sed 's/.*"id":\([0-9]*\).*/\1/'); printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$2"; }
while read -r line; do
  case $line in
  *'"initialize"'*) answer "$line" '"result":{"protocolVersion":1,"agentInfo":{"name":"x","version":"1.2.3"},"agentCapabilities":{}}' ;;
  *'"session/new"'*) answer "$line" '"result":{"sessionId":"s1"}' ;;
  *'"session/prompt"'*) AT_PROMPT ;;
  *'_hal/ping'*) answer "$line" '"error":{"code":-32601,"message":"no"}' ;;
  esac
done"#;

/// 64 MiB without the end of a line, and then that.
const LONG: &str = "head -c 67108864 /dev/zero | tr '\\0' x; echo";

/// Programs that are none of these, each with a part of what is said of it.
fn bad() -> [(&'static str, String, &'static str); 4] {
    [
        (
            "babbles",
            "while echo this is no JSON; do :; done".to_owned(),
            "does not speak ACP: it says a line that is no JSON",
        ),
        ("ends", "echo out of luck >&2; exit 3".to_owned(), "ends has ended "),
        (
            "newer",
            SPEAKS.replace("\"protocolVersion\":1", "\"protocolVersion\":9"),
            "speaks version 9 of ACP",
        ),
        (
            "refuses",
            SPEAKS.replace(
                "\"result\":{\"protocolVersion\"",
                "\"error\":{\"message\":\"not today\"},\"x\":{\"protocolVersion\"",
            ),
            "refuses to speak ACP: not today",
        ),
    ]
}

#[test]
fn what_does_not_speak_is_one_sentence_and_the_neighbours_go_on() {
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    let folder = world.path().join("web-1");
    for project in ["shop", "work"] {
        fs::create_dir_all(folder.join(project)).unwrap();
    }
    let bad = bad();
    let mut programs = json!({ "gone": {"command": ["/does/not/exist", "--acp"]} });
    for (name, script, _) in &bad {
        let path = write_script(&folder.join(name), script);
        programs[*name] = json!({ "command": [path] });
    }
    // It speaks, and says something long before its answer.
    let long = SPEAKS.replace(
        "AT_PROMPT",
        &format!("{LONG}; answer \"$line\" '\"result\":{{\"stopReason\":\"end_turn\"}}'"),
    );
    programs["long"] = json!({ "command": write_script(&folder.join("long"), &long) });
    let projects = config["projects"].as_array_mut().unwrap();
    projects.push(
        json!({"name": "work", "directory": folder.join("work"), "backend": "acp:long", "trusted": true}),
    );
    for name in bad.iter().map(|(name, ..)| *name).chain(["gone"]) {
        let kind = format!("acp:{name}");
        projects
            .push(json!({"name": name, "directory": folder.join("work"), "backend": kind, "trusted": true}));
    }
    config["backends"] = json!({ "acp": programs });
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    for (name, part) in bad.iter().map(|(name, _, part)| (*name, *part)).chain([("gone", "was not found")]) {
        let why = wait_until(&format!("{name} to be in error"), PATIENCE, || {
            let node = world.data("/api/v1/nodes/web-1");
            let all = node["projects"].as_array().unwrap();
            let its = all.iter().find(|one| one["name"] == name).unwrap();
            its["error"].as_str().map(str::to_owned).ok_or_else(|| node.to_string())
        });
        assert!(why.contains(part) && why.contains(name) && !why.contains('\n'), "{name}: {why}");
        let (code, said) = world.ctl_fails(&["sessions", "start", "--project", name, "say hello"]);
        assert!(code != 0 && said.contains(part), "{name}: {said}");
    }
    let said = world.ctl_says(&["backends", "list", "--kind", "acp:long"]);
    assert!(said.contains("status: ok  version: 1.2.3"), "{said}");
    // Its turn without a word is no good one; a long line is not kept, and the process goes on.
    let session = world.start_session("work", "say hello");
    let told = world.wait_for_session(&session, "error");
    assert!(told["error"].as_str().unwrap().contains("ended without an answer"), "{told}");
    let echo = world.start_session("shop", "say hello");
    world.wait_for_session(&echo, "idle");
}

#[test]
fn what_a_checkout_makes_it_run_is_not_known_so_that_somebody_must_have_said_it() {
    let world = World::empty();
    let folder = world.path().join("web-1/shop");
    fs::create_dir_all(&folder).unwrap();
    let mut config = json!({"supervisor_url": "ws://localhost:1", "auth_token": "0123456789abcdef0123456789abcdef",
        "data_dir": world.path(), "backends": {"acp": {"gemini": {"command": ["sh"], "env": {"KEY": "hunter2-and-more"}}}},
        "projects": [{"name": "shop", "directory": folder, "backend": "acp:gemini"}]});
    let validate = |config: &serde_json::Value| {
        let file = world.write("agent.json", &config.to_string());
        let output =
            world.hal(&["agent", "--validate", "--config", file.to_str().unwrap()]).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let said = validate(&config);
    assert!(said.contains("what acp:gemini runs of a checkout by itself is not known here"), "{said}");
    config["projects"][0]["trusted"] = json!(true);
    config["projects"][0]["permission_mode"] = json!("yolo");
    let said = validate(&config);
    assert!(said.contains("the coding agent asks nobody for permission") && said.contains("ok"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    config["projects"][0]["backend"] = json!("acp:gemmini");
    let said = validate(&config);
    assert!(said.contains("acp:gemini"), "the known ones are named: {said}");
    config["backends"]["acp"] =
        json!({"Gemini 2": {"command": []}, "x": {"command": ""}, "y": {"commands": "z"}});
    let said = validate(&config);
    for part in
        ["expected a name of lower-case letters", "expected the program and its arguments", "unknown key"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_program_that_is_configured_later_waits_for_the_next_start_and_says_so() {
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    let program = write_script(&world.path().join("web-1/later"), SPEAKS);
    config["backends"] = json!({"acp": {"later": {"command": [program]}}});
    config["projects"][0]["backend"] = json!("acp:later");
    config["projects"][0]["trusted"] = json!(true);
    world.write("web-1.json", &config.to_string());
    world.agent("web-1").signal(Signal::HUP);
    let error = |world: &World| world.data("/api/v1/nodes/web-1")["projects"][0]["error"].clone();
    wait_until("the project to be in error", PATIENCE, || {
        let why = error(&world).to_string();
        if why.contains("start it again") { Ok(()) } else { Err(why) }
    });
    drop(world.take_agent("web-1"));
    world.start_agent_again("web-1");
    wait_until("the project to be well", PATIENCE, || {
        let why = error(&world);
        if why.is_null() { Ok(()) } else { Err(why.to_string()) }
    });
}
