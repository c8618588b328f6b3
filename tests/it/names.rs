//! Short names: the beginning of a name, the newest by `@last`, and what a shell offers.

use std::process::Command;

use crate::world::{HAL, TOKEN, World, text};

/// What two names begin with alike, and the beginning that only the first has.
fn beginnings(one: &str, other: &str) -> (String, String) {
    let shared = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    (one.chars().take(shared).collect(), one.chars().take(shared + 1).collect())
}

#[test]
fn the_beginning_of_a_name_and_the_newest_are_understood() {
    let world = World::with_node();
    let one = world.start_session("shop", "say one");
    let other = world.start_session("shop", "say other");
    world.wait_for_session(&one, "idle");
    world.wait_for_session(&other, "idle");
    let (shared, own) = beginnings(&one, &other);
    let is = |words: &[&str], id: &str| {
        let said = world.ctl_says(words);
        assert!(said.starts_with(&format!("id: {id}  ")), "{words:?}: {said}");
    };
    is(&["sessions", "get", &own], &one);
    is(&["sessions", "get", &one], &one);
    is(&["sessions", "get", "@last"], &other);
    is(&["nodes", "get", "web"], "web-1");
    is(&["nodes", "get", "@last"], "web-1");
    let (code, sentence) = world.ctl_fails(&["sessions", "kill", &shared]);
    assert!(code == 2 && sentence.contains(&one) && sentence.contains(&other), "{code}: {sentence}");
    let (code, sentence) = world.ctl_fails(&["sessions", "get", "xyzzy"]);
    assert!(code == 4 && sentence.contains("xyzzy"), "{code}: {sentence}");
    let (code, sentence) = world.ctl_fails(&["approvals", "get", "@last"]);
    assert!(code == 4 && sentence.contains("no approval yet"), "{code}: {sentence}");

    let events = world.ctl_says(&["events", "list", "--session", &own, "--node-id", "web"]);
    assert!(!events.is_empty() && events.lines().all(|line| line.contains(&one)), "{events}");
    world.ctl_says(&["sessions", "kill", &own]);
    world.wait_for_session(&one, "ended");
    let command = world.ctl_says(&["commands", "get", "@last"]);
    assert!(command.contains("type: kill_session  status: done") && command.contains(&one), "{command}");
    let id = command.split_whitespace().nth(1).unwrap();
    is(&["commands", "get", &id[..24]], id);
}

#[test]
fn a_project_to_begin_in_is_typed_whole() {
    let world = World::with_node();
    let (code, sentence) = world.ctl_fails(&["sessions", "start", "--project", "sho", "say hi"]);
    assert!(code == 4 && sentence.contains("shop"), "{code}: {sentence}");
}

#[test]
fn a_shell_offers_what_the_supervisor_has() {
    let world = World::with_node();
    let id = world.start_session("shop", "say hi");
    world.wait_for_session(&id, "idle");
    let programs = world.path().join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    std::os::unix::fs::symlink(HAL, programs.join("halctl")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let offered = |words: &[&str]| {
        let script = r#"source <(halctl completions bash)
            COMP_WORDS=(halctl "$@"); COMP_CWORD=$#; COMP_TYPE=9
            _clap_complete_halctl halctl "${@: -1}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", script, "bash"]).args(words).env_clear().env("PATH", &path);
        bash.env("HOME", world.path()).env("HALCTL_SUPERVISOR_URL", world.url("http"));
        let output = bash.env("HALCTL_AUTH_TOKEN", TOKEN).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        text(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offered(&["sessions", "logs", &id[..id.len() - 2]]), [id.as_str()]);
    assert!(offered(&["sessions", "get", ""]).contains(&id));
    assert_eq!(offered(&["sessions", "list", "--node-id", "we"]), ["web-1"]);
    assert_eq!(offered(&["sessions", "start", "--project", "s"]), ["shop"]);
    assert_eq!(offered(&["sessions", "get", "@"]), ["@last"]);
    assert!(offered(&["approv"])[0].starts_with("approval"));
    world.ctl_says(&["sessions", "kill", "@last"]);
    // A shell that asks while nobody is there is offered nothing, and shows no error.
    let nobody = ["--supervisor-url", "http://127.0.0.1:1", "sessions", "get", "s"];
    assert!(offered(&nobody).is_empty());
}
