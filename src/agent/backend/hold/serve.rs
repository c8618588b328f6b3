//! A connection of a holder: who may attach, what it is told, and what it asks for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use super::state::{Attached, Said, Shared};
use super::wire::{self, Channel, Frame, FromHolder, OLDEST, ToHolder, VERSION};
use crate::backend::processes::{MARK, Process};

/// How long the first word may take.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// Outcomes of writes that may wait to be told: more are never under way.
const WORDS: usize = 64;

/// Talks with whoever has connected, until one of both has gone.
pub async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    let peer = peer_of(&stream);
    let (mut from, mut to) = stream.into_split();
    let peer = match peer {
        Ok(peer) => peer,
        Err(why) => return refuse(&mut to, why).await,
    };
    let hello = timeout(HELLO_LIMIT, wire::read::<ToHolder>(&mut from)).await;
    let Ok(Ok(Some(Frame::Words(ToHolder::Hello { version, oldest, agent, key })))) = hello else { return };
    let spoken = version.min(VERSION);
    if spoken < OLDEST.max(oldest) {
        let why = format!(
            "the holder speaks the versions {OLDEST} to {VERSION}, and hal-agent {oldest} to {version}"
        );
        return refuse(&mut to, why).await;
    }
    if !shared.is_its(&agent, &key) {
        return refuse(&mut to, "it is held for another hal-agent".into()).await;
    }
    let (words, told) = mpsc::channel(WORDS);
    let connection = match attach(&shared, peer, words) {
        Ok(connection) => connection,
        Err(why) => return refuse(&mut to, why).await,
    };
    let welcome = FromHolder::Welcome(Box::new(shared.welcome(spoken)));
    if say(&mut to, &welcome).await.is_ok() {
        let (reads, asked) = watch::channel(None);
        let writer = tokio::spawn(tell(Arc::clone(&shared), connection, to, told, asked));
        hear(&shared, connection, &mut from, &reads).await;
        writer.abort();
    }
    shared.change(|state| {
        if is_attached(state.attached.as_ref(), connection) {
            (state.attached, state.heard_at) = (None, Instant::now());
        }
    });
}

fn is_attached(attached: Option<&Attached>, connection: u64) -> bool {
    attached.is_some_and(|attached| attached.connection == connection)
}

/// The process at the other end: of this user or of root, and no coding agent.
fn peer_of(stream: &UnixStream) -> Result<Process, String> {
    let credentials = stream.peer_cred().map_err(|error| error.to_string())?;
    if ![0, rustix::process::geteuid().as_raw()].contains(&credentials.uid()) {
        return Err("it is held for another user".into());
    }
    let peer = credentials.pid().and_then(Process::read).ok_or("your process cannot be seen")?;
    let mark = format!("{MARK}=");
    let environment = std::fs::read(format!("/proc/{}/environ", peer.pid)).unwrap_or_default();
    let is_marked = environment.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes()));
    if is_marked {
        return Err("what a coding agent has started does not speak for hal-agent".into());
    }
    Ok(peer)
}

/// One at a time; the place of one that has died is taken.
fn attach(shared: &Arc<Shared>, process: Process, words: mpsc::Sender<FromHolder>) -> Result<u64, String> {
    shared.change(|state| {
        let other = state.attached.as_ref().map(|attached| attached.process.clone());
        if let Some(other) = other.filter(|other| other.pid != process.pid && other.is_alive()) {
            return Err(format!("hal-agent (process {}) has it", other.pid));
        }
        state.connections += 1;
        state.heard_at = Instant::now();
        state.attached = Some(Attached { process, connection: state.connections, words });
        Ok(state.connections)
    })
}

async fn refuse(to: &mut OwnedWriteHalf, why: String) {
    // Whoever does not wait for it knows it already.
    let _gone = say(to, &FromHolder::Refused { why }).await;
}

async fn say(to: &mut OwnedWriteHalf, words: &FromHolder) -> io::Result<()> {
    to.write_all(&wire::words(words)?).await
}

/// Tells what the process says, from where the agent wants it, its end after the last of it, and what came of writes.
async fn tell(
    shared: Arc<Shared>,
    connection: u64,
    mut to: OwnedWriteHalf,
    mut told: mpsc::Receiver<FromHolder>,
    mut reads: watch::Receiver<Option<(u64, u64)>>,
) {
    let mut changed = shared.changes();
    let (mut cursor, mut limit, mut is_over) = (None, 0, false);
    loop {
        changed.borrow_and_update();
        let part = match cursor {
            Some(at) if at < limit => shared.change_quietly(|state| {
                state.record.at(at).unwrap_or_else(|error| {
                    eprintln!("hal hold: a part of what was said is lost: {error}");
                    state.record.give_up_files();
                    state.record.at(at).ok().flatten()
                })
            }),
            _ => None,
        };
        let (is_mine, outcome) = shared.change_quietly(|state| {
            let is_told = cursor.is_some_and(|at| at >= state.record.end());
            (is_attached(state.attached.as_ref(), connection), state.outcome.clone().filter(|_| is_told))
        });
        if !is_mine {
            return;
        }
        let sent = match (part, outcome) {
            (Some(part), _) => {
                cursor = Some(part.next);
                to.write_all(&wire::data(part.next, part.channel, &part.bytes)).await
            }
            (None, Some(outcome)) if !is_over => {
                is_over = true;
                say(&mut to, &FromHolder::Exit { outcome }).await
            }
            (None, _) => tokio::select! {
                _changed = changed.changed() => Ok(()),
                Ok(()) = reads.changed() => {
                    if let Some((from, upto)) = *reads.borrow_and_update() {
                        (cursor, limit) = (cursor.or(Some(from)), upto);
                    }
                    Ok(())
                }
                Some(words) = told.recv() => say(&mut to, &words).await,
            },
        };
        if sent.is_err() {
            return;
        }
        // Writes are not to wait behind what the process says.
        while let Ok(words) = told.try_recv() {
            if say(&mut to, &words).await.is_err() {
                return;
            }
        }
    }
}

/// Does what the agent asks for, until it has gone or another one has its place.
async fn hear(
    shared: &Arc<Shared>,
    connection: u64,
    from: &mut OwnedReadHalf,
    reads: &watch::Sender<Option<(u64, u64)>>,
) {
    while let Ok(Some(frame)) = wire::read::<ToHolder>(from).await {
        let is_mine = shared.change_quietly(|state| {
            state.heard_at = Instant::now();
            is_attached(state.attached.as_ref(), connection)
        });
        if !is_mine {
            return;
        }
        match frame {
            Frame::Write(number, note, bytes) => write(shared, number, &note, bytes).await,
            Frame::Words(ToHolder::Read { from, upto }) => drop(reads.send_replace(Some((from, upto)))),
            Frame::Words(words) => obey(shared, words).await,
            Frame::Data(..) => {}
        }
    }
}

async fn write(shared: &Arc<Shared>, number: u64, note: &[u8], bytes: Vec<u8>) {
    let is_new = shared.change(|state| {
        let is_new = number > state.written;
        if is_new {
            state.written = number;
            state.record.push(Channel::Note, [&number.to_be_bytes(), note].concat());
        }
        is_new
    });
    match is_new && !bytes.is_empty() {
        // Its task lives as long as the holder.
        true => drop(shared.writes.send(Said::Bytes(number, bytes)).await),
        false => shared.tell_written(number, None),
    }
}

async fn obey(shared: &Arc<Shared>, words: ToHolder) {
    match words {
        ToHolder::Ack { upto } => shared.change(|state| state.record.acknowledge(upto)),
        ToHolder::Keep { memo, interrupt, lease_ms } => shared.change(|state| {
            state.memo = memo.or(state.memo.take());
            state.interrupt = interrupt.unwrap_or_else(|| std::mem::take(&mut state.interrupt));
            if let Some(lease) = lease_ms {
                state.lease_end = (lease > 0).then(|| Instant::now() + Duration::from_millis(lease));
            }
        }),
        ToHolder::CloseInput => drop(shared.writes.send(Said::Close).await),
        ToHolder::Terminate => shared.terminate(),
        ToHolder::Forget => shared.change(|state| state.is_forgotten = state.outcome.is_some()),
        ToHolder::Ping | ToHolder::Hello { .. } | ToHolder::Read { .. } => {}
    }
}
