//! Which opencode a program is, found out before it is started: a start of OpenCode 2 changes the database that both
//! have in common, and 1.x cannot use it afterwards.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// How long it may take to say its version: as long as any start of it, which is seconds on a busy machine.
const SAY_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether the program was replaced.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of what it says that are read.
const SAID_MAX: usize = 4096;

/// The program that was asked last, and its version. A restart does not ask again.
static ASKED: Mutex<Option<(Print, String)>> = Mutex::new(None);

/// What tells a program file from the one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Print {
    path: PathBuf,
    file: (u64, u64, u64, i64, i64),
}

impl Print {
    /// Of a program as it is found now; `None` when there is none.
    pub fn of(program: &OsString) -> Option<Self> {
        let path = find(program)?;
        let file = path.metadata().ok()?;
        let file = (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        Some(Self { path, file })
    }
}

/// The version and the path of a program of another major version. One that does not say its version is let through:
/// that it cannot be used will be seen when it is started.
pub async fn other(program: &OsString, command: Command) -> Option<(String, PathBuf)> {
    let print = Print::of(program)?;
    let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let version = match asked {
        Some((other, version)) if other == print => version,
        _ => ask(command).await?,
    };
    *ASKED.lock().unwrap_or_else(PoisonError::into_inner) = Some((print.clone(), version.clone()));
    (!version.starts_with("1.")).then_some((version, print.path))
}

/// True when there is a program of that name.
pub fn is_there(program: &OsString) -> bool {
    find(program).is_some()
}

/// Resolves when another program is found in the place of this one.
pub async fn replaced(program: &OsString) {
    let before = Print::of(program);
    while Print::of(program) == before {
        sleep(LOOK_EVERY).await;
    }
}

async fn ask(mut command: Command) -> Option<String> {
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(SAY_LIMIT, command.output()).await.ok()?.ok()?;
    let said = &output.stdout[..output.stdout.len().min(SAID_MAX)];
    number_in(&String::from_utf8_lossy(said))
}

/// The first `1.2.3` anywhere: 1.x says `1.18.33`, 2.x says `opencode v2.0.18`.
fn number_in(text: &str) -> Option<String> {
    text.split(|one: char| !one.is_ascii_digit() && one != '.').find_map(|word| {
        let parts: Vec<&str> = word.split('.').filter(|part| !part.is_empty()).collect();
        (parts.len() >= 3).then(|| parts[..3].join("."))
    })
}

fn find(program: &OsString) -> Option<PathBuf> {
    let named = Path::new(program);
    if named.components().count() > 1 {
        return named.is_file().then(|| named.to_owned());
    }
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(named)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_both_say() {
        assert_eq!(number_in("1.18.33\n").as_deref(), Some("1.18.33"));
        assert_eq!(number_in("opencode v2.0.18\n").as_deref(), Some("2.0.18"));
        assert_eq!(number_in("opencode 2.1.0-beta.3 (linux)").as_deref(), Some("2.1.0"));
        assert_eq!(number_in("node 22\nopencode vlocal"), None);
    }
}
