//! One turn of an echo session: the steps of its script, and the events they make.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::report::{CONTEXT_LIMIT, MODEL, PROVIDER, Voice, dollars, tokens};
use super::script::{self, Step};
use super::{Message, OpenAsk, Shared};
use crate::base::clock::{self, Stopwatch};
use crate::protocol::session::{SessionId, Tokens};

/// Characters of text that count as one token where the script does not say.
const CHARS_PER_TOKEN: u64 = 4;

/// How often a `pace` tells what is due.
const PACE: Duration = Duration::from_millis(5);

/// What a person answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// `once`, `always` or `reject`, and what to tell the model.
    Permission { reply: String, message: String },
    /// Chosen labels for each question.
    Question { answers: Vec<Vec<String>> },
}

/// Why a turn is over.
enum Outcome {
    Finished,
    /// A person refused; that ends the turn, and well: they wanted it so.
    Refused,
    Failed(String),
    Aborted,
    Stopping,
}

pub(super) struct Turn<'a> {
    shared: &'a Shared,
    id: &'a SessionId,
    voice: Voice,
    end: CancellationToken,
    message: String,
    parent: String,
    began: i64,
    used: Tokens,
    said_tokens: bool,
    cost_micros: u64,
}

impl<'a> Turn<'a> {
    pub(super) fn new(shared: &'a Shared, id: &'a SessionId, voice: Voice, end: CancellationToken) -> Self {
        Self {
            shared,
            id,
            voice,
            end,
            message: Voice::name("msg"),
            parent: String::new(),
            began: clock::now().0,
            used: Tokens::default(),
            said_tokens: false,
            cost_micros: 0,
        }
    }

    pub(super) async fn run(mut self, message: Message) {
        self.open(&message).await;
        let mut outcome = Outcome::Finished;
        for step in script::parse(&message.text) {
            outcome = self.step(step).await;
            if !matches!(outcome, Outcome::Finished) {
                break;
            }
        }
        self.close(outcome).await;
    }

    /// The beginning of the answer.
    async fn open(&mut self, message: &Message) {
        self.parent.clone_from(&message.id);
        self.voice.status("busy").await;
        self.used.input = message.text.len() as u64 / CHARS_PER_TOKEN + 1;
        self.voice.say("message.updated", json!({"info": self.answer(None)})).await;
    }

    async fn step(&mut self, step: Step) -> Outcome {
        if let Some(over) = self.over() {
            return over;
        }
        match step {
            Step::Say(text) => self.say(&text).await,
            Step::Run(duration) => return self.work(duration).await,
            Step::Ask(command) => return self.ask_permission(&command).await,
            Step::Question(text) => return self.ask_question(&text).await,
            Step::Fail(message) => return Outcome::Failed(message),
            Step::Cost(micros) => self.bill(micros).await,
            Step::Tokens(input, output) => self.spend(input, output),
            Step::Bad(command) => {
                let tool = Tool::new(command);
                tool.ended(&self.voice, &self.message, 1).await;
            }
            Step::Edit(file) => self.voice.say("file.edited", json!({ "file": file })).await,
            Step::Compact => self.voice.say("session.compacted", json!({})).await,
            Step::Done(thing) => {
                let todo = json!({"content": thing, "status": "completed", "priority": "medium"});
                self.voice.say("todo.updated", json!({"todos": [todo]})).await;
            }
            Step::Burst(count) => return self.burst(count).await,
            Step::Pace(count, per_second) => return self.pace(count, per_second).await,
        }
        Outcome::Finished
    }

    fn over(&self) -> Option<Outcome> {
        if self.end.is_cancelled() {
            Some(Outcome::Aborted)
        } else if self.shared.stopping.is_cancelled() {
            Some(Outcome::Stopping)
        } else {
            None
        }
    }

    /// What is billed is in the ledger before anybody is told, as it is with a provider.
    async fn bill(&mut self, micros: u64) {
        self.cost_micros += micros;
        self.shared.ledger.write(self.id, micros);
        self.voice.say("message.updated", json!({"info": self.answer(None)})).await;
    }

    fn spend(&mut self, input: u64, output: u64) {
        if !std::mem::replace(&mut self.said_tokens, true) {
            self.used = Tokens::default();
        }
        self.used.input = self.used.input.saturating_add(input);
        self.used.output = self.used.output.saturating_add(output);
    }

    async fn say(&mut self, text: &str) {
        let part = Voice::name("prt");
        for word in text.split_inclusive(' ') {
            self.voice.delta(&self.message, &part, word).await;
        }
        if !self.said_tokens {
            self.used.output += text.len() as u64 / CHARS_PER_TOKEN + 1;
        }
        self.voice.part(&self.message, &part, json!({"type": "text", "text": text})).await;
    }

    async fn burst(&mut self, count: u64) -> Outcome {
        for n in 1..=count {
            if let Some(over) = self.over() {
                return over;
            }
            self.voice.say("echo.tick", json!({ "n": n })).await;
        }
        Outcome::Finished
    }

    /// What is due by the clock, so that a late timer is made up for.
    async fn pace(&mut self, count: u64, per_second: u64) -> Outcome {
        let begun = Stopwatch::start();
        let mut timer = tokio::time::interval(PACE);
        let mut told = 0;
        while told < count {
            if let Err(over) = self.until_over(timer.tick()).await {
                return over;
            }
            let due = (begun.elapsed().as_secs_f64() * per_second as f64) as u64;
            for n in told + 1..=due.min(count) {
                self.voice.say("echo.tick", json!({ "n": n })).await;
            }
            told = told.max(due.min(count));
        }
        Outcome::Finished
    }

    /// Waits for `work`, or for whatever ends the turn.
    async fn until_over<T>(&self, work: impl Future<Output = T>) -> Result<T, Outcome> {
        tokio::select! {
            biased;
            () = self.end.cancelled() => Err(Outcome::Aborted),
            () = self.shared.stopping.cancelled() => Err(Outcome::Stopping),
            done = work => Ok(done),
        }
    }

    async fn work(&mut self, duration: Duration) -> Outcome {
        let tool = Tool::new(format!("sleep {}", duration.as_secs_f64()));
        tool.running(&self.voice, &self.message).await;
        match self.until_over(tokio::time::sleep(duration)).await {
            Ok(()) => {
                tool.completed(&self.voice, &self.message, "").await;
                Outcome::Finished
            }
            Err(over) => {
                tool.failed(&self.voice, &self.message, "Tool execution aborted").await;
                over
            }
        }
    }

    async fn ask_permission(&mut self, command: &str) -> Outcome {
        let tool = Tool::new(command.to_owned());
        tool.running(&self.voice, &self.message).await;
        let allowed =
            self.shared.lock().get(self.id).is_some_and(|slot| slot.always.iter().any(|c| c == command));
        if allowed {
            tool.completed(&self.voice, &self.message, "allowed").await;
            return Outcome::Finished;
        }
        let request = Voice::name("per");
        let asked = json!({"id": request, "permission": "bash", "patterns": [command],
            "metadata": {"command": command}, "always": [command],
            "tool": {"messageID": self.message, "callID": tool.call}});
        let answer = match self.ask("permission.asked", &request, true, asked).await {
            Ok(Answer::Permission { reply, message }) => (reply, message),
            Ok(Answer::Question { .. }) => ("reject".into(), String::new()),
            Err(over) => {
                tool.failed(&self.voice, &self.message, "Tool execution aborted").await;
                return over;
            }
        };
        self.answered(command, &request, tool, answer).await
    }

    async fn answered(
        &mut self,
        command: &str,
        request: &str,
        tool: Tool,
        (reply, message): (String, String),
    ) -> Outcome {
        self.voice.say("permission.replied", json!({"requestID": request, "reply": reply})).await;
        if reply == "reject" {
            let why = if message.is_empty() {
                "The user rejected permission to use this specific tool call.".to_owned()
            } else {
                format!("The user rejected it and said: {message}")
            };
            tool.failed(&self.voice, &self.message, &why).await;
            return Outcome::Refused;
        }
        if reply == "always"
            && let Some(slot) = self.shared.lock().get_mut(self.id)
        {
            slot.always.push(command.to_owned());
        }
        tool.completed(&self.voice, &self.message, "allowed").await;
        Outcome::Finished
    }

    async fn ask_question(&mut self, text: &str) -> Outcome {
        let request = Voice::name("que");
        let asked = json!({"id": request, "questions": [{"question": text, "header": "Question",
            "options": [{"label": "Yes", "description": ""}, {"label": "No", "description": ""}]}]});
        match self.ask("question.asked", &request, false, asked).await {
            Ok(Answer::Question { answers }) if answers.is_empty() => {
                self.voice.say("question.rejected", json!({"requestID": request})).await;
                Outcome::Refused
            }
            Ok(Answer::Question { answers }) => {
                let data = json!({"requestID": request, "answers": answers});
                self.voice.say("question.replied", data).await;
                Outcome::Finished
            }
            Ok(Answer::Permission { .. }) => Outcome::Finished,
            Err(over) => over,
        }
    }

    /// Asks a person and waits.
    async fn ask(
        &self,
        kind: &str,
        request: &str,
        is_permission: bool,
        data: Value,
    ) -> Result<Answer, Outcome> {
        let (answer, answered) = oneshot::channel();
        if let Some(turn) = self.shared.lock().get_mut(self.id).and_then(|slot| slot.turn.as_mut()) {
            turn.asks.push(OpenAsk { id: request.to_owned(), is_permission, answer });
        }
        self.voice.say(kind, data).await;
        self.until_over(answered).await?.map_err(|_| Outcome::Aborted)
    }

    /// The end of the answer, the session's new sums, and the state that the turn leaves.
    async fn close(self, outcome: Outcome) {
        let (error, finish) = match &outcome {
            Outcome::Finished | Outcome::Refused => (None, "stop"),
            Outcome::Failed(message) => (Some(("UnknownError", message.clone())), "error"),
            Outcome::Aborted => (Some(("MessageAbortedError", "Aborted".to_owned())), "aborted"),
            Outcome::Stopping => (None, "aborted"),
        };
        let updated = {
            let mut sessions = self.shared.lock();
            let Some(slot) = sessions.get_mut(self.id) else { return };
            slot.tokens = slot.tokens.plus(&self.used);
            slot.cost_micros += self.cost_micros;
            slot.context_used = (slot.context_used + self.used.total()).min(CONTEXT_LIMIT);
            if let Some(turn) = slot.turn.as_mut() {
                turn.asks.clear();
            }
            (self.voice.info("session.updated", slot), slot.context_used, slot.ended)
        };
        let (info, context, ended) = updated;
        let mut answer = self.answer(Some((context, finish)));
        if let Some((name, message)) = &error {
            answer["error"] = json!({"name": name, "data": {"message": message}});
            self.voice.error(name, message).await;
        }
        self.voice.say("message.updated", json!({ "info": answer })).await;
        self.voice.tell(info).await;
        if matches!(outcome, Outcome::Stopping) {
            self.voice.say("session.interrupted", json!({"reason": "the agent was stopped"})).await;
        }
        self.voice.status("idle").await;
        self.voice.say("session.idle", json!({})).await;
        if ended {
            self.voice.ended("killed").await;
        }
    }

    /// The `info` of the assistant's message, finished or not.
    fn answer(&self, finished: Option<(u64, &str)>) -> Value {
        let directory = self.voice.directory();
        let mut info = json!({"id": self.message, "parentID": self.parent, "role": "assistant", "mode": "echo",
            "agent": "echo", "path": {"cwd": directory, "root": directory}, "sessionID": self.id,
            "cost": dollars(self.cost_micros), "tokens": tokens(&Tokens::default()), "modelID": MODEL,
            "providerID": PROVIDER, "contextLimit": CONTEXT_LIMIT, "time": {"created": self.began}});
        if let Some((context, finish)) = finished {
            info["tokens"] = tokens(&self.used);
            info["tokens"]["total"] = json!(context);
            info["time"]["completed"] = json!(clock::now().0);
            info["finish"] = json!(finish);
        }
        info
    }
}

/// A call of the one tool that echo has.
struct Tool {
    part: String,
    call: String,
    command: String,
    start: i64,
}

impl Tool {
    fn new(command: String) -> Self {
        Self { part: Voice::name("prt"), call: Voice::name("call"), command, start: clock::now().0 }
    }

    async fn running(&self, voice: &Voice, message: &str) {
        let state = json!({"status": "running", "input": self.input(), "time": {"start": self.start}});
        self.show(voice, message, state).await;
    }

    async fn completed(&self, voice: &Voice, message: &str, output: &str) {
        let time = json!({"start": self.start, "end": clock::now().0});
        let state = json!({"status": "completed", "input": self.input(), "output": output,
            "title": self.command, "metadata": {"exit": 0}, "time": time});
        self.show(voice, message, state).await;
    }

    /// It ran to its end, and says by its exit how that was.
    async fn ended(&self, voice: &Voice, message: &str, exit: i32) {
        let time = json!({"start": self.start, "end": clock::now().0});
        let state = json!({"status": "completed", "input": self.input(), "output": "",
            "title": self.command, "metadata": {"exit": exit}, "time": time});
        self.show(voice, message, state).await;
    }

    async fn failed(&self, voice: &Voice, message: &str, error: &str) {
        let time = json!({"start": self.start, "end": clock::now().0});
        let state = json!({"status": "error", "input": self.input(), "error": error, "time": time});
        self.show(voice, message, state).await;
    }

    fn input(&self) -> Value {
        json!({"command": self.command, "description": "echo"})
    }

    async fn show(&self, voice: &Voice, message: &str, state: Value) {
        let body = json!({"type": "tool", "tool": "bash", "callID": self.call, "state": state});
        voice.part(message, &self.part, body).await;
    }
}
