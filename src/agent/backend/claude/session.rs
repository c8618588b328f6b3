//! A session: the one owner of its process, from the first prompt until it has rested for a while.
//!
//! ```text
//!   prompt: start (or resume) if there is no process -> say it -> taken -> the turn runs -> idle -> .. -> ended to rest
//!   abort: interrupt, and wait for the end of the turn    kill: the same for a while, then everything it started is ended
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::process::{Heard, Launch, Process};
use super::turn::{MOST_GARBAGE, Note, Said, Turn};
use super::{NAME, PROGRAM, Shared, classify, names};
use crate::backend::BackendError;
use hal_protocol::command::CommandId;
use hal_protocol::session::SessionId;

/// How long a process without a turn is kept: it takes some 200 MB, and a second to be started again.
const REST: Duration = Duration::from_secs(600);

/// How long a turn may take to end before a kill, and before the agent stops.
const END_LIMIT: Duration = Duration::from_secs(4);

/// Why a turn is cut off whose process has ended.
const STOPPED: &str = "the coding agent stopped in mid-turn";

/// Where the outcome of something goes.
pub type Reply = oneshot::Sender<Result<String, BackendError>>;

/// An answer of a person.
#[derive(Clone, Debug)]
pub enum Given {
    /// To a permission: `once`, `always` or `reject`, and what to say with it.
    Permission(String, String),
    /// To questions: what was chosen of each.
    Question(Vec<Vec<String>>),
}

/// What is asked of a session.
#[derive(Debug)]
pub enum Ask {
    /// Say this to it.
    Prompt(CommandId, String, Reply),
    /// Stop the turn.
    Abort(Reply),
    /// Stop the turn and everything that it has started.
    Kill(Reply),
    /// Answer what this session, or this helper, asks.
    Answer(SessionId, Option<String>, Given, Reply),
    /// Say how it is.
    Look(Reply),
    /// True while a message of this name is not taken yet.
    IsExpected(String, oneshot::Sender<bool>),
    /// Tell that it was killed.
    TellKilled(oneshot::Sender<()>),
    /// The agent stops.
    Stop(oneshot::Sender<()>),
}

/// What happens next.
enum Step {
    Asked(Option<Ask>),
    Heard(Option<Heard>),
    Rested,
}

/// What a process is started with.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The model; the coding agent's own choice when empty.
    pub model: String,
    /// The kind of agent; its own choice when empty.
    pub agent: String,
}

/// Something that was said, and who waits for it to be taken.
struct Prompt {
    said: Said,
    reply: Reply,
    /// True when it was said to a process that was there already: that may have been about to end.
    may_repeat: bool,
}

/// A session at work.
pub struct Session {
    shared: Arc<Shared>,
    id: SessionId,
    directory: String,
    wish: Wish,
    turn: Turn,
    process: Option<Process>,
    /// What was said and is not taken yet, in its order.
    prompts: Vec<Prompt>,
    /// Who waits for the end of the turn.
    aborts: Vec<Reply>,
    rest_at: Instant,
}

impl Session {
    /// Without a process.
    pub fn new(shared: Arc<Shared>, id: SessionId, directory: String, wish: Wish, turn: Turn) -> Self {
        Self {
            shared,
            id,
            directory,
            wish,
            turn,
            process: None,
            prompts: Vec::new(),
            aborts: Vec::new(),
            rest_at: Instant::now() + REST,
        }
    }

    /// Works until nobody can ask it any more.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        loop {
            let rest_at = self.rest_at;
            let is_resting = self.process.is_some() && !self.turn.is_busy() && self.prompts.is_empty();
            let step = tokio::select! {
                asked = asks.recv() => Step::Asked(asked),
                heard = hear(&mut self.process), if self.process.is_some() => Step::Heard(heard),
                () = sleep_until(rest_at), if is_resting => Step::Rested,
            };
            match step {
                Step::Asked(None) => return,
                Step::Asked(Some(Ask::Stop(done))) => {
                    self.stop().await;
                    let _gone = done.send(());
                    return;
                }
                Step::Asked(Some(ask)) => self.take(ask).await,
                Step::Heard(heard) => self.heard(heard).await,
                Step::Rested => self.end_process().await,
            }
        }
    }

    async fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Prompt(command, text, reply) => self.prompt(&command, text, reply).await,
            Ask::Abort(reply) => self.abort(reply).await,
            Ask::Kill(reply) => {
                let outcome = self.kill().await;
                let _gone = reply.send(Ok(outcome));
            }
            Ask::Answer(session, request, given, reply) => {
                let outcome = self.answer(&session, request.as_deref(), given).await;
                let _gone = reply.send(outcome);
            }
            Ask::Look(reply) => {
                let _gone = reply.send(Ok(self.turn.word().to_owned()));
            }
            Ask::IsExpected(name, reply) => {
                let _gone = reply.send(self.process.is_some() && self.turn.is_expected(&name));
            }
            Ask::TellKilled(done) => {
                self.turn.killed().await;
                let _gone = done.send(());
            }
            Ask::Stop(done) => {
                let _gone = done.send(());
            }
        }
    }

    async fn prompt(&mut self, command: &CommandId, text: String, reply: Reply) {
        if text.is_empty() {
            self.turn.announce().await;
            let _gone = reply.send(Ok(String::new()));
            return;
        }
        let name = names::message_of(command);
        let said = Said { name, text, mark: names::mark_of(command) };
        let may_repeat = self.process.is_some();
        self.speak(Prompt { said, reply, may_repeat }).await;
    }

    async fn speak(&mut self, prompt: Prompt) {
        let Said { name, text, .. } = &prompt.said;
        let spoken = match self.start().await {
            // What cannot be written is said again once its end is heard of.
            Ok(process) => process.prompt(name, text).await.or_else(|error| match prompt.may_repeat {
                true => Ok(()),
                false => Err(error),
            }),
            Err(error) => {
                let _gone = prompt.reply.send(Err(error));
                return;
            }
        };
        match spoken {
            Ok(()) => {
                self.turn.expect(prompt.said.clone());
                self.prompts.push(prompt);
            }
            Err(error) => {
                let why = format!("Claude Code does not read what is said to it: {error}");
                let _gone = prompt.reply.send(Err(BackendError::Refused(why)));
            }
        }
    }

    /// The process, started if there is none.
    async fn start(&mut self) -> Result<&mut Process, BackendError> {
        if self.process.is_none() {
            self.shared.up().await?;
            let directory = Path::new(&self.directory);
            if !directory.is_dir() {
                let why = format!("the project's directory {:?} does not exist", self.directory);
                return Err(BackendError::NoSuch(why));
            }
            let mode = self.shared.places.mode_of(&self.directory);
            let launch = Launch {
                session: self.id.as_str(),
                is_known: self.shared.transcripts.find(&self.id).await.is_some(),
                directory,
                mode: &mode,
                model: &self.wish.model,
                agent: &self.wish.agent,
                mark: &self.shared.mark,
            };
            let process = Process::start(&self.shared.config, &launch)
                .map_err(|error| BackendError::Refused(format!("Claude Code cannot be started: {error}")))?;
            self.process = Some(process);
        }
        self.process.as_mut().ok_or_else(|| BackendError::Refused("Claude Code has no process".into()))
    }

    async fn heard(&mut self, heard: Option<Heard>) {
        match heard {
            Some(Heard::Line(line)) => match self.turn.hear(line).await {
                Note::Nothing => {}
                Note::Taken(name) => {
                    if let Some(at) = self.prompts.iter().position(|prompt| prompt.said.name == name) {
                        let _gone = self.prompts.remove(at).reply.send(Ok(String::new()));
                    }
                }
                Note::Over => self.is_over("the turn was stopped"),
                Note::Refuse(request, why) => self.refuse(&request, &why).await,
            },
            Some(Heard::Garbage(why)) if self.turn.garbage(&why) => {}
            Some(Heard::Garbage(_)) => self.give_up().await,
            None => self.ended().await,
        }
        self.shared.know(&self.id, self.turn.helpers());
    }

    /// It has asked what nobody here can answer. It would wait for an answer for ever.
    async fn refuse(&mut self, request: &str, why: &str) {
        tracing::warn!(session = %self.id, "a request of Claude Code is refused: {why}");
        if let Some(process) = self.process.as_mut() {
            // What does not read has ended, or is ended by that.
            let _deaf = process.refuse(request, why).await;
        }
    }

    /// What it says cannot be read: the process is ended, and the session has failed.
    async fn give_up(&mut self) {
        let why = format!("Claude Code has said {MOST_GARBAGE} lines that cannot be read, and was ended");
        tracing::error!(session = %self.id, "{why}; is another program named in {}?", PROGRAM.key);
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
        self.drop_prompts(&why).await;
        self.turn.failed(&why).await;
        self.turn.cut(&why).await;
        self.is_over(&why);
    }

    /// The turn is over: whoever has waited for that is told.
    fn is_over(&mut self, outcome: &str) {
        self.rest_at = Instant::now() + REST;
        for reply in self.aborts.drain(..) {
            let _gone = reply.send(Ok(outcome.to_owned()));
        }
    }

    /// The process has ended by itself, or was ended from outside.
    async fn ended(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let outcome = process.outcome().await;
        // Its tools have outlived it, and what they do leads nowhere any more.
        process.kill().await;
        if self.turn.is_busy() {
            tracing::warn!(session = %self.id, "Claude Code has ended in mid-turn ({})", outcome.replace('\n', " | "));
        }
        let prompts = std::mem::take(&mut self.prompts);
        self.turn.cut(STOPPED).await;
        self.is_over("the coding agent has ended");
        for prompt in prompts {
            if self.shared.transcripts.has(&self.id, &prompt.said.name).await {
                let _gone = prompt.reply.send(Ok(String::new()));
            } else if prompt.reply.is_closed() {
                // Its outcome was told as unknown; said now, it would come as a surprise.
                tracing::warn!(session = %self.id, "a prompt that nobody waits for any more is not said again");
            } else if prompt.may_repeat {
                self.speak(Prompt { may_repeat: false, ..prompt }).await;
            } else {
                let outcome = outcome.replace('\n', " | ");
                let why = format!("Claude Code has ended ({outcome}) before it took the prompt");
                let _gone = prompt.reply.send(Err(BackendError::Refused(why)));
            }
        }
    }

    async fn abort(&mut self, reply: Reply) {
        let Some(process) = self.process.as_mut().filter(|_| self.turn.is_busy()) else {
            let _gone = reply.send(Ok("no turn was running".into()));
            return;
        };
        match process.interrupt().await {
            Ok(()) => self.aborts.push(reply),
            Err(error) => {
                let why = format!(
                    "Claude Code does not read that it should stop ({error}); kill the session to end it by force"
                );
                let _gone = reply.send(Err(BackendError::Refused(why)));
            }
        }
    }

    async fn kill(&mut self) -> String {
        self.interrupt_for(END_LIMIT).await;
        let ended = match self.process.take() {
            Some(process) => process.kill().await,
            None => 0,
        };
        self.drop_prompts("the session was killed").await;
        self.turn.cut("it was killed").await;
        self.is_over("the session was killed");
        self.turn.killed().await;
        format!("{ended} processes were ended")
    }

    /// Stops the turn, and hears what follows for so long at most.
    async fn interrupt_for(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        if !self.turn.is_busy() {
            return;
        }
        if let Some(process) = self.process.as_mut() {
            // What does not read is ended by force.
            let _deaf = process.interrupt().await;
        }
        while self.turn.is_busy() && self.process.is_some() {
            match timeout_at(deadline, hear(&mut self.process)).await {
                Ok(heard) => self.heard(heard).await,
                Err(_) => return,
            }
        }
    }

    async fn drop_prompts(&mut self, why: &str) {
        for prompt in std::mem::take(&mut self.prompts) {
            self.turn.forget(&prompt.said.name);
            let _gone = prompt.reply.send(Err(BackendError::Refused(why.to_owned())));
        }
    }

    async fn answer(
        &mut self,
        session: &SessionId,
        request: Option<&str>,
        given: Given,
    ) -> Result<String, BackendError> {
        let is_permission = matches!(given, Given::Permission(..));
        let ask = self.turn.find_ask(session, request, is_permission);
        let Some((ask, process)) = ask.zip(self.process.as_mut()) else {
            let kind = if is_permission { "permission" } else { "question" };
            let name = request.map_or_else(String::new, |name| format!(" {name}"));
            return Err(BackendError::NoSuch(format!("session {session} waits for no {kind}{name}")));
        };
        let (response, word, answers) = match given {
            Given::Permission(reply, message) => {
                (classify::permission_answer(&ask.said, &reply, &message), reply, Vec::new())
            }
            Given::Question(answers) => {
                let is_rejected = answers.iter().all(Vec::is_empty);
                let word = if is_rejected { "reject" } else { "answered" };
                (classify::question_answer(&ask.said, &answers), word.to_owned(), answers)
            }
        };
        let spoken = process.answer(&ask.request, &response).await;
        spoken.map_err(|error| BackendError::Down {
            backend: NAME,
            why: format!("it does not read the answer: {error}"),
        })?;
        self.turn.answered(&ask, &word, answers).await;
        Ok(format!("{word}: {}", ask.what))
    }

    /// Nothing runs: the process ends, and is started again when it is needed.
    async fn end_process(&mut self) {
        if let Some(process) = self.process.take() {
            process.end().await;
            self.turn.cut(STOPPED).await;
        }
    }

    async fn stop(&mut self) {
        self.interrupt_for(END_LIMIT).await;
        self.drop_prompts("the agent is stopping").await;
        if let Some(process) = self.process.take() {
            if self.turn.is_busy() {
                process.kill().await
            } else {
                process.end().await
            };
        }
        self.turn.cut("the agent was stopped").await;
        self.is_over("the agent was stopped");
    }
}

/// What the process says next; `None`: it has ended.
async fn hear(process: &mut Option<Process>) -> Option<Heard> {
    process.as_mut()?.heard.recv().await
}
