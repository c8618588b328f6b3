//! The gateway's socket: hello, identify, heartbeat, resume. What is said on it is decided by [`Course`], without any I/O.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Discord;
use super::rest::DiscordFailure;
use hal_base::backoff::Backoff;
use hal_base::cause::chain;

/// Opening a socket takes no longer, and neither does the first word on it.
const OPENING: Duration = Duration::from_secs(20);

/// The version of the gateway that is spoken, in JSON and not compressed.
const VERSION: &str = "v=10&encoding=json";

/// What is told to this bot: which servers it is on. Commands and buttons are told to every bot.
const GUILDS: u32 = 1;

/// Numbers of a close after which opening again would not help: not let in, or asked for what it may not have.
const FOR_GOOD: [u16; 6] = [4004, 4010, 4011, 4012, 4013, 4014];

/// Numbers of a close after which the session is over: it was not known, its place was wrong, it took too long.
const OVER: [u16; 3] = [4003, 4007, 4009];

/// A close without a number, by the rules of WebSockets.
const UNSAID: u16 = 1005;

/// Numbers of what a frame is, by Discord's list.
mod op {
    pub const DISPATCH: u8 = 0;
    pub const HEARTBEAT: u8 = 1;
    pub const IDENTIFY: u8 = 2;
    pub const RESUME: u8 = 6;
    pub const RECONNECT: u8 = 7;
    pub const INVALID_SESSION: u8 = 9;
    pub const HELLO: u8 = 10;
    pub const HEARTBEAT_ACK: u8 = 11;
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A frame of the gateway, as far as it is read here.
#[derive(Deserialize)]
struct Frame<'a> {
    op: u8,
    #[serde(default)]
    s: Option<u64>,
    #[serde(default)]
    t: Option<String>,
    #[serde(default, borrow)]
    d: Option<&'a RawValue>,
}

impl Frame<'_> {
    fn data<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.d?.get()).ok()
    }
}

#[derive(Deserialize)]
struct Hello {
    heartbeat_interval: u64,
}

#[derive(Deserialize)]
struct Ready {
    session_id: String,
    resume_gateway_url: String,
}

/// Why a socket ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It is opened again, for this reason.
    Again(String),
    /// Discord does not let the bot in any more.
    ForGood(String),
}

/// What is to be done after something was heard, or when it is time for a heartbeat.
#[derive(Debug)]
enum SocketStep {
    /// Nothing.
    Wait,
    /// Say this.
    Say(Value),
    /// Say this, and give a sign of life as often as this from now on.
    Begin(Value, Duration),
    /// An event: its type and its data.
    Heard(String, Box<RawValue>),
    /// This socket is no good any more.
    End(End),
}

/// The session with Discord as it goes on from socket to socket.
#[derive(Debug, Default)]
pub struct Course {
    session: Option<Session>,
    /// The last event that was heard, by Discord's count.
    seq: Option<u64>,
    /// A heartbeat was not answered yet.
    is_unanswered: bool,
    /// A heartbeat was answered on this socket.
    is_steady: bool,
}

#[derive(Debug)]
struct Session {
    id: String,
    /// Where it can be gone on with.
    url: String,
}

impl Course {
    fn new_socket(&mut self) {
        (self.is_unanswered, self.is_steady) = (false, false);
    }

    /// The next socket begins a session.
    pub(super) fn forget(&mut self) {
        (self.session, self.seq) = (None, None);
    }

    fn hear(&mut self, text: &str, token: &str) -> SocketStep {
        let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else { return SocketStep::Wait };
        self.seq = frame.s.or(self.seq);
        match frame.op {
            op::HELLO => match frame.data::<Hello>().filter(|hello| hello.heartbeat_interval > 0) {
                Some(hello) => {
                    SocketStep::Begin(self.greeting(token), Duration::from_millis(hello.heartbeat_interval))
                }
                None => SocketStep::End(End::Again("its first word cannot be read".to_owned())),
            },
            op::HEARTBEAT => SocketStep::Say(self.heartbeat()),
            op::HEARTBEAT_ACK => {
                (self.is_unanswered, self.is_steady) = (false, true);
                SocketStep::Wait
            }
            op::RECONNECT => SocketStep::End(End::Again("it asks for another connection".to_owned())),
            op::INVALID_SESSION => {
                if frame.data::<bool>() != Some(true) {
                    self.forget();
                }
                SocketStep::End(End::Again("the session is not valid".to_owned()))
            }
            op::DISPATCH => self.event(&frame),
            _ => SocketStep::Wait,
        }
    }

    fn event(&mut self, frame: &Frame<'_>) -> SocketStep {
        let (Some(kind), Some(data)) = (&frame.t, frame.d) else { return SocketStep::Wait };
        if kind == "READY"
            && let Some(ready) = frame.data::<Ready>()
        {
            self.session = Some(Session { id: ready.session_id, url: ready.resume_gateway_url });
        }
        SocketStep::Heard(kind.clone(), data.to_owned())
    }

    /// The first word: who this is, or which session goes on.
    fn greeting(&self, token: &str) -> Value {
        match &self.session {
            Some(session) => json!({"op": op::RESUME,
                "d": {"token": token, "session_id": session.id, "seq": self.seq}}),
            None => {
                let properties =
                    json!({"os": "linux", "browser": "hal-supervisor", "device": "hal-supervisor"});
                json!({"op": op::IDENTIFY,
                    "d": {"token": token, "intents": GUILDS, "properties": properties}})
            }
        }
    }

    fn heartbeat(&self) -> Value {
        json!({"op": op::HEARTBEAT, "d": self.seq})
    }

    /// It is time for a heartbeat. When the one before was not answered nobody is there any more.
    fn beat(&mut self) -> SocketStep {
        if self.is_unanswered {
            return SocketStep::End(End::Again("it is silent".to_owned()));
        }
        self.is_unanswered = true;
        SocketStep::Say(self.heartbeat())
    }

    fn closed(&mut self, code: u16, reason: &str) -> End {
        if OVER.contains(&code) {
            self.forget();
        }
        let why = format!("{code} {reason}");
        if FOR_GOOD.contains(&code) { End::ForGood(why) } else { End::Again(why) }
    }
}

impl Discord {
    /// Opens a socket and passes on every event, with its type, until the socket ends. `backoff` starts anew when it
    /// was a good one.
    pub(super) async fn converse(
        &self,
        course: &mut Course,
        backoff: &mut Backoff,
        mut pass_on: impl FnMut(&str, &RawValue),
    ) -> End {
        course.new_socket();
        let mut socket = match self.open(course).await {
            Ok(socket) => socket,
            Err(DiscordFailure::Refused { why, .. }) => return End::ForGood(why),
            Err(DiscordFailure::Later { why, .. }) => return End::Again(why),
        };
        // Until it has said hello, the next heartbeat is the end of patience.
        let (mut every, mut next) = (None, Instant::now() + OPENING);
        loop {
            let step = tokio::select! {
                heard = socket.next() => match heard {
                    Some(Ok(Message::Text(text))) => course.hear(&text, self.config.token.reveal()),
                    Some(Ok(Message::Close(frame))) => {
                        let (code, reason) = match &frame {
                            Some(frame) => (frame.code.into(), frame.reason.as_str()),
                            None => (UNSAID, ""),
                        };
                        SocketStep::End(course.closed(code, reason))
                    }
                    Some(Ok(_)) => SocketStep::Wait,
                    Some(Err(error)) => SocketStep::End(End::Again(chain(&error))),
                    None => SocketStep::End(End::Again("it was cut off".to_owned())),
                },
                () = sleep_until(next) => match every {
                    None => SocketStep::End(End::Again("it says nothing".to_owned())),
                    Some(every) => {
                        next = Instant::now() + every;
                        course.beat()
                    }
                },
            };
            if course.is_steady {
                backoff.reset();
            }
            let frame = match step {
                SocketStep::Wait => continue,
                SocketStep::Heard(kind, data) => {
                    pass_on(&kind, &data);
                    continue;
                }
                SocketStep::End(end) => return end,
                SocketStep::Say(frame) => frame,
                SocketStep::Begin(frame, interval) => {
                    every = Some(interval);
                    // The first one at a time of its own, so that not all bots of a restart beat at once.
                    next = Instant::now() + Backoff::new(interval / 2, interval).next_delay();
                    frame
                }
            };
            if let Err(error) = socket.send(Message::text(frame.to_string())).await {
                return End::Again(chain(&error));
            }
        }
    }

    /// A socket where the session goes on, or where Discord says that a new one begins.
    async fn open(&self, course: &Course) -> Result<Socket, DiscordFailure> {
        let later = |why: String| DiscordFailure::Later { after: None, why };
        let place = match &course.session {
            Some(session) => session.url.clone(),
            None => {
                let found = self.rest.call(Method::GET, "/gateway/bot", "/gateway/bot", &Value::Null).await?;
                found["url"].as_str().unwrap_or_default().to_owned()
            }
        };
        let mut url = Url::parse(&place).map_err(|error| later(format!("its address {place:?}: {error}")))?;
        url.set_query(Some(VERSION));
        match timeout(OPENING, connect_async(url.as_str())).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(later(chain(&error))),
            Err(_) => Err(later("it did not open in time".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str =
        r#"{"op":0,"s":1,"t":"READY","d":{"session_id":"s1","resume_gateway_url":"wss://again.example"}}"#;

    fn said(step: &SocketStep) -> Value {
        match step {
            SocketStep::Say(frame) | SocketStep::Begin(frame, _) => frame.clone(),
            other => panic!("nothing is said: {other:?}"),
        }
    }

    fn greeting(course: &mut Course) -> Value {
        course.new_socket();
        let hello = r#"{"op":10,"s":null,"t":null,"d":{"heartbeat_interval":41250}}"#;
        let step = course.hear(hello, "t");
        assert!(matches!(step, SocketStep::Begin(_, every) if every == Duration::from_millis(41_250)));
        said(&step)
    }

    #[test]
    fn a_session_goes_on_after_its_last_event() {
        let mut course = Course::default();
        let first = greeting(&mut course);
        assert_eq!((&first["op"], &first["d"]["intents"]), (&json!(2), &json!(1)));
        assert!(matches!(course.hear(READY, "t"), SocketStep::Heard(kind, _) if kind == "READY"));
        let event = r#"{"op":0,"s":7,"t":"INTERACTION_CREATE","d":{"id":"1"}}"#;
        assert!(
            matches!(course.hear(event, "t"), SocketStep::Heard(_, data) if data.get() == r#"{"id":"1"}"#)
        );
        assert_eq!(said(&course.beat()), json!({"op": 1, "d": 7}));
        assert_eq!(course.closed(1006, ""), End::Again("1006 ".into()));
        let again = greeting(&mut course);
        assert_eq!(again, json!({"op": 6, "d": {"token": "t", "session_id": "s1", "seq": 7}}));
        assert!(matches!(course.hear(r#"{"op":7,"d":null}"#, "t"), SocketStep::End(End::Again(_))));
        assert_eq!(greeting(&mut course)["op"], 6);
    }

    #[test]
    fn what_discord_does_not_know_any_more_begins_anew() {
        for over in [4007, 4009] {
            let mut course = Course::default();
            course.hear(READY, "t");
            assert!(matches!(course.closed(over, "x"), End::Again(_)));
            assert_eq!(greeting(&mut course)["op"], 2, "{over}");
        }
        for (text, op) in [(r#"{"op":9,"d":true}"#, 6), (r#"{"op":9,"d":false}"#, 2), (r#"{"op":9}"#, 2)] {
            let mut course = Course::default();
            course.hear(READY, "t");
            assert!(matches!(course.hear(text, "t"), SocketStep::End(End::Again(_))));
            assert_eq!(greeting(&mut course)["op"], op, "{text}");
        }
        let shut = Course::default().closed(4004, "Authentication failed.");
        assert_eq!(shut, End::ForGood("4004 Authentication failed.".into()));
    }

    #[test]
    fn a_heartbeat_without_an_answer_is_the_last_one() {
        let mut course = Course::default();
        greeting(&mut course);
        assert_eq!(said(&course.beat()), json!({"op": 1, "d": null}));
        assert!(matches!(course.hear(r#"{"op":11}"#, "t"), SocketStep::Wait));
        said(&course.beat());
        assert!(matches!(course.beat(), SocketStep::End(End::Again(_))));
        assert!(
            matches!(course.hear(r#"{"op":1,"d":null}"#, "t"), SocketStep::Say(_)),
            "Discord may ask for one"
        );
        for odd in ["", "[]", r#"{"op":0}"#, r#"{"op":99}"#, r#"{"op":0,"t":"X"}"#] {
            assert!(matches!(course.hear(odd, "t"), SocketStep::Wait), "{odd}");
        }
        assert!(matches!(course.hear(r#"{"op":10,"d":{"heartbeat_interval":0}}"#, "t"), SocketStep::End(_)));
    }
}
