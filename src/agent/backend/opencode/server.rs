//! The process: `opencode serve` on a loopback port of its own, with a password that nobody else has.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::OpenConfig;
use super::causes::Causes;
use super::client::{Call, Client};
use super::dialect::Dialect;
use super::gate::Gate;
use super::memo::Memo;
use super::process::{Pipe, Process};
use super::words::ServerHealth;
use crate::backend::BackendError;
use crate::backend::hold::client::Held;
use crate::backend::processes::MARK;
use crate::backend::program::{self, ProgramSpec, home_of, is_there, login_by_file, version_of};
use crate::backend::tail::Tail;
use hal_base::child;
use hal_base::id::fresh_secret;
use hal_base::secret::Secret;

/// How a missing or unfit opencode is put right.
const INSTALL: &str = "install it with: npm install -g opencode-ai@1.18";

/// The program. A start of OpenCode 2 changes the database that both have in common, and 1.x cannot use it afterwards: where
/// we start one, it is given a database of its own.
pub const PROGRAM: ProgramSpec = ProgramSpec {
    name: "opencode",
    title: "opencode",
    key: "tool_paths.opencode",
    majors: &[1, 2],
    tested: "1.18.x; 2.0.x against a stand-in",
    quiet: &[("OPENCODE_DISABLE_AUTOUPDATE", "1")],
    marks: &["opencode.json", "opencode.jsonc", ".opencode"],
    install: INSTALL,
    other: |version, program| {
        StartError::Version { version: version.to_owned(), program: program.to_owned() }.to_string()
    },
    // Keys in its configuration and in variables of each provider are not looked for.
    login: || login_by_file(&home_of("XDG_DATA_HOME", ".local/share")?.join("opencode/auth.json")),
};

/// How long opencode may take until it listens; seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long it is waited before one that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How long a holder may take to tell of an end.
const ENDED_LIMIT: Duration = Duration::from_secs(5);

/// How long one that was kept may take to answer.
const RESUME_LIMIT: Duration = Duration::from_secs(10);

/// What it prints when it is ready, before the address: 2.x says who it is no more.
const LISTENING: &str = "server listening on ";

/// Where the database of 2.x is, below the agent's own data.
const DATABASE_OF_TWO: &str = "opencode-2/opencode.db";

/// The first version of 2.x whose protocol holds still: it moved from week to week before.
const FIRST_OF_TWO: (u64, u64, u64) = (2, 0, 17);

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
        "{} is opencode {version}, and only 1.x and 2.x are supported; install 1.x beside it, with a database of its \
         own, with: npm install --prefix ~/opencode-1 opencode-ai@1.18, then name \
         ~/opencode-1/node_modules/.bin/opencode in tool_paths.opencode (or put its folder first on PATH) and set \
         OPENCODE_DB=~/opencode-1/opencode.db",
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
    process: Process,
    output: Tail,
    /// How to call it.
    pub client: Client,
    /// The mark of all its descendants.
    pub mark: String,
    /// The version it answers with, such as `1.18.33`.
    pub version: String,
    /// True for one that an earlier agent has started.
    pub is_resumed: bool,
}

impl Server {
    /// Starts it and waits until it is healthy.
    pub async fn start(config: &OpenConfig, mark: String, gate: Gate) -> Result<Self, StartError> {
        let dialect = check(config).await?;
        let program = program_of(config);
        let password = Secret::new(fresh_secret());
        let command = command(config, &program, &mark, &password, dialect)?;
        // What an agent after this one needs to go on with 2.x is not known yet: that ends with its agent.
        let hold = config.hold.as_ref().filter(|_| dialect == Dialect::One);
        let started = Process::start(command, &mark, hold).await;
        let (mut process, stdout, stderr) = started.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StartError::Missing { program: program.clone() },
            _ => StartError::Spawn { program: program.clone(), source },
        })?;
        let (output, causes, mut listening) = listen(stdout, stderr);
        let base = match address_of(&mut process, &output, &mut listening).await {
            Ok(base) => base,
            Err(error) => {
                process.kill().await;
                return Err(error);
            }
        };
        let no_client = |_| StartError::Mute { output: "\nno HTTP client can be made".into() };
        let client = Client::new(base, password, causes, gate, dialect).map_err(no_client)?;
        let version = identity(&client, START_LIMIT).await.map_err(StartError::Unhealthy)?;
        if Dialect::of(&version) != Some(dialect) {
            return Err(StartError::Version { version, program: program.into() });
        }
        if dialect == Dialect::Two && program::numbers(&version) < Some(FIRST_OF_TWO) {
            tracing::warn!(
                "opencode {version} is older than 2.0.17, whose protocol is the one that is understood"
            );
        }
        Ok(Self { process, output, client, mark, version, is_resumed: false })
    }

    /// Goes on with one that a holder has kept, where it answers; else says what is wrong with it.
    pub async fn resume(held: Held, memo: Memo, gate: Gate) -> Result<Self, String> {
        let mark = held.mark.clone();
        let (mut process, stdout, stderr) = Process::of(held);
        let (output, causes, _listening) = listen(stdout, stderr);
        let client = Client::new(memo.base, Secret::new(memo.password), causes, gate, Dialect::One)
            .map_err(|_| "no HTTP client can be made")?;
        match identity(&client, RESUME_LIMIT).await {
            Ok(version) => Ok(Self { process, output, client, mark, version, is_resumed: true }),
            // It may have just been ended, and its holder says why.
            Err(error) => Err(match timeout(ENDED_LIMIT, process.wait()).await {
                Ok(outcome) => format!("it ended ({outcome})"),
                Err(_) => format!("it did not answer after hal-agent was started again: {error}"),
            }),
        }
    }

    /// Keeps with its holder what the agent after us needs to go on with it.
    pub fn keep(&self) {
        if let Some(hand) = self.process.hand() {
            let (memo, interrupt) = self.client.memo(&self.version);
            hand.keep(memo, interrupt);
        }
    }

    /// Resolves when it has ended, with how in the first line and its last lines below.
    pub async fn ended(&mut self) -> String {
        let outcome = self.process.wait().await;
        self.output.settle().await;
        format!("it ended ({outcome}){}", self.output.text())
    }

    /// Its process number; absent once it has ended.
    pub fn pid(&self) -> Option<i32> {
        self.process.pid()
    }

    /// Ends the process: asks, waits, then forces. Turns and tools are not looked after: that comes before.
    pub async fn end(self) {
        self.process.end().await;
    }

    /// True when it goes on without us.
    pub fn is_held(&self) -> bool {
        self.process.hand().is_some()
    }
}

/// Reads its outputs: their last lines, the causes of failures, and where it listens.
fn listen(stdout: Option<Pipe>, stderr: Option<Pipe>) -> (Tail, Causes, watch::Receiver<Option<String>>) {
    let (output, causes) = (Tail::default(), Causes::default());
    let (address, listening) = watch::channel(None);
    if let Some(stdout) = stdout {
        tokio::spawn(output.clone().read_hiding(stdout, is_secret, move |line| {
            if let Some(base) = address_in(line) {
                address.send_replace(Some(base));
            }
        }));
    }
    if let Some(stderr) = stderr {
        let causes = causes.clone();
        tokio::spawn(output.clone().read(stderr, move |line| causes.hear(line)));
    }
    (output, causes, listening)
}

/// What it says of itself. While it begins, 2.x may answer that it is not ready.
async fn identity(client: &Client, limit: Duration) -> Result<String, BackendError> {
    let path = match client.dialect {
        Dialect::One => "/global/health",
        Dialect::Two => "/api/info",
    };
    let deadline = Instant::now() + limit;
    loop {
        let asked = client.get::<ServerHealth>(Call::new(path, "asking for its version").within(limit));
        match asked.await {
            Err(BackendError::Refused(_))
                if client.dialect == Dialect::Two && Instant::now() + ASK_AGAIN < deadline =>
            {
                sleep(ASK_AGAIN).await;
            }
            answer => return answer.map(|health| health.version),
        }
    }
}

/// The address in the line that tells it.
fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(LISTENING)?;
    let base = rest.split_whitespace().next().filter(|base| base.starts_with("http"))?;
    Some(base.trim_end_matches('/').to_owned())
}

/// True for a line that may hold a password: 2.x prints one that it has made itself.
fn is_secret(line: &str) -> bool {
    line.contains("password")
}

/// Waits until it says where it listens.
async fn address_of(
    process: &mut Process,
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
        status = process.wait() => {
            output.settle().await;
            Err(StartError::Ended { status, output: output.text() })
        }
        heard = timeout(START_LIMIT, heard) => match heard {
            Ok(Some(base)) => Ok(base),
            Ok(None) | Err(_) => Err(StartError::Mute { output: output.text() }),
        }
    }
}

fn command(
    config: &OpenConfig,
    program: &OsString,
    mark: &str,
    password: &Secret,
    dialect: Dialect,
) -> Result<Command, StartError> {
    let mut command = base_command(config, program);
    command.args(["serve", "--hostname", "127.0.0.1", "--port", &config.port.to_string()]);
    match dialect {
        Dialect::One => drop(command.args(["--print-logs", "--log-level", "WARN"])),
        Dialect::Two => {
            let database = config.data_dir.join(DATABASE_OF_TWO);
            let made = database.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.map_err(|source| StartError::Spawn { program: program.clone(), source })?;
            command.env("OPENCODE_DB", database).env_remove("OPENCODE_PASSWORD");
        }
    }
    command
        .env("OPENCODE_SERVER_PASSWORD", password.reveal())
        .env_remove("OPENCODE_SERVER_USERNAME")
        .env(MARK, mark)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C on a terminal is for us: we end it in the right order.
        .process_group(0);
    Ok(command)
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

/// Refuses a program that is not there or not understood, without starting it; tells what it speaks.
pub async fn check(config: &OpenConfig) -> Result<Dialect, StartError> {
    let program = program_of(config);
    if !is_there(&program) {
        return Err(StartError::Missing { program });
    }
    // One that does not say its version is let through: that it cannot be used will be seen when it is started.
    match version_of(&program, base_command(config, &program)).await {
        Some((version, program)) => Dialect::of(&version).ok_or(StartError::Version { version, program }),
        None => Ok(Dialect::One),
    }
}

/// The program, by its path or to be looked for on PATH.
pub fn program_of(config: &OpenConfig) -> OsString {
    config.binary.as_ref().map_or_else(|| "opencode".into(), |path| path.clone().into_os_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_what_each_major_says_and_no_password_is_kept() {
        let one = address_in("opencode server listening on http://127.0.0.1:4096\n");
        let two = address_in("server listening on http://127.0.0.1:37305/");
        assert_eq!(
            (one.as_deref(), two.as_deref()),
            (Some("http://127.0.0.1:4096"), Some("http://127.0.0.1:37305"))
        );
        assert_eq!(address_in("server listening on nothing"), None);
        assert!(is_secret("server password 2f1c") && !is_secret("ServeError: port in use"));
    }
}
