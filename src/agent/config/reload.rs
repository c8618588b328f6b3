//! What a running agent takes over from a changed file, and what waits for a restart.

use super::Config;
use crate::backend::BackendKind;
use hal_base::config::Reload;

/// Compares the running configuration with a new one.
pub fn reload(old: &Config, new: &Config) -> Reload<Config> {
    let taken = [
        ("supervisor_url", old.supervisor_url != new.supervisor_url),
        ("auth_token", old.auth_token != new.auth_token),
        ("ca_file", old.ca_file != new.ca_file),
        ("key_file", old.key_file != new.key_file),
        ("supervisor_pin", old.supervisor_pin != new.supervisor_pin),
        ("projects", old.projects != new.projects),
    ];
    let left = [
        ("node_id", old.node_id != new.node_id),
        ("data_dir", old.data_dir != new.data_dir),
        ("opencode_port", old.opencode_port != new.opencode_port),
        ("alerts.supervisor_lost", old.supervisor_lost != new.supervisor_lost),
        ("hold.alone", old.alone != new.alone),
        ("journal.keep", old.journal.keep != new.journal.keep),
        ("journal.keep_bytes", old.journal.keep_bytes != new.journal.keep_bytes),
    ];
    let config = Config {
        supervisor_url: new.supervisor_url.clone(),
        auth_token: new.auth_token.clone(),
        ca_file: new.ca_file.clone(),
        key_file: new.key_file.clone(),
        supervisor_pin: new.supervisor_pin,
        projects: new.projects.clone(),
        fingerprint: new.fingerprint.clone(),
        ..old.clone()
    };
    let programs = BackendKind::ALL
        .iter()
        .filter_map(|kind| Some((kind.program()?.key, old.programs.get(*kind) != new.programs.get(*kind))));
    let named = |config: &Config| {
        let kinds = config.programs.kinds().into_iter();
        kinds.map(|kind| (kind, config.programs.launch(kind))).collect::<Vec<_>>()
    };
    let acp = ("backends.acp", named(old) != named(new));
    let left: Vec<(&str, bool)> = left.into_iter().chain(programs).chain([acp]).collect();
    Reload::of(config, &taken, &left)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use hal_base::config::{Purpose, Source};

    fn config(rest: &str) -> Config {
        let text = format!(r#"{{"supervisor_url": "ws://h:1", "data_dir": "/tmp", {rest}}}"#);
        let file = Source { path: Path::new("/tmp/x.json"), bytes: text.as_bytes(), is_open_to_all: false };
        super::super::parse(&file, Purpose::Run).unwrap().0
    }

    #[test]
    fn takes_over_projects_and_names_the_rest() {
        let old = config(r#""auth_token": "a", "node_id": "n1""#);
        let new = config(
            r#""auth_token": "a", "node_id": "n2", "journal": {"keep": "1h"},
               "projects": [{"name": "p", "directory": "/"}]"#,
        );
        let reload = reload(&old, &new);
        assert_eq!(reload.applied, ["projects"]);
        assert_eq!(reload.needs_restart, ["node_id", "journal.keep"]);
        assert_eq!((reload.config.projects.len(), reload.config.node_id.as_str()), (1, "n1"));
    }
}
