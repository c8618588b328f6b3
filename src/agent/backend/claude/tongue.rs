//! Speaks with one session of Claude Code: how it is started, and what is said to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::process::Command;

use super::classify::{permission_answer, question_answer};
use super::transcript::Transcripts;
use super::turn::ClaudeTurn;
use super::words::{CanUseTool, Line};
use super::{PERMISSION_MODES, names};
use crate::backend::BackendError;
use crate::backend::piped::Wish;
use crate::backend::piped::host::{Given, Host};
use crate::backend::piped::process::LineProcess;
use crate::backend::piped::tongue::Tongue;
use crate::backend::piped::turn::{Note, OpenAsk, Said, Turn};
use crate::backend::piped::voice::Voice;
use hal_protocol::session::{Session as Known, SessionId};

/// What another Claude Code has set for what it starts.
const OF_ANOTHER: [&str; 5] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_SSE_PORT",
    "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_SESSION_ID",
];

type Process = LineProcess<Line>;

/// Nothing of a checkout runs: neither hooks, servers, helpers of keys nor commands, and no variable is taken from it. Its
/// instructions are read all the same, as those of one more folder: that switch of its sources takes them away too.
fn leave_out_the_checkout(command: &mut Command, directory: &Path) {
    command
        .args(["--setting-sources", "user"])
        .arg("--add-dir")
        .arg(directory)
        .env("CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD", "1");
}

/// How one session is spoken with.
pub struct ClaudeTongue {
    host: Arc<Host>,
    transcripts: Transcripts,
    directory: String,
    wish: Wish,
    turn: ClaudeTurn,
    requests: u64,
}

impl ClaudeTongue {
    /// Of a session as it is known, or as it is made.
    pub fn new(
        host: &Arc<Host>,
        transcripts: &Transcripts,
        known: &Known,
        is_told: bool,
        wish: Wish,
    ) -> Self {
        let voice = Voice::new(host.reports.clone(), &known.directory);
        Self {
            host: Arc::clone(host),
            transcripts: transcripts.clone(),
            directory: known.directory.clone(),
            wish,
            turn: ClaudeTurn::new(voice, known, is_told),
            requests: 0,
        }
    }

    /// Asks it for something beside the conversation.
    async fn ask(&mut self, process: &mut Process, request: Value) -> io::Result<()> {
        self.requests += 1;
        let name = format!("hal-{}", self.requests);
        process.write(&json!({"type": "control_request", "request_id": name, "request": request})).await
    }
}

impl Tongue for ClaudeTongue {
    type Line = Line;
    type Asked = CanUseTool;

    fn turn(&mut self) -> &mut Turn<CanUseTool> {
        &mut self.turn.base
    }

    fn helpers(&self) -> Vec<SessionId> {
        self.turn.helpers().cloned().collect()
    }

    async fn start(&mut self) -> Result<Process, BackendError> {
        self.host.up().await?;
        let directory = self.host.folder(&self.directory)?;
        let id = &self.turn.base.id;
        let is_known = self.transcripts.find(id).await.is_some();
        let mode = self.host.places.mode_of(&self.directory, PERMISSION_MODES);
        let mut command = self.host.command(&OF_ANOTHER);
        command
            .env("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1")
            .args(["-p", "--verbose", "--input-format", "stream-json", "--output-format", "stream-json"])
            .args(["--include-partial-messages", "--permission-prompt-tool", "stdio"])
            .args(["--permission-mode", mode])
            .args([if is_known { "--resume" } else { "--session-id" }, id.as_str()])
            .current_dir(directory);
        if self.host.places.trust_of(&self.directory) != Some(true) {
            leave_out_the_checkout(&mut command, directory);
        }
        let model = names::plain_model(&self.wish.model);
        for (flag, value) in [("--model", &model), ("--agent", &self.wish.agent)] {
            if !value.is_empty() {
                command.args([flag, value]);
            }
        }
        self.host.start(command)
    }

    async fn prompt(&mut self, process: &mut Process, said: &Said) -> io::Result<()> {
        let message = json!({"role": "user", "content": said.text});
        process.write(&json!({"type": "user", "uuid": said.name, "message": message})).await
    }

    /// What waits in its queue would be worked on after the turn that is stopped.
    async fn interrupt(&mut self, process: &mut Process) -> io::Result<()> {
        for name in self.turn.drop_waiting() {
            self.ask(process, json!({"subtype": "cancel_async_message", "message_uuid": name})).await?;
        }
        self.ask(process, json!({"subtype": "interrupt"})).await
    }

    async fn answer(
        &mut self,
        process: &mut Process,
        ask: &OpenAsk<CanUseTool>,
        given: &Given,
    ) -> io::Result<String> {
        let (response, word) = match given {
            Given::Permission(reply, message) => {
                (permission_answer(&ask.said, reply, message), reply.clone())
            }
            Given::Question(answers) => {
                let is_rejected = answers.iter().all(Vec::is_empty);
                let word = if is_rejected { "reject" } else { "answered" };
                (question_answer(&ask.said, answers), word.to_owned())
            }
        };
        let response = json!({"subtype": "success", "request_id": ask.request, "response": response});
        process.write(&json!({"type": "control_response", "response": response})).await?;
        Ok(word)
    }

    async fn refuse(&mut self, process: &mut Process, request: &str, why: &str) -> io::Result<()> {
        let response = json!({"subtype": "error", "request_id": request, "error": why});
        process.write(&json!({"type": "control_response", "response": response})).await
    }

    async fn hear(&mut self, line: Line) -> Note {
        self.turn.hear(line).await
    }

    async fn cut(&mut self, reason: &str) {
        self.turn.cut(reason).await;
    }

    async fn has_taken(&self, name: &str) -> Option<bool> {
        Some(self.transcripts.has(&self.turn.base.id, name).await)
    }
}
