//! Speaks with one session of a program that speaks ACP: how it is started, and what is said to it.
//!
//! ```text
//!   prompt --> session/prompt, and a call that no program knows: its answer shows that what stood before it was read
//!              one at a time: what comes meanwhile waits here for the end of the turn
//! ```

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use serde_json::{Value, json};

use super::connection::{Broken, Connection, NOT_SUPPORTED};
use super::probe::OF_ANOTHER;
use super::record::{Record, Records};
use super::turn::AcpTurn;
use super::words::{Asked, Line, Refusal};
use super::{UNGUARDED, classify, read};
use crate::backend::BackendError;
use crate::backend::piped::host::{Given, Host};
use crate::backend::piped::process::LineProcess;
use crate::backend::piped::tongue::Tongue;
use crate::backend::piped::turn::{Note, OpenAsk, Said, Turn};
use crate::backend::piped::voice::Voice;
use hal_protocol::session::{Session as Known, SessionId};

/// A call that no program knows.
const PING: &str = "_hal/ping";

/// The mode in which most programs ask, by the name that most give it.
const ASKS: &str = "default";

type Process = LineProcess<Line>;

/// How one session is spoken with.
pub struct AcpTongue {
    host: Arc<Host>,
    records: Records,
    record: Option<Record>,
    directory: String,
    turn: AcpTurn,
    /// The last number of a call.
    calls: u64,
    /// The call whose answer ends the turn, and the message that it brought.
    running: Option<(u64, String)>,
    /// Messages that are in its pipe and were not seen to be read, by the number of the call behind each.
    pings: HashMap<u64, String>,
    /// Messages that wait for the end of the turn.
    waiting: VecDeque<Said>,
    /// What it asks, by our name of it.
    asked: HashMap<String, Value>,
}

impl AcpTongue {
    /// Of a session as it is known, or as it is made.
    pub fn new(host: &Arc<Host>, records: &Records, known: &Known, is_told: bool) -> Self {
        let voice = Voice::new(host.reports.clone(), &known.directory);
        Self {
            host: Arc::clone(host),
            records: records.clone(),
            record: None,
            directory: known.directory.clone(),
            turn: AcpTurn::new(&host.spec, voice, known, is_told),
            calls: 0,
            running: None,
            pings: HashMap::new(),
            waiting: VecDeque::new(),
            asked: HashMap::new(),
        }
    }

    async fn record(&mut self) -> Result<&mut Record, BackendError> {
        if self.record.is_none() {
            let unreadable = |_| {
                let why = format!("what was said to {} before cannot be read", self.host.spec.title);
                BackendError::Refused(why)
            };
            self.record = Some(self.records.read(&self.turn.base.id).await.map_err(unreadable)?);
        }
        Ok(self.record.get_or_insert_default())
    }

    async fn keep(&self) -> io::Result<()> {
        match &self.record {
            Some(record) => self.records.write(&self.turn.base.id, record).await,
            None => Ok(()),
        }
    }

    /// Goes on with the session that it has, or begins one; gives what is told of it.
    async fn enter(&mut self, connection: &mut Connection, hello: &Value) -> Result<Value, BackendError> {
        let title = self.host.spec.title;
        let known = self.record().await?.session.clone();
        let place = json!({"cwd": self.directory, "mcpServers": []});
        if !known.is_empty() {
            let mut wanted = place.clone();
            wanted["sessionId"] = json!(known);
            let abilities = &hello["agentCapabilities"];
            let method = match (&abilities["sessionCapabilities"]["resume"], &abilities["loadSession"]) {
                (resume, _) if resume.is_object() => Some("session/resume"),
                (_, load) if *load == Value::Bool(true) => Some("session/load"),
                _ => None,
            };
            let why = match method {
                None => "it cannot resume sessions".to_owned(),
                Some(method) => match connection.ask(method, wanted).await {
                    Ok(begun) => return Ok(begun),
                    Err(Broken::Refused(refusal)) if refusal.code != classify::NOT_LOGGED_IN => {
                        refusal.message
                    }
                    Err(broken) => return Err(said_no(title, method, broken)),
                },
            };
            let why =
                format!("{title} has lost the conversation ({why}): it goes on without what was said before");
            self.turn.lost(why).await;
        }
        let begun = connection.ask("session/new", place).await;
        let begun = begun.map_err(|broken| said_no(title, "session/new", broken))?;
        let session = read::text_of(&begun["sessionId"]);
        if session.is_empty() {
            return Err(BackendError::Refused(format!("{title} has begun a session without a name")));
        }
        self.record().await?.session = session;
        Ok(begun)
    }

    /// Has it ask as the project says; where that says nothing, as carefully as most programs can.
    async fn set_mode(&mut self, connection: &mut Connection, begun: &Value) -> Result<(), BackendError> {
        let title = self.host.spec.title;
        let (all, now) = classify::modes(begun);
        let said = self.host.places.permission_mode_of(&self.directory);
        let wanted = match &said {
            Some(said) if !all.contains(said) => {
                let known = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                let why = format!("{title} has no permission mode {said:?}; it has {known}");
                return Err(BackendError::Refused(why));
            }
            Some(said) => said.as_str(),
            None if all.iter().any(|mode| mode == ASKS) => ASKS,
            // Whoever lets it do what it likes says so.
            None if UNGUARDED.contains(&now.as_str()) => {
                let why = format!(
                    "{title} is in its mode {now:?}, in which it asks nobody, and the project says nothing of that: set \
                     permission_mode to one of {}",
                    all.join(", ")
                );
                return Err(BackendError::Refused(why));
            }
            None => return Ok(()),
        };
        if wanted == now {
            return Ok(());
        }
        let session = self.record().await?.session.clone();
        let set = connection.ask("session/set_mode", json!({"sessionId": session, "modeId": wanted})).await;
        set.map(drop).map_err(|broken| said_no(title, "session/set_mode", broken))
    }

    async fn call(&mut self, process: &mut Process, method: &str, params: Value) -> io::Result<u64> {
        self.calls += 1;
        let call = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        process.write(&call).await.map(|()| self.calls)
    }

    /// Has it begin a turn for a message.
    async fn say(&mut self, process: &mut Process, said: &Said) -> io::Result<()> {
        if let Some(record) = &mut self.record {
            record.say(&said.name);
        }
        self.keep().await?;
        let session = self.record.as_ref().map(|record| record.session.clone()).unwrap_or_default();
        let prompt = json!([{"type": "text", "text": said.text}]);
        // It may be answered before the call is known to be made.
        self.running = Some((self.calls + 1, said.name.clone()));
        self.turn.begin(&said.name, &said.text);
        self.call(process, "session/prompt", json!({"sessionId": session, "prompt": prompt})).await?;
        self.pings.insert(self.calls + 1, said.name.clone());
        self.call(process, PING, json!({})).await.map(drop)
    }

    /// A message was read: it is told, and counts as taken.
    async fn taken(&mut self, name: &str) -> bool {
        self.pings.retain(|_, pinged| pinged != name);
        if !self.turn.base.taken(name).await {
            return false;
        }
        if let Some(record) = &mut self.record {
            record.take(name);
        }
        if let Err(error) = self.keep().await {
            tracing::warn!(session = %self.turn.base.id, "what was said cannot be written down: {error}");
        }
        true
    }

    async fn answered(&mut self, id: u64, outcome: Result<Value, Refusal>) -> Note {
        if let Some(name) = self.pings.remove(&id) {
            return if self.taken(&name).await { Note::Taken(name) } else { Note::Nothing };
        }
        let Some((_, name)) = self.running.take_if(|(call, _)| *call == id) else { return Note::Nothing };
        self.asked.clear();
        let is_news = self.taken(&name).await;
        self.turn.end(&outcome).await;
        match (is_news, self.waiting.is_empty()) {
            (true, _) => Note::TakenAndOver(name),
            (false, true) => Note::Over,
            (false, false) => Note::GoOn,
        }
    }

    fn is_ours(&self, session: &str) -> bool {
        self.record.as_ref().is_some_and(|record| record.session == session)
    }

    /// Something of the turn is told: what began it was read, whatever else is said to that.
    async fn sign(&mut self) -> Option<String> {
        let name = self.running.as_ref().map(|(_, name)| name.clone())?;
        let is_open = self.pings.values().any(|pinged| *pinged == name);
        (is_open && self.taken(&name).await).then_some(name)
    }
}

/// Why a session could not be entered.
fn said_no(title: &str, method: &str, broken: Broken) -> BackendError {
    BackendError::Refused(match broken {
        Broken::Mute(why) => why,
        Broken::Refused(refusal) if refusal.code == classify::NOT_LOGGED_IN => {
            let said = refusal.message;
            format!(
                "{title} is not logged in ({said}): log in with it as the user of hal-agent, or give it a key"
            )
        }
        Broken::Refused(refusal) => format!("{title} refuses {method}: {}", refusal.message),
    })
}

impl Tongue for AcpTongue {
    type Line = Line;
    type Asked = Asked;

    fn turn(&mut self) -> &mut Turn<Asked> {
        &mut self.turn.base
    }

    fn helpers(&self) -> Vec<SessionId> {
        Vec::new()
    }

    async fn start(&mut self) -> Result<Process, BackendError> {
        self.host.up().await?;
        let title = self.host.spec.title;
        let mut command = self.host.command(&OF_ANOTHER);
        command.current_dir(self.host.folder(&self.directory)?);
        let process = self.host.start(command)?;
        let (mut connection, hello) =
            Connection::open(process, title).await.map_err(BackendError::Refused)?;
        let begun = self.enter(&mut connection, &hello).await?;
        self.turn.note_begun(&begun);
        self.set_mode(&mut connection, &begun).await?;
        // A sum of money goes on only where the last process has ended in order.
        let last = self.record().await?.cost.take();
        self.turn.costs = usage_of(&self.turn, last);
        let kept = self.keep().await;
        kept.map_err(|error| BackendError::Refused(format!("the session cannot be written down: {error}")))?;
        let (process, calls) = connection.into_process();
        self.calls = calls;
        Ok(process)
    }

    async fn prompt(&mut self, process: &mut Process, said: &Said) -> io::Result<()> {
        match self.running {
            // It was not said, and is not taken, before the turn is over.
            Some(_) => self.waiting.push_back(said.clone()),
            None => self.say(process, said).await?,
        }
        Ok(())
    }

    fn is_waiting(&self, name: &str) -> bool {
        self.waiting.iter().any(|said| said.name == name)
    }

    async fn go_on(&mut self, process: &mut Process) -> io::Result<()> {
        match self.waiting.pop_front() {
            Some(said) => {
                self.turn.base.busy().await;
                self.say(process, &said).await
            }
            None => Ok(()),
        }
    }

    /// What waits is dropped: it would be worked on after the turn that is stopped.
    async fn interrupt(&mut self, process: &mut Process) -> io::Result<()> {
        self.waiting.clear();
        for (_, id) in self.asked.drain() {
            let result = json!({"outcome": {"outcome": "cancelled"}});
            process.write(&json!({"jsonrpc": "2.0", "id": id, "result": result})).await?;
        }
        let session = self.record.as_ref().map(|record| record.session.clone()).unwrap_or_default();
        let params = json!({"sessionId": session});
        process.write(&json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params})).await
    }

    async fn answer(
        &mut self,
        process: &mut Process,
        ask: &OpenAsk<Asked>,
        given: &Given,
    ) -> io::Result<String> {
        let no_such = || io::Error::other("it offers no answer that means just this; reject it instead");
        let (result, word) = classify::answer(&ask.said, given).ok_or_else(no_such)?;
        self.asked.remove(&ask.request);
        process.write(&json!({"jsonrpc": "2.0", "id": ask.said.id, "result": result})).await?;
        Ok(word)
    }

    async fn refuse(&mut self, process: &mut Process, request: &str, why: &str) -> io::Result<()> {
        let id: Value = serde_json::from_str(request).unwrap_or_default();
        let error = json!({"code": NOT_SUPPORTED, "message": why});
        process.write(&json!({"jsonrpc": "2.0", "id": id, "error": error})).await
    }

    async fn hear(&mut self, line: Line) -> Note {
        match line {
            Line::Answered { id, outcome } => return self.answered(id, outcome).await,
            // A program may tell of sessions of its own beside this one.
            Line::Update(session, _) if !self.is_ours(&session) => {}
            Line::Update(_, told) => {
                let name = self.sign().await;
                // What is told outside of a turn belongs to none that anybody waits for.
                if self.running.is_some() {
                    self.turn.hear(*told).await;
                }
                return name.map_or(Note::Nothing, Note::Taken);
            }
            Line::Asks(asked) => {
                let name = self.sign().await;
                let id = asked.id.clone();
                if self.running.is_none() {
                    return Note::Refuse(id.to_string(), "no turn runs that could ask".to_owned());
                }
                self.turn.ask(*asked).await;
                if let Some(request) = self.turn.base.name_of(|known| known.id == id) {
                    self.asked.insert(request, id);
                }
                return name.map_or(Note::Nothing, Note::Taken);
            }
            Line::AsksOther { id, why } => return Note::Refuse(id.to_string(), why),
            Line::AskWithdrawn(id) => {
                if let Some(name) = self.turn.base.name_of(|asked| asked.id == id) {
                    self.asked.remove(&name);
                    self.turn.base.withdrawn(&name).await;
                }
            }
            Line::Unreadable(_) | Line::Other => {}
        }
        Note::Nothing
    }

    async fn cut(&mut self, reason: &str) {
        self.turn.cut(reason).await;
        self.running = None;
        self.pings.clear();
        self.waiting.clear();
        self.asked.clear();
    }

    async fn rested(&mut self) {
        let last = self.turn.costs.last();
        if let Some(record) = &mut self.record {
            record.cost = last;
        }
        if let Err(error) = self.keep().await {
            tracing::warn!(session = %self.turn.base.id, "what it has cost cannot be written down: {error}");
        }
    }

    async fn has_taken(&self, name: &str) -> Option<bool> {
        let record = self.records.read(&self.turn.base.id).await.ok()?;
        record.has_taken(name).ok()
    }
}

/// What was spent, for a process that goes on from this sum.
fn usage_of(turn: &AcpTurn, last: Option<f64>) -> super::usage::Costs {
    super::usage::Costs::new(turn.costs.sum, last)
}
