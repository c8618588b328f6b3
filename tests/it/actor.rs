//! Actors: who is who, what each may do, and that whoever is shut out is out at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use hal_o_swarm::protocol::actor::Role;
use hal_o_swarm::protocol::command::{CommandRequest, Verb};
use hal_o_swarm::rules::right::{self, Right};

use crate::patience::{PATIENCE, wait_until};
use crate::peer::Peer;
use crate::world::{TOKEN, World, text};

/// A user of this role, and a token.
pub fn admit(world: &World, name: &str, role: Role) -> String {
    world.ctl_says(&["users", "create", name, "--role", role.as_str()]);
    token_of(world, name)["token"].as_str().unwrap().to_owned()
}

fn token_of(world: &World, name: &str) -> Value {
    let made = world.ctl_says(&["-o", "json", "tokens", "create", name]);
    serde_json::from_str(&made).unwrap_or_else(|error| panic!("{error}: {made}"))
}

/// The status of an answer, whose body may never end.
fn status(world: &World, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> StatusCode {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let http = reqwest::Client::new();
    let mut request = http.request(method, format!("{}{path}", world.url("http"))).timeout(PATIENCE);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    world.run(async { request.send().await.unwrap().status() })
}

/// halctl as somebody with a token of their own.
pub fn ctl_as(world: &World, token: &str, args: &[&str]) -> (i32, String) {
    let mut command = world.hal(&["ctl"]);
    command.args(args).env("HALCTL_SUPERVISOR_URL", world.url("http")).env("HALCTL_AUTH_TOKEN", token);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
}

/// A path of the API's document as somebody would ask for it, about what is not there.
fn about_nothing(path: &str) -> String {
    path.replace("{period}", "today").replace("{id}", "none-such").replace("{name}", "none-such")
}

#[test]
fn every_pair_of_role_and_path_is_as_the_table_says() {
    let world = World::supervised();
    let document = world.get("/api/v1/openapi.json").body;
    let mut served: BTreeSet<(String, String)> = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            served.insert((method.to_uppercase(), path.clone()));
        }
    }
    for (method, path) in right::OPEN {
        let is_served = served.remove(&((*method).to_owned(), (*path).to_owned()));
        assert!(is_served, "nobody serves {method} {path}");
    }
    for path in ["/metrics", "/api/v1/openapi.json"] {
        served.insert(("GET".into(), path.into()));
    }
    let without: Vec<_> = served
        .iter()
        .filter(|(method, path)| !matches!(right::of_path(method, path), Right::Of(_)))
        .collect();
    assert!(without.is_empty(), "paths that have no role: {without:?}");
    for (method, path, _) in right::PATHS {
        assert!(
            served.contains(&((*method).to_owned(), (*path).to_owned())),
            "nobody serves {method} {path}"
        );
    }
    let tokens: Vec<(Role, String)> =
        Role::ALL.map(|role| (role, admit(&world, &format!("the-{role}"), role))).into();
    let mut pairs = 0;
    for (method, path) in &served {
        let Right::Of(least) = right::of_path(method, path) else { panic!("{method} {path} has no row") };
        let place = about_nothing(path);
        let body = (method != "GET").then(|| json!({}));
        assert_eq!(status(&world, method, &place, None, body.as_ref()), StatusCode::UNAUTHORIZED, "{path}");
        for (role, token) in &tokens {
            let got = status(&world, method, &place, Some(token), body.as_ref());
            let is_other = path == "/api/v1/tokens/{id}" && *role < Role::Admin;
            let is_refused = got == StatusCode::FORBIDDEN;
            assert_eq!(is_refused, !role.may(least) || is_other, "{role}: {method} {place}: {got}");
            assert_ne!(got, StatusCode::UNAUTHORIZED, "{role}: {method} {place}");
            pairs += 1;
        }
    }
    assert!(pairs >= 400, "{pairs} pairs");
    // Each command has a role of its own beside that of its path.
    for verb in Verb::ALL {
        for args in [json!({}), json!({"release": true})] {
            let body = json!({"type": verb.as_str(), "session_id": "none-such", "args": args});
            let request: CommandRequest = serde_json::from_value(body.clone()).unwrap();
            let least = right::of_command(&request);
            for (role, token) in &tokens {
                let got = status(&world, "POST", "/api/v1/commands", Some(token), Some(&body));
                assert_eq!(got == StatusCode::FORBIDDEN, !role.may(least), "{role}: {body}: {got}");
            }
        }
    }
}

#[test]
fn who_did_it_is_on_the_record_by_name_and_the_last_administrator_stays() {
    let mut world = World::with_node();
    let ada = admit(&world, "ada", Role::Admin);
    let (code, said) = ctl_as(&world, &ada, &["whoami"]);
    assert!(code == 0 && said.contains("name: ada") && said.contains("role: admin"), "{said}");
    let (code, said) = ctl_as(&world, &ada, &["budgets", "set", "day", "--limit", "20"]);
    assert_eq!(code, 0, "{said}");
    let bob = admit(&world, "bob", Role::Approver);
    let session = world.start_session("shop", "ask rm -rf build; say done");
    world.wait_for_session(&session, "waiting");
    let (code, said) = ctl_as(&world, &bob, &["sessions", "allow", &session]);
    assert_eq!(code, 0, "{said}");
    let approvals = world.data("/api/v1/approvals?status=all");
    assert_eq!(approvals[0]["answer"]["by"], "bob", "{approvals}");
    let (code, said) = ctl_as(&world, &bob, &["sessions", "start", "--project", "shop", "say no"]);
    assert!(code == 77 && said.contains("takes the role operator, and bob has the role approver"), "{said}");
    let (code, said) = ctl_as(&world, &bob, &["sessions", "halt", "--all"]);
    assert_eq!(code, 0, "whoever may answer may halt: {said}");
    let (code, said) = ctl_as(&world, &bob, &["sessions", "halt", "--release", "--all"]);
    assert!(code == 77 && said.contains("takes the role admin"), "{said}");
    // Nobody is left without an administrator, whoever asks.
    for args in [&["users", "remove", "ada"][..], &["users", "create", "ada", "--role", "viewer"]] {
        let (code, said) = world.ctl_fails(args);
        assert!(code == 1 && said.contains("ada is the last administrator"), "{said}");
    }
    for (name, why) in [("discord:eve", "expected a letter or digit"), ("token", "calls something else")] {
        let (_, said) = world.ctl_fails(&["users", "create", name, "--role", "viewer"]);
        assert!(said.contains(why), "{said}");
    }
    let (code, said) = world.ctl_fails(&["users", "create", "eve", "--role", "root"]);
    assert!(code == 2 && said.contains("viewer"), "{said}");
    // The same after a kill.
    world.kill_supervisor();
    world.start_supervisor();
    let (code, said) = ctl_as(&world, &ada, &["users", "list"]);
    assert!(code == 0 && said.contains("name: bob") && said.contains("created_by: token"), "{said}");
    let record = world.ctl_says(&["audit", "list", "--user", "ada", "--action", "budget"]);
    assert_eq!(record.lines().count(), 1, "{record}");
    for word in ["action: set budget", "target: day", "result: done", "credential: token ", "from: 127.0.0.1"]
    {
        assert!(record.contains(word), "{word}: {record}");
    }
    let answered = world.ctl_says(&["audit", "list", "--user", "bob", "--target", &session]);
    assert!(
        answered.contains("action: answer_permission") && answered.contains("result: done"),
        "{answered}"
    );
    let (code, said) = ctl_as(&world, &bob, &["audit", "list"]);
    assert!(code == 77 && said.contains("takes the role admin"), "{said}");
    let seq = record.split("seq: ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
    assert!(world.ctl_says(&["audit", "get", seq]).contains("limit_micros"));
    assert_eq!(world.ctl_fails(&["audit", "get", "none-such"]).0, 4);
}

#[test]
fn a_token_that_was_revoked_replaced_or_is_too_old_opens_nothing_and_is_named() {
    let world = World::supervised();
    let ada = admit(&world, "ada", Role::Viewer);
    let id = ada.split('_').nth(1).unwrap().to_owned();
    let nodes = |token: &str| world.request(Method::GET, "/api/v1/nodes", Some(token), &[], None);
    assert_eq!(nodes(&ada).status, StatusCode::OK);
    // A token that is nearly right tells nothing of the right one.
    let near = format!("{}x", &ada[..ada.len() - 1]);
    let refused = nodes(&near);
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.body, nodes("wrong").body);
    // A stream is open while the token goes.
    let stream = world.run(async {
        let url = format!("{}/api/v1/stream", world.url("http"));
        reqwest::Client::new().get(url).bearer_auth(&ada).send().await.unwrap()
    });
    assert_eq!(stream.status(), StatusCode::OK);
    let rotated: Value =
        serde_json::from_str(&world.ctl_says(&["-o", "json", "tokens", "rotate", &id])).unwrap();
    let next = rotated["token"].as_str().unwrap().to_owned();
    let ended = world.run(async { tokio::time::timeout(Duration::from_secs(5), stream.text()).await });
    assert!(ended.is_ok(), "the stream of whoever is shut out ends");
    assert_eq!(nodes(&ada).status, StatusCode::UNAUTHORIZED, "the one before is good no more");
    assert_eq!(nodes(&next).status, StatusCode::OK);
    world.ctl_says(&["tokens", "revoke", &id]);
    let refused = nodes(&next);
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(refused.body["error"].as_str().unwrap().contains("revoked"), "{}", refused.body);
    let (code, said) = ctl_as(&world, &next, &["nodes", "list"]);
    assert!(code == 77 && said.contains("this token was revoked"), "{said}");
    let (code, said) = world.ctl_fails(&["tokens", "rotate", &id]);
    assert!(code == 1 && said.contains("was revoked"), "{said}");
    // One that has a second to live.
    let short =
        world.ctl_says(&["-o", "json", "tokens", "create", "ada", "--expires", "1s", "--label", "short"]);
    let short: Value = serde_json::from_str(&short).unwrap();
    let short = short["token"].as_str().unwrap().to_owned();
    wait_until("a token that has expired", PATIENCE, || match nodes(&short) {
        reply if reply.body["error"].as_str().is_some_and(|why| why.contains("expired")) => Ok(()),
        reply => Err(reply.body.to_string()),
    });
    let listed = world.ctl_says(&["tokens", "list"]);
    assert!(listed.contains("state: revoked") && listed.contains("state: expired"), "{listed}");
    assert!(!listed.contains(&short), "no list has the secret");
    // Whoever is removed takes all tokens along.
    let last = token_of(&world, "ada")["token"].as_str().unwrap().to_owned();
    assert_eq!(nodes(&last).status, StatusCode::OK);
    world.ctl_says(&["users", "remove", "ada"]);
    assert_eq!(nodes(&last).status, StatusCode::UNAUTHORIZED);
    // Only the hash is stored, wherever one looks.
    let secret = last.rsplit('_').next().unwrap().as_bytes();
    let hash = hal_o_swarm::base::secret::hash_of(&last);
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let mut hashes = 0;
    for path in files_below(&world.path().join("supervisor")) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!holds(&bytes, secret), "{} holds the secret", path.display());
        hashes += usize::from(holds(&bytes, hash.as_bytes()));
    }
    assert!(hashes > 0, "what is looked for is looked for where it would be");
}

/// Every file in a folder and in those below.
fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] });
    // The socket holds nothing.
    files.filter(|path| path.is_file()).collect()
}

#[test]
fn a_node_with_a_token_of_its_own_is_that_node_and_nothing_else() {
    let world = World::supervised();
    let own = admit(&world, "web-1", Role::Agent);
    let ada = admit(&world, "ada", Role::Operator);
    let id = own.split('_').nth(1).unwrap().to_owned();
    assert_eq!(status(&world, "GET", "/api/v1/nodes", Some(&own), None), StatusCode::FORBIDDEN);
    world.run(async {
        let url = world.url("ws");
        let refused = Peer::try_join(&url, &own, "web-2", 0).await.map(drop).unwrap_err();
        assert!(refused.contains("this token is that of node web-1"), "{refused}");
        assert!(Peer::connect(&url, Some(&ada)).await.is_err(), "a person is no agent");
        // Until it has come by its own token once, the shared one does; whoever has come by that is cut then.
        let (mut other, _) = Peer::join(&url, TOKEN, "web-1").await;
        other.say_events(1..=2).await;
        other.hear_ack(2).await;
        let (mut agent, _) = Peer::join_again(&url, &own, "web-1", 2).await;
        assert!(other.hear_ack_or_end(3).await.is_err(), "one web-1 at a time");
        let refused = Peer::try_join(&url, TOKEN, "web-1", 0).await.map(drop).unwrap_err();
        assert!(refused.contains("has a token of its own"), "{refused}");
        agent.say_events(3..=3).await;
        agent.hear_ack(3).await;
        // Revoked while it talks: it is cut, and what it says from then on is void.
        let revoked = tokio::task::block_in_place(|| {
            world.request(Method::DELETE, &format!("/api/v1/tokens/{id}"), Some(TOKEN), &[], None)
        });
        assert_eq!(revoked.status, StatusCode::OK);
        agent.say_events(4..=5).await;
        let cut = tokio::time::timeout(Duration::from_secs(1), agent.hear_ack_or_end(5)).await;
        assert!(matches!(&cut, Ok(Err(_))), "cut within a second: {cut:?}");
        assert!(Peer::connect(&url, Some(&own)).await.is_err(), "and not let in again");
    });
    world.wait_for_node("web-1", "offline");
    let numbers = world.events("node_id=web-1").into_iter().filter_map(|event| event["node_seq"].as_u64());
    assert_eq!(numbers.max(), Some(3), "nothing of what it said afterwards was taken");
    // An administrator lets the shared one do again.
    world.ctl_says(&["users", "remove", "web-1"]);
    world.run(async { drop(Peer::join_again(&world.url("ws"), TOKEN, "web-1", 5).await) });
}

#[test]
fn what_was_begun_with_a_good_token_is_not_ended_with_a_bad_one() {
    use std::io::Read;
    let world = World::supervised();
    let ada = admit(&world, "ada", Role::Admin);
    admit(&world, "eve", Role::Admin);
    let id = ada.split('_').nth(1).unwrap().to_owned();
    let body = r#"{"role": "admin"}"#;
    let mut held = std::net::TcpStream::connect(("127.0.0.1", world.port())).unwrap();
    let head = format!(
        "PUT /api/v1/actors/mallory HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada}\r\nContent-Type: \
         application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    held.write_all(head.as_bytes()).unwrap();
    held.write_all(&body.as_bytes()[..5]).unwrap();
    // It was let in: its use is noted.
    wait_until("the head was read", PATIENCE, || {
        let listed = world.ctl_says(&["tokens", "list"]);
        let its = listed.lines().find(|line| line.contains(&id)).unwrap_or_default().to_owned();
        if its.contains("used_from: 127.0.0.1") { Ok(()) } else { Err(listed) }
    });
    world.ctl_says(&["tokens", "revoke", &id]);
    held.write_all(&body.as_bytes()[5..]).unwrap();
    let mut said = String::new();
    held.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 401 ") && said.contains("good no more"), "{said}");
    assert!(!world.ctl_says(&["users", "list"]).contains("mallory"));
    // Methods that mean nothing are nobody's.
    let odd = world.request(Method::PATCH, "/api/v1/nodes", Some(TOKEN), &[], None);
    assert_eq!(odd.status, StatusCode::METHOD_NOT_ALLOWED, "{}", odd.body);
    // A machine does not become a person.
    admit(&world, "web-1", Role::Agent);
    let (code, said) = world.ctl_fails(&["users", "create", "web-1", "--role", "operator"]);
    assert!(code == 1 && said.contains("remove it first"), "{said}");
}

#[test]
fn a_person_logs_in_once_and_out_again() {
    let world = World::supervised();
    let ada = admit(&world, "ada", Role::Viewer);
    let home = world.path().join("home-of-ada");
    std::fs::create_dir(&home).unwrap();
    let ctl = |args: &[&str], input: &str| {
        let mut command = world.hal(&["ctl"]);
        command.args(args).env("HOME", &home).env_remove("XDG_CONFIG_HOME");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    let url = world.url("ws");
    let (code, said) = ctl(&["login", "--supervisor-url", &url], "hal_nobody_knows\n");
    assert!(code == 77 && said.contains("does not accept the token"), "{said}");
    let (code, said) = ctl(&["login", "--supervisor-url", &url], "");
    assert!(code == 2 && said.contains("no token was given"), "{said}");
    let (code, said) = ctl(&["login", "--supervisor-url", &url], &format!("{ada}\n"));
    assert!(code == 0 && said.contains("name: ada") && !said.contains(&ada), "{said}");
    let kept = home.join(".config/hal-o-swarm/token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&kept.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let (code, said) = ctl(&["whoami"], "");
    assert!(code == 0 && said.contains("role: viewer"), "{said}");
    let (code, said) = ctl(&["logout"], "");
    assert!(code == 0 && said.contains("Revoked token"), "{said}");
    assert!(!kept.exists());
    let refused = world.request(Method::GET, "/api/v1/nodes", Some(&ada), &[], None);
    assert!(refused.body["error"].as_str().unwrap().contains("revoked"), "{}", refused.body);
}

#[test]
fn people_of_this_machine_are_known_by_their_login_and_show_no_token() {
    let mut world = World::supervised();
    let folder = world.path().join("supervisor");
    let home = world.path().join("home-of-ada");
    let state = home.join(".local/state/hal-o-swarm");
    std::fs::create_dir_all(&state).unwrap();
    // As a program leaves it.
    let leave_note = || {
        let note = std::fs::read(folder.join("ctl.json")).unwrap();
        let mut note: Value = serde_json::from_slice(&note).unwrap();
        note["token_file"] = json!(folder.join("ctl.token"));
        std::fs::write(state.join("up.json"), note.to_string()).unwrap();
    };
    leave_note();
    let say = |world: &World, args: &[&str], variables: &[(&str, &str)]| {
        let mut command = world.hal(&["ctl"]);
        command
            .env("HOME", &home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("SUDO_USER");
        command.args(args).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    let user = rustix::process::getuid().as_raw();
    let (code, said) = say(&world, &["-o", "json", "whoami"], &[]);
    let me: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{code} {said}: {error}"));
    assert_eq!(me["credential"], format!("user {user} of this machine"), "{me}");
    assert_eq!(me["role"], "admin");
    // Only root is believed whom it acts for.
    let (_, said) = say(&world, &["whoami"], &[("SUDO_USER", "ada")]);
    assert_eq!(said.contains("ada"), user == 0, "{said}");
    let name = if user == 0 { "ada".to_owned() } else { me["name"].as_str().unwrap().to_owned() };
    assert_eq!(say(&world, &["sessions", "halt", "--all"], &[("SUDO_USER", "ada")]).0, 0);
    let record = world.data("/api/v1/audit?action=halt_work")[0].clone();
    assert_eq!(
        (&record["actor"], &record["kind"], &record["from"]),
        (&json!(name), &json!("person"), &json!("this machine"))
    );
    // Whoever gives a token is known by that.
    let (_, said) = say(&world, &["whoami"], &[("HALCTL_AUTH_TOKEN", TOKEN)]);
    assert!(said.contains("shared token"), "{said}");
    assert_eq!(say(&world, &["whoami"], &[("HALCTL_AUTH_TOKEN", "wrong")]).0, 77);
    // Whoever logs in is known by their own token from then on.
    let ada = admit(&world, "ada", Role::Viewer);
    let mut command = world.hal(&["ctl"]);
    command.env("HOME", &home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
    command.args(["login"]).stdin(Stdio::piped());
    let mut login = command.stdout(Stdio::piped()).spawn().unwrap();
    login.stdin.take().unwrap().write_all(ada.as_bytes()).unwrap();
    let output = login.wait_with_output().unwrap();
    assert!(output.status.success() && text(&output.stdout).contains("viewer"), "{}", text(&output.stdout));
    assert!(say(&world, &["whoami"], &[]).1.contains("viewer"));
    std::fs::remove_dir_all(home.join(".config")).unwrap();
    // One that somebody else has put there is not trusted, and one that nobody listens at is not waited for.
    world.kill_supervisor();
    assert_eq!(say(&world, &["whoami"], &[]).0, 69);
    world.start_supervisor();
    leave_note();
    assert!(say(&world, &["whoami"], &[]).1.contains("of this machine"));
    std::fs::remove_file(folder.join("ctl.sock")).unwrap();
    let (code, said) = say(&world, &["whoami"], &[]);
    assert!(
        code == 0 && said.contains("shared token"),
        "by the network, with the token beside it: {code} {said}"
    );
}

#[test]
fn nobody_but_the_service_and_its_group_may_connect_to_the_local_socket() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let world = World::supervised();
    let file = std::fs::metadata(world.path().join("supervisor/ctl.sock")).unwrap();
    let user = rustix::process::getuid().as_raw();
    assert_eq!((file.permissions().mode() & 0o777, file.uid()), (0o660, user));
}

#[test]
fn what_stops_is_called_off_by_who_asked_for_it_or_an_administrator() {
    let mut world = World::with_node();
    let (approver, operator) = (admit(&world, "ann", Role::Approver), admit(&world, "olga", Role::Operator));
    let id = world.start_session("shop", "ask rm -rf build");
    world.wait_for_session(&id, "waiting");
    drop(world.take_agent("web-1").end_with(rustix::process::Signal::TERM));
    world.wait_for_node("web-1", "offline");
    let ask = |token: &str, kind: &str| {
        let args = if kind == "prompt_session" { json!({"message": "go on"}) } else { json!({}) };
        let body = json!({"type": kind, "session_id": id, "timeout": 0, "args": args});
        let reply = world.request(Method::POST, "/api/v1/commands", Some(token), &[], Some(&body));
        reply.body["data"]["command_id"].as_str().unwrap_or_else(|| panic!("{}", reply.body)).to_owned()
    };
    let cancel = |token: &str, command: &str| {
        status(&world, "POST", &format!("/api/v1/commands/{command}/cancel"), Some(token), None)
    };
    let stop = ask(&approver, "kill_session");
    assert_eq!(cancel(&operator, &stop), StatusCode::FORBIDDEN);
    assert_eq!(world.data(&format!("/api/v1/commands/{stop}"))["status"], "pending");
    assert_eq!(cancel(TOKEN, &stop), StatusCode::OK);
    let own = ask(&operator, "abort_session");
    assert_eq!(cancel(&operator, &own), StatusCode::OK, "it is their own");
    let other = ask(TOKEN, "prompt_session");
    assert_eq!(cancel(&operator, &other), StatusCode::OK, "nothing was to stop");
}
