//! What goes on while programs are killed: people ask for things and insist on an answer, and a node speaks that
//! remembers what was acknowledged to it. It lives on a thread of its own and knows the supervisor by address alone.

use std::thread::JoinHandle;
use std::time::Duration;

use hal_o_swarm::protocol::frame::ToAgent;
use serde_json::{Value, json};
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Line};
use crate::peer::{Peer, batch};
use crate::world::{TOKEN, World};

/// The node that is only a peer.
pub const PEER: &str = "peer-1";

/// Ticks of a burst.
pub const BURST: u64 = 300;

/// What each prompt costs, in dollars and in millionths.
pub const PRICE: (f64, u64) = (0.25, 250_000);

/// People who ask at the same time.
const PEOPLE: usize = 3;

/// Prompts in a session, until a new one is begun.
const PROMPTS: u64 = 4;

/// Events in a frame of the peer, those that may be on their way, and how often it says a frame: all of them are read
/// back in the end.
const FRAME: u64 = 5;
const WINDOW: u64 = 100;
const PACE: Duration = Duration::from_millis(5);

/// Between two tries while the supervisor is away.
const AGAIN: Duration = Duration::from_millis(10);

/// The thread.
pub struct Load {
    stop: CancellationToken,
    thread: JoinHandle<Spoken>,
}

/// What the peer has said.
#[derive(Clone, Debug, Default)]
pub struct Spoken {
    /// Its last event.
    pub last: u64,
    /// What it was told that cannot be.
    pub forgotten: Vec<String>,
}

impl Load {
    /// Begins.
    pub fn begin(world: &World, ledger: &Ledger) -> Self {
        let stop = CancellationToken::new();
        let (url, http, told) = (world.url("ws"), world.url("http"), ledger.clone());
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let people = (0..PEOPLE).map(|no| {
                    let person = Person {
                        no,
                        url: format!("{http}/api/v1/commands"),
                        client: reqwest::Client::new(),
                        ledger: told.clone(),
                    };
                    tokio::spawn(person.ask_on(stopping.clone()))
                });
                let people: Vec<_> = people.collect();
                let spoken = speak_on(&url, &told, &stopping).await;
                for person in people {
                    person.await.expect("nobody gives up");
                }
                spoken
            })
        });
        Self { stop, thread }
    }

    /// Lets everybody finish what they have begun: the supervisor must be up.
    pub fn end(self) -> Spoken {
        self.stop.cancel();
        self.thread.join().expect("the load went on to its end")
    }
}

/// Somebody who asks, again and again with the same key until there is an answer.
struct Person {
    no: usize,
    url: String,
    client: reqwest::Client,
    ledger: Ledger,
}

impl Person {
    async fn ask_on(self, stop: CancellationToken) {
        let mut session: Option<(String, u64)> = None;
        for n in 1_u64.. {
            if stop.is_cancelled() {
                return;
            }
            let effect = format!("effect-{}-{n}", self.no);
            // Now and then one that works for a while, so that the next words have to wait for it.
            let work = if n % 3 == 0 { format!("; run 0.1; burst {BURST}") } else { String::new() };
            let words = format!("say {effect}; cost {}{work}", PRICE.0);
            let body = match &session {
                Some((id, left)) if *left > 0 => json!({"type": "prompt_session", "session_id": id,
                    "args": {"message": words}, "timeout": 5}),
                _ => {
                    json!({"type": "create_session", "project": "shop", "args": {"prompt": words}, "timeout": 5})
                }
            };
            let command = self.insist(&effect, &body).await;
            let is_done = command["state"] == "done";
            session = match session {
                Some((id, left)) if left > 0 => Some((id, left - 1)),
                _ => command["output"].as_str().filter(|_| is_done).map(|id| (id.to_owned(), PROMPTS)),
            };
        }
    }

    async fn insist(&self, effect: &str, body: &Value) -> Value {
        let mut tries = interval(AGAIN);
        loop {
            tries.tick().await;
            let request = self.client.post(&self.url).bearer_auth(TOKEN).header("Idempotency-Key", effect);
            let Ok(response) = request.json(body).send().await else { continue };
            let status = response.status();
            let Ok(mut answer) = response.json::<Value>().await else { continue };
            // Stopping, or not stored: it will not be done, and may be asked for again. Or its node is unknown yet.
            if !status.is_success() {
                continue;
            }
            let command = answer["data"].take();
            let word = |key: &str| command[key].as_str().expect("a command has it").to_owned();
            self.ledger.note(&[Line::Told(effect.to_owned(), word("command_id"), word("state"))]);
            return command;
        }
    }
}

/// A node that speaks until it is stopped and everything is acknowledged.
async fn speak_on(url: &str, ledger: &Ledger, stop: &CancellationToken) -> Spoken {
    let mut spoken = Spoken::default();
    let mut acknowledged = 0;
    let mut tries = interval(AGAIN);
    while !stop.is_cancelled() || acknowledged < spoken.last {
        tries.tick().await;
        let Ok((peer, welcome)) = Peer::try_join(url, TOKEN, PEER, spoken.last).await else { continue };
        if welcome.committed_seq < acknowledged {
            let told = format!("{acknowledged} were acknowledged, then only {}", welcome.committed_seq);
            spoken.forgotten.push(told);
        }
        // A welcome is a promise too, and may stand for an acknowledgement that got lost.
        ledger.note(&[Line::Acknowledged(welcome.committed_seq)]);
        acknowledged = welcome.committed_seq;
        speak(peer, &mut spoken, &mut acknowledged, ledger, stop).await;
    }
    spoken
}

/// One connection of it, until it breaks or nothing is left to be said.
async fn speak(
    mut peer: Peer,
    spoken: &mut Spoken,
    acknowledged: &mut u64,
    ledger: &Ledger,
    stop: &CancellationToken,
) {
    let mut sent = *acknowledged;
    let mut pace = interval(PACE);
    while !stop.is_cancelled() || *acknowledged < spoken.last {
        let may_say = sent < *acknowledged + WINDOW && (sent < spoken.last || !stop.is_cancelled());
        tokio::select! {
            _ = pace.tick(), if may_say => {
                let frame = batch(peer.incarnation(), None, sent + 1..=sent + FRAME);
                sent += FRAME;
                spoken.last = spoken.last.max(sent);
                if peer.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
            heard = peer.hear() => match heard {
                Ok(ToAgent::Ack(ack)) => {
                    ledger.note(&[Line::Acknowledged(ack.seq)]);
                    *acknowledged = ack.seq;
                }
                Ok(_) => {}
                Err(_) => return,
            },
        }
    }
}
