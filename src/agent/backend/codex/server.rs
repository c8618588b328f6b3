//! The program as a server: how it is started, asked, and looked into for what it has taken.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::SPEC;
use super::words::{Line, Refusal};
use crate::backend::BackendError;
use crate::backend::piped::Unknowable;
use crate::backend::piped::host::Host;
use crate::backend::piped::process::{Heard, LineProcess};
use hal_protocol::session::SessionId;

/// How long an answer to a call may take: none waits for a model.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Pieces of a conversation on a page, and pages that are looked through for a message: it is among the newest.
const PAGE: usize = 100;
const PAGES: usize = 50;

/// What another Codex has set for what it starts.
const OF_ANOTHER: [&str; 5] = [
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_INTERNAL_ORIGINATOR_OVERRIDE",
    "CODEX_THREAD_ID",
    "CODEX_SESSION_ID",
];

/// What is said of a thread that Codex has no record of.
const NO_RECORD: &str = "no rollout found";

/// What is said of a thread that another Codex works on.
const HAS_WRITER: &str = "already has an active writer";

/// Programs that look something up at once: each takes 150 MB, and after a crash all prompts that were open are looked up.
const LOOKERS: usize = 2;

static LOOKING: Semaphore = Semaphore::const_new(LOOKERS);

/// Leave to start a program that looks something up, held as long as it runs.
pub async fn leave_to_look() -> Result<SemaphorePermit<'static>, Unknowable> {
    LOOKING.acquire().await.map_err(|_| Unknowable)
}

/// A running program that is asked one thing after the other.
pub struct Server {
    process: LineProcess<Line>,
    calls: u64,
}

impl Server {
    /// Starts one, in a directory that must be there.
    pub async fn open(host: &Arc<Host>, directory: Option<&str>) -> Result<Self, BackendError> {
        host.up().await?;
        let mut command = host.command(&OF_ANOTHER);
        command.arg("app-server");
        if let Some(directory) = directory {
            command.current_dir(host.folder(directory)?);
        }
        let process = host.start(command)?;
        let mut server = Self { process, calls: 0 };
        let client =
            json!({"name": "hal-agent", "title": "HAL-O-SWARM", "version": env!("CARGO_PKG_VERSION")});
        let hello = json!({"clientInfo": client, "capabilities": {"experimentalApi": false}});
        server.ask("initialize", hello).await?;
        server.write(&json!({"method": "initialized"})).await?;
        Ok(server)
    }

    /// Asks for something and waits for the answer. What is told meanwhile is not heard.
    pub async fn ask(&mut self, method: &'static str, params: Value) -> Result<Value, BackendError> {
        self.calls += 1;
        let id = self.calls;
        self.write(&json!({"id": id, "method": method, "params": params})).await?;
        let silent =
            BackendError::Silent { backend: SPEC.name, seconds: CALL_LIMIT.as_secs(), doing: method };
        let answer = timeout(CALL_LIMIT, self.answer(id)).await.map_err(|_| silent)?;
        match answer {
            Some(outcome) => outcome.map_err(|refusal| said_no(method, &refusal)),
            None => {
                let why = self.process.outcome().await.replace('\n', " | ");
                Err(BackendError::Refused(format!("Codex has ended while it was asked for {method}: {why}")))
            }
        }
    }

    async fn write(&mut self, value: &Value) -> Result<(), BackendError> {
        let deaf = |error| BackendError::Refused(format!("Codex does not read what is said to it: {error}"));
        self.process.write(value).await.map_err(deaf)
    }

    /// `None`: it has ended.
    async fn answer(&mut self, wanted: u64) -> Option<Result<Value, Refusal>> {
        loop {
            match self.process.heard.recv().await? {
                Heard::Line(Line::Answered { id, outcome }) if id == wanted => return Some(outcome),
                Heard::Line(_) => {}
                Heard::Garbage(why) => {
                    tracing::warn!("Codex has said something that cannot be read: {why}");
                }
            }
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

fn said_no(method: &str, refusal: &Refusal) -> BackendError {
    let message = &refusal.message;
    if message.contains(NO_RECORD) {
        return BackendError::NoSuch(format!("Codex has no record of this session any more: {message}"));
    }
    if message.contains(HAS_WRITER) {
        let why = format!("another Codex works on this session ({message}): end it there and try again");
        return BackendError::Refused(why);
    }
    BackendError::Refused(format!("Codex refuses {method}: {message}"))
}

/// Whether a message of this name is in the record of a session.
pub async fn has_taken(host: &Arc<Host>, id: &SessionId, message: &str) -> Result<bool, Unknowable> {
    let _held = leave_to_look().await?;
    let mut server = Server::open(host, None).await.map_err(|_| Unknowable)?;
    let found = look_for(&mut server, id, message).await;
    server.end().await;
    found
}

async fn look_for(server: &mut Server, id: &SessionId, message: &str) -> Result<bool, Unknowable> {
    let mut cursor = Value::Null;
    for _ in 0..PAGES {
        let query =
            json!({"threadId": id.as_str(), "limit": PAGE, "sortDirection": "desc", "cursor": cursor});
        let page = match server.ask("thread/items/list", query).await {
            Ok(page) => page,
            Err(BackendError::NoSuch(_)) => return Ok(false),
            Err(_) => return Err(Unknowable),
        };
        let items = page["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.iter().any(|entry| entry["item"]["clientId"].as_str() == Some(message)) {
            return Ok(true);
        }
        cursor = page["nextCursor"].clone();
        if cursor.is_null() || items.is_empty() {
            return Ok(false);
        }
    }
    Err(Unknowable)
}
