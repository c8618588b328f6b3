//! A program that speaks ACP, asked one thing after the other: until a session is in it, and to look whether it speaks at all.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::words::{Line, Refusal};
use crate::backend::piped::process::{Heard, LineProcess};

/// The only version of the protocol that is understood.
const PROTOCOL: u64 = 1;

/// How long its first answer may take: a start takes seconds, and more on a busy machine.
const HELLO_LIMIT: Duration = Duration::from_secs(30);

/// How long another answer may take: none waits for a model.
const CALL_LIMIT: Duration = Duration::from_secs(45);

/// Lines that are no part of the protocol and may come before it: some wrappers greet.
const MOST_GREETING: usize = 50;

/// The code of an answer to what nobody here can answer.
pub const NOT_SUPPORTED: i64 = -32601;

/// Why something came to nothing.
#[derive(Debug)]
pub enum Broken {
    /// It says no.
    Refused(Refusal),
    /// It does not speak; why, in a sentence.
    Mute(String),
}

/// A running program that is asked one thing after the other.
pub struct Connection {
    process: LineProcess<Line>,
    title: &'static str,
    calls: u64,
}

impl Connection {
    /// Says hello to a program that was just started; gives what it says of itself. The error is a sentence.
    pub async fn open(process: LineProcess<Line>, title: &'static str) -> Result<(Self, Value), String> {
        let mut connection = Self { process, title, calls: 0 };
        let client =
            json!({"name": "hal-agent", "title": "HAL-O-SWARM", "version": env!("CARGO_PKG_VERSION")});
        let air = json!({"version": 1, "capabilities": ["sessionFailure"]});
        let abilities = json!({
            "fs": {"readTextFile": false, "writeTextFile": false},
            "terminal": false,
            "session": {"compaction": {}, "notices": {}},
            "_meta": {"jetbrains": {"air": air}},
        });
        let hello =
            json!({"protocolVersion": PROTOCOL, "clientInfo": client, "clientCapabilities": abilities});
        let said = match connection.ask_within("initialize", hello, HELLO_LIMIT).await {
            Ok(said) => said,
            Err(Broken::Refused(refusal)) => {
                return Err(format!("{title} refuses to speak ACP: {}", refusal.message));
            }
            Err(Broken::Mute(why)) => return Err(why),
        };
        match said["protocolVersion"].as_u64() {
            Some(PROTOCOL) => Ok((connection, said)),
            Some(other) => {
                Err(format!("{title} speaks version {other} of ACP, and only {PROTOCOL} is supported"))
            }
            None => Err(format!("{title} does not speak ACP: it names no version of it")),
        }
    }

    /// Asks for something and waits for the answer. What is told meanwhile is not heard: it was told before.
    pub async fn ask(&mut self, method: &'static str, params: Value) -> Result<Value, Broken> {
        self.ask_within(method, params, CALL_LIMIT).await
    }

    async fn ask_within(
        &mut self,
        method: &'static str,
        params: Value,
        limit: Duration,
    ) -> Result<Value, Broken> {
        self.calls += 1;
        let id = self.calls;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        let title = self.title;
        match timeout(limit, self.answer(id, method)).await {
            Ok(answer) => answer,
            Err(_) => {
                let why = format!("{title} has not answered {method} within {} s", limit.as_secs());
                Err(Broken::Mute(why))
            }
        }
    }

    async fn write(&mut self, value: &Value) -> Result<(), Broken> {
        let written = self.process.write(value).await;
        match written {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended("before anything could be said to it").await),
        }
    }

    async fn ended(&mut self, when: &str) -> Broken {
        let how = self.process.outcome().await.replace('\n', " | ");
        Broken::Mute(format!("{} has ended {when}: {how}", self.title))
    }

    async fn answer(&mut self, wanted: u64, method: &str) -> Result<Value, Broken> {
        let mut garbage = 0;
        loop {
            let (id, why) = match self.process.heard.recv().await {
                None => return Err(self.ended(&format!("while it was asked for {method}")).await),
                Some(Heard::Line(Line::Answered { id, outcome })) if id == wanted => {
                    return outcome.map_err(Broken::Refused);
                }
                Some(Heard::Garbage(why)) => {
                    garbage += 1;
                    if garbage > MOST_GREETING {
                        return Err(Broken::Mute(format!(
                            "{} does not speak ACP: it says {why}",
                            self.title
                        )));
                    }
                    continue;
                }
                Some(Heard::Line(Line::AsksOther { id, why })) => (id, why),
                Some(Heard::Line(Line::Asks(asked))) => (asked.id, "nothing runs".to_owned()),
                Some(Heard::Line(_)) => continue,
            };
            let error = json!({"code": NOT_SUPPORTED, "message": why});
            self.write(&json!({"jsonrpc": "2.0", "id": id, "error": error})).await?;
        }
    }

    /// The process, to be spoken with from now on, and how many calls were made.
    pub fn into_process(self) -> (LineProcess<Line>, u64) {
        (self.process, self.calls)
    }

    /// Ends it.
    pub async fn end(self) {
        self.process.end().await;
    }
}
