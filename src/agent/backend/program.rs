//! The program of a kind of coding agent: where it is, and which version it is, found out before it is started.

use std::collections::HashMap;
use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::processes::{self, MARK};
use hal_base::backoff::Backoff;
use hal_base::child;
use hal_base::id::fresh_secret;

/// How long it may take to say its version: as long as any start of it, which is seconds on a busy machine.
const SAY_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether the program was replaced.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of what it says that are read.
const SAID_MAX: u64 = 4096;

/// The first and the longest pause before one that did not say its version is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// Programs that are remembered with what they said: more are never there, or something replaces them for ever.
const REMEMBERED: usize = 16;

/// The programs that were asked, and what they said. A restart does not ask again.
static ASKED: Mutex<Option<HashMap<Print, Asked>>> = Mutex::new(None);

/// What a program has said.
#[derive(Clone, Debug)]
enum Asked {
    /// Its version.
    Version(String),
    /// Nothing that can be read.
    Nothing {
        /// When it may be asked again.
        again_at: Instant,
        /// How the pauses grow.
        pauses: Backoff,
    },
}

/// What is known beforehand of the program of a kind.
#[derive(Clone, Copy, Debug)]
pub struct ProgramSpec {
    /// What it is called on PATH, and its kind in the configuration.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The key of the configuration that names another one.
    pub key: &'static str,
    /// The major versions that are understood.
    pub majors: &'static [u64],
    /// The versions that scenes are played with.
    pub tested: &'static str,
    /// Variables with which it does nothing but say its version.
    pub quiet: &'static [(&'static str, &'static str)],
    /// Files and folders by which a project shows that people work there with it.
    pub marks: &'static [&'static str],
    /// How one that is missing is put right.
    pub install: &'static str,
    /// What is said of one that is of another version, with the way out.
    pub other: fn(version: &str, program: &Path) -> String,
    /// As whom or by what it is logged in, where that can be told without reading a secret.
    pub login: fn() -> Option<String>,
}

/// What was found of the program of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundProgram {
    /// Where it is; `None`: nowhere.
    pub path: Option<PathBuf>,
    /// What it says of itself; `None`: nothing that can be read.
    pub version: Option<String>,
    /// Why it cannot be used.
    pub fault: Option<String>,
    /// As whom or by what it is logged in; `None`: that cannot be told.
    pub login: Option<String>,
}

impl ProgramSpec {
    /// Looks for it, and asks for its version. `named` is a path from the configuration. One that nobody uses is asked
    /// once, whatever it said.
    pub async fn look(&self, named: Option<&Path>, is_used: bool) -> FoundProgram {
        let program = named.map_or_else(|| self.name.into(), |path| path.as_os_str().to_owned());
        let Some(path) = find(&program) else {
            return FoundProgram { fault: Some(self.missing(&program)), ..FoundProgram::default() };
        };
        let mut command = Command::new(&program);
        child::keep_for_us(command.as_std_mut());
        command.envs(self.quiet.iter().copied());
        let version = match is_used || !was_asked(&program) {
            true => version_of(&program, command).await.map(|(version, _)| version),
            false => known_version(&program),
        };
        let fault = match &version {
            Some(version) if self.understands(version) => None,
            Some(version) => Some((self.other)(version, &path)),
            None => Some(format!(
                "{} does not say its version when it is asked with --version; {}",
                path.display(),
                self.install
            )),
        };
        FoundProgram { path: Some(path), version, fault, login: (self.login)() }
    }

    /// True for a version of a major one that is understood.
    pub fn understands(&self, version: &str) -> bool {
        version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_some_and(|major| self.majors.contains(&major))
    }

    /// What is said of one that is not there.
    pub fn missing(&self, program: &OsStr) -> String {
        format!("the program {program:?} was not found; {}, or name it in {}", self.install, self.key)
    }
}

/// What tells a program file from the one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Print {
    path: PathBuf,
    file: (u64, u64, u64, i64, i64),
}

impl Print {
    /// Of a program as it is found now; `None` when there is none.
    pub fn of(program: &OsStr) -> Option<Self> {
        let path = find(program)?;
        let file = path.metadata().ok()?;
        let file = (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        Some(Self { path, file })
    }
}

/// The version and the path of a program that says its version when it is started by `command`. One that did not is not
/// asked again for a while.
pub async fn version_of(program: &OsStr, command: Command) -> Option<(String, PathBuf)> {
    let print = Print::of(program)?;
    let known = remembered(|asked| asked.get(&print).cloned());
    let pauses = match known {
        Some(Asked::Version(version)) => return Some((version, print.path)),
        Some(Asked::Nothing { again_at, .. }) if Instant::now() < again_at => return None,
        Some(Asked::Nothing { pauses, .. }) => pauses,
        None => Backoff::new(PAUSE.0, PAUSE.1),
    };
    let version = ask(command).await;
    let path = print.path.clone();
    remembered(|asked| {
        if asked.len() >= REMEMBERED && !asked.contains_key(&print) {
            asked.clear();
        }
        asked.insert(print, Asked::of(version.clone(), pauses));
    });
    version.map(|version| (version, path))
}

fn was_asked(program: &OsStr) -> bool {
    Print::of(program).is_some_and(|print| remembered(|asked| asked.contains_key(&print)))
}

fn known_version(program: &OsStr) -> Option<String> {
    let print = Print::of(program)?;
    remembered(|asked| match asked.get(&print)? {
        Asked::Version(version) => Some(version.clone()),
        Asked::Nothing { .. } => None,
    })
}

impl Asked {
    fn of(version: Option<String>, mut pauses: Backoff) -> Self {
        match version {
            Some(version) => Self::Version(version),
            None => Self::Nothing { again_at: Instant::now() + pauses.next_delay(), pauses },
        }
    }
}

fn remembered<T>(work: impl FnOnce(&mut HashMap<Print, Asked>) -> T) -> T {
    work(ASKED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Resolves when a program that did not say its version is worth another look: it may be asked again, or somebody has.
/// Never for `None`.
pub async fn askable(mute: Option<&Print>) {
    let Some(print) = mute else { return std::future::pending().await };
    let is_early =
        |asked: &Asked| matches!(asked, Asked::Nothing { again_at, .. } if *again_at > Instant::now());
    while remembered(|asked| asked.get(print).is_some_and(is_early)) {
        sleep(LOOK_EVERY).await;
    }
}

/// True when there is a program of that name.
pub fn is_there(program: &OsStr) -> bool {
    find(program).is_some()
}

/// Resolves when another program is found in the place of the one that was there before.
pub async fn replaced(program: &OsStr, before: Option<&Print>) {
    while Print::of(program).as_ref() == before {
        sleep(LOOK_EVERY).await;
    }
}

/// Asks once. One that does not answer in time is ended, with all that it has started.
async fn ask(mut command: Command) -> Option<String> {
    let mark = format!("version.{}", &fresh_secret()[..16]);
    command
        .arg("--version")
        .env(MARK, &mark)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let mut said = Vec::new();
    let answer = async {
        child.stdout.take()?.take(SAID_MAX).read_to_end(&mut said).await.ok()?;
        // One that says more than is read ends by that.
        child.wait().await.ok()
    };
    let has_ended = timeout(SAY_LIMIT, answer).await.ok().flatten().is_some();
    if !has_ended {
        let _ended_already = child.start_kill();
        processes::end(move || processes::marked(&mark)).await;
        return None;
    }
    number_in(&String::from_utf8_lossy(&said))
}

/// The first `1.2.3` anywhere: `1.18.33`, `opencode v2.0.18`, `2.1.330 (Claude Code)`.
fn number_in(text: &str) -> Option<String> {
    text.split(|one: char| !one.is_ascii_digit() && one != '.').find_map(|word| {
        let parts: Vec<&str> = word.split('.').filter(|part| !part.is_empty()).collect();
        (parts.len() >= 3).then(|| parts[..3].join("."))
    })
}

/// The three numbers of a version.
pub fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// The first of some variables that holds anything: a program is logged in by that. Its value is not looked at.
pub fn login_by_variable(names: &[&str]) -> Option<String> {
    let is_set = |name: &&&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    names.iter().find(is_set).map(|name| format!("by {name}"))
}

/// The folder that a variable names, else this one in the home.
pub fn home_of(variable: &str, folder: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|named| !named.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(folder)))
}

/// By a file that a program keeps of its log-in, where there is one. It is not read.
pub fn login_by_file(file: &Path) -> Option<String> {
    file.is_file().then(|| format!("by {}", file.display()))
}

/// Where a program is, by its path or on PATH.
pub fn find(program: &OsStr) -> Option<PathBuf> {
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
    fn the_version_is_found_in_what_each_says() {
        assert_eq!(number_in("1.18.33\n").as_deref(), Some("1.18.33"));
        assert_eq!(number_in("opencode v2.0.18\n").as_deref(), Some("2.0.18"));
        assert_eq!(number_in("opencode 2.1.0-beta.3 (linux)").as_deref(), Some("2.1.0"));
        assert_eq!(number_in("2.1.330 (Claude Code)\n").as_deref(), Some("2.1.330"));
        assert_eq!(number_in("node 22\nopencode vlocal"), None);
    }

    #[tokio::test]
    async fn what_is_not_what_its_name_says_cannot_be_used() {
        let spec = ProgramSpec {
            name: "tool",
            title: "Tool",
            key: "tool_paths.tool",
            majors: &[1],
            tested: "1.0",
            quiet: &[],
            marks: &[],
            install: "install it",
            other: |version, program| format!("{} is {version}", program.display()),
            login: || None,
        };
        let folder = tempfile::tempdir().unwrap();
        let look = async |name: &str, script: &str| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(name);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            spec.look(Some(&path), true).await
        };
        let good = look("good", "#!/bin/sh\necho tool 1.2.3\n").await;
        assert_eq!((good.version.as_deref(), good.fault), (Some("1.2.3"), None));
        let newer = look("newer", "#!/bin/sh\necho tool 10.2.3\n").await;
        assert!(newer.fault.unwrap().ends_with("newer is 10.2.3"));
        let count = "echo . >> \"$0.count\"";
        let mute = format!("#!/bin/sh\n{count}\nexit 3\n");
        for _ in 0..3 {
            let path = folder.path().join("mute");
            let look =
                if path.exists() { spec.look(Some(&path), true).await } else { look("mute", &mute).await };
            assert!(look.fault.unwrap().contains("does not say its version"));
        }
        let asked = std::fs::read_to_string(folder.path().join("mute.count")).unwrap();
        assert_eq!(asked, ".\n", "it is asked once for a while");
        let chatty = look("chatty", "#!/bin/sh\necho tool 1.2.3\nwhile echo and more; do :; done\n").await;
        assert_eq!(chatty.version.as_deref(), Some("1.2.3"), "more is not read");
        let none = spec.look(Some(&folder.path().join("none")), true).await;
        assert!(none.fault.unwrap().contains("name it in tool_paths.tool"));
    }
}
