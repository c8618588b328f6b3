//! Configuration files, good and bad, given to the true programs. Each fixture has the exact output beside it, with
//! the exit code in its last line; `UPDATE_EXPECTED=1 cargo test --test it config` writes them anew.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hal_o_swarm::base::config::{Purpose, Severity, Source};
use hal_o_swarm::store::retain::Retention;
use hal_o_swarm::store::usage::of_disk;
use hal_o_swarm::{agent, supervisor};
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/config");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/docs/CONFIGURATION.md");

/// Pieces of every secret in the fixtures.
const SECRETS: [&str; 2] = ["hunter2", "tiger"];

/// A folder with the programs' links, a certificate, another key, and a token.
fn room() -> TempDir {
    let room = tempfile::tempdir().unwrap();
    for program in ["hal", "hal-supervisor", "hal-agent"] {
        symlink(env!("CARGO_BIN_EXE_hal"), room.path().join(program)).unwrap();
    }
    let pair = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    write(&room.path().join("cert.pem"), &pair.cert.pem());
    write(&room.path().join("key.pem"), &pair.signing_key.serialize_pem());
    write(&room.path().join("other-key.pem"), &other.signing_key.serialize_pem());
    write(&room.path().join("token"), "0123456789abcdef0123456789hunter2\n");
    room
}

/// Writes a file that only its owner can read.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn run(room: &TempDir, program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(room.path().join(program));
    command.args(args).current_dir(room.path()).env_remove("JOURNAL_STREAM").env_remove("CLICOLOR_FORCE");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{err}exit {}\n", output.status.code().unwrap())
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(FIXTURES).join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    files
}

/// Validates every fixture of one program and compares what it says.
fn check_all(folder: &str, program: &str) {
    let room = room();
    let mut wrong = Vec::new();
    for fixture in fixtures(folder) {
        let name = fixture.file_name().unwrap().to_str().unwrap();
        write(&room.path().join(name), &fs::read_to_string(&fixture).unwrap());
        let said = said(&run(&room, program, &["--validate", "--config", name]));
        for secret in SECRETS {
            assert!(!said.contains(secret), "{name} shows a secret:\n{said}");
        }
        let expected = fixture.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {folder}/{name} said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_supervisor_says_everything_that_is_wrong() {
    check_all("supervisor", "hal-supervisor");
}

#[test]
fn the_agent_says_everything_that_is_wrong() {
    check_all("agent", "hal-agent");
}

#[test]
fn what_a_checkout_brings_along_is_warned_of_until_somebody_has_said_so() {
    let room = room();
    let web = room.path().join("web");
    fs::create_dir_all(web.join(".git")).unwrap();
    fs::write(web.join("opencode.json"), "{}").unwrap();
    fs::write(web.join(".mcp.json"), "{}").unwrap();
    let validate = |backend: &str, more: &str| {
        let project = format!(r#"{{"name": "web", "directory": {web:?}, "backend": "{backend}"{more}}}"#);
        let text = format!(
            r#"{{"supervisor_url": "ws://localhost:8420", "auth_token": "0123456789abcdef0123456789abcdef",
               "data_dir": {:?}, "projects": [{project}]}}"#,
            room.path()
        );
        write(&room.path().join("agent.json"), &text);
        said(&run(&room, "hal-agent", &["--validate", "--config", "agent.json"]))
    };
    let told = validate("claude", "");
    assert!(told.contains("projects[0].trusted: claude runs nothing of what "), "{told}");
    assert!(told.contains("web/.mcp.json says") && told.contains("exit 0"), "{told}");
    let told = validate("opencode", "");
    assert!(told.contains("opencode would run what ") && told.contains("web/opencode.json says"), "{told}");
    assert!(!validate("codex", "").contains("trusted"), "it brings nothing for that one");
    for (backend, word) in [("claude", true), ("claude", false), ("opencode", true)] {
        let told = validate(backend, &format!(r#", "trusted": {word}"#));
        assert!(!told.contains("warning"), "{told}");
    }
    let told = validate("opencode", r#", "trusted": false"#);
    assert!(told.contains("nothing is done in this project"), "{told}");
    let list = serde_json::json!({"folders": [{"backend": "claude", "directory": web}]});
    fs::write(room.path().join("trust.json"), list.to_string()).unwrap();
    let told = validate("claude", "");
    assert!(told.contains("claude runs what ") && told.contains("as it did before"), "{told}");
}

#[test]
fn a_daemon_does_not_start_with_a_bad_file() {
    let room = room();
    write(&room.path().join("bad.json"), r#"{ "server": { "auth_token": "hunter2", "prot": 1 } }"#);
    for flag in ["--config=bad.json", "-config=bad.json"] {
        let said = said(&run(&room, "hal", &["supervisor", flag]));
        assert!(said.contains(r#"bad.json:1:40: server.prot: unknown key, did you mean "port"?"#), "{said}");
        assert!(said.ends_with("exit 78\n") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_answered_with_how_to_begin() {
    let output = run(&room(), "hal-agent", &["--validate", "--config", "none.json"]);
    let expected = "none.json: cannot be read: No such file or directory (os error 2)\n\
        hal-agent: error: none.json: 1 problem; to begin with a sample: hal-agent --print-sample-config\n\
        exit 78\n";
    assert_eq!(said(&output), expected);
}

#[test]
fn a_secret_that_everyone_can_read_gets_a_warning() {
    let room = room();
    for name in ["good.json", "token"] {
        let text = fs::read_to_string(Path::new(FIXTURES).join("supervisor/good.json")).unwrap();
        let text = if name == "token" { "0123456789abcdef0123456789hunter2".to_string() } else { text };
        write(&room.path().join(name), &text);
        fs::set_permissions(room.path().join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let output = said(&run(&room, "hal-supervisor", &["--validate", "--config", "good.json"]));
    assert!(output.starts_with("good.json: ok, 1 warning\ngood.json: warning: everyone"), "{output}");

    let by_file = r#"{"server": {"auth_token_file": "token"}, "database": {"path": "x.db"}}"#;
    write(&room.path().join("by-file.json"), by_file);
    let output = said(&run(&room, "hal-supervisor", &["--validate", "--config", "by-file.json"]));
    assert!(
        output.contains("by-file.json:1:32: warning: server.auth_token_file: \"token\": everyone"),
        "{output}"
    );
}

#[test]
fn a_project_that_vanished_does_not_keep_the_agent_from_running() {
    let text = r#"{"supervisor_url": "ws://localhost:1", "data_dir": "/tmp",
        "auth_token": "0123456789abcdef0123456789abcdef",
        "projects": [{"name": "gone", "directory": "/no/such/folder"}]}"#;
    let file = Source { path: Path::new("agent.json"), bytes: text.as_bytes(), is_open_to_all: false };
    assert!(agent::config::parse(&file, Purpose::Validate).is_err());
    let (config, report) = agent::config::parse(&file, Purpose::Run).unwrap();
    assert_eq!((config.projects.len(), report.count(Severity::Warning)), (1, 1));
}

/// A configuration with TLS and a token in a file, and a stand-in for systemd whose unit runs on it as this user.
fn service_room(user: &str) -> (TempDir, PathBuf) {
    let room = room();
    let path = room.path().join("supervisor.json");
    let text = r#"{"server": {"auth_token_file": "token"}, "database": {"path": "data/x.db"}, "security": {"tls":
        {"enabled": true, "cert_path": "cert.pem", "key_path": "key.pem"}}}"#;
    fs::create_dir(room.path().join("data")).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(room.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write(&path, text);
    for (name, bits) in [("", 0o755), ("supervisor.json", 0o644), ("cert.pem", 0o644), ("token", 0o644)] {
        mode(name, bits);
    }
    let line = format!("/usr/bin/hal-supervisor --config {}", path.display());
    let unit = format!("#!/bin/sh\necho 'ExecStart={{ argv[]={line} ; pid=0 }}'\necho User={user}\n");
    write(&room.path().join("systemctl"), &unit);
    mode("systemctl", 0o755);
    (room, path)
}

/// What `--validate` says there.
fn validated(room: &TempDir, config: &Path, as_nobody: bool) -> String {
    let program = room.path().join("program");
    if fs::hard_link(env!("CARGO_BIN_EXE_hal"), &program).is_err() {
        fs::copy(env!("CARGO_BIN_EXE_hal"), &program).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["supervisor", "--validate", "--config"]).arg(config).env_remove("JOURNAL_STREAM");
    let path = format!("{}:{}", room.path().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).current_dir("/");
    if as_nobody && rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    said(&command.output().unwrap())
}

#[test]
fn what_the_service_cannot_read_is_a_problem_whoever_validates() {
    let (room, config) = service_room("nobody");
    let output = validated(&room, &config, false);
    assert!(output.contains("security.tls.key_path") && output.contains("nobody may not read"), "{output}");
    assert!(output.contains("database.path") && output.contains("nobody may not write to"), "{output}");
    assert!(output.ends_with("exit 78\n"), "{output}");
}

#[test]
fn what_only_the_service_can_read_is_no_problem() {
    let (room, config) = service_room("root");
    let mode = |name: &str, mode| {
        fs::set_permissions(room.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    ["key.pem", "token"].into_iter().for_each(|name| mode(name, 0o000));
    mode("data", 0o555);
    let output = validated(&room, &config, true);
    mode("data", 0o755);
    assert!(output.contains("warning: security.tls.key_path") && output.ends_with("exit 0\n"), "{output}");
    assert!(output.contains("is for the service's user root, and was not checked"), "{output}");
}

#[test]
fn the_samples_are_good() {
    let room = room();
    for (program, names) in [
        ("hal-supervisor", vec!["/var/lib/hal-o-swarm/supervisor.db"]),
        ("hal-agent", vec!["/var/lib/hal-o-swarm"]),
    ] {
        let mut sample = String::from_utf8(run(&room, program, &["--print-sample-config"]).stdout).unwrap();
        for name in names {
            assert!(sample.contains(name));
            sample = sample.replace(name, &room.path().join("data").display().to_string());
        }
        write(&room.path().join("sample.json"), &sample);
        let said = said(&run(&room, program, &["--validate", "--config", "sample.json"]));
        // A new supervisor is closed: it has nothing to warn of but the token.
        assert!(said.starts_with("sample.json: ok, 1 warning\n") && said.ends_with("exit 0\n"), "{said}");
        assert!(said.contains("looks like the one of a sample"), "{said}");
    }
}

/// What the packages write at a first installation, and what an upgrade finds.
#[test]
fn only_a_new_installation_is_bound_to_half_of_the_disk() {
    let room = room();
    for folder in ["etc", "data"] {
        fs::create_dir(room.path().join(folder)).unwrap();
    }
    let install = |state: &Path| {
        let script =
            r#". "$1/packaging/common.sh"; etc=etc share=$1/assets state=$2; chown() { :; }; make_configs"#;
        let mut shell = Command::new("sh");
        shell.args(["-euc", script, "sh", env!("CARGO_MANIFEST_DIR")]).arg(state).current_dir(room.path());
        let output = shell.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    };
    let path = room.path().join("etc/supervisor.config.json");
    let bound = || {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("/var/lib/hal-o-swarm", &room.path().join("data").display().to_string());
        let source = Source { path: &path, bytes: text.as_bytes(), is_open_to_all: false };
        supervisor::config::parse(&source, Purpose::Run).unwrap().0.retention
    };
    install(&room.path().join("data"));
    let new = bound();
    let (used, free) = of_disk(room.path()).unwrap();
    assert!(new.max_size.unwrap().abs_diff((used + free) / 2) < 1 << 30, "{new:?} of {used} + {free}");
    assert!(new.archive && new.audit.is_none() && new.events.is_none(), "{new:?}");

    // An upgrade writes nothing, and what says nothing of a bound has none.
    let before = r#"{"server": {"auth_token": "0123456789abcdef0123456789abcdef"}, "database": {"path": "/var/lib/hal-o-swarm/supervisor.db"}}"#;
    write(&path, before);
    install(&room.path().join("data"));
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), bound()), (before, Retention::default()));

    // In the making of an image there may be no disk to look at.
    fs::remove_file(&path).unwrap();
    install(Path::new("nowhere"));
    assert_eq!(bound(), Retention::default());
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (before, agent) = document.split_once("\n## hal-agent").unwrap();
    let (_, supervisor) = before.split_once("\n## hal-supervisor").unwrap();
    assert_eq!(documented(supervisor), leaves(supervisor::config::known_keys()));
    assert_eq!(documented(agent), leaves(agent::config::known_keys()));
}

/// The keys in the first column of the tables.
fn documented(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(key, _)| key.to_string()).collect()
}

/// The keys that hold no others.
fn leaves(keys: BTreeSet<String>) -> BTreeSet<String> {
    let is_leaf = |key: &String| {
        let inside = [format!("{key}."), format!("{key}[].")];
        !keys.iter().any(|other| inside.iter().any(|prefix| other.starts_with(prefix)))
    };
    keys.iter().filter(|key| is_leaf(key)).cloned().collect()
}

#[test]
fn each_program_speaks_in_its_own_name() {
    let room = room();
    let help = |program: &str, args: &[&str]| String::from_utf8(run(&room, program, args).stdout).unwrap();
    assert!(help("hal-agent", &["--help"]).contains("Usage: hal-agent "));
    assert!(help("hal-agent", &["--version"]).starts_with("hal-agent 0."));
    let version = help("hal-supervisor", &["--version"]);
    assert!(version.starts_with("hal-supervisor 0.") && version.ends_with(")\n"), "{version}");
    let said = said(&run(&room, "hal-agent", &["--valdate"]));
    assert!(said.starts_with("hal-agent: error: unexpected argument '--valdate'"), "{said}");
    assert!(said.ends_with("exit 2\n"), "{said}");
}

#[test]
fn a_log_level_that_is_none_is_a_wrong_command_line() {
    let said = said(&run(&room(), "hal-agent", &["--log-level", "loud"]));
    let expected = "hal-agent: error: --log-level \"loud\" is not a level (error, warn, info, debug, trace) ";
    assert!(said.starts_with(expected) && said.ends_with("exit 2\n"), "{said}");
}
