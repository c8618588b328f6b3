//! Killing a program at a chosen system call, by strace.

use std::fs::DirEntry;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;

/// Calls at which a program is killed, and which of them.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// Such as `fdatasync,fsync`.
    pub calls: &'static str,
    /// The first is 1. Each thread is counted by itself.
    pub when: u64,
}

/// Why nothing can be trapped here, when that is so.
pub fn why_not() -> Option<String> {
    let tried =
        Command::new("strace").args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "true"]).output();
    match tried {
        Err(error) => Some(format!("strace cannot be started: {error}")),
        Ok(output) if !output.status.success() => {
            Some(format!("strace may not trace here: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Ok(_) => None,
    }
}

/// The same command with a trap from its first call on. The process is the program's own: strace watches from aside.
pub fn trapped(plain: &Command, trap: Trap) -> Command {
    trapped_at(plain, trap, &[])
}

/// The same, only for calls that touch one of these files, if any are named.
pub fn trapped_at(plain: &Command, trap: Trap, files: &[&Path]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o", "/dev/null"]).args(trap.words());
    for file in files {
        command.arg("-P").arg(file);
    }
    command.arg("--");
    command.arg(plain.get_program()).args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = plain.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// Sets a trap for one thread of a running program.
pub fn trap_thread(program: &Program, thread: &str, trap: Trap) -> Program {
    let pid = program.pid();
    // A new thread takes its name only once it runs.
    let task = wait_until(&format!("process {pid} has a thread {thread}"), PATIENCE, || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(|error| error.to_string())?;
        let name = |task: &DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let mut tasks = tasks.filter_map(Result::ok);
        tasks.find(|task| name(task).trim() == thread).ok_or_else(|| program.said())
    });
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null"]).args(trap.words()).arg("-p").arg(task.file_name());
    let strace = Program::start("strace", command);
    strace.line_with("attached");
    strace
}

/// True when it ended by a kill.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(rustix::process::Signal::KILL.as_raw())
}

impl Trap {
    fn words(self) -> [String; 4] {
        let Self { calls, when } = self;
        [
            "-e".into(),
            format!("trace={calls}"),
            "-e".into(),
            format!("inject={calls}:signal=KILL:when={when}"),
        ]
    }
}
