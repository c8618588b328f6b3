//! A peer: the other end of a link in a test's own hands. It speaks frames as an agent would, or as none should.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::event::Event;
use hal_o_swarm::protocol::frame::{Events, FromAgent, Hello, PROTOCOL, ToAgent, Welcome};
use hal_o_swarm::protocol::node::{NodeId, ProjectName};
use hal_o_swarm::protocol::session::SessionId;

/// How long the other side may take to say something.
const ANSWER: Duration = Duration::from_secs(30);

/// The time on frames; nobody relies on it.
const NOW: Time = Time(1_795_451_095_000);

/// Bytes of filler in an event.
const FILLER: usize = 270;

/// What agents store: the epoch that each was given last.
static EPOCHS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn epochs() -> MutexGuard<'static, BTreeMap<String, u64>> {
    EPOCHS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One end of a link.
pub struct Peer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    incarnation: String,
    acknowledged: u64,
}

impl Peer {
    /// Connects and says nothing.
    pub async fn connect(url: &str, token: Option<&str>) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("a token fits a header");
            request.headers_mut().insert("authorization", value);
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Self { socket, incarnation: String::new(), acknowledged: 0 })
    }

    /// Connects as the agent of a node with an empty journal, and is welcomed.
    pub async fn join(url: &str, token: &str, node: &str) -> (Self, Welcome) {
        Self::join_again(url, token, node, 0).await
    }

    /// Connects as the agent of a node whose journal holds everything up to a number, and is welcomed.
    pub async fn join_again(url: &str, token: &str, node: &str, last_seq: u64) -> (Self, Welcome) {
        Self::try_join(url, token, node, last_seq).await.unwrap_or_else(|why| panic!("{node}: {why}"))
    }

    /// The same where the other side may be away.
    pub async fn try_join(
        url: &str,
        token: &str,
        node: &str,
        last_seq: u64,
    ) -> Result<(Self, Welcome), String> {
        let mut peer = Self::connect(url, Some(token)).await.map_err(|error| error.to_string())?;
        peer.incarnation = format!("incarnation-of-{node}");
        let identity = format!("{node} at {url}");
        let hello = Hello {
            protocol: PROTOCOL,
            node_id: NodeId::from(node),
            hostname: node.to_owned(),
            version: "0.0.0".to_owned(),
            capabilities: Vec::new(),
            incarnation: peer.incarnation.clone(),
            first_seq: last_seq.min(1),
            last_seq,
            epoch: epochs().get(&identity).copied().unwrap_or(0),
            credit_bytes: 0,
            projects: Vec::new(),
            backends: Vec::new(),
        };
        peer.say(&FromAgent::Hello(hello)).await.map_err(|error| error.to_string())?;
        match peer.hear().await {
            Ok(ToAgent::Welcome(welcome)) => {
                epochs().insert(identity, welcome.epoch);
                Ok((peer, welcome))
            }
            other => Err(format!("it was not welcomed: {other:?}")),
        }
    }

    /// Says a frame.
    pub async fn say(&mut self, frame: &FromAgent) -> Result<(), Error> {
        self.send(Message::text(frame.encode(NOW))).await
    }

    /// Sends anything at all.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await
    }

    /// The next frame, or the close.
    pub async fn hear(&mut self) -> Result<ToAgent, Option<CloseFrame>> {
        let text = self.hear_text().await?;
        let frame = ToAgent::decode(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        if let ToAgent::Ack(ack) = &frame {
            self.acknowledged = ack.seq;
        }
        Ok(frame)
    }

    /// The next text, or the close.
    pub async fn hear_text(&mut self) -> Result<String, Option<CloseFrame>> {
        loop {
            match timeout(ANSWER, self.socket.next()).await.expect("the other side says something") {
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                None | Some(Err(_)) => return Err(None),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Says a batch of events with these numbers.
    pub async fn say_events(&mut self, seqs: RangeInclusive<u64>) {
        let frame = batch(&self.incarnation, None, seqs);
        self.send(Message::text(frame)).await.expect("the link is open");
    }

    /// Waits until everything up to this number is acknowledged, and gives the last acknowledged number.
    pub async fn hear_ack(&mut self, seq: u64) -> u64 {
        while self.acknowledged < seq {
            if let Err(close) = self.hear().await {
                panic!("closed before {seq} was acknowledged: {close:?}");
            }
        }
        self.acknowledged
    }

    /// The same, for a link that may end at any moment.
    pub async fn hear_ack_or_end(&mut self, seq: u64) -> Result<u64, Option<CloseFrame>> {
        while self.acknowledged < seq {
            self.hear().await?;
        }
        Ok(self.acknowledged)
    }

    /// The last acknowledged number when this one is, the link is closed, or so long after.
    pub async fn hear_ack_within(&mut self, seq: u64, patience: Duration) -> u64 {
        let hearing = async { while self.acknowledged < seq && self.hear().await.is_ok() {} };
        let _over = timeout(patience, hearing).await;
        self.acknowledged
    }

    /// The incarnation of its journal.
    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }
}

/// A frame of events with these numbers, of a session or of none; each has about 300 bytes, and `n` in its data.
pub fn batch(incarnation: &str, session: Option<&str>, seqs: RangeInclusive<u64>) -> String {
    let event = |seq| Event {
        seq,
        id: format!("{incarnation}-{seq}"),
        kind: "peer.tick".to_owned(),
        session_id: session.map(SessionId::from),
        project: session.map(|_| ProjectName::from("bench")),
        occurred_at: NOW,
        data: RawValue::from_string(format!(r#"{{"n":{seq},"filler":"{}"}}"#, "x".repeat(FILLER)))
            .expect("it is JSON"),
    };
    let batch = Events { incarnation: incarnation.to_owned(), events: seqs.map(event).collect() };
    FromAgent::Events(batch).encode(NOW)
}
