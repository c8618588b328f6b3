//! A small stand-in supervisor in the test's own hands: it accepts agents, keeps what they say, and can be as
//! forgetful or as unfriendly as a test wants.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;

use hal_o_swarm::base::clock::now;
use hal_o_swarm::protocol::command::CommandState;
use hal_o_swarm::protocol::event::Event;
use hal_o_swarm::protocol::frame::{
    Ack, CommandFrame, CommandResult, FromAgent, Heartbeat, Hello, Live, PROTOCOL, Snapshot, ToAgent, Welcome,
};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The token it accepts.
pub const TOKEN: &str = "a-token-for-scenes";

/// The stand-in.
pub struct Hub {
    listener: TcpListener,
    pub url: String,
}

/// What the stand-in remembers of a node, over all links.
#[derive(Default)]
pub struct Book {
    pub incarnation: String,
    pub events: BTreeMap<u64, Event>,
    pub results: Vec<CommandResult>,
    pub acks: Vec<String>,
    pub snapshots: Vec<Snapshot>,
    pub heartbeats: Vec<Heartbeat>,
    pub live: Vec<Live>,
}

/// A connected agent.
pub struct Link {
    socket: WebSocketStream<TcpStream>,
    pub hello: Hello,
    /// The number the next event must have.
    expected: u64,
    /// Acknowledge each batch at once.
    pub acks: bool,
}

impl Hub {
    pub async fn open() -> Self {
        Self::at("http://127.0.0.1:0").await
    }

    /// Listens at an address that was in use before.
    pub async fn at(url: &str) -> Self {
        let listener = TcpListener::bind(url.trim_start_matches("http://")).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Takes the next connection; a wrong token gets 401 and `None`.
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    pub async fn try_accept(&self) -> Option<Link> {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("an agent that dials").unwrap();
        let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let bearer = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            if bearer != Some(&format!("Bearer {TOKEN}")) || request.uri().path() != "/ws/agent" {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::UNAUTHORIZED;
                return Err(refusal);
            }
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, check).await.ok()?;
        let mut socket = socket;
        match next(&mut socket).await {
            Some(FromAgent::Hello(hello)) => Some(Link { socket, hello, expected: 0, acks: true }),
            other => panic!("not a hello: {other:?}"),
        }
    }

    /// Takes the next connection and welcomes it with what the book holds.
    pub async fn accept(&self, book: &mut Book) -> Link {
        let mut link = self.try_accept().await.expect("the right token");
        if book.incarnation != link.hello.incarnation {
            book.incarnation = link.hello.incarnation.clone();
            book.events.clear();
        }
        link.welcome(book.last()).await;
        link
    }
}

impl Book {
    /// The last number that is committed.
    pub fn last(&self) -> u64 {
        self.events.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.events.values().map(|event| event.kind.as_str()).collect()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.events.values().filter(|event| event.kind == kind).count()
    }

    pub fn result(&self, id: &str) -> Option<&CommandResult> {
        self.results.iter().find(|one| one.command_id.as_ref().is_some_and(|name| name.as_str() == id))
    }

    /// True when the numbers have no hole.
    pub fn is_gapless(&self) -> bool {
        self.events.keys().copied().eq(1..=self.last())
    }

    /// The data of the last event of this kind.
    pub fn data(&self, kind: &str) -> Option<Value> {
        let event = self.events.values().rfind(|event| event.kind == kind)?;
        Some(serde_json::from_str(event.data.get()).unwrap())
    }
}

impl Link {
    pub async fn welcome(&mut self, committed_seq: u64) {
        self.expected = (committed_seq + 1).max(self.hello.first_seq);
        self.say(ToAgent::Welcome(Welcome {
            protocol: PROTOCOL,
            version: "stand-in".into(),
            epoch: 1,
            committed_seq,
            committed_id: String::new(),
            begin_anew: false,
            credit_bytes: 1 << 20,
            heartbeat_sec: 1,
            steady_ms: None,
        }))
        .await;
    }

    pub async fn say(&mut self, frame: ToAgent) {
        self.socket.send(Message::text(frame.encode(now()))).await.unwrap();
    }

    pub async fn close(mut self, reason: &str) {
        use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
        let frame = CloseFrame { code: CloseCode::Policy, reason: reason.into() };
        self.socket.close(Some(frame)).await.unwrap();
    }

    /// Gives a command with a minute to live.
    pub async fn command(&mut self, id: &str, verb: &str, target: Value, args: Value) {
        self.command_with_ttl(id, verb, target, args, 60_000).await;
    }

    pub async fn command_with_ttl(&mut self, id: &str, verb: &str, target: Value, args: Value, ttl_ms: u64) {
        let frame = json!({"command_id": id, "type": verb, "target": target, "args": args, "ttl_ms": ttl_ms});
        let frame: CommandFrame = serde_json::from_value(frame).unwrap();
        self.say(ToAgent::Command(frame)).await;
    }

    /// Gives a command and waits for its result.
    pub async fn ask(&mut self, book: &mut Book, id: &str, verb: &str, target: Value, args: Value) -> String {
        self.command(id, verb, target, args).await;
        let result = self.result(book, id).await;
        assert_eq!(result.state, Some(CommandState::Done), "{result:?}");
        result.output
    }

    pub async fn result(&mut self, book: &mut Book, id: &str) -> CommandResult {
        self.until(book, "a result", |book| book.result(id).is_some()).await;
        book.result(id).unwrap().clone()
    }

    /// Takes frames until the book shows something.
    pub async fn until(&mut self, book: &mut Book, what: &str, shows: impl Fn(&Book) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !shows(book) {
            let took = tokio::time::timeout_at(deadline, self.take(book)).await;
            assert!(
                took == Ok(true),
                "waited for {what}; instead: {took:?} .. {:?} {:?}",
                book.kinds().split_off(book.events.len().saturating_sub(12)),
                book.results
            );
        }
    }

    /// Takes one frame into the book; false when the link is cut. The order of events is held to the promise.
    pub async fn take(&mut self, book: &mut Book) -> bool {
        let Some(frame) = next(&mut self.socket).await else { return false };
        match frame {
            FromAgent::Events(batch) => {
                assert_eq!(batch.incarnation, book.incarnation);
                for event in batch.events {
                    assert_eq!(event.seq, self.expected, "the next number");
                    self.expected += 1;
                    let before = book.events.insert(event.seq, event);
                    assert!(before.is_none(), "an event came twice: {before:?}");
                }
                if self.acks {
                    self.ack(book, book.last(), 1 << 20).await;
                }
            }
            FromAgent::CommandAck(ack) => book.acks.push(ack.command_id.to_string()),
            FromAgent::CommandResult(result) => book.results.push(result),
            FromAgent::Heartbeat(beat) => book.heartbeats.push(beat),
            FromAgent::Snapshot(snapshot) => {
                assert!(
                    snapshot.as_of_seq < self.expected,
                    "the snapshot speaks of events not sent before it"
                );
                book.snapshots.push(snapshot);
            }
            FromAgent::Live(live) => book.live.push(live),
            FromAgent::Hello(_) | FromAgent::Proof(_) | FromAgent::LeaseRequest(_) | FromAgent::Other(_) => {
                panic!("not expected: {frame:?}")
            }
        }
        true
    }

    pub async fn ack(&mut self, book: &Book, seq: u64, credit_bytes: u64) {
        let incarnation = book.incarnation.clone();
        self.say(ToAgent::Ack(Ack { incarnation, seq, credit_bytes })).await;
    }
}

/// The next frame; `None` when the link is cut.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Option<FromAgent> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => {
                return Some(FromAgent::decode(&text).unwrap_or_else(|broken| panic!("{broken}: {text}")).1);
            }
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}
