//! A peer without manners: batches twice, from long ago, too early, from two links at once, and acks nobody read.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::means::{Dice, soak};
use crate::peer::{Peer, batch};
use crate::world::{TOKEN, World};

/// Events that fit into a frame.
const LONG_AGO: u64 = 500;

/// What was done to the supervisor.
#[derive(Debug, Default)]
struct Done {
    again: u64,
    early: u64,
    strangers: u64,
    unread: u64,
    fenced: u64,
}

/// A peer and what its journal has given so far.
struct Rude {
    url: String,
    peer: Peer,
    given: u64,
    known: u64,
    done: Done,
}

impl Rude {
    async fn join_again(&mut self) {
        let (peer, welcome) = Peer::join_again(&self.url, TOKEN, "rude", self.given).await;
        assert!(welcome.committed_seq >= self.known, "what was acknowledged is not forgotten: {welcome:?}");
        assert!(welcome.committed_seq <= self.given, "nobody knows what was not said: {welcome:?}");
        self.known = welcome.committed_seq;
        self.peer = peer;
    }

    /// Says what is missing at the supervisor and some more.
    async fn go_on(&mut self, more: u64) {
        self.given += more;
        self.peer.say_events(self.known + 1..=self.given).await;
    }

    async fn hear(&mut self) {
        self.known = self.peer.hear_ack(self.given).await;
        assert!(self.known <= self.given, "{} is acknowledged, {} was said", self.known, self.given);
    }

    /// Waits for the close; whatever was acknowledged until then counts.
    async fn hear_close(&mut self) -> String {
        loop {
            if let Err(close) = self.peer.hear().await {
                return close.map(|close| close.reason.to_string()).unwrap_or_default();
            }
        }
    }

    async fn step(&mut self, dice: &mut Dice) {
        let more = 1 + dice.below(40);
        match dice.below(6) {
            0 => {
                self.go_on(more).await;
                let from = self.given - dice.below(self.given.min(LONG_AGO));
                self.peer.say_events(from..=self.given).await;
                self.peer.say_events(from.saturating_sub(LONG_AGO).max(1)..=from).await;
                self.done.again += 2;
                self.hear().await;
            }
            1 => {
                self.peer.say_events(self.given + 2..=self.given + 5).await;
                let why = self.hear_close().await;
                assert!(why.contains("missing"), "{why}");
                self.done.early += 1;
                self.join_again().await;
            }
            2 => {
                let other = batch("incarnation-of-another", None, self.given + 1..=self.given + 3);
                self.peer.send(Message::text(other)).await.expect("the link is open");
                let why = self.hear_close().await;
                assert!(why.contains("incarnation"), "{why}");
                self.done.strangers += 1;
                self.join_again().await;
            }
            3 => {
                // Gone before the acknowledgement is read: it may be there or not, and the welcome says which.
                self.go_on(more).await;
                self.done.unread += 1;
                self.join_again().await;
            }
            4 => {
                let (newer, welcome) = Peer::join_again(&self.url, TOKEN, "rude", self.given).await;
                let mut older = std::mem::replace(&mut self.peer, newer);
                self.known = welcome.committed_seq;
                // It may have been closed already; if not, nobody listens to it.
                let late = batch(older.incarnation(), None, self.given + 1..=self.given + 9);
                let _closed = older.send(Message::text(late)).await;
                while older.hear().await.is_ok() {}
                self.done.fenced += 1;
            }
            _ => {
                self.go_on(more).await;
                self.hear().await;
            }
        }
    }
}

#[test]
fn a_peer_without_manners_is_taken_at_its_word_once() {
    let world = World::supervised();
    let url = world.url("ws");
    let steps = if soak() { 3_000 } else { 150 };
    let (given, done) = world.run(async {
        let (peer, _) = Peer::join(&url, TOKEN, "rude").await;
        let mut rude = Rude { url: url.clone(), peer, given: 0, known: 0, done: Done::default() };
        let mut dice = Dice(11);
        rude.go_on(10).await;
        rude.hear().await;
        for _ in 0..steps {
            rude.step(&mut dice).await;
        }
        rude.join_again().await;
        rude.go_on(1).await;
        rude.hear().await;
        (rude.given, rude.done)
    });
    println!("{steps} steps, {given} events: {done:?}");
    for fired in [done.again, done.early, done.strangers, done.unread, done.fenced] {
        assert!(fired > 0, "{done:?}");
    }
    let seen: Vec<u64> =
        world.events("type=peer.tick").iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert!(seen.iter().copied().eq(1..=given), "{given} were said, these are there: {seen:?}");
    assert_eq!(world.data("/api/v1/nodes/rude")["journal"]["missing"], json!(0));
}
