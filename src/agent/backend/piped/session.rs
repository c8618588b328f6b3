//! A session: the one owner of its process, from the first prompt until it has rested for a while.
//!
//! ```text
//!   prompt: start (or resume) if there is no process -> say it -> taken -> the turn runs -> idle -> .. -> ended to rest
//!   abort: interrupt, and wait for the end of the turn    kill: the same for a while, then everything it started is ended
//! ```

mod begin;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::host::{Ask, Given, Host, Reply, Waits};
use super::names;
use super::process::{Heard, LineProcess, Spoken, WRITE_LIMIT};
use super::tongue::Tongue;
use super::turn::{MOST_GARBAGE, Note, Said};
use crate::backend::BackendError;
use hal_protocol::command::CommandId;
use hal_protocol::session::SessionId;

/// What is told of an answer that is nobody's business.
const SECRET: &str = "***";

/// How long a process without a turn is kept: it may take some 200 MB, and a second to be started again.
const REST: Duration = Duration::from_secs(600);

/// How long a turn may take to end before a kill, and before the agent stops.
const END_LIMIT: Duration = Duration::from_secs(4);

/// Bytes of prompts that may wait for a session: each of them is held in memory.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How long it may take to find out in the coding agent's own record whether it has taken something.
pub const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// Why a turn is cut off whose process has ended.
const STOPPED: &str = "the coding agent stopped in mid-turn";

/// What is told of a prompt that was dropped with the turn before it.
const DROPPED: &str = "the turn was stopped before the prompt was begun; it is not worked on";

/// What happens next.
enum Step<L> {
    Asked(Option<Ask>),
    Heard(Option<Heard<L>>),
    Rested,
}

/// Something that was said, and who waits for it to be taken.
struct Prompt {
    said: Said,
    reply: Reply,
    /// Tells the one who waits whether it was begun.
    waits: Waits,
    /// True when it was said to a process that was there already: that may have been about to end.
    may_repeat: bool,
    /// True while it waits for the end of a turn that takes nothing.
    is_held: bool,
}

/// A session at work.
pub struct Session<T: Tongue> {
    host: Arc<Host>,
    id: SessionId,
    tongue: T,
    process: Option<LineProcess<T::Line>>,
    asks: mpsc::Receiver<Ask>,
    /// What was asked while a process began.
    deferred: VecDeque<Ask>,
    /// What was said and is not taken yet, in its order.
    prompts: Vec<Prompt>,
    /// Who waits for the end of the turn.
    aborts: Vec<Reply>,
    rest_at: Instant,
}

impl<T: Tongue> Session<T> {
    /// Without a process.
    pub fn new(host: Arc<Host>, id: SessionId, tongue: T, asks: mpsc::Receiver<Ask>) -> Self {
        let rest_at = Instant::now() + REST;
        let (prompts, aborts, deferred) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { host, id, tongue, process: None, asks, deferred, prompts, aborts, rest_at }
    }

    /// Works until nobody can ask it any more.
    pub async fn run(mut self) {
        loop {
            let rest_at = self.rest_at;
            let is_resting =
                self.process.is_some() && !self.tongue.turn().is_busy() && self.prompts.is_empty();
            let step = match self.deferred.pop_front() {
                Some(deferred) => Step::Asked(Some(deferred)),
                None => tokio::select! {
                    asked = self.asks.recv() => Step::Asked(asked),
                    heard = hear(&mut self.process), if self.process.is_some() => Step::Heard(heard),
                    () = sleep_until(rest_at), if is_resting => Step::Rested,
                },
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
            for prompt in &self.prompts {
                prompt.waits.set(prompt.is_held || self.tongue.is_waiting(&prompt.said.name));
            }
        }
    }

    async fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Prompt(command, text, waits, reply) => self.prompt(&command, text, waits, reply).await,
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
                let _gone = reply.send(Ok(self.tongue.turn().word().to_owned()));
            }
            Ask::IsExpected(name, reply) => {
                let is_expected = self.prompts.iter().any(|prompt| prompt.said.name == name);
                let _gone = reply.send(self.process.is_some() && is_expected);
            }
            Ask::TellKilled(done) => {
                self.tongue.turn().killed().await;
                let _gone = done.send(());
            }
            Ask::Stop(done) => {
                let _gone = done.send(());
            }
        }
    }

    async fn prompt(&mut self, command: &CommandId, text: String, waits: Waits, reply: Reply) {
        if text.is_empty() {
            self.tongue.turn().announce().await;
            let _gone = reply.send(Ok(String::new()));
            return;
        }
        let held: usize = self.prompts.iter().map(|prompt| prompt.said.text.len()).sum();
        if held + text.len() > MOST_BYTES {
            let why = format!("{} MiB of prompts wait for session {} already", MOST_BYTES >> 20, self.id);
            let _gone = reply.send(Err(BackendError::Refused(why)));
            return;
        }
        let name = names::message_of(command);
        let said = Said { name, text, mark: names::mark_of(command) };
        let may_repeat = self.process.is_some();
        self.speak(Prompt { said, reply, waits, may_repeat, is_held: false }).await;
    }

    async fn speak(&mut self, prompt: Prompt) {
        if self.process.is_none()
            && let Err(error) = self.begin().await
        {
            let _gone = prompt.reply.send(Err(error));
            return;
        }
        let Some(process) = self.process.as_mut() else { return };
        // It may be answered at once.
        self.tongue.turn().expect(prompt.said.clone());
        match self.tongue.prompt(process, &prompt.said).await {
            // What cannot be written is said again once its end is heard of. It may have been read all the same: that is
            // found out by looking.
            Err(error) if !prompt.may_repeat => {
                tracing::warn!(session = %self.id, "{} does not read what is said: {error}", self.host.spec.title);
                self.tongue.turn().forget(&prompt.said.name);
                let (seconds, doing) = (WRITE_LIMIT.as_secs(), "reading what is said to it");
                let unknown = BackendError::Silent { backend: self.host.spec.name, seconds, doing };
                let _gone = prompt.reply.send(Err(unknown));
            }
            Ok(()) | Err(_) => self.prompts.push(prompt),
        }
    }

    async fn heard(&mut self, heard: Option<Heard<T::Line>>) {
        match heard {
            Some(Heard::Line(line)) => {
                let note = self.tongue.hear(line).await;
                self.note(note).await;
            }
            Some(Heard::Garbage(why)) if self.tongue.turn().garbage(&why) => {}
            Some(Heard::Garbage(_)) => self.give_up().await,
            None => self.ended().await,
        }
        self.host.know(&self.id, self.tongue.helpers().iter());
    }

    async fn note(&mut self, note: Note) {
        match note {
            Note::Nothing => {}
            Note::Taken(name) => self.reply_to(&name, Ok(String::new())),
            Note::Refused(name, why) => {
                self.tongue.turn().forget(&name);
                let why = format!("{} does not take the prompt: {why}", self.host.spec.title);
                self.reply_to(&name, Err(BackendError::Refused(why)));
            }
            Note::Later(name) => {
                let its = self.prompts.iter_mut().filter(|prompt| prompt.said.name == name);
                its.for_each(|prompt| prompt.is_held = true);
                if !self.tongue.turn().is_busy() {
                    Box::pin(self.speak_held()).await;
                }
            }
            Note::Over => {
                self.tell_over("the turn was stopped");
                self.speak_held().await;
            }
            Note::TakenAndOver(name) => {
                self.reply_to(&name, Ok(String::new()));
                self.tell_over("the turn was stopped");
                self.go_on().await;
                self.speak_held().await;
            }
            Note::GoOn => {
                self.tell_over("the turn was stopped");
                self.go_on().await;
            }
            Note::Unwanted => {
                if let Some(process) = self.process.as_mut() {
                    // What does not read has ended, or is ended by that.
                    let _deaf = self.tongue.interrupt(process).await;
                }
            }
            Note::Refuse(request, why) => {
                // It would wait for an answer for ever.
                self.tongue.turn().refused(&why);
                if let Some(process) = self.process.as_mut() {
                    let _deaf = self.tongue.refuse(process, &request, &why).await;
                }
            }
        }
    }

    async fn go_on(&mut self) {
        if let Some(process) = self.process.as_mut() {
            // What does not read has ended, and that is heard.
            let _deaf = self.tongue.go_on(process).await;
        }
    }

    fn reply_to(&mut self, name: &str, outcome: Result<String, BackendError>) {
        if let Some(at) = self.prompts.iter().position(|prompt| prompt.said.name == name) {
            let _gone = self.prompts.remove(at).reply.send(outcome);
        }
    }

    /// Says again what had to wait for the end of a turn.
    async fn speak_held(&mut self) {
        let (held, others) = std::mem::take(&mut self.prompts).into_iter().partition(|prompt| prompt.is_held);
        self.prompts = others;
        let held: Vec<Prompt> = held;
        for prompt in held {
            self.tongue.turn().forget(&prompt.said.name);
            self.speak(Prompt { is_held: false, ..prompt }).await;
        }
    }

    /// What it says cannot be read: the process is ended, and the session has failed.
    async fn give_up(&mut self) {
        let spec = &self.host.spec;
        let why = format!("{} has said {MOST_GARBAGE} lines that cannot be read, and was ended", spec.title);
        tracing::error!(session = %self.id, "{why}; is another program named in {}?", spec.key);
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
        self.drop_prompts(&why);
        self.tongue.turn().failed(&why).await;
        self.tongue.cut(&why).await;
        self.tell_over(&why);
    }

    /// The turn is over: whoever has waited for that is told.
    fn tell_over(&mut self, outcome: &str) {
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
        let outcome = outcome.replace('\n', " | ");
        if self.tongue.turn().is_busy() {
            tracing::warn!(session = %self.id, "{} has ended in mid-turn ({outcome})", self.host.spec.title);
        }
        let prompts = std::mem::take(&mut self.prompts);
        self.tongue.cut(STOPPED).await;
        self.tell_over("the coding agent has ended");
        for prompt in prompts {
            self.said_to_the_dead(prompt, &outcome).await;
        }
    }

    /// A process has ended without a word about a prompt.
    async fn said_to_the_dead(&mut self, prompt: Prompt, outcome: &str) {
        match self.tongue.has_taken(&prompt.said.name).await {
            Some(true) => {
                let _gone = prompt.reply.send(Ok(String::new()));
            }
            // Its outcome was told as unknown; said now, it would come as a surprise.
            _ if prompt.reply.is_closed() => {
                tracing::warn!(session = %self.id, "a prompt that nobody waits for any more is not said again");
            }
            None => {
                let (seconds, doing) = (LOOK_LIMIT.as_secs(), "telling whether it took the prompt");
                let unknown = BackendError::Silent { backend: self.host.spec.name, seconds, doing };
                let _gone = prompt.reply.send(Err(unknown));
            }
            Some(false) if prompt.may_repeat => {
                self.speak(Prompt { may_repeat: false, is_held: false, ..prompt }).await;
            }
            Some(false) => {
                let title = self.host.spec.title;
                let why = format!("{title} has ended ({outcome}) before it took the prompt");
                let _gone = prompt.reply.send(Err(BackendError::Refused(why)));
            }
        }
    }

    async fn abort(&mut self, reply: Reply) {
        let turn = self.tongue.turn();
        let (is_busy, is_expecting) = (turn.is_busy(), turn.expects());
        let Some(process) = self.process.as_mut().filter(|_| is_busy || is_expecting) else {
            let _gone = reply.send(Ok("no turn was running".into()));
            return;
        };
        if let Err(error) = self.tongue.interrupt(process).await {
            let why = format!(
                "{} does not read that it should stop ({error}); kill the session to end it by force",
                self.host.spec.title
            );
            let _gone = reply.send(Err(BackendError::Refused(why)));
            return;
        }
        // What was said before is not worked on after it.
        self.drop_prompts(DROPPED);
        match is_busy {
            true => self.aborts.push(reply),
            false => {
                let _gone = reply.send(Ok("what was said was dropped before its turn began".into()));
            }
        }
    }

    async fn kill(&mut self) -> String {
        self.interrupt_for(END_LIMIT).await;
        let ended = match self.process.take() {
            Some(process) => process.kill().await,
            None => 0,
        };
        self.drop_prompts("the session was killed");
        self.tongue.cut("it was killed").await;
        self.tell_over("the session was killed");
        self.tongue.turn().killed().await;
        format!("{ended} processes were ended")
    }

    /// Stops the turn, and hears what follows for so long at most.
    async fn interrupt_for(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        if !self.tongue.turn().is_busy() {
            return;
        }
        if let Some(process) = self.process.as_mut() {
            // What does not read is ended by force.
            let _deaf = self.tongue.interrupt(process).await;
        }
        self.drop_prompts(DROPPED);
        while self.tongue.turn().is_busy() && self.process.is_some() {
            match timeout_at(deadline, hear(&mut self.process)).await {
                Ok(heard) => Box::pin(self.heard(heard)).await,
                Err(_) => return,
            }
        }
    }

    fn drop_prompts(&mut self, why: &str) {
        for prompt in std::mem::take(&mut self.prompts) {
            self.tongue.turn().forget(&prompt.said.name);
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
        let ask = self.tongue.turn().find_ask(session, request, is_permission);
        let Some((ask, process)) = ask.zip(self.process.as_mut()) else {
            let kind = if is_permission { "permission" } else { "question" };
            let name = request.map_or_else(String::new, |name| format!(" {name}"));
            return Err(BackendError::NoSuch(format!("session {session} waits for no {kind}{name}")));
        };
        let spoken = self.tongue.answer(process, &ask, &given).await;
        let word = spoken.map_err(|error| BackendError::Down {
            backend: self.host.spec.name,
            why: format!("it does not read the answer: {error}"),
        })?;
        let answers = match given {
            Given::Question(answers) if word != "reject" && T::is_secret(&ask.said) => {
                vec![vec![SECRET.to_owned()]; answers.len()]
            }
            Given::Question(answers) if word != "reject" => answers,
            Given::Question(_) | Given::Permission(..) => Vec::new(),
        };
        self.tongue.turn().answered(&ask, &word, answers).await;
        Ok(format!("{word}: {}", ask.what))
    }

    /// Nothing runs: the process ends, and is started again when it is needed.
    async fn end_process(&mut self) {
        if let Some(process) = self.process.take() {
            process.end().await;
            self.tongue.rested().await;
            self.tongue.cut(STOPPED).await;
        }
    }

    async fn stop(&mut self) {
        self.interrupt_for(END_LIMIT).await;
        self.drop_prompts("the agent is stopping");
        if let Some(process) = self.process.take() {
            if self.tongue.turn().is_busy() {
                process.kill().await;
            } else {
                process.end().await;
                self.tongue.rested().await;
            }
        }
        self.tongue.cut("the agent was stopped").await;
        self.tell_over("the agent was stopped");
    }
}

/// What the process says next; `None`: it has ended.
async fn hear<L: Spoken>(process: &mut Option<LineProcess<L>>) -> Option<Heard<L>> {
    process.as_mut()?.heard.recv().await
}
