//! Where URL and token are looked for, and to whom a token is never sent.

use std::fs;

use super::*;

/// A home folder with ctl files in it.
struct Home {
    folder: tempfile::TempDir,
    around: Surroundings,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let around = Surroundings {
            variables: vec![("HOME".into(), folder.path().into())],
            machine_file: folder.path().join("machine/ctl.json"),
        };
        Self { folder, around }
    }

    fn with(self, name: &str, content: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn user(self, content: &str) -> Self {
        self.with(".config/hal-o-swarm/ctl.json", content)
    }

    fn up(self, content: &str) -> Self {
        self.with(".local/state/hal-o-swarm/up.json", content)
    }

    fn machine(self, content: &str) -> Self {
        self.with("machine/ctl.json", content)
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.around.variables.push((name.into(), value.into()));
        self
    }

    /// The machine's file is a pipe that nobody writes to.
    fn machine_named_pipe(self) -> Self {
        fs::remove_file(&self.around.machine_file).unwrap();
        pipe(&self.around.machine_file);
        self
    }

    fn find(&self, url: Option<&str>) -> Target {
        let global = Global { supervisor_url: url.map(str::to_owned), ..Global::default() };
        find(&global, &self.around).unwrap()
    }
}

fn pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, mknodat};
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap();
}

fn token(target: &Target) -> Option<&str> {
    target.token.as_ref().map(|(token, _)| token.reveal())
}

#[test]
fn with_nothing_said_it_is_this_machine_without_a_token() {
    let target = Home::new().find(None);
    assert_eq!((target.url.as_str(), &target.url_from), ("http://127.0.0.1:8420/", &Origin::Default));
    assert!(target.token.is_none() && target.notes.is_empty());
}

#[test]
fn each_place_is_asked_before_the_next() {
    let alive = std::process::id();
    let home = Home::new().machine(r#"{"url":"http://127.0.0.1:8420","token":"machine"}"#);
    assert_eq!(token(&home.find(None)), Some("machine"));
    let home =
        home.up(&format!(r#"{{"url":"http://127.0.0.1:4000","token":"up","pid":{alive},"data":"/d"}}"#));
    let target = home.find(None);
    assert_eq!((target.url.as_str(), token(&target)), ("http://127.0.0.1:4000/", Some("up")));
    let home = home.user(r#"{"url":"wss://sup.example","token":"user"}"#);
    let target = home.find(None);
    assert_eq!((target.url.as_str(), token(&target)), ("https://sup.example/", Some("user")));
    let home = home.variable("HALCTL_SUPERVISOR_URL", "env:1").variable("HALCTL_AUTH_TOKEN", "env");
    let target = home.find(None);
    assert_eq!((target.url.as_str(), token(&target)), ("http://env:1/", Some("env")));
    let target = home.find(Some("flag:2"));
    assert_eq!((target.url.as_str(), target.url_from), ("http://flag:2/", Origin::Flag("--supervisor-url")));
}

#[test]
fn a_file_of_a_dead_hal_up_means_nothing() {
    // Process ids end at 2^22 on Linux, so this one cannot be alive.
    let home = Home::new().up(r#"{"url":"http://127.0.0.1:4000","token":"up","pid":4194305}"#);
    let target = home.find(None);
    assert_eq!((target.url_from.clone(), token(&target)), (Origin::Default, None));
}

#[test]
fn a_found_token_never_goes_to_another_host() {
    let home = Home::new()
        .user(r#"{"url":"https://sup.example:8420","token":"user"}"#)
        .machine(r#"{"url":"https://here.example:8420","token":"machine"}"#);
    for elsewhere in [
        "https://evil.example:8420",
        "http://sup.example:8420",
        "https://sup.example:9999",
        "https://sup.example.evil.example:8420",
        "http://localhost.evil.example:8420",
        "http://127.0.0.1.evil.example:8420",
        "ws://localhost:9999",
        "http://0.0.0.0:8420",
    ] {
        let target = home.find(Some(elsewhere));
        assert_eq!(token(&target), None, "{elsewhere}");
        assert!(target.notes[0].contains("was not sent"), "{:?}", target.notes);
    }
    assert_eq!(token(&home.find(Some("wss://sup.example:8420"))), Some("user"));
    assert_eq!(token(&home.find(Some("https://here.example:8420"))), Some("machine"));
}

#[test]
fn a_found_token_goes_to_a_loopback_address_with_the_same_port() {
    let home = Home::new().machine(r#"{"url":"https://here.example:8420","token":"machine"}"#);
    for here in ["ws://localhost:8420", "http://127.0.0.1:8420", "wss://[::1]:8420"] {
        assert_eq!(token(&home.find(Some(here))), Some("machine"), "{here}");
    }
}

#[test]
fn a_given_token_goes_where_the_caller_says() {
    let home = Home::new().with("token", " given \n");
    let path = home.folder.path().join("token");
    let home = home.variable("HALCTL_TOKEN_FILE", path.to_str().unwrap());
    let target = home.find(Some("https://anywhere.example"));
    assert_eq!(token(&target), Some("given"));
    assert_eq!(target.token.unwrap().1, Origin::Variable("HALCTL_TOKEN_FILE"));
}

#[test]
fn a_token_file_may_lie_beside_the_file_that_names_it() {
    let home = Home::new()
        .with("machine/ctl.token", "beside\n")
        .machine(r#"{"url":"http://127.0.0.1:8420","token_file":"ctl.token","ca_file":"ca.pem"}"#);
    let target = home.find(None);
    assert_eq!(token(&target), Some("beside"));
    assert_eq!(target.ca_file.unwrap().0, home.folder.path().join("machine/ca.pem"));
}

#[test]
fn a_machine_file_that_is_a_link_or_a_pipe_is_not_followed() {
    let home = Home::new().with("private.json", r#"{"url":"http://127.0.0.1:8420","token":"private"}"#);
    let machine = home.around.machine_file.clone();
    fs::create_dir_all(machine.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(home.folder.path().join("private.json"), &machine).unwrap();
    let target = home.find(None);
    assert_eq!((token(&target), target.notes.len()), (None, 1));
    assert!(target.notes[0].contains("it is a symbolic link"), "{:?}", target.notes);
    let home = home.machine_named_pipe();
    assert!(home.find(None).notes[0].contains("it is not a regular file"));
}

#[test]
fn a_token_file_that_is_a_pipe_is_told_and_not_waited_for() {
    let home = Home::new().machine(r#"{"url":"http://127.0.0.1:8420","token_file":"../pipe"}"#);
    pipe(&home.folder.path().join("pipe"));
    let target = home.find(None);
    assert!(target.token.is_none());
    assert!(target.notes[0].contains("it is not a regular file"), "{:?}", target.notes);
}

#[test]
fn an_unreadable_token_file_is_told_and_the_next_place_is_asked() {
    let home = Home::new()
        .user(r#"{"token_file":"/nowhere/token"}"#)
        .machine(r#"{"url":"http://127.0.0.1:8420","token":"machine"}"#);
    let target = home.find(None);
    assert_eq!(token(&target), Some("machine"));
    assert!(target.notes[0].contains("/nowhere/token"), "{:?}", target.notes);
}

#[test]
fn a_broken_file_of_the_user_is_refused_with_its_place_but_never_with_its_content() {
    let home = Home::new().user("{\n \"token\": {\"secret\": \"s3cr3t\"}}");
    let failure = find(&Global::default(), &home.around).unwrap_err();
    assert_eq!(failure.exit, Exit::BadConfig);
    let sentence = failure.to_string();
    assert!(sentence.contains("line 2") && !sentence.contains("s3cr3t"), "{sentence}");
    let target = home.variable("HALCTL_AUTH_TOKEN", "t").find(Some("h"));
    assert_eq!(token(&target), Some("t"));
}

#[test]
fn urls_are_read_as_people_type_them() {
    let read = |text| read_url(text, &Origin::Default).map(|url| url.to_string());
    assert_eq!(read("ws://localhost:8420").unwrap(), "http://localhost:8420/");
    assert_eq!(read("WSS://h").unwrap(), "https://h/");
    assert_eq!(read("10.0.0.1:8420").unwrap(), "http://10.0.0.1:8420/");
    assert_eq!(read("https://h/base?x#y").unwrap(), "https://h/base/");
    for wrong in ["ftp://h", "http://", "http://u:p@h", "http://h:99999"] {
        assert_eq!(read(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
    }
}
