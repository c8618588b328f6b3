//! Bad wires: a proxy of the tests' own between agent and supervisor that cuts to pieces, delays, stalls and resets,
//! and one that knows frames and says them twice, in the wrong order, again, or not at all.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::means::{Dice, is_whole, soak, stored};
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

/// Bytes a connection lives for at least and at most, until it is reset.
const LIFE: (u64, u64) = (20_000, 400_000);

/// The longest piece that a rough wire passes on at once.
const PIECE: u64 = 4_000;

/// How long a wire stalls, and for how many pieces on average it does not.
const STALL: Duration = Duration::from_millis(250);
const PIECES_TO_STALL: u64 = 400;

/// How much later than it came each piece is passed on, at most.
const LATENCY_MS: u64 = 3;

/// What the wire has done.
#[derive(Debug, Default)]
struct Done {
    connections: AtomicU64,
    resets: AtomicU64,
    resets_in_a_frame: AtomicU64,
    pieces: AtomicU64,
    stalls: AtomicU64,
    doubled: AtomicU64,
    swapped: AtomicU64,
    replayed: AtomicU64,
    acks_lost: AtomicU64,
}

impl Done {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

/// What kind of wire it is.
#[derive(Clone, Copy)]
enum Kind {
    Rough,
    Liar,
}

/// Lays a wire to a port: the port of its near end.
fn lay(world: &World, kind: Kind, done: &Arc<Done>) -> u16 {
    let (to, done) = (world.port(), done.clone());
    world.run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                let number = done.connections.fetch_add(1, Relaxed);
                tokio::spawn(carry(kind, near, far, Dice(number * 7919 + 1), done.clone()));
            }
        });
        port
    })
}

/// Carries one connection to its end, which is a reset.
async fn carry(kind: Kind, near: TcpStream, far: TcpStream, mut dice: Dice, done: Arc<Done>) {
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
        stream.set_zero_linger().unwrap();
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let seeds = (Dice(dice.below(u64::MAX)), Dice(dice.below(u64::MAX)));
    match kind {
        Kind::Rough => {
            let life = LIFE.0 + dice.below(LIFE.1 - LIFE.0);
            tokio::select! {
                () = rough(near_in, far_out, life, seeds.0, &done) => {}
                () = rough(far_in, near_out, life, seeds.1, &done) => {}
            }
        }
        Kind::Liar => {
            tokio::select! {
                () = lie_to_supervisor(near_in, far_out, seeds.0, &done) => {}
                () = lie_to_agent(far_in, near_out, seeds.1, &done) => {}
            }
        }
    }
}

/// Passes on in pieces of any length, late, until so many bytes have passed.
async fn rough(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, life: u64, mut dice: Dice, done: &Done) {
    let (mut buffer, mut passed, mut frames) = (vec![0; 16 * 1024], 0, Frames::default());
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let most = if dice.below(4) == 0 { 3 } else { PIECE };
            let (piece, later) = rest.split_at((1 + dice.below(most) as usize).min(rest.len()));
            rest = later;
            if dice.below(PIECES_TO_STALL) == 0 {
                Done::count(&done.stalls);
                let _over = timeout(STALL, pending::<()>()).await;
            } else if dice.below(20) == 0 {
                let _over = timeout(Duration::from_millis(dice.below(LATENCY_MS) + 1), pending::<()>()).await;
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
            frames.feed(piece);
            while frames.next().is_some() {}
            Done::count(&done.pieces);
            passed += piece.len() as u64;
            if passed >= life {
                Done::count(&done.resets);
                if frames.is_within() {
                    Done::count(&done.resets_in_a_frame);
                }
                return;
            }
        }
    }
}

/// Cuts a stream of bytes into the head of its handshake and the frames after it.
#[derive(Default)]
struct Frames {
    bytes: VecDeque<u8>,
    is_open: bool,
}

impl Frames {
    fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// True when a frame has begun and not ended.
    fn is_within(&self) -> bool {
        self.is_open && !self.bytes.is_empty()
    }

    /// The next whole frame with its head; at first the handshake.
    fn next(&mut self) -> Option<Vec<u8>> {
        let bytes = self.bytes.make_contiguous();
        let length = if self.is_open {
            frame_length(bytes)?
        } else {
            bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4
        };
        if bytes.len() < length {
            return None;
        }
        self.is_open = true;
        Some(self.bytes.drain(..length).collect())
    }
}

/// How long the frame at the beginning of these bytes is, its head included.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let number = |range: std::ops::Range<usize>| {
        let digits = bytes.get(range)?.iter();
        Some(digits.fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    Some(match second & 0x7f {
        126 => 4 + mask + number(2..4)?,
        127 => 10 + mask + number(2..10)?,
        short => 2 + mask + usize::from(short),
    })
}

/// Frames of text that are longer than this hold events.
const EVENTS: usize = 1_000;

/// Says what the agent says, but some of it twice, some in the wrong order, and some of long ago once more.
async fn lie_to_supervisor(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dice: Dice, done: &Done) {
    let (mut buffer, mut frames) = (vec![0; 16 * 1024], Frames::default());
    let (mut kept, mut held): (Option<Vec<u8>>, Option<Vec<u8>>) = (None, None);
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        frames.feed(&buffer[..count]);
        while let Some(frame) = frames.next() {
            let mut out = Vec::new();
            let is_events = frame.len() > EVENTS && frame[0] == 0x81;
            match is_events.then(|| dice.below(6)) {
                Some(0) => {
                    Done::count(&done.doubled);
                    out.extend([frame.clone(), frame.clone()]);
                }
                Some(1) => {
                    out.push(frame.clone());
                    out.extend(kept.take().inspect(|_| Done::count(&done.replayed)));
                }
                // Not often: the supervisor cuts a link that leaves out numbers.
                Some(2) if held.is_none() && done.swapped.load(Relaxed) < 4 => held = Some(frame.clone()),
                _ => out.push(frame.clone()),
            }
            if is_events && !out.is_empty() {
                out.extend(held.take().inspect(|_| Done::count(&done.swapped)));
                kept = kept.or(Some(frame));
            }
            for frame in out {
                if to.write_all(&frame).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Says what the supervisor says, but loses and doubles acknowledgements; and with some of them the link.
async fn lie_to_agent(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut dice: Dice, done: &Done) {
    let (mut buffer, mut frames) = (vec![0; 16 * 1024], Frames::default());
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        frames.feed(&buffer[..count]);
        while let Some(frame) = frames.next() {
            let is_ack = frame.windows(12).any(|words| words == br#""type":"ack""#);
            let times = match is_ack.then(|| dice.below(8)) {
                Some(0) => {
                    Done::count(&done.acks_lost);
                    Done::count(&done.resets);
                    return;
                }
                Some(1) => {
                    Done::count(&done.doubled);
                    2
                }
                _ => 1,
            };
            for _ in 0..times {
                if to.write_all(&frame).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A supervisor, and the node `web-1` behind such a wire.
fn behind(kind: Kind) -> (World, Arc<Done>) {
    let (mut world, done) = (World::supervised(), Arc::new(Done::default()));
    let port = lay(&world, kind, &done);
    let mut config = world.agent_config("web-1", "shop");
    config["supervisor_url"] = json!(format!("ws://127.0.0.1:{port}"));
    std::fs::create_dir_all(world.path().join("web-1/shop")).unwrap();
    world.start_agent_with("web-1", &config);
    world.wait_for_node("web-1", "online");
    (world, done)
}

/// Turns of ticks, one after the other, until the wire has done its worst.
fn play(kind: Kind, has_fired: impl Fn(&Done) -> bool) {
    const TICKS: u64 = 2_000;
    let (world, done) = behind(kind);
    let turns = if soak() { 40 } else { 3 };
    let mut sessions = Vec::new();
    wait_until("the wire has done its worst", PATIENCE * turns, || {
        let id = world.start_session("shop", &format!("burst {TICKS}"));
        wait_until("the burst is there", PATIENCE * 2, || {
            let there = stored(&world, &id);
            if there >= TICKS { Ok(()) } else { Err(format!("{there} of {TICKS}; {done:?}")) }
        });
        sessions.push(id);
        let enough = sessions.len() >= turns as usize && has_fired(&done);
        if enough { Ok(()) } else { Err(format!("{done:?}")) }
    });
    println!("{} turns of {TICKS}: {done:?}", sessions.len());
    for id in &sessions {
        is_whole(&world, "web-1", id, TICKS);
    }
    let created = world.count_events("type=session.created");
    assert_eq!(created, sessions.len() as u64, "each command had one effect");
}

#[test]
fn a_rough_wire_loses_nothing() {
    play(Kind::Rough, |done| {
        [(&done.resets, 3), (&done.resets_in_a_frame, 1), (&done.pieces, 500), (&done.stalls, 1)]
            .iter()
            .all(|(counter, least)| counter.load(Relaxed) >= *least)
    });
}

#[test]
fn frames_said_twice_again_in_disorder_and_acks_that_are_lost_change_nothing() {
    play(Kind::Liar, |done| {
        [&done.doubled, &done.swapped, &done.replayed, &done.acks_lost]
            .iter()
            .all(|counter| counter.load(Relaxed) >= 1)
    });
}
