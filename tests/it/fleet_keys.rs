//! The fleet's keys outlive the machine: with a backup and the recovery key another one is the same supervisor to every agent.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;

use crate::world::{TOKEN, World, text};

/// A supervisor with keys of its own, and an agent that knows it by them.
fn with_pinned_agent() -> World {
    let mut world = World::empty();
    start(&mut world);
    let mut config = world.agent_config("web-1", "shop");
    config["supervisor_url"] = json!(world.url("wss"));
    fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    fs::create_dir_all(world.path().join("web-1/data")).unwrap();
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    assert!(world.path().join("web-1/data/supervisor.pins").exists(), "it knows the supervisor by its key");
    world
}

fn config(world: &World) -> PathBuf {
    let mut config = world.supervisor_config(world.port());
    config["security"]["tls"] = json!({"enabled": true});
    world.write("supervisor.json", &config.to_string())
}

fn start(world: &mut World) {
    let config = config(world);
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &config.to_string_lossy()]));
    world.wait_for_supervisor();
}

/// What a start says that comes to nothing.
fn refused(world: &World) -> String {
    let config = config(world);
    let output = world.hal(&["supervisor", "--config", &config.to_string_lossy()]).output().unwrap();
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// What `hal-supervisor tls ..` says, with something typed.
fn tls(world: &World, verb: &str, typed: &str) -> (bool, String) {
    let config = config(world);
    let mut command = world.hal(&["supervisor", "tls", verb, "--config", &config.to_string_lossy()]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// A token of an administrator's own.
fn token_of_ada(world: &World) -> String {
    let _there_already = world.ctl(&["users", "create", "ada", "--role", "admin"]);
    let made = world.ctl_says(&["-o", "json", "tokens", "create", "ada"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

/// What the supervisor is asked by way of its own program.
fn recovery_key(world: &World, more: &[&str]) -> (bool, String) {
    recovery_key_by(world, &token_of_ada(world), more)
}

fn recovery_key_by(world: &World, token: &str, more: &[&str]) -> (bool, String) {
    let mut command = world.hal(&[&["supervisor", "recovery-key"], more].concat());
    command.env("HALCTL_AUTH_TOKEN", token).env("HALCTL_SUPERVISOR_URL", world.url("http"));
    let output = command.output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn made(world: &World, more: &[&str]) -> String {
    let (ok, said) = recovery_key(world, more);
    assert!(ok, "{said}");
    said.lines().find(|line| line.starts_with("hal-recovery-")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn data(world: &World) -> PathBuf {
    world.path().join("supervisor")
}

/// All that was in the folder is lost but a backup, which an operator puts back.
fn lose_all_but_a_backup(world: &mut World) {
    world.ctl_says(&["backup", "now"]);
    world.end_supervisor();
    let backup = fs::read(data(world).join("supervisor.db.backup")).unwrap();
    fs::remove_dir_all(data(world)).unwrap();
    fs::create_dir(data(world)).unwrap();
    fs::write(data(world).join("supervisor.db"), backup).unwrap();
}

#[test]
fn a_new_disk_with_a_backup_and_the_recovery_key_is_the_same_supervisor_to_every_agent() {
    let mut world = with_pinned_agent();
    let id = world.start_session("shop", "say hello");
    world.wait_for_session(&id, "idle");
    let (ok, said) = recovery_key_by(&world, TOKEN, &[]);
    assert!(!ok && said.contains("the shared token makes no recovery key"), "{said}");
    let void = made(&world, &[]);
    let (ok, said) = recovery_key(&world, &[]);
    assert!(!ok && said.contains("ask with --replace"), "{said}");
    let key = made(&world, &["--replace"]);
    assert_ne!(void, key);
    let (ok, said) = recovery_key(&world, &["status"]);
    assert!(ok && said.contains("made_by: ada") && said.contains("pin: sha256:"), "{said}");
    lose_all_but_a_backup(&mut world);

    let said = refused(&world);
    assert!(
        said.contains("this machine does not have it") && said.contains("hal-supervisor tls recover"),
        "{said}"
    );
    assert!(!data(&world).join("tls/authority.pem").exists(), "no other supervisor is made in silence");
    let slip = key.replacen('-', "-x", 2);
    let (ok, said) = tls(&world, "recover", &slip);
    assert!(!ok && said.contains("this is no recovery key"), "{said}");
    let (ok, said) = tls(&world, "recover", &void);
    assert!(ok, "{said}");
    let said = refused(&world);
    assert!(
        said.contains("does not open the fleet's keys") && said.contains("which ada has made at"),
        "{said}"
    );
    let (ok, said) =
        tls(&world, "recover", &format!("{}\n", key.to_uppercase().replace("HAL-RECOVERY", "hal-recovery")));
    assert!(ok && said.contains("systemctl restart hal-supervisor"), "{said}");

    start(&mut world);
    world.wait_for_node("web-1", "online");
    assert!(world.count_events(&format!("session_id={id}")) > 3, "its history is there");
    let file = data(&world).join("fleet.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!data(&world).join("recovery.key").exists(), "what was typed is used up");
    let secret = fs::read_to_string(&file).unwrap();
    for said in [world.supervisor().said(), world.ctl_says(&["audit", "list", "-o", "json"])] {
        assert!(!said.contains(secret.trim()) && !said.contains(&key), "a key is shown");
    }
    // And it goes on to open: by the file of this machine, and by the same recovery key elsewhere.
    lose_all_but_a_backup(&mut world);
    fs::write(&file, &secret).unwrap();
    start(&mut world);
    world.wait_for_node("web-1", "online");
    lose_all_but_a_backup(&mut world);
    let (ok, said) = tls(&world, "recover", &key);
    assert!(ok, "{said}");
    start(&mut world);
    world.wait_for_node("web-1", "online");
    let said = world.ctl_says(&["audit", "list", "-o", "json"]);
    assert_eq!(said.matches("\"make recovery key\"").count(), 2, "{said}");
}

#[test]
fn certificates_that_are_lost_come_back_from_the_store_by_themselves() {
    let mut world = with_pinned_agent();
    world.end_supervisor();
    fs::remove_dir_all(data(&world).join("tls")).unwrap();
    start(&mut world);
    world.wait_for_node("web-1", "online");
    // Only the private key, too.
    world.end_supervisor();
    fs::remove_file(data(&world).join("tls/authority.key")).unwrap();
    start(&mut world);
    world.wait_for_node("web-1", "online");
}

#[test]
fn a_machine_that_has_keys_already_is_not_another_supervisor_in_silence() {
    let mut world = with_pinned_agent();
    let key = made(&world, &[]);
    let known = fs::read(data(&world).join("tls/authority.pem")).unwrap();
    lose_all_but_a_backup(&mut world);
    // A package that was installed there has started once.
    let backup = fs::read(data(&world).join("supervisor.db")).unwrap();
    fs::remove_file(data(&world).join("supervisor.db")).unwrap();
    start(&mut world);
    world.end_supervisor();
    let theirs = fs::read(data(&world).join("tls/authority.pem")).unwrap();
    assert_ne!(known, theirs);
    for name in ["supervisor.redb", "supervisor.db"] {
        fs::remove_file(data(&world).join(name)).unwrap();
    }
    let _not_after_a_clean_stop = fs::remove_dir_all(data(&world).join("supervisor.redb.wal"));
    fs::write(data(&world).join("supervisor.db"), backup).unwrap();

    let said = refused(&world);
    assert!(
        said.contains("the folder tls beside it holds another") && said.contains("hal-supervisor tls keep"),
        "{said}"
    );
    assert_eq!(fs::read(data(&world).join("tls/authority.pem")).unwrap(), theirs);
    let (ok, said) = tls(&world, "recover", &key);
    assert!(ok, "{said}");
    start(&mut world);
    world.wait_for_node("web-1", "online");
    assert_eq!(fs::read(data(&world).join("tls/authority.pem")).unwrap(), known);

    // Somebody begins anew, and says so; the recovery key of before opens nothing there.
    world.end_supervisor();
    fs::remove_dir_all(data(&world).join("tls")).unwrap();
    let (ok, said) = tls(&world, "init", "");
    assert!(ok, "{said}");
    start(&mut world);
    let said = world.agent("web-1").line_with("shows another key than");
    assert!(said.contains("supervisor.pins"), "{said}");
    fs::remove_file(world.path().join("web-1/data/supervisor.pins")).unwrap();
    world.wait_for_node("web-1", "online");
    let (ok, said) = recovery_key(&world, &["status"]);
    assert!(ok && !said.contains("made_by: ada"), "{said}");
    // Nothing stands in the way of the next start.
    world.end_supervisor();
    start(&mut world);
    world.wait_for_node("web-1", "online");
}

#[test]
fn what_stands_in_the_way_of_a_key_is_named_and_stops_nothing_that_works() {
    let mut world = with_pinned_agent();
    let key = made(&world, &[]);
    world.ctl_says(&["backup", "now"]);
    world.end_supervisor();
    // A folder where the file should be: nobody can read that, root included.
    let file = data(&world).join("fleet.key");
    let secret = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    start(&mut world);
    world.wait_for_node("web-1", "online");
    assert!(world.supervisor().said().contains("fleet.key cannot be read"), "{}", world.supervisor().said());
    let (ok, said) = recovery_key(&world, &["status"]);
    assert!(ok && said.contains("made_by: ada"), "what is kept stays as it is: {said}");
    world.end_supervisor();
    // An authority's key that is not its own is not kept, and comes back from the store.
    fs::remove_dir(&file).unwrap();
    fs::write(&file, &secret).unwrap();
    let authority_key = data(&world).join("tls/authority.key");
    let right = fs::read(&authority_key).unwrap();
    fs::copy(data(&world).join("tls/key.pem"), &authority_key).unwrap();
    start(&mut world);
    world.wait_for_node("web-1", "online");
    assert_eq!(fs::read(&authority_key).unwrap(), right);
    // A recovery key is typed before the backup is in its place: it is not used up.
    world.end_supervisor();
    let backup = fs::read(data(&world).join("supervisor.db.backup")).unwrap();
    fs::remove_dir_all(data(&world)).unwrap();
    fs::create_dir(data(&world)).unwrap();
    let (ok, said) = tls(&world, "recover", &key);
    assert!(ok, "{said}");
    let said = refused(&world);
    assert!(said.contains("put the backup in its place first"), "{said}");
    for name in ["supervisor.redb", "supervisor.db"] {
        let _not_made_yet = fs::remove_file(data(&world).join(name));
    }
    let _not_made_yet = fs::remove_dir_all(data(&world).join("supervisor.redb.wal"));
    fs::write(data(&world).join("supervisor.db"), &backup).unwrap();
    start(&mut world);
    world.wait_for_node("web-1", "online");
    // Nobody has the key: what lies in the folder is left of another beginning, and a person begins anew.
    world.end_supervisor();
    fs::remove_file(&authority_key).unwrap();
    fs::remove_file(&file).unwrap();
    let said = refused(&world);
    assert!(said.contains("hal-supervisor tls init makes another one"), "{said}");
    let (ok, said) = tls(&world, "init", "");
    assert!(ok, "{said}");
    start(&mut world);
    world.agent("web-1").line_with("shows another key than");
}
