//! `halctl incident`: its life, and a bundle in which none of 25 planted secrets is left.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::doctor::stage::Machine;
use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World, text};

/// Runs `halctl incident`: exit code and all it printed.
fn incident(world: &World, words: &[&str]) -> (i32, String) {
    let folder = world.path().join("incidents");
    let mut command = world.hal(&["ctl", "incident"]);
    // Nobody listens at port 1 where the scene has no supervisor.
    let url = if world.has_supervisor() { world.url("http") } else { "http://127.0.0.1:1".to_owned() };
    command.env("HALCTL_SUPERVISOR_URL", url).env("HALCTL_AUTH_TOKEN", TOKEN);
    let output =
        command.args(words).env("HALCTL_INCIDENT_FOLDER", folder).env("USER", "ada").output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    println!("incident {}: {}\n{said}", words.join(" "), output.status);
    (output.status.code().unwrap(), said)
}

fn done(world: &World, words: &[&str]) -> String {
    let (code, said) = incident(world, words);
    assert_eq!(code, 0, "{said}");
    said
}

/// The alert of an incident, and how often an event and a line of the log have told of it.
fn alert(world: &World, status: &str) -> Result<Value, String> {
    let reply = world.get(&format!("/api/v1/alerts?name=incident.open&status={status}"));
    reply.body["data"].get(0).cloned().ok_or_else(|| reply.body.to_string())
}

fn told(world: &World) -> (usize, usize) {
    let events = world.get("/api/v1/events?type=alert.raised&limit=1000").body;
    let of_it =
        events["data"].as_array().unwrap().iter().filter(|one| one["data"]["name"] == "incident.open");
    (of_it.count(), world.supervisor().said().matches("alert incident.open of inc-").count())
}

#[test]
fn an_open_incident_is_said_again_until_it_is_closed() {
    let mut world = World::empty();
    let mut config = world.supervisor_config(0);
    config["alerts"] = json!({"reminder": "1s"});
    let path = world.write("supervisor.json", &config.to_string());
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &path.to_string_lossy()]));
    world.wait_for_supervisor();
    done(&world, &["open", "--severity", "high", "web-1 does not come back"]);
    let first = alert(&world, "firing").unwrap();
    assert_eq!((&first["severity"], &first["text"]), (&json!("high"), &json!("web-1 does not come back")));
    let id = first["id"].to_string();
    world.ctl_says(&["alerts", "ack", &id]);
    let count = || alert(&world, "acknowledged").map(|now| now["count"].as_u64().unwrap());
    wait_until("it was said twice again, though somebody knows", PATIENCE, || match count()? {
        0..3 => Err(format!("{:?}", count())),
        _ => Ok(()),
    });
    let (events, lines) = told(&world);
    assert!(events >= 3 && lines >= 3, "each time an event and a line: {events} {lines}");

    let updated = done(&world, &["update", "--severity", "critical", "the disk has failed"]);
    assert!(!updated.contains("nobody is reminded"), "{updated}");
    let worse = alert(&world, "firing").unwrap();
    assert_eq!(worse["text"], "web-1 does not come back: the disk has failed");
    assert_eq!((&worse["id"], &worse["severity"]), (&first["id"], &json!("critical")));

    done(&world, &["close", "another disk"]);
    let over = alert(&world, "resolved").unwrap();
    assert_eq!(over["text"], "web-1 does not come back: another disk");
    assert!(alert(&world, "open").is_err());
    let audit =
        world.request(reqwest::Method::GET, "/api/v1/events?type=alert.resolved", Some(TOKEN), &[], None);
    assert!(audit.body.to_string().contains("another disk"), "{}", audit.body);

    // One that nobody could be told of is told with its next line.
    world.end_supervisor();
    let alone = done(&world, &["open", "nobody hears"]);
    assert!(alone.contains("nobody is reminded of it"), "{alone}");
    world.start_supervisor_by(world.hal(&["supervisor", "--config", &path.to_string_lossy()]));
    world.wait_for_supervisor();
    assert!(alert(&world, "open").is_err());
    done(&world, &["note", "the supervisor is back"]);
    assert_eq!(alert(&world, "open").unwrap()["text"], "nobody hears");
    let refused = world.request(
        reqwest::Method::POST,
        "/api/v1/alerts",
        Some(TOKEN),
        &[],
        Some(&json!({"name": "node.offline", "about": "web-1", "severity": "low", "text": "x"})),
    );
    assert_eq!(refused.status, reqwest::StatusCode::BAD_REQUEST, "{refused:?}");
}

/// The one file of the one incident.
fn file(world: &World) -> PathBuf {
    let mut entries = fs::read_dir(world.path().join("incidents")).unwrap().flatten();
    entries.find(|entry| entry.path().is_dir()).expect("there is one").path().join("incident.json")
}

/// The next update is due in a quarter of an hour.
fn is_soon(said: &str) -> bool {
    ["in 14 min", "in 15 min"].iter().any(|due| said.contains(&format!("update_due: {due}")))
}

#[test]
fn an_incident_has_a_life_and_wants_an_update_every_15_minutes() {
    let world = World::empty();
    let (code, none) = incident(&world, &["note", "nothing"]);
    assert!(code == 4 && none.contains("halctl incident open"), "{none}");
    let opened = done(&world, &["open", "--severity", "high", "web-1 does not come back"]);
    assert!(opened.contains("The first update is due in 1") && opened.contains("severity: high"), "{opened}");
    done(&world, &["note", "restarted hal-agent, no change"]);
    let due = done(&world, &["list"]);
    assert!(due.contains("status: open") && is_soon(&due), "{due}");

    // Twenty minutes pass: in the file, where all moments are.
    let path = file(&world);
    let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let past = hal_o_swarm::base::clock::now().minus(std::time::Duration::from_secs(20 * 60)).to_string();
    kept["opened_at"] = json!(past);
    kept["timeline"][0]["at"] = json!(past);
    fs::write(&path, kept.to_string()).unwrap();
    let late = done(&world, &["show"]);
    assert!(late.contains("update_due: 5 min ago: overdue"), "a note is no update: {late}");
    let told = done(&world, &["update", "--severity", "critical", "the disk has failed"]);
    assert!(told.contains("severity: critical") && is_soon(&told), "{told}");

    let closed = done(&world, &["close", "another disk"]);
    assert!(closed.contains("status: closed"), "{closed}");
    let id = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    let (code, refused) = incident(&world, &["update", "--id", id, "and more"]);
    assert!(code == 1 && refused.contains("was closed at"), "{refused}");
    let (code, refused) = incident(&world, &["show", "../../etc"]);
    assert!(code == 4 && refused.contains("there is no incident"), "{refused}");
    let shown: Value = serde_json::from_str(&done(&world, &["show", id, "-o", "json"])).unwrap();
    let words: Vec<&str> =
        shown["timeline"].as_array().unwrap().iter().map(|entry| entry["word"].as_str().unwrap()).collect();
    assert_eq!(words, ["opened", "note", "update", "closed"]);
    assert_eq!(shown["timeline"][1]["by"], "ada");
    assert_eq!(done(&world, &["list", "--open"]).trim(), "");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn of_several_open_incidents_none_is_taken_for_the_one_that_is_meant() {
    let world = World::empty();
    done(&world, &["open", "web-1 does not come back"]);
    done(&world, &["open", "the bill is too high"]);
    let ids: Vec<String> = {
        let all: Value = serde_json::from_str(&done(&world, &["list", "-o", "json"])).unwrap();
        all.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids.len(), 2);
    for words in
        [vec!["close", "done"], vec!["update", "more"], vec!["note", "hm"], vec!["collect"], vec!["show"]]
    {
        let (code, refused) = incident(&world, &words);
        assert_eq!(code, 2, "{words:?}: {refused}");
        for part in ["2 incidents are open", "web-1 does not come back (opened by ada)", &ids[0], &ids[1]] {
            assert!(refused.contains(part), "{words:?}: {part} is not in {refused}");
        }
    }
    let open: Value = serde_json::from_str(&done(&world, &["list", "--open", "-o", "json"])).unwrap();
    assert_eq!(open.as_array().map(Vec::len), Some(2), "none was closed");
    assert!(
        open.as_array().unwrap().iter().all(|one| one["timeline"].as_array().unwrap().len() == 1),
        "{open}"
    );
    done(&world, &["close", "--id", &ids[0], "done"]);
    let rest = done(&world, &["close", "done"]);
    assert!(rest.contains(&ids[1]), "the one that is left is meant: {rest}");
}

/// Where a secret is planted, the text it is planted in, and the part of it that must not be left anywhere.
const PLANTED: [(&str, &str, &str); 25] = [
    ("config", "/channels/discord/bot_token", "plain-discord-words"),
    ("config", "/channels/slack/bot_token", "xoxb-2222222222-slackbot"),
    ("config", "/channels/n8n/webhook_url", "https://n8n.example/webhook/7c1d-secret-path"),
    ("config", "/cost/providers/anthropic/api_key", "sk-ant-api03-planted-key"),
    ("config", "/credentials/agents/web-1/env/DATABASE", "mysql-horse-battery"),
    ("agent", "/auth_token", "second-token-of-the-agent-000111222333"),
    ("log", "connecting to postgres://ada:tiger%20lily@db.example/shop failed", "tiger%20lily"),
    ("log", "authorization: Bearer bear-er-666.abc", "bear-er-666.abc"),
    ("log", "using sk-proj-AbCdEf123456 for the model", "AbCdEf123456"),
    ("log", "slack said no to xoxp-777-888-planted", "777-888-planted"),
    ("log", "aws AKIAPLANTEDPLANTED12 is expired", "AKIAPLANTEDPLANTED12"),
    ("log", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYPLANTED", "wJalrXUtnFEMI"),
    (
        "log",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkPLANTED\n-----END OPENSSH PRIVATE KEY-----",
        "b3BlbnNzaC1rZXk",
    ),
    ("log", "cookie: sid=planted-cookie-15; path=/", "planted-cookie-15"),
    (
        "log",
        "digest d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f70819203 did not match",
        "d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f",
    ),
    ("log", "jwt eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoxfQ.c2lnbmF0dXJlLXBsYW50ZWQ", "eyJwbGFudGVkIjoxfQ"),
    ("log", "child got --api-key planted-flag-18 on its command line", "planted-flag-18"),
    ("event", "ghp_PlantedPlantedPlanted0123456789ab", "PlantedPlantedPlanted"),
    ("event", "password=correct-horse-20", "correct-horse-20"),
    ("event", "glpat-planted21planted21", "planted21planted21"),
    ("event", "https://robot:planted22@git.example/x.git", "planted22"),
    ("environment", "OPENAI_API_KEY", "planted words of 23"),
    ("environment", "SHOP_PASSPHRASE", "planted-24-really"),
    ("unit", "Environment=HAL_SECRET=planted25unit", "planted25unit"),
    ("note", "tried with the token: planted-note-26", "planted-note-26"),
];

fn planted(place: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    PLANTED.into_iter().filter(move |(where_, ..)| *where_ == place).map(|(_, text, secret)| (text, secret))
}

/// A machine with secrets in its configurations, logs, events, units and environments.
fn machine() -> Machine {
    let mut world = World::supervised();
    world
        .environment
        .extend(planted("environment").map(|(name, secret)| (name.to_owned(), secret.to_owned())));
    world.start_agent("web-1", "shop");
    for (words, secret) in planted("event") {
        world.start_session("shop", &format!("say it is {words} indeed"));
        let events = world.get("/api/v1/events?limit=1000").body.to_string();
        assert!(events.contains(secret), "{secret} is not in the events, so nothing can take it out");
    }
    let mut machine = Machine::around(world);
    machine.configs.push("web-1.json");
    machine.configure(|config| {
        for (place, secret) in planted("config") {
            let keys: Vec<&str> = place.trim_start_matches('/').split('/').collect();
            let mut at = &mut *config;
            for key in keys {
                at = &mut at[key];
            }
            *at = json!(secret);
        }
    });
    let mut agent = machine.world.agent_config("web-1", "shop");
    agent["auth_token"] = json!(planted("agent").next().unwrap().1);
    machine.world.write("web-1.json", &agent.to_string());
    let lines: String = planted("log").map(|(line, _)| format!("10:00 web hal[1]: {line}\n")).collect();
    for unit in ["hal-supervisor", "hal-agent"] {
        machine.unit(unit, "active", "running", "MainPID=0\n");
        let again: String =
            planted("environment").map(|(_, secret)| format!("a child printed {secret}\n")).collect();
        machine.put(&format!("{unit}.log"), &format!("{lines}{again}also {TOKEN}\n"));
        machine
            .put(&format!("{unit}.service"), &format!("[Service]\n{}\n", planted("unit").next().unwrap().0));
    }
    machine
}

/// Every file of an unpacked bundle.
fn unpacked(archive: &Path, to: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::create_dir_all(to).unwrap();
    assert!(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).status().unwrap().success());
    let list = Command::new("find").args([to.to_str().unwrap(), "-type", "f"]).output().unwrap();
    let root = fs::read_dir(to).unwrap().next().unwrap().unwrap().path();
    let name = |path: &str| Path::new(path).strip_prefix(&root).unwrap().to_string_lossy().into_owned();
    text(&list.stdout).lines().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[test]
fn a_bundle_holds_everything_but_the_secrets() {
    let machine = machine();
    done(&machine.world, &["open", "secrets lie about"]);
    done(&machine.world, &["note", planted("note").next().unwrap().0]);
    let bundle = machine.world.path().join("bundle.tar.gz");
    let folder = machine.world.path().join("incidents");
    let words = [
        "incident",
        "collect",
        "--folder",
        folder.to_str().unwrap(),
        "--to",
        bundle.to_str().unwrap(),
        "-o",
        "json",
    ];
    let output = machine.halctl(&words);
    let (said, aside) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}{aside}");
    println!("{said}");
    let made: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);

    let files = unpacked(&bundle, &machine.world.path().join("unpacked"));
    for (name, bytes) in &files {
        println!("{:>8} {name}", bytes.len());
        let found = PLANTED
            .iter()
            .map(|(.., secret)| *secret)
            .chain([TOKEN])
            .find(|secret| text(bytes).contains(secret));
        assert_eq!(found, None, "{name} holds a secret:\n{}", text(bytes));
    }
    complete(&files, &made["missing"]);
    println!("{}", text(&files["logs/hal-agent.log"]));
    checksums(&machine.world.path().join("unpacked"), &files);
    let again = machine.halctl(&words);
    assert!(!again.status.success(), "a bundle is never written over");
}

/// Files that every bundle of such a machine has.
const FILES: [&str; 17] = [
    "incident.json",
    "doctor.json",
    "doctor.txt",
    "system/uname.txt",
    "system/df.txt",
    "system/versions.txt",
    "config/supervisor.config.json",
    "config/agent.config.json",
    "logs/hal-supervisor.log",
    "logs/hal-agent.log",
    "units/hal-agent.unit.txt",
    "supervisor/events.json",
    "supervisor/commands.json",
    "supervisor/alerts.json",
    "supervisor/metrics.txt",
    "supervisor/audit.json",
    "supervisor/nodes.json",
];

/// What is no secret is there.
fn complete(files: &BTreeMap<String, Vec<u8>>, missing: &Value) {
    let everything: String = files.values().map(|bytes| text(bytes)).collect();
    for words in [
        "connecting to postgres://",
        "is expired",
        "did not match",
        "it is ",
        "secrets lie about",
        "db.example",
    ] {
        assert!(everything.contains(words), "{words:?} was lost");
    }
    for name in FILES {
        assert!(files.get(name).is_some_and(|bytes| bytes.len() >= 2), "{name} is missing: {missing:#}");
    }
}

/// The manifest's checksums are those that `sha256sum` sees.
fn checksums(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len(), "every file is in the manifest");
    let root = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    for file in listed {
        let path = root.join(file["name"].as_str().unwrap());
        let sum = Command::new("sha256sum").arg(&path).output().unwrap();
        assert_eq!(text(&sum.stdout).split(' ').next(), file["sha256"].as_str(), "{file}");
    }
}
