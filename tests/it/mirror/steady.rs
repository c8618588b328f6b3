//! A node that goes on saying events whatever happens to its supervisor, and holds them all until its scene is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hal_o_swarm::protocol::frame::ToAgent;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::patience::wait_until;
use crate::peer::{Peer, batch};
use crate::world::{TOKEN, World};

/// Its name.
pub const STEADY: &str = "steady";

/// Events said at once, and between two times: 2,000 a second.
const SAID: (u64, Duration) = (20, Duration::from_millis(10));

/// Events said at once while it catches up.
const CATCHING_UP: u64 = 400;

/// Events that may be on their way.
const WINDOW: u64 = 4_000;

/// Between two tries while the supervisor is away.
const AGAIN: Duration = Duration::from_millis(20);

/// How long it may take to catch up.
const LONG: Duration = Duration::from_secs(300);

/// The thread.
pub struct Steady {
    stop: CancellationToken,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<u64>,
}

impl Steady {
    /// Begins to say 2,000 events a second.
    pub fn begin(world: &World) -> Self {
        Self::begin_and_say(world, 0)
    }

    /// Begins with so many events that are there already, and are said as fast as they are taken.
    pub fn begin_and_say(world: &World, held: u64) -> Self {
        let (stop, acknowledged) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let (url, stopping, counts) = (world.url("ws"), stop.clone(), acknowledged.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(speak_on(&url, held, &counts, &stopping))
        });
        Self { stop, acknowledged, thread }
    }

    /// The last number that the supervisor has acknowledged. A supervisor that was restored goes back.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until this number is acknowledged.
    pub fn until(&self, number: u64) {
        wait_until(&format!("event {number} is acknowledged"), LONG, || match self.acknowledged() {
            now if now >= number => Ok(()),
            now => Err(now.to_string()),
        });
    }

    /// Waits until so many more than now are acknowledged.
    pub fn until_more(&self, events: u64) {
        self.until(self.acknowledged() + events);
    }

    /// Ends it when everything is acknowledged, for which the supervisor must be up: how many events it has said.
    pub fn end(self) -> u64 {
        self.stop.cancel();
        self.thread.join().expect("it went on to its end")
    }
}

async fn speak_on(url: &str, held: u64, acknowledged: &AtomicU64, stop: &CancellationToken) -> u64 {
    let mut last = held;
    let mut tries = interval(AGAIN);
    while !stop.is_cancelled() || acknowledged.load(Ordering::SeqCst) < last {
        tries.tick().await;
        let Ok((peer, welcome)) = Peer::try_join(url, TOKEN, STEADY, last).await else { continue };
        acknowledged.store(welcome.committed_seq, Ordering::SeqCst);
        speak(peer, &mut last, acknowledged, stop).await;
    }
    last
}

/// One connection, until it breaks or nothing is left to be said.
async fn speak(mut peer: Peer, last: &mut u64, acknowledged: &AtomicU64, stop: &CancellationToken) {
    let (mut pace, mut fast) = (interval(SAID.1), interval(Duration::from_millis(1)));
    let known = || acknowledged.load(Ordering::SeqCst);
    let mut sent = known();
    while !stop.is_cancelled() || known() < *last {
        let is_behind = sent < *last;
        let has_room = sent < known() + WINDOW;
        tokio::select! {
            _ = pace.tick(), if !is_behind && has_room && !stop.is_cancelled() => {
                *last += SAID.0;
            }
            _ = fast.tick(), if is_behind && has_room => {
                let upto = (*last).min(sent + CATCHING_UP);
                let frame = batch(peer.incarnation(), Some("talk"), sent + 1..=upto);
                sent = upto;
                if peer.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
            heard = peer.hear() => match heard {
                Ok(ToAgent::Ack(ack)) => acknowledged.store(ack.seq, Ordering::SeqCst),
                Ok(_) => {}
                Err(_) => return,
            },
        }
    }
}

/// How many of a node's events are there, and what is wrong with them: each number must be there once, in order.
pub fn are_whole(world: &World, said: u64) -> Result<u64, String> {
    let ticks = world.events(&format!("node_id={STEADY}&type=peer.tick"));
    let numbers: Vec<u64> = ticks.iter().filter_map(|event| event["data"]["n"].as_u64()).collect();
    if numbers.iter().copied().eq(1..=said) {
        return Ok(said);
    }
    let at = numbers.iter().zip(1..).position(|(number, expected)| *number != expected);
    let from = at.unwrap_or(numbers.len()).saturating_sub(2);
    // What else knows of them, for whoever looks into it.
    let in_mirror = world.sql("SELECT count(*), max(node_seq) FROM events WHERE type = 'peer.tick'");
    let gaps = world.count_events("type=gap");
    Err(format!(
        "{said} were said, {} are there: .. {:?}; in supervisor.db {in_mirror}; {gaps} gaps; the node: {}",
        numbers.len(),
        &numbers[from..(from + 5).min(numbers.len())],
        world.get(&format!("/api/v1/nodes/{STEADY}")).body["data"]["journal"]
    ))
}
