//! The process: `opencode serve` on a loopback port of its own, with a password that nobody else has.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::OpenConfig;
use super::causes::Causes;
use super::client::{Call, Client};
use super::gate::Gate;
use super::words::ServerHealth;
use crate::backend::BackendError;
use crate::backend::processes::MARK;
use crate::backend::program::{ProgramSpec, is_there, version_of};
use crate::backend::tail::Tail;
use hal_base::child;
use hal_base::id::fresh_secret;
use hal_base::secret::Secret;

/// How a missing or unfit opencode is put right.
const INSTALL: &str = "install it with: npm install -g opencode-ai@1.18";

/// The program. A start of OpenCode 2 changes the database that both have in common, and 1.x cannot use it afterwards.
pub const PROGRAM: ProgramSpec = ProgramSpec {
    name: "opencode",
    title: "opencode",
    key: "tool_paths.opencode",
    major: 1,
    tested: "1.18.x",
    quiet: &[("OPENCODE_DISABLE_AUTOUPDATE", "1")],
    marks: &["opencode.json", "opencode.jsonc", ".opencode"],
    install: INSTALL,
    other: |version, program| {
        StartError::Version { version: version.to_owned(), program: program.to_owned() }.to_string()
    },
};

/// How long opencode may take until it listens; seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it may take to end after SIGTERM; it takes a fifth of a second.
const END_LIMIT: Duration = Duration::from_secs(3);

/// What it prints when it is ready, before the address.
const LISTENING: &str = "opencode server listening on ";

/// Why opencode could not be started: a sentence, and below it the last lines of its output where there are any.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program.
    #[error("the program {program:?} was not found; {INSTALL}, or name it in tool_paths.opencode")]
    Missing {
        /// What was looked for.
        program: OsString,
    },
    /// The program cannot be run.
    #[error("the program {program:?} cannot be run ({source}); {INSTALL}, or name it in tool_paths.opencode")]
    Spawn {
        /// The program that was to be started.
        program: OsString,
        /// The system's error.
        source: io::Error,
    },
    /// It ended instead of listening.
    #[error("it ended at once ({status}){output}")]
    Ended {
        /// How it ended.
        status: String,
        /// Its last lines.
        output: String,
    },
    /// It did not say that it listens.
    #[error("it did not start to listen within {} s{output}", START_LIMIT.as_secs())]
    Mute {
        /// Its last lines.
        output: String,
    },
    /// It listens but does not answer.
    #[error("it started but is not healthy")]
    Unhealthy(#[source] BackendError),
    /// It speaks another protocol.
    #[error(
        "{} is opencode {version}, and only 1.x is supported; install that beside it, with a database of its own, \
         with: npm install --prefix ~/opencode-1 opencode-ai@1.18, then name ~/opencode-1/node_modules/.bin/opencode in \
         tool_paths.opencode (or put its folder first on PATH) and set OPENCODE_DB=~/opencode-1/opencode.db",
        program.display()
    )]
    Version {
        /// What it says of itself.
        version: String,
        /// Path of the program.
        program: PathBuf,
    },
}

/// A running opencode.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: Tail,
    /// How to call it.
    pub client: Client,
    /// The mark of all its descendants.
    pub mark: String,
    /// The version it answers with, such as `1.18.33`.
    pub version: String,
}

impl Server {
    /// Starts it and waits until it is healthy.
    pub async fn start(config: &OpenConfig, mark: String, gate: Gate) -> Result<Self, StartError> {
        check(config).await?;
        let program = program_of(config);
        let password = Secret::new(fresh_secret());
        let mut child = spawn(config, &program, &mark, &password)?;
        let (output, causes) = (Tail::default(), Causes::default());
        let (address, mut listening) = watch::channel(None);
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(output.clone().read(stdout, move |line| {
                if let Some(base) = line.trim_end().strip_prefix(LISTENING) {
                    address.send_replace(Some(base.trim().trim_end_matches('/').to_owned()));
                }
            }));
        }
        if let Some(stderr) = child.stderr.take() {
            let causes = causes.clone();
            tokio::spawn(output.clone().read(stderr, move |line| causes.hear(line)));
        }
        let base = match address_of(&mut child, &output, &mut listening).await {
            Ok(base) => base,
            Err(error) => {
                let _ = child.kill().await;
                return Err(error);
            }
        };
        let no_client = |_| StartError::Mute { output: "\nno HTTP client can be made".into() };
        let client = Client::new(base, password, causes, gate).map_err(no_client)?;
        let health: ServerHealth = client
            .get(Call::new("/global/health", "asking for its health").within(START_LIMIT))
            .await
            .map_err(StartError::Unhealthy)?;
        if !health.version.starts_with("1.") {
            return Err(StartError::Version { version: health.version, program: program.into() });
        }
        Ok(Self { child, output, client, mark, version: health.version })
    }

    /// Resolves when it has ended, with how in the first line and its last lines below.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.output.settle().await;
        format!("it ended ({}){}", outcome(status), self.output.text())
    }

    /// Its process number; absent once it has ended.
    pub fn pid(&self) -> Option<i32> {
        self.child.id().and_then(|pid| i32::try_from(pid).ok())
    }

    /// Ends the process: asks, waits, then forces. Turns and tools are not looked after: that comes before.
    pub async fn end(mut self) {
        if let Some(pid) = self.pid().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(END_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Waits until it says where it listens.
async fn address_of(
    child: &mut Child,
    output: &Tail,
    listening: &mut watch::Receiver<Option<String>>,
) -> Result<String, StartError> {
    let heard = async {
        let address = listening.wait_for(Option::is_some).await.ok().and_then(|address| address.clone());
        if address.is_none() {
            // It has closed its output: most likely it is ending, and how it ends says more.
            std::future::pending::<()>().await;
        }
        address
    };
    tokio::select! {
        status = child.wait() => {
            output.settle().await;
            Err(StartError::Ended { status: outcome(status), output: output.text() })
        }
        heard = timeout(START_LIMIT, heard) => match heard {
            Ok(Some(base)) => Ok(base),
            Ok(None) | Err(_) => Err(StartError::Mute { output: output.text() }),
        }
    }
}

fn spawn(
    config: &OpenConfig,
    program: &OsString,
    mark: &str,
    password: &Secret,
) -> Result<Child, StartError> {
    let mut command = base_command(config, program);
    command
        .args(["serve", "--hostname", "127.0.0.1", "--port", &config.port.to_string()])
        .args(["--print-logs", "--log-level", "WARN"])
        .env("OPENCODE_SERVER_PASSWORD", password.reveal())
        .env_remove("OPENCODE_SERVER_USERNAME")
        .env(MARK, mark)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on a terminal is for us: we end it in the right order.
        .process_group(0);
    command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StartError::Missing { program: program.clone() },
        _ => StartError::Spawn { program: program.clone(), source },
    })
}

fn base_command(config: &OpenConfig, program: &OsString) -> Command {
    let mut command = Command::new(program);
    child::keep_for_us(command.as_std_mut());
    command
        .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
        .envs(config.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if config.data_dir.is_dir() {
        // Every call names its directory; this one is only where a call that does not would end up.
        command.current_dir(&config.data_dir);
    }
    command
}

/// Refuses a program that is not there or not understood, without starting it.
pub async fn check(config: &OpenConfig) -> Result<(), StartError> {
    let program = program_of(config);
    if !is_there(&program) {
        return Err(StartError::Missing { program });
    }
    // One that does not say its version is let through: that it cannot be used will be seen when it is started.
    match version_of(&program, base_command(config, &program)).await {
        Some((version, program)) if !PROGRAM.understands(&version) => {
            Err(StartError::Version { version, program })
        }
        _ => Ok(()),
    }
}

/// The program, by its path or to be looked for on PATH.
pub fn program_of(config: &OpenConfig) -> OsString {
    config.binary.as_ref().map_or_else(|| "opencode".into(), |path| path.clone().into_os_string())
}

fn outcome(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}
