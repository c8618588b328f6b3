//! Which program this process is: by the name it was called with, else by its first argument.

use std::ffi::OsString;
use std::path::Path;

use crate::base::nearest::nearest;

/// The programs inside `hal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// hal-supervisor.
    Supervisor,
    /// hal-agent.
    Agent,
    /// halctl.
    Ctl,
    /// `hal up`: supervisor and agent in one process.
    Up,
    /// `hal manual`: man pages and completions.
    Manual,
    /// `hal hold`: keeps a coding agent for a hal-agent, which starts it; nobody types it.
    Hold,
}

impl Role {
    const ALL: [Role; 6] = [Self::Supervisor, Self::Agent, Self::Ctl, Self::Up, Self::Manual, Self::Hold];

    /// The name it goes by: of its link, in errors and in logs.
    pub fn program(self) -> &'static str {
        match self {
            Self::Supervisor => "hal-supervisor",
            Self::Agent => "hal-agent",
            Self::Ctl => "halctl",
            Self::Up => "hal up",
            Self::Manual => "hal manual",
            Self::Hold => "hal hold",
        }
    }

    /// The word after `hal`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
            Self::Ctl => "ctl",
            Self::Up => "up",
            Self::Manual => "manual",
            Self::Hold => "hold",
        }
    }
}

/// A call of one of the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The program that was called.
    pub role: Role,
    /// How it was called, for its help: `hal-agent` or `hal agent`.
    pub called: String,
    /// The arguments after that.
    pub args: Vec<OsString>,
}

/// What a command line says at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// One of the programs.
    Program(Call),
    /// `hal --help`, or `hal` alone.
    Help,
    /// `hal --version`.
    Version,
    /// A word that is none of ours, and the one that was probably meant.
    Unknown(String, Option<&'static str>),
}

/// Reads the beginning of a command line; `words` starts with the name of the program.
pub fn named(words: impl IntoIterator<Item = OsString>) -> Named {
    let mut words = words.into_iter();
    let called = words.next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(role) = Role::ALL.into_iter().find(|role| role.program() == name) {
        return Named::Program(Call { role, called: name, args: words.collect() });
    }
    let Some(first) = words.next() else { return Named::Help };
    let first = first.to_string_lossy().into_owned();
    match first.as_str() {
        "help" | "--help" | "-h" => return Named::Help,
        "--version" | "-V" => return Named::Version,
        _ => {}
    }
    match Role::ALL.into_iter().find(|role| role.word() == first) {
        Some(role) => {
            Named::Program(Call { role, called: format!("hal {}", role.word()), args: words.collect() })
        }
        None => {
            let meant = nearest(&first, Role::ALL.map(Role::word));
            Named::Unknown(first, meant)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Named {
        named(line.split(' ').map(OsString::from))
    }

    fn program(role: Role, called: &str, args: &[&str]) -> Named {
        let args = args.iter().map(OsString::from).collect();
        Named::Program(Call { role, called: called.to_string(), args })
    }

    #[test]
    fn the_name_of_the_file_decides() {
        assert_eq!(read("/usr/bin/hal-agent --validate"), program(Role::Agent, "hal-agent", &["--validate"]));
        assert_eq!(read("halctl ctl"), program(Role::Ctl, "halctl", &["ctl"]));
    }

    #[test]
    fn else_the_first_word_does() {
        assert_eq!(
            read("./target/debug/hal supervisor -h"),
            program(Role::Supervisor, "hal supervisor", &["-h"])
        );
        assert_eq!(read("some-other-name up"), program(Role::Up, "hal up", &[]));
    }

    #[test]
    fn a_word_of_nobody_is_answered_with_the_nearest() {
        assert_eq!(read("hal supervisr"), Named::Unknown("supervisr".into(), Some("supervisor")));
        assert_eq!(read("hal dance"), Named::Unknown("dance".into(), None));
        assert_eq!((read("hal"), read("hal --version")), (Named::Help, Named::Version));
    }
}
