//! What a holder is started with: read from its standard input, since an environment may hold keys that nobody else is to
//! see; and its answer: whether the process runs.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::wire::Private;
use crate::backend::processes::MARK;

/// What is to be held, and for whom.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    /// The folder for its socket and its record; it is made, and must not be there.
    pub folder: OsString,
    /// By what the agent is known.
    pub agent: String,
    /// What only that agent knows.
    pub key: Private,
    /// The mark of the process, and of all that it starts.
    pub mark: String,
    /// Milliseconds that it goes on while no agent is there.
    pub alone_ms: u64,
    /// The program.
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    /// Where it works.
    directory: Option<OsString>,
}

/// Nothing of its environment is shown.
impl fmt::Debug for Order {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Order").field("mark", &self.mark).finish_non_exhaustive()
    }
}

/// Whom a process is held for.
#[derive(Clone, Debug)]
pub struct Holding {
    /// By what the agent is known.
    pub agent: String,
    /// What only that agent knows.
    pub key: Private,
    /// Milliseconds that it goes on while no agent is there.
    pub alone_ms: u64,
}

impl Order {
    /// To hold what this command would start, with this mark, in this environment of ours.
    pub fn of(
        command: &Command,
        ours: impl Iterator<Item = (OsString, OsString)>,
        mark: &str,
        (holding, folder): (&Holding, &Path),
    ) -> Self {
        let changed = |name: &OsStr| command.get_envs().any(|(other, _)| other == name);
        let mut environment: Vec<_> = ours.filter(|(name, _)| !changed(name)).collect();
        let set = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        environment.extend(set.filter(|(name, _)| name != MARK));
        environment.push((MARK.into(), mark.into()));
        Self {
            folder: folder.as_os_str().to_owned(),
            agent: holding.agent.clone(),
            key: holding.key.clone(),
            mark: mark.to_owned(),
            alone_ms: holding.alone_ms,
            program: command.get_program().to_owned(),
            arguments: command.get_args().map(OsStr::to_owned).collect(),
            environment,
            directory: command.get_current_dir().map(|path| path.as_os_str().to_owned()),
        }
    }

    /// The command again.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

/// Whether it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Started {
    /// It does.
    Process(i32),
    /// It cannot be started: the number of the system's error, and its words.
    Failed(Option<i32>, String),
}

impl Started {
    /// Why it does not run.
    pub fn failed(error: &io::Error) -> Self {
        Self::Failed(error.raw_os_error(), error.to_string())
    }

    /// Its process number.
    pub fn process(self) -> io::Result<i32> {
        match self {
            Self::Process(process) => Ok(process),
            Self::Failed(Some(number), _) => Err(io::Error::from_raw_os_error(number)),
            Self::Failed(None, why) => Err(io::Error::other(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_out_as_it_went_in_and_shows_nothing() {
        let mut command = Command::new("sh");
        command.arg("-c").arg("true").env("KEY", "secret-word").env_remove("GONE").current_dir("/tmp");
        let ours = [("GONE", "1"), ("KEPT", "2"), ("KEY", "3"), (MARK, "another")];
        let ours = ours.into_iter().map(|(name, value)| (name.into(), value.into()));
        let holding = Holding { agent: "a".into(), key: Private("key-word".into()), alone_ms: 1 };
        let order = Order::of(&command, ours, "mark", (&holding, Path::new("/x")));
        let order: Order = serde_json::from_slice(&serde_json::to_vec(&order).unwrap()).unwrap();
        let again = order.command();
        assert_eq!((again.get_program(), again.get_args().count()), (OsStr::new("sh"), 2));
        assert_eq!(again.get_current_dir(), Some(Path::new("/tmp")));
        let mut environment: Vec<_> = again.get_envs().filter(|(_, value)| value.is_some()).collect();
        environment.sort();
        let one = |name: &'static str, value: &'static str| (OsStr::new(name), Some(OsStr::new(value)));
        assert!(environment.contains(&one(MARK, "mark")), "{environment:?}");
        assert!(environment.contains(&one("KEPT", "2")) && environment.contains(&one("KEY", "secret-word")));
        assert!(!format!("{order:?}").contains("word"));
        let missing = Started::failed(&io::Error::from_raw_os_error(2)).process().unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
