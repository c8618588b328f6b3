//! `hal-agent setup`: makes the service run as the person who owns the projects.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_protocol::ctl_file::MACHINE_GROUP;

/// What it writes. Settings of an operator's own belong in another file there: `systemctl edit hal-agent`.
const DROP_IN: &str = "/etc/systemd/system/hal-agent.service.d/user.conf";

/// Everybody may read which user it is.
const ALL_READ: u32 = 0o644;

/// Folders of a home in which coding agents are installed.
const PROGRAMS: [&str; 3] = [".opencode/bin", ".local/bin", "bin"];

/// Writes the drop-in for this user and has systemd read it. What it ends in is for the person who typed it.
pub fn run(user: &str) -> Result<String, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::say(
            Exit::NotAllowed,
            "only root can change the service: sudo hal-agent setup ...",
        ));
    }
    let home = home_of(user)?;
    let path = Path::new(DROP_IN);
    let written = std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
        .and_then(|()| file::replace(path, drop_in(user, &home).as_bytes(), ALL_READ));
    written.with_context(|| format!("cannot write {DROP_IN}"))?;
    let reload = Command::new("systemctl").arg("daemon-reload").status();
    if !reload.context("cannot run systemctl daemon-reload")?.success() {
        return Err(Failure::say(
            Exit::Failed,
            format!("{DROP_IN} is written, but systemctl daemon-reload failed"),
        ));
    }
    let groups = Command::new("id").args(["-nG", "--", user]).output();
    let groups = groups.context("cannot look for the user's groups with id")?;
    let warning = warning(user, &String::from_utf8_lossy(&groups.stdout));
    Ok(format!(
        "{DROP_IN}: hal-agent runs as {user} from its next start: systemctl restart hal-agent\n{warning}"
    ))
}

/// What follows when the person may use halctl here; empty for everybody else.
fn warning(user: &str, groups: &str) -> String {
    if groups.split_whitespace().all(|group| group != MACHINE_GROUP) {
        return String::new();
    }
    format!(
        "warning: {user} is in the group {MACHINE_GROUP}, which may read the supervisor's token and stores on this \
         machine, and coding agents inherit it. Let the projects belong to another user, or take {user} out of it: \
         gpasswd -d {user} {MACHINE_GROUP}\n"
    )
}

/// The home of a user, by whatever source of users this machine has.
fn home_of(user: &str) -> Result<String, Failure> {
    let found = Command::new("getent").args(["passwd", "--", user]).output();
    let found = found.context("cannot look for the user with getent")?;
    let line = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut fields = line.trim_end().split(':');
    let (name, number, home) = (fields.next(), fields.nth(1), fields.nth(2));
    match (name, number, home) {
        (Some(name), Some("0"), _) => {
            let sentence = format!("{name} is root: coding agents run as the user who owns the projects");
            Err(Failure::say(Exit::Usage, sentence))
        }
        (Some(name), Some(_), Some(home)) if name == user => Ok(home.to_owned()),
        _ => Err(Failure::say(Exit::NotFound, format!("there is no user {user:?} on this machine"))),
    }
}

fn drop_in(user: &str, home: &str) -> String {
    let own: String = PROGRAMS.iter().map(|folder| format!("{home}/{folder}:")).collect();
    format!(
        "# Written by `hal-agent setup --user {user}`.\n[Service]\nUser={user}\n\
         Environment=\"PATH={own}/usr/local/bin:/usr/bin:/bin\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_read_the_supervisors_files_is_warned_of_and_nobody_else() {
        let said = warning("ada", "ada docker hal-o-swarm\n");
        assert!(
            said.contains("ada is in the group hal-o-swarm") && said.contains("gpasswd -d ada"),
            "{said}"
        );
        assert_eq!(warning("ada", "ada docker hal-o-swarmers hal-agent\n"), "");
    }

    #[test]
    fn only_a_user_who_is_there_and_not_root_will_do() {
        assert_eq!(home_of("root").unwrap_err().exit, Exit::Usage);
        assert_eq!(home_of("nobody-by-this-name").unwrap_err().exit, Exit::NotFound);
        assert_eq!(home_of("--help").unwrap_err().exit, Exit::NotFound);
        assert_eq!(home_of("1").unwrap_err().exit, Exit::NotFound, "a number is no name");
    }

    #[test]
    fn the_drop_in_names_the_user_and_where_coding_agents_are() {
        let text = drop_in("ada", "/home/ada");
        assert!(
            text.contains("\n[Service]\nUser=ada\nEnvironment=\"PATH=/home/ada/.opencode/bin:"),
            "{text}"
        );
    }
}
