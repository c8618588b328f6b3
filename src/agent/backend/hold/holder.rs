//! `hal hold`: the process that owns a coding agent's process: its pipes, what it said, and its end.
//!
//! ```text
//!   hal-agent --order--> holder --starts--> coding agent
//!      '----- socket -----' |  <--- pipes ---'
//!                           '--> record: what was said and not acknowledged
//! ```
//! It knows no kind's language. While no agent is there it goes on for a bounded time, then stops the work in the way it was
//! told, ends the process with all that it has started, and waits for a while to tell the next agent of it.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::order::{Order, Started};
use super::serve::serve;
use super::state::{Said, Shared};
use super::wire::{Channel, Interrupt};
use crate::backend::processes;

/// The name of its socket in its folder.
pub const SOCKET: &str = "socket";

/// Permissions of its folder and its socket: nobody else's.
const FOLDER_MODE: u32 = 0o700;
const SOCKET_MODE: u32 = 0o600;

/// Bytes that are read from a pipe at once.
const CHUNK: usize = 16 * 1024;

/// How often it is looked whether a full disk has room again.
const ROOM_EVERY: Duration = Duration::from_secs(1);

/// How long pipes may take to be read to their end when the process has ended: a tool may hold them open.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long the work may take to stop when it was told to, and the process to end by itself, and after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(5);
const PORT_LIMIT: Duration = Duration::from_secs(10);
const END_LIMIT: Duration = Duration::from_secs(3);

/// How long the end of a process is kept for an agent that comes late.
const LINGER: Duration = Duration::from_secs(3600);

/// Writes that may wait for the process.
const WRITES: usize = 8;

/// Runs a holder to its end. `Err`: it could not begin, and whoever has started it knows why.
pub fn run() -> io::Result<()> {
    if io::stdin().is_terminal() {
        return Err(io::Error::other("there is no order on its standard input"));
    }
    let mut order = Vec::new();
    io::stdin().read_to_end(&mut order)?;
    let order: Order = serde_json::from_slice(&order)?;
    // Fails only where it leads its session already. Ctrl-C is for hal-agent.
    let _leads = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = PathBuf::from(&order.folder);
    let held = runtime.block_on(hold(order));
    // What is left of it is looked for by the next agent.
    let _ = std::fs::remove_dir_all(folder);
    held
}

async fn hold(order: Order) -> io::Result<()> {
    let (listener, child) = match begin(&order) {
        Ok(begun) => begun,
        Err(error) => {
            tell(&Started::failed(&error))?;
            return Ok(());
        }
    };
    let process = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
    let (writes, write_queue) = mpsc::channel(WRITES);
    let shared = Shared::new(&order, process, writes);
    let hands = tokio::spawn(attend(Arc::clone(&shared), child, write_queue));
    let doors = tokio::spawn(open_door(Arc::clone(&shared), listener));
    tell(&Started::Process(process))?;
    let is_told = live(&shared).await;
    if !is_told {
        end(&shared).await;
    }
    doors.abort();
    hands.abort();
    Ok(())
}

/// Makes the folder and the socket, and starts the process.
fn begin(order: &Order) -> io::Result<(UnixListener, Child)> {
    let folder = Path::new(&order.folder);
    DirBuilder::new().mode(FOLDER_MODE).create(folder)?;
    let listener = UnixListener::bind(short_path(&File::open(folder)?))?;
    std::fs::set_permissions(folder.join(SOCKET), Permissions::from_mode(SOCKET_MODE))?;
    let mut command = Command::from(order.command());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok((listener, command.spawn()?))
}

/// The socket in an open folder: a path of the system's own that is short, as those of sockets must be.
pub fn short_path(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

/// Answers whoever has started us, who then goes on without us; nobody else reads or writes here.
fn tell(started: &Started) -> io::Result<()> {
    let mut line = serde_json::to_vec(started)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdout().flush()?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}

/// Takes whoever attaches.
async fn open_door(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(Arc::clone(&shared), stream))),
            // Too many files are open: it is better later.
            Err(_) => sleep(ROOM_EVERY).await,
        }
    }
}

/// Reads the pipes, writes what is said to the process, and waits for its end.
async fn attend(shared: Arc<Shared>, mut child: Child, mut writes: mpsc::Receiver<Said>) {
    let stdout =
        child.stdout.take().map(|pipe| tokio::spawn(pump(Arc::clone(&shared), Channel::Output, pipe)));
    let stderr =
        child.stderr.take().map(|pipe| tokio::spawn(pump(Arc::clone(&shared), Channel::Error, pipe)));
    let stdin = child.stdin.take();
    let writer = Arc::clone(&shared);
    tokio::spawn(async move {
        let mut stdin = stdin;
        while let Some(said) = writes.recv().await {
            match said {
                Said::Close => stdin = None,
                Said::Bytes(number, bytes) => {
                    let written = match stdin.as_mut() {
                        Some(stdin) => stdin.write_all(&bytes).await,
                        None => Err(io::ErrorKind::BrokenPipe.into()),
                    };
                    writer.tell_written(number, written.err().map(|error| error.to_string()));
                }
            }
        }
    });
    let outcome = outcome(child.wait().await);
    let drained = async {
        for pump in [stdout, stderr].into_iter().flatten() {
            let _ended = pump.await;
        }
    };
    let _held_open_by_a_tool = timeout(LAST_WORDS, drained).await;
    shared.change(|state| state.outcome = Some(state.ending.take().unwrap_or(outcome)));
}

fn outcome(status: io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Takes what the process says into the record; while that is full, it waits.
async fn pump(shared: Arc<Shared>, channel: Channel, mut pipe: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; CHUNK];
    let mut changed = shared.changes();
    loop {
        changed.borrow_and_update();
        while !shared.change_quietly(|state| state.record.has_room()) {
            let _either = timeout(ROOM_EVERY, changed.changed()).await;
        }
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => shared.change(|state| state.record.push(channel, buffer[..read].to_vec())),
        }
    }
}

/// Waits until the work is over. True: an agent knows of the end, and nothing more is to be done.
async fn live(shared: &Arc<Shared>) -> bool {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return false;
    };
    let mut changed = shared.changes();
    let mut ended_at = None;
    loop {
        changed.borrow_and_update();
        if shared.change_quietly(|state| state.is_forgotten) {
            return true;
        }
        let has_ended = shared.change_quietly(|state| state.outcome.is_some());
        let deadline = match has_ended {
            true => *ended_at.get_or_insert_with(Instant::now) + LINGER,
            false => shared.change_quietly(|state| state.deadline()),
        };
        tokio::select! {
            _ = terminate.recv() => return has_ended,
            _ = interrupt.recv() => return has_ended,
            _changed = changed.changed() => {}
            () = sleep_until(deadline) => {
                if has_ended {
                    return true;
                }
                // What an agent says meanwhile puts it off.
                if shared.change_quietly(|state| state.deadline()) <= Instant::now() {
                    end_alone(shared).await;
                }
            }
        }
    }
}

async fn end_alone(shared: &Arc<Shared>) {
    let alone = shared.change_quietly(|state| {
        let alone = state.alone_sentence();
        state.ending = Some(alone.clone());
        alone
    });
    end(shared).await;
    // Even where the system cannot end it: nobody waits for it any more.
    shared.change(|state| state.outcome = state.outcome.take().or(Some(alone)));
}

/// Stops the work in the way that was told, then ends the process with all that it has started.
async fn end(shared: &Arc<Shared>) {
    let interrupt = shared.change_quietly(|state| state.interrupt.clone());
    match interrupt {
        Interrupt::Nothing => {}
        Interrupt::Input { text } => {
            // One that does not read is ended all the same.
            let _full = shared.writes.try_send(Said::Bytes(0, text.0.into_bytes()));
            ended_within(shared, STOP_LIMIT).await;
        }
        Interrupt::Port { port, text } => {
            let _deaf = timeout(PORT_LIMIT, say_to(port, text.0.as_bytes())).await;
        }
    }
    let _full = shared.writes.try_send(Said::Close);
    if !ended_within(shared, END_LIMIT).await {
        shared.terminate();
        ended_within(shared, END_LIMIT).await;
    }
    let mark = shared.mark.clone();
    processes::end(move || processes::marked(&mark)).await;
    ended_within(shared, END_LIMIT).await;
}

async fn say_to(port: u16, text: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(text).await?;
    // Its answer is not understood here, but its end is the end of the work.
    let mut answer = [0; 1024];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

async fn ended_within(shared: &Arc<Shared>, limit: Duration) -> bool {
    let mut changed = shared.changes();
    let ended = async {
        while !shared.change_quietly(|state| state.outcome.is_some()) {
            let _lives_as_long = changed.changed().await;
        }
    };
    timeout(limit, ended).await.is_ok()
}
