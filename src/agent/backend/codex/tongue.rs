//! Speaks with one session of Codex: how it is started, and what is said to it.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::server::Server;
use super::turn::CodexTurn;
use super::words::{Asked, Line};
use super::{POLICIES, SANDBOXES, classify, server};
use crate::backend::BackendError;
use crate::backend::piped::host::{Given, Host};
use crate::backend::piped::process::LineProcess;
use crate::backend::piped::session::LOOK_LIMIT;
use crate::backend::piped::tongue::Tongue;
use crate::backend::piped::turn::{Note, OpenAsk, Said, Turn};
use crate::backend::piped::voice::Voice;
use hal_protocol::session::{Session as Known, SessionId};
use tokio::time::timeout;

/// What is said to summarise the conversation.
const COMPACT: &str = "/compact";

/// The code of an answer to what nobody here can answer.
const NOT_SUPPORTED: i32 = -32601;

/// What is said of a message to a turn that takes none.
const TAKES_NONE: &str = "ActiveTurnNotSteerable";

type Process = LineProcess<Line>;

/// How one session is spoken with.
pub struct CodexTongue {
    host: Arc<Host>,
    directory: String,
    model: String,
    /// The process that has begun the thread, until something is said in it.
    opened: Option<Process>,
    turn: CodexTurn,
    /// The last number of a call.
    calls: u64,
    /// Messages that were said and not answered, by the number of the call.
    said: HashMap<u64, String>,
    /// True while a turn is to be stopped whose name is not known yet.
    is_to_stop: bool,
}

/// What holds for a thread in a directory. It is said with the thread, and nothing is written into the user's settings.
/// `model` is `provider/model`, or a model of the user's provider; empty: the user's.
pub fn settings(host: &Host, directory: &str, model: &str) -> Value {
    let (provider, model) = match model.split_once('/') {
        Some((provider, model)) => (Some(provider), Some(model)),
        None => (None, Some(model).filter(|model| !model.is_empty())),
    };
    let mut config = json!({"features.default_mode_request_user_input": true});
    let trust = trust(host, directory);
    if !trust.is_empty() {
        config["projects"] = Value::Object(trust);
    }
    json!({
        "modelProvider": provider.filter(|provider| !provider.is_empty()),
        "model": model,
        "cwd": directory,
        "approvalPolicy": host.places.mode_of(directory, POLICIES),
        "approvalsReviewer": "user",
        "sandbox": host.places.sandbox_of(directory, SANDBOXES),
        // Without the feature it may ask a person nothing but whether it may.
        "config": config,
    })
}

/// What a project brings along runs nothing: Codex would take one that it is to write in for trusted, note that in the user's
/// settings, and start the servers that the checkout names. What the project's configuration says holds, else what the user's settings say.
fn trust(host: &Host, directory: &str) -> Map<String, Value> {
    let said_here = host.places.trust_of(directory);
    let settings = host.home("CODEX_HOME", ".codex").map(|home| home.join("config.toml"));
    let said = settings.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let root = Path::new(directory).ancestors().find(|folder| folder.join(".git").exists());
    let root = root.map(|folder| folder.to_string_lossy().into_owned());
    let folders = [Some(directory.to_owned()), root].into_iter().flatten();
    let unsaid =
        folders.filter(|folder| said_here.is_some() || !said.contains(&format!("[projects.\"{folder}\"]")));
    let level = if said_here == Some(true) { "trusted" } else { "untrusted" };
    unsaid.map(|folder| (folder, json!({ "trust_level": level }))).collect()
}

impl CodexTongue {
    /// Of a session as it is known, or as it is made.
    pub fn new(host: &Arc<Host>, known: &Known, is_told: bool, model: String) -> Self {
        let voice = Voice::new(host.reports.clone(), &known.directory);
        Self {
            host: Arc::clone(host),
            directory: known.directory.clone(),
            model,
            opened: None,
            turn: CodexTurn::new(voice, known, is_told),
            calls: 0,
            said: HashMap::new(),
            is_to_stop: false,
        }
    }

    /// This one has begun the thread, and has said this of it.
    pub fn adopt(&mut self, server: Server, begun: &Value) {
        self.turn.note_thread(begun);
        let (process, calls) = server.into_process();
        (self.opened, self.calls) = (Some(process), calls);
    }

    async fn call(&mut self, process: &mut Process, method: &str, params: Value) -> io::Result<u64> {
        self.calls += 1;
        process.write(&json!({"id": self.calls, "method": method, "params": params})).await?;
        Ok(self.calls)
    }

    /// Something is said in the thread: a turn begins for it, or the one that runs hears it.
    async fn speak(&mut self, process: &mut Process, text: &str, name: Option<&str>) -> io::Result<u64> {
        let input = json!([{"type": "text", "text": text}]);
        let id = self.turn.base.id.to_string();
        let params = json!({"threadId": id, "input": input, "clientUserMessageId": name});
        self.call(process, "turn/start", params).await
    }

    /// What was asked under this number is answered.
    async fn answered(&mut self, id: u64, outcome: Result<Value, super::words::Refusal>) -> Note {
        let Some(name) = self.said.remove(&id) else { return Note::Nothing };
        match outcome {
            Err(refusal) if refusal.message.contains(TAKES_NONE) => Note::Later(name),
            Err(refusal) => Note::Refused(name, refusal.message),
            Ok(answer) => {
                let turn = answer["turn"]["id"].as_str();
                let is_over = turn.is_some_and(|turn| !self.turn.set_running(turn));
                match self.turn.base.taken(&name).await {
                    // It was over before its beginning was answered.
                    true if is_over => {
                        self.turn.base.over().await;
                        Note::TakenAndOver(name)
                    }
                    false if is_over => Note::Nothing,
                    true if self.is_to_stop => Note::Unwanted,
                    true => Note::Taken(name),
                    // It was dropped before it was taken.
                    false => Note::Unwanted,
                }
            }
        }
    }
}

impl Tongue for CodexTongue {
    type Line = Line;
    type Asked = Asked;

    fn is_secret(asked: &Asked) -> bool {
        asked.is_secret
    }

    fn turn(&mut self) -> &mut Turn<Asked> {
        &mut self.turn.base
    }

    /// Its helpers speak for themselves nowhere: what they ask is asked by the session.
    fn helpers(&self) -> Vec<SessionId> {
        Vec::new()
    }

    async fn start(&mut self) -> Result<Process, BackendError> {
        if let Some(process) = self.opened.take() {
            return Ok(process);
        }
        let mut server = Server::open(&self.host, Some(&self.directory)).await?;
        let mut settings = settings(&self.host, &self.directory, &self.model);
        settings["threadId"] = json!(self.turn.base.id.as_str());
        settings["excludeTurns"] = json!(true);
        let resumed = server.ask("thread/resume", settings).await?;
        self.turn.note_thread(&resumed);
        let (process, calls) = server.into_process();
        self.calls = calls;
        self.said.clear();
        Ok(process)
    }

    async fn prompt(&mut self, process: &mut Process, said: &Said) -> io::Result<()> {
        self.is_to_stop = false;
        let call = match said.text.trim() {
            COMPACT => {
                let params = json!({"threadId": self.turn.base.id.as_str()});
                self.call(process, "thread/compact/start", params).await?
            }
            _ => self.speak(process, &said.text, Some(&said.name)).await?,
        };
        self.said.insert(call, said.name.clone());
        Ok(())
    }

    /// What a running turn was told and has not read yet goes with it. So do its helpers.
    async fn interrupt(&mut self, process: &mut Process) -> io::Result<()> {
        let running = self.turn.all_running();
        self.is_to_stop = running.is_empty();
        for (thread, turn) in running {
            self.call(process, "turn/interrupt", json!({"threadId": thread, "turnId": turn})).await?;
        }
        Ok(())
    }

    async fn answer(
        &mut self,
        process: &mut Process,
        ask: &OpenAsk<Asked>,
        given: &Given,
    ) -> io::Result<String> {
        let (answer, word) = classify::answer(&ask.said, given);
        process.write(&json!({"id": ask.said.id, "result": answer})).await?;
        if let Given::Permission(_, message) = given
            && word == "reject"
            && !message.is_empty()
        {
            // It has no word for why: the turn hears it as a message.
            self.speak(process, message, None).await?;
        }
        Ok(word)
    }

    async fn refuse(&mut self, process: &mut Process, request: &str, why: &str) -> io::Result<()> {
        let id: Value = serde_json::from_str(request)?;
        process.write(&json!({"id": id, "error": {"code": NOT_SUPPORTED, "message": why}})).await
    }

    async fn hear(&mut self, line: Line) -> Note {
        match line {
            Line::Answered { id, outcome } => self.answered(id, outcome).await,
            Line::Told { thread, told } => {
                let note = self.turn.hear(&thread, told).await;
                let is_late = self.is_to_stop && self.turn.running().is_some();
                if note == Note::Nothing && is_late { Note::Unwanted } else { note }
            }
            Line::Asks(asked) => {
                self.turn.ask(*asked).await;
                Note::Nothing
            }
            Line::AsksOther { id, why } => Note::Refuse(id.to_string(), why),
            Line::AskResolved(id) => {
                self.turn.resolved(&id).await;
                Note::Nothing
            }
            Line::Unreadable(_) | Line::Other => Note::Nothing,
        }
    }

    async fn cut(&mut self, reason: &str) {
        self.said.clear();
        self.is_to_stop = false;
        self.opened = None;
        self.turn.cut(reason).await;
    }

    async fn has_taken(&self, name: &str) -> Option<bool> {
        let look = server::has_taken(&self.host, &self.turn.base.id, name);
        timeout(LOOK_LIMIT, look).await.ok()?.ok()
    }
}
