//! A checkout that brings hooks, servers, a helper of keys and a command along: nothing of it runs before a person has said so.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::stage::Stage;
use crate::claude_home::ClaudeHome;
use crate::opencode_home::FakeModel;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// What the checkout would run, each by the file that it makes.
const ALL: [&str; 6] = ["command", "hook", "key", "local-hook", "server", "skill"];

/// A command that shows that it was run.
fn runs(project: &Path, name: &str) -> String {
    format!("touch {}", project.join(".ran").join(name).display())
}

/// Makes the checkout.
fn brings(project: &Path) {
    for folder in [".claude/commands", ".claude/skills/brought-skill", ".ran"] {
        fs::create_dir_all(project.join(folder)).unwrap();
    }
    let write = |file: &str, value: Value| fs::write(project.join(file), value.to_string()).unwrap();
    let hook = |name: &str| json!({"SessionStart": [{"hooks": [{"type": "command", "command": runs(project, name)}]}]});
    write(
        ".claude/settings.json",
        json!({"hooks": hook("hook"), "enableAllProjectMcpServers": true,
            "apiKeyHelper": format!("{}; echo none", runs(project, "key"))}),
    );
    write(".claude/settings.local.json", json!({"hooks": hook("local-hook")}));
    let server = json!({"command": "sh", "args": ["-c", runs(project, "server")]});
    write(".mcp.json", json!({"mcpServers": {"brought": server}}));
    let command =
        format!("---\nallowed-tools: Bash(touch:*)\n---\nsay it ran\n!`{}`\n", runs(project, "command"));
    fs::write(project.join(".claude/commands/brought.md"), command).unwrap();
    let skill = format!(
        "---\nname: brought-skill\ndescription: says it ran\nallowed-tools: Bash(touch:*)\n---\nsay it ran\n!`{}`\n",
        runs(project, "skill")
    );
    fs::write(project.join(".claude/skills/brought-skill/SKILL.md"), skill).unwrap();
    fs::write(project.join("CLAUDE.md"), "Remember the word KETTLE-INSTRUCTION.\n").unwrap();
}

fn has_run(project: &Path) -> Vec<String> {
    let entries = fs::read_dir(project.join(".ran")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_checkout_runs_before_a_person_has_said_so_and_its_instructions_are_read() {
    for trusted in [None, Some(false), Some(true)] {
        let Some(stage) = Stage::set_trusting("trust of Claude Code", trusted, brings).await else { return };
        let session = stage.play("sees KETTLE INSTRUCTION").await;
        assert!(stage.texts(&session).contains(&"It is seen.".to_owned()), "{:?}", stage.texts(&session));
        stage.say(&session, "/brought").await;
        stage.wait_turns(&session, 2).await;
        stage.say(&session, "/brought-skill").await;
        stage.wait_turns(&session, 3).await;
        // A resume reads what the checkout brings once more.
        crate::play::kill(stage.programs()[0]);
        crate::play::wait_until("its end", || stage.programs().is_empty()).await;
        stage.say(&session, "sees KETTLE INSTRUCTION").await;
        stage.wait_turns(&session, 4).await;
        let ran = has_run(&stage.project);
        match trusted {
            Some(true) => assert_eq!(ran, ALL),
            _ => assert_eq!(ran, Vec::<String>::new(), "nobody has allowed it"),
        }
        stage.strike().await;
    }
}

#[test]
fn what_ran_before_anybody_was_asked_goes_on_until_somebody_says_otherwise() {
    let model = FakeModel::start();
    let Some(home) = ClaudeHome::new("an upgrade with Claude Code", &model) else { return };
    let mut world = World::supervised();
    let mut config = world.agent_config("web-1", "shop");
    let shop = world.path().join("web-1/shop");
    fs::create_dir_all(&shop).unwrap();
    brings(&shop);
    config["projects"][0]["backend"] = json!("claude");
    config["tool_paths"] = json!({ "claude": home.binary() });
    let data = world.path().join("web-1/data");
    fs::create_dir_all(&data).unwrap();
    world.write("web-1.json", &config.to_string());
    let start = |world: &mut World| {
        let mut command = world.agent_command("web-1");
        command.envs(home.environment()).env("PATH", "/usr/bin:/bin");
        world.start_agent_by("web-1", command);
        world.wait_for_node("web-1", "online");
    };
    start(&mut world);
    let first = world.start_session("shop", "say hello");
    world.wait_for_session(&first, "idle");
    assert_eq!(has_run(&shop), Vec::<String>::new());
    assert!(!world.ctl_says(&["backends", "list", "--kind", "claude"]).contains("unasked: shop"));

    // A list that is gone was lost: it is not made anew of what has happened since.
    drop(world.take_agent("web-1"));
    world.wait_for_node("web-1", "offline");
    fs::remove_file(data.join("trust.json")).unwrap();
    start(&mut world);
    let lost = world.start_session("shop", "say hello");
    world.wait_for_session(&lost, "idle");
    assert_eq!((has_run(&shop), data.join("trust.json").exists()), (Vec::<String>::new(), false));

    // The journal of a version that did not ask has no list beside it, and remembers none.
    drop(world.take_agent("web-1"));
    world.wait_for_node("web-1", "offline");
    forget_list(&data);
    start(&mut world);
    let second = world.start_session("shop", "say hello");
    world.wait_for_session(&second, "idle");
    assert!(has_run(&shop).contains(&"hook".to_owned()));
    let said = world.ctl_says(&["backends", "list", "--kind", "claude"]);
    assert!(said.contains("unasked: shop"), "{said}");

    fs::remove_dir_all(shop.join(".ran")).unwrap();
    fs::create_dir(shop.join(".ran")).unwrap();
    config["projects"][0]["trusted"] = json!(false);
    world.write("web-1.json", &config.to_string());
    world.agent("web-1").signal(Signal::HUP);
    wait_until("the word to be taken", PATIENCE, || {
        let said = world.ctl_says(&["backends", "list", "--kind", "claude"]);
        if said.contains("unasked: shop") { Err(said) } else { Ok(()) }
    });
    let third = world.start_session("shop", "say hello");
    world.wait_for_session(&third, "idle");
    assert!(!has_run(&shop).contains(&"hook".to_owned()), "{:?}", has_run(&shop));
}

/// Makes the journal one of a version that knew of no list.
fn forget_list(data: &Path) {
    let database = redb::Database::open(data.join("agent.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("meta");
    assert!(transaction.open_table(meta).unwrap().remove("trust-list").unwrap().is_some());
    transaction.commit().unwrap();
}
