//! Whether a program speaks ACP, and what it says of itself: it is started once for that, and again when it has changed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::connection::Connection;
use super::name::AcpName;
use super::read::text_of;
use crate::backend::Launch;
use crate::backend::piped::process::LineProcess;
use crate::backend::processes;
use crate::backend::program::{self, FoundProgram, Print};
use hal_base::child;

/// When one that did not answer is asked again.
pub const AGAIN: Duration = Duration::from_secs(60);

/// What another coding agent has set for what it starts: a program would take itself for a part of that one.
pub const OF_ANOTHER: [&str; 6] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_SESSION_ID",
    "CODEX_THREAD_ID",
];

/// How the marks of what is looked at begin.
const MARK: &str = "acp-look";

/// What was asked, and what came of it.
struct Asked {
    launch: Launch,
    print: Option<Print>,
    at: Instant,
    found: FoundProgram,
}

/// What was asked of one program.
type Slot = Arc<Mutex<Option<Asked>>>;

/// One at a time of each: several may want to know the same, and one that hangs holds up nobody else.
static ASKED: std::sync::Mutex<Option<HashMap<AcpName, Slot>>> = std::sync::Mutex::new(None);

/// Looks for a program, and whether it speaks ACP.
pub async fn look(name: AcpName, launch: &Launch) -> FoundProgram {
    let Some((program, arguments)) = launch.command.split_first() else { return FoundProgram::default() };
    let print = Print::of(OsStr::new(program));
    let slot = {
        let mut all = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.get_or_insert_default().entry(name).or_default())
    };
    let mut asked = slot.lock().await;
    if let Some(known) = asked.as_ref() {
        let is_same = known.launch == *launch && known.print == print;
        if is_same && (known.found.fault.is_none() || known.at.elapsed() < AGAIN) {
            return known.found.clone();
        }
    }
    let spec = name.spec();
    let path = program::find(OsStr::new(program));
    let found = match &path {
        None => FoundProgram { fault: Some(spec.missing(OsStr::new(program))), ..FoundProgram::default() },
        Some(_) => match version(name, program, arguments, launch).await {
            Ok(version) => FoundProgram { path, version: Some(version), ..FoundProgram::default() },
            Err(why) => FoundProgram { path, fault: Some(why), ..FoundProgram::default() },
        },
    };
    let (launch, at) = (launch.clone(), Instant::now());
    *asked = Some(Asked { launch, print, at, found: found.clone() });
    found
}

/// Ends what agents that have died have left of their looks.
async fn sweep() {
    let (found, _) = processes::end(|| processes::orphaned(MARK)).await;
    if found > 0 {
        tracing::info!("ended {found} processes that a look of an earlier agent had left");
    }
}

/// The version that it says of itself. The error is a sentence.
async fn version(
    name: AcpName,
    program: &str,
    arguments: &[String],
    launch: &Launch,
) -> Result<String, String> {
    let spec = name.spec();
    let mut command = Command::new(program);
    child::keep_for_us(command.as_std_mut());
    command.args(arguments);
    for name in OF_ANOTHER {
        command.env_remove(name);
    }
    command.envs(launch.env.iter().map(|(name, value)| (name, value.reveal()))).current_dir("/");
    static SWEPT: OnceCell<()> = OnceCell::const_new();
    SWEPT.get_or_init(sweep).await;
    let process = LineProcess::start(command, &processes::owned(MARK));
    let process = process.map_err(|error| format!("{} cannot be started: {error}", spec.title))?;
    let (connection, hello) =
        Connection::open(process, spec.title).await.map_err(|why| format!("{why} ({})", spec.key))?;
    connection.end().await;
    Ok(text_of(&hello["agentInfo"]["version"]))
}
