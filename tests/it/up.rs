//! `hal up`: the first thing a newcomer runs, and what is left of it afterwards.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;
use crate::world::{World, text};

/// Starts `hal up` with the echo backend and waits for its ready line.
fn start(world: &World) -> (Program, String) {
    let project = world.path().join("shop");
    std::fs::create_dir_all(&project).unwrap();
    let data = world.path().join("up-data");
    let (data, project) = (data.to_string_lossy(), format!("shop={}", project.display()));
    let args = ["up", "--data", &data, "--port", "0", "--project", &project, "--backend", "echo"];
    let program = Program::start("hal up", world.hal(&args));
    let line = program.line_with("ready ");
    assert!(
        line.contains("http://") && line.contains(&*data),
        "the line says where and with which data: {line}"
    );
    (program, line)
}

/// Starts another one for a folder of this name, and waits for its ready line.
fn start_beside(world: &World, project: &str, data: &str) -> (Program, String) {
    let folder = world.path().join(project);
    std::fs::create_dir_all(&folder).unwrap();
    let data = world.path().join(data);
    let (data, project) = (data.to_string_lossy(), format!("{project}={}", folder.display()));
    let args = ["up", "--data", &data, "--port", "0", "--project", &project, "--backend", "echo"];
    let program = Program::start("hal up", world.hal(&args));
    let line = program.line_with("ready ");
    (program, line)
}

/// Runs halctl with nothing but the environment of its user.
fn ctl(world: &World, args: &[&str]) -> String {
    let output = world.hal(&[&["ctl"], args].concat()).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "halctl {}: {said}\n{}", args.join(" "), text(&output.stderr));
    said
}

fn begin(world: &World, prompt: &str) -> String {
    wait_until("the node is online", PATIENCE, || {
        let nodes = ctl(world, &["nodes", "list", "--status", "online"]);
        if nodes.lines().count() == 1 { Ok(()) } else { Err(nodes) }
    });
    let id = ctl(world, &["sessions", "start", "--project", "shop", prompt]).trim().to_owned();
    ctl(world, &["sessions", "wait", &id, "--until", "idle", "--timeout", "30s"]);
    id
}

#[test]
fn the_link_that_it_prints_logs_a_browser_in_once() {
    let world = World::empty();
    let (program, _) = start(&world);
    let line = program.line_with("#code=");
    let (page, code) = line.trim().split_once("#code=").unwrap();
    let login = || {
        let request = reqwest::Client::new().post(format!("{page}api/v1/login"));
        let request = request.header("origin", page.trim_end_matches('/'));
        let answer = request.json(&serde_json::json!({ "code": code })).send();
        world.run(async { answer.await.unwrap().status().as_u16() })
    };
    assert_eq!((login(), login()), (200, 401));
}

#[test]
fn a_newcomer_starts_it_and_a_plain_halctl_finds_it() {
    let world = World::empty();
    let (up, ready) = start(&world);
    assert_eq!(up.said().lines().filter(|line| line.contains("ready ")).count(), 1, "one line: {ready}");
    let id = begin(&world, "say welcome");
    assert!(ctl(&world, &["sessions", "logs", &id]).contains("welcome"));
    let (status, said) = up.end_with(Signal::TERM);
    assert!(status.success(), "{status}\n{said}");
    let gone = world.hal(&["ctl", "nodes", "list"]).output().unwrap();
    assert!(!gone.status.success(), "nobody is there any more: {}", text(&gone.stdout));
}

#[test]
fn a_second_start_goes_on_with_what_was_there() {
    let world = World::empty();
    let (up, _) = start(&world);
    let first = begin(&world, "say first");
    let (status, said) = up.end_with(Signal::INT);
    assert!(status.success(), "Ctrl-C drains: {status}\n{said}");

    let (up, _) = start(&world);
    let second = begin(&world, "say second");
    let names = ctl(&world, &["sessions", "list", "-o", "name"]);
    assert!(names.contains(&first) && names.contains(&second), "{names}");
    ctl(&world, &["sessions", "prompt", &first, "say again"]);
    ctl(&world, &["sessions", "wait", &first, "--until", "idle", "--timeout", "30s"]);
    assert!(up.end_with(Signal::HUP).0.success(), "a closed terminal ends it too");
}

#[test]
fn its_token_is_for_its_user_alone() {
    let world = World::empty();
    let (up, _) = start(&world);
    let found: Value = serde_json::from_str(
        &std::fs::read_to_string(world.path().join("state/hal-o-swarm/up.json")).unwrap(),
    )
    .unwrap();
    let token = PathBuf::from(found["token_file"].as_str().expect("the file names the token's file"));
    let mode = std::fs::metadata(&token).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", token.display());
    let secret = std::fs::read_to_string(&token).unwrap();
    assert!(secret.trim().len() >= 32, "it cannot be guessed");
    assert!(!up.said().contains(secret.trim()), "it is never printed");
    assert!(!std::fs::read_to_string(format!("/proc/{}/cmdline", up.pid())).unwrap().contains(secret.trim()));
}

#[test]
fn a_killed_one_is_started_again() {
    let world = World::empty();
    let (up, _) = start(&world);
    let first = begin(&world, "say first");
    up.kill();
    let (_up, _) = start(&world);
    begin(&world, "say second");
    assert!(ctl(&world, &["sessions", "list", "-o", "name"]).contains(&first));
}

#[test]
fn an_opencode_of_an_unknown_major_on_the_path_is_said_instead_of_ready() {
    let world = World::empty();
    let folder = world.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("opencode");
    std::fs::write(&program, "#!/bin/sh\n[ \"$1\" = --version ] && echo opencode v3.0.1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let data = world.path().join("up-data");
    let args = ["up", "--data", &data.to_string_lossy(), "--port", "0"];
    let output = world.hal(&args).env("PATH", path).current_dir(world.path()).output().unwrap();
    let (said, why) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}\n{why}");
    assert_eq!(said, "", "it is not ready");
    assert!(why.contains("opencode 3.0.1, and only 1.x and 2.x are supported"), "{why}");
    assert!(why.contains("opencode-ai@1.18") && why.contains("hal up --backend echo"), "the way out: {why}");

    let empty = world.path().join("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let args = [args.as_slice(), &["--backend", "opencode"]].concat();
    let output = world.hal(&args).env("PATH", &empty).current_dir(world.path()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert!(text(&output.stderr).contains("npm install -g opencode-ai@1.18"), "{}", text(&output.stderr));
}

#[test]
fn a_second_one_in_another_folder_joins_the_first() {
    let world = World::empty();
    let (up, ready) = start(&world);
    let (second, joined) = start_beside(&world, "my barn", "up-data");
    assert_eq!(joined, ready, "it is the same supervisor");
    let said = second.line_with("sessions start");
    assert!(said.contains("--project 'my barn' "), "the hint can be typed as it stands: {said}");
    let id = ctl(&world, &["sessions", "start", "--project", "my barn", "say hello"]).trim().to_owned();
    ctl(&world, &["sessions", "wait", &id, "--until", "idle", "--timeout", "30s"]);
    assert_eq!(ctl(&world, &["nodes", "list", "--status", "online"]).lines().count(), 2);
    let (status, said) = second.end_with(Signal::TERM);
    assert!(status.success(), "{status}\n{said}");
    begin(&world, "say on");
    let data = world.path().join("up-data").display().to_string();
    let again = ["up", "--data", &data, "--backend", "echo", "--project"];
    let same = format!("other={}", world.path().join("shop").display());
    let refused = world.hal(&[&again[..], &[&same]].concat()).output().unwrap();
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("works in"),
        "{}",
        text(&refused.stderr)
    );
    assert!(up.end_with(Signal::TERM).0.success());
}

#[test]
fn one_with_data_of_its_own_leaves_the_way_to_the_first_as_it_is() {
    let world = World::empty();
    let (_up, _) = start(&world);
    let id = begin(&world, "say first");
    let (second, _) = start_beside(&world, "barn", "other-data");
    let said = second.line_with("sessions list");
    assert!(said.contains("HALCTL_SUPERVISOR_URL=http://") && said.contains("HALCTL_TOKEN_FILE="), "{said}");
    assert!(ctl(&world, &["sessions", "list", "-o", "name"]).contains(&id), "a plain halctl finds the first");
    assert!(second.end_with(Signal::TERM).0.success());
    assert!(ctl(&world, &["sessions", "list", "-o", "name"]).contains(&id), "and so it does afterwards");
}

#[test]
fn it_takes_the_coding_agent_that_is_there_and_says_which() {
    let world = World::empty();
    let folder = world.path().join("bin");
    let (claude, opencode) = (folder.join("claude"), folder.join("opencode"));
    crate::backend::write_program(&claude, "2.1.330 (Claude Code)");
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let project = world.path().join("shop");
    std::fs::create_dir_all(&project).unwrap();
    let data = world.path().join("up-data");
    let project = format!("shop={}", project.display());
    let args = ["up", "--data", &data.to_string_lossy(), "--port", "0", "--project", &project];
    let start = |more: &[&str]| {
        let mut command = world.hal(&[&args[..], more].concat());
        command.env("PATH", &path).stdin(std::process::Stdio::null());
        command
    };
    let up = Program::start("hal up", start(&[]));
    let said = up.line_with("watching shop");
    assert!(said.contains(&format!("with claude 2.1.330 ({})", claude.display())), "{said}");
    assert!(up.end_with(Signal::TERM).0.success());
    let calls = std::fs::read_to_string(format!("{}.calls", claude.display())).unwrap();
    assert!(calls.lines().all(|line| line == "--version"), "it is asked and not started: {calls}");

    crate::backend::write_program(&opencode, "1.18.33");
    let output = start(&[]).output().unwrap();
    let why = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{why}");
    assert!(why.contains("opencode and claude are installed: say which one with --backend"), "{why}");
    let up = Program::start("hal up", start(&["--backend", "claude"]));
    assert!(up.line_with("watching shop").contains("with claude 2.1.330"));
    assert!(up.end_with(Signal::TERM).0.success());
    crate::backend::write_program(&folder.join("codex"), "codex-cli 0.169.0");
    let up = Program::start("hal up", start(&["--backend", "codex"]));
    assert!(up.line_with("watching shop").contains("with codex 0.169.0"));
    assert!(up.end_with(Signal::TERM).0.success());
    std::fs::write(world.path().join("shop/opencode.json"), "{}").unwrap();
    let up = Program::start("hal up", start(&[]));
    // The project's own goes first. That the stand-in is none that can be driven is said, too.
    up.line_with("not ready: opencode does not run");
    assert!(up.end_with(Signal::TERM).0.success());
}
