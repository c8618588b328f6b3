//! A crowd of agents that have nothing to do. Each keeps its link as the true agent does: it says heartbeats and
//! pings, answers pings, and dials again by the same rule when the link is gone. Its buffers are small, so that ten
//! thousand of them fit beside the supervisor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use hal_o_swarm::base::backoff::Backoff;
use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::frame::{FromAgent, Heartbeat, Hello, PROTOCOL, ToAgent};
use hal_o_swarm::protocol::node::NodeId;

use crate::patience::wait_until;
use crate::world::{TOKEN, World};

/// The rules of the true agent's link, as in `src/agent/link`.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(6));
const LASTED: Duration = Duration::from_secs(1);
const DIAL_LIMIT: Duration = Duration::from_secs(10);
const WELCOME_LIMIT: Duration = Duration::from_secs(15);
const PING_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a link's buffer on this side.
const BUFFER: usize = 512;

/// Longer than any crowd may take to come in.
const LIMIT: Duration = Duration::from_secs(180);

/// The time on frames; nobody relies on it.
const NOW: Time = Time(1_795_451_095_000);

/// Agents that come and stay.
pub struct Crowd {
    agents: usize,
    inside: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// One of them.
struct Idler {
    port: u16,
    node: String,
    heartbeat: Duration,
    inside: Arc<AtomicUsize>,
}

type Socket = WebSocketStream<TcpStream>;

impl Crowd {
    /// Lets so many come, and waits until all are welcomed.
    pub fn gather(world: &World, agents: usize) -> Self {
        let inside = Arc::new(AtomicUsize::new(0));
        let heartbeat = Duration::from_secs(u64::from(world.heartbeat_sec));
        let tasks = world.run(async {
            let mut tasks = JoinSet::new();
            for number in 0..agents {
                let node = format!("idle-{number:05}");
                let idler = Idler { port: world.port(), node, heartbeat, inside: inside.clone() };
                tasks.spawn(idler.live());
            }
            tasks
        });
        let crowd = Self { agents, inside, _tasks: tasks };
        crowd.wait_for("all are welcomed", agents);
        crowd
    }

    /// Waits until all have noticed that the supervisor is gone.
    pub fn wait_until_cut(&self) {
        self.wait_for("all have noticed", 0);
    }

    /// Waits until all are welcomed again.
    pub fn wait_until_back(&self) {
        self.wait_for("all are back", self.agents);
    }

    fn wait_for(&self, what: &str, inside: usize) {
        wait_until(what, LIMIT, || match self.inside.load(Ordering::Relaxed) {
            now if now == inside => Ok(()),
            now => Err(format!("{now} of {} are welcomed", self.agents)),
        });
    }
}

impl Idler {
    async fn live(self) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        // What the journal would keep.
        let mut epoch = 0;
        loop {
            if let Ok(Some((socket, given))) = timeout(DIAL_LIMIT + WELCOME_LIMIT, self.join(epoch)).await {
                epoch = given;
                let began = Instant::now();
                self.inside.fetch_add(1, Ordering::Relaxed);
                self.stay(socket).await;
                self.inside.fetch_sub(1, Ordering::Relaxed);
                if began.elapsed() >= LASTED {
                    backoff.reset();
                }
            }
            sleep_until(Instant::now() + backoff.next_delay()).await;
        }
    }

    /// Connects and is welcomed with an epoch.
    async fn join(&self, epoch: u64) -> Option<(Socket, u64)> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let url = format!("ws://127.0.0.1:{}/ws/agent", self.port);
        let mut request = url.into_client_request().ok()?;
        let bearer = format!("Bearer {TOKEN}").parse().ok()?;
        request.headers_mut().insert("authorization", bearer);
        let config = WebSocketConfig::default().read_buffer_size(BUFFER).write_buffer_size(0);
        let (mut socket, _) = client_async_with_config(request, stream, Some(config)).await.ok()?;
        let hello = Hello {
            protocol: PROTOCOL,
            node_id: NodeId::from(self.node.as_str()),
            hostname: self.node.clone(),
            version: "0.0.0".to_owned(),
            capabilities: Vec::new(),
            incarnation: format!("incarnation-of-{}", self.node),
            first_seq: 0,
            last_seq: 0,
            epoch,
            credit_bytes: 0,
            projects: Vec::new(),
            backends: Vec::new(),
        };
        say(&mut socket, &FromAgent::Hello(hello)).await.ok()?;
        loop {
            if let Message::Text(text) = socket.next().await?.ok()? {
                let ToAgent::Welcome(welcome) = ToAgent::decode(&text).ok()? else { return None };
                return Some((socket, welcome.epoch));
            }
        }
    }

    /// Lives until the link is gone.
    async fn stay(&self, mut socket: Socket) {
        let now = Instant::now();
        let mut pings = interval_at(now + PING_EVERY, PING_EVERY);
        let mut beats = interval_at(now + self.heartbeat, self.heartbeat);
        loop {
            let step = tokio::select! {
                heard = socket.next() => match heard {
                    Some(Ok(_)) => Ok(()),
                    Some(Err(error)) => Err(error),
                    None => return,
                },
                _ = pings.tick() => socket.send(Message::Ping(Vec::new().into())).await,
                _ = beats.tick() => say(&mut socket, &FromAgent::Heartbeat(Heartbeat::default())).await,
            };
            if step.is_err() {
                return;
            }
        }
    }
}

async fn say(socket: &mut Socket, frame: &FromAgent) -> Result<(), Error> {
    socket.send(Message::text(frame.encode(NOW))).await
}
