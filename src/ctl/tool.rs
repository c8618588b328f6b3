//! Running other programs: always with their arguments as a list, never through a shell, within a time, and with no
//! more of their output than is needed.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use hal_base::{child, id};

/// How long a program that only tells something may take.
pub const QUICK: Duration = Duration::from_secs(20);

/// How long one may take that does something: a service that stops in order, a large file that is copied.
pub const PATIENT: Duration = Duration::from_secs(600);

/// Bytes taken of each of its two outputs: more than a thousand long lines of a journal.
const MOST_OUTPUT: u64 = 4 * 1024 * 1024;

/// Folders of an administrator's programs, which are on the PATH of few users.
const MORE_PATH: &str = "/usr/sbin:/sbin";

/// What a program has said.
#[derive(Clone, Debug, Default)]
pub struct ProgramOutput {
    /// Its exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl ProgramOutput {
    /// True when it ended well.
    pub fn is_well(&self) -> bool {
        self.code == Some(0)
    }

    /// Its complaint, else its answer.
    pub fn words(&self) -> &str {
        let complaint = self.err.trim();
        if complaint.is_empty() { self.out.trim() } else { complaint }
    }
}

/// Runs programs by their names on PATH, and the other programs of this executable.
#[derive(Debug)]
pub struct Tools {
    hal: PathBuf,
    path: std::ffi::OsString,
}

impl Tools {
    /// With the PATH of this process.
    pub fn of_process() -> Self {
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        path.push(":");
        path.push(MORE_PATH);
        Self { hal: std::env::current_exe().unwrap_or_else(|_| "hal".into()), path }
    }

    /// Runs a program; the inner sentence says why there is no answer.
    pub async fn run(&self, line: &[&str], limit: Duration) -> Result<ProgramOutput, String> {
        let (name, args) = line.split_first().ok_or("nothing to run")?;
        let mut command = std::process::Command::new(name);
        child::keep_for_us(&mut command);
        command.args(args);
        self.finish(name, command.into(), limit).await
    }

    /// Runs another program of this executable, such as `hal-supervisor`, with the token that systemd would hand it.
    pub async fn hal(&self, program: &str, args: &[&str], limit: Duration) -> Result<ProgramOutput, String> {
        let mut command = std::process::Command::new(&self.hal);
        // Not as a service logs either: whole sentences, without priorities.
        child::keep_for_us(&mut command);
        command.arg0(program).args(args);
        let handed = self.credential(program).await.and_then(|file| Handed::over(&file).ok());
        if let Some(handed) = &handed {
            command.env("CREDENTIALS_DIRECTORY", &handed.folder);
        }
        self.finish(program, command.into(), limit).await
    }

    /// The file of the token that systemd hands to a unit (`LoadCredential=auth_token:FILE`).
    pub async fn credential(&self, unit: &str) -> Option<PathBuf> {
        let said = self.run(&["systemctl", "cat", unit], QUICK).await.ok()?;
        let named = |line: &str| line.trim().strip_prefix("LoadCredential=auth_token:").map(PathBuf::from);
        said.out.lines().filter_map(named).next_back().filter(|file| file.is_file())
    }

    async fn finish(
        &self,
        name: &str,
        mut command: Command,
        limit: Duration,
    ) -> Result<ProgramOutput, String> {
        command.env("PATH", &self.path).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("{name} is not installed here"),
            _ => format!("{name} cannot be started: {error}"),
        })?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let whole = async {
            let (out, err) = tokio::join!(bounded(out), bounded(err));
            (child.wait().await, out, err)
        };
        let ended = tokio::time::timeout(limit, whole).await;
        let (status, out, err) =
            ended.map_err(|_| format!("{name} did not end within {} s", limit.as_secs()))?;
        let status = status.map_err(|error| format!("{name} was lost: {error}"))?;
        Ok(ProgramOutput { code: status.code(), out, err })
    }
}

/// A folder of credentials as systemd makes it, for one program that runs without systemd. Holds no copy of the token.
struct Handed {
    folder: PathBuf,
}

impl Handed {
    fn over(file: &Path) -> std::io::Result<Self> {
        let handed = Self { folder: std::env::temp_dir().join(format!("halctl-{}", id::fresh())) };
        DirBuilder::new().mode(0o700).create(&handed.folder)?;
        symlink(file, handed.folder.join("auth_token"))?;
        Ok(handed)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        // An empty folder that stays behind does no harm.
        let _ = std::fs::remove_file(self.folder.join("auth_token"));
        let _ = std::fs::remove_dir(&self.folder);
    }
}

async fn bounded(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        // What could be read of a broken pipe is all there is.
        let _ = stream.take(MOST_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_argument_is_never_a_command_and_nobody_is_waited_for_without_end() {
        let tools = Tools::of_process();
        let said = tools.run(&["echo", "$(id); `id`"], QUICK).await.unwrap();
        assert_eq!((said.out.as_str(), said.is_well()), ("$(id); `id`\n", true));
        assert!(tools.run(&["no-such-program"], QUICK).await.unwrap_err().contains("not installed"));
        let slow = tools.run(&["tail", "-f", "/dev/null"], Duration::from_millis(50)).await;
        assert!(slow.unwrap_err().contains("did not end"));
    }
}
