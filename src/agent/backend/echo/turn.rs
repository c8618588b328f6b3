//! One turn of an echo session: the steps of its script, and the events they make.

use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::report::{CONTEXT_LIMIT, MODEL, PROVIDER, Voice, dollars};
use super::script::{self, ScriptStep};
use super::{Message, OpenAsk, Shared};
use hal_base::clock::{self, Stopwatch, Time};
use hal_protocol::approval::{Choice, Question};
use hal_protocol::event::failure::{Failure, FailureKind, says_limited};
use hal_protocol::event::part::{Content, ToolCause, ToolInput, ToolKind, ToolState, ToolUse, Words};
use hal_protocol::event::what::{
    MessageTold, PermissionAsked, QuestionAsked, Replied, ReplyTold, Role, TurnTold, What,
};
use hal_protocol::session::{SessionId, Todo, Tokens};

/// Characters of text that count as one token where the script does not say.
const CHARS_PER_TOKEN: u64 = 4;

/// How often a `pace` tells what is due.
const PACE: Duration = Duration::from_millis(5);

/// The one tool that echo has.
const TOOL: &str = "bash";

/// Why a tool came to nothing whose turn was stopped.
const STOPPED: &str = "its turn was stopped";

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
        self.voice.say(What::Status(Some(TurnTold::Busy))).await;
        self.used.input = message.text.len() as u64 / CHARS_PER_TOKEN + 1;
        self.voice.say(What::Message(Box::new(self.answer()))).await;
    }

    async fn step(&mut self, step: ScriptStep) -> Outcome {
        if let Some(over) = self.over() {
            return over;
        }
        match step {
            ScriptStep::Say(text) => self.say(&text).await,
            ScriptStep::Run(duration) => return self.work(duration).await,
            ScriptStep::Ask(command) => return self.ask_permission(&command).await,
            ScriptStep::Question(text) => return self.ask_question(&text).await,
            ScriptStep::Fail(message) => return Outcome::Failed(message),
            ScriptStep::Cost(micros) => self.bill(micros).await,
            ScriptStep::Tokens(input, output) => self.spend(input, output),
            ScriptStep::Bad(command) => {
                let tool = Tool::new(command);
                tool.completed(&self.voice, &self.message, "", 1).await;
            }
            ScriptStep::Edit(file) => self.voice.say(What::FileEdited(file)).await,
            ScriptStep::Compact => self.voice.say(What::Compacted).await,
            ScriptStep::Done(content) => {
                let todo = Todo { content, status: "completed".to_owned() };
                self.voice.say(What::Todo(Some(vec![todo]))).await;
            }
            ScriptStep::Burst(count) => return self.burst(count).await,
            ScriptStep::Pace(count, per_second) => return self.pace(count, per_second).await,
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
        self.voice.say(What::Message(Box::new(self.answer()))).await;
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
        let words = Words { text: text.to_owned(), ..Words::default() };
        self.voice.part(&self.message, &part, Content::Text(words)).await;
    }

    async fn burst(&mut self, count: u64) -> Outcome {
        for n in 1..=count {
            if let Some(over) = self.over() {
                return over;
            }
            self.voice.tick(n).await;
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
                self.voice.tick(n).await;
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
                tool.completed(&self.voice, &self.message, "", 0).await;
                Outcome::Finished
            }
            Err(over) => {
                tool.failed(&self.voice, &self.message, STOPPED, ToolCause::Stopped).await;
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
            tool.completed(&self.voice, &self.message, "allowed", 0).await;
            return Outcome::Finished;
        }
        let request = Voice::name("per");
        let asked = PermissionAsked {
            id: request.clone(),
            tool: TOOL.to_owned(),
            patterns: vec![command.to_owned()],
            command: Some(command.to_owned()),
            message_id: self.message.clone(),
            call: tool.call.clone(),
            ..PermissionAsked::default()
        };
        let answer = match self.ask(What::PermissionAsked(asked), &request, true).await {
            Ok(Answer::Permission { reply, message }) => (reply, message),
            Ok(Answer::Question { .. }) => ("reject".into(), String::new()),
            Err(over) => {
                tool.failed(&self.voice, &self.message, STOPPED, ToolCause::Stopped).await;
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
        let told = ReplyTold::of_word(reply.clone());
        let replied = Replied { request_id: request.to_owned(), reply: Some(told), ..Replied::default() };
        self.voice.say(What::PermissionReplied(replied)).await;
        if reply == "reject" {
            let why = if message.is_empty() { "no reason was given" } else { &message };
            tool.failed(&self.voice, &self.message, why, ToolCause::Refused).await;
            return Outcome::Refused;
        }
        if reply == "always"
            && let Some(slot) = self.shared.lock().get_mut(self.id)
        {
            slot.always.push(command.to_owned());
        }
        tool.completed(&self.voice, &self.message, "allowed", 0).await;
        Outcome::Finished
    }

    async fn ask_question(&mut self, text: &str) -> Outcome {
        let request = Voice::name("que");
        let option = |label: &str| Choice { label: label.to_owned(), description: String::new() };
        let options = ["Yes", "No"].map(option).to_vec();
        let questions = vec![Question { question: text.to_owned(), options }];
        let asked = QuestionAsked { id: request.clone(), questions, ..QuestionAsked::default() };
        match self.ask(What::QuestionAsked(asked), &request, false).await {
            Ok(Answer::Question { answers }) => {
                let is_rejected = answers.is_empty();
                let replied = Replied { request_id: request, answers, ..Replied::default() };
                match is_rejected {
                    true => self.voice.say(What::QuestionRejected(replied)).await,
                    false => self.voice.say(What::QuestionReplied(replied)).await,
                }
                if is_rejected { Outcome::Refused } else { Outcome::Finished }
            }
            Ok(Answer::Permission { .. }) => Outcome::Finished,
            Err(over) => over,
        }
    }

    /// Asks a person and waits.
    async fn ask(&self, what: What, request: &str, is_permission: bool) -> Result<Answer, Outcome> {
        let (answer, answered) = oneshot::channel();
        if let Some(turn) = self.shared.lock().get_mut(self.id).and_then(|slot| slot.turn.as_mut()) {
            turn.asks.push(OpenAsk { id: request.to_owned(), is_permission, answer });
        }
        self.voice.say(what).await;
        self.until_over(answered).await?.map_err(|_| Outcome::Aborted)
    }

    /// The end of the answer, the session's new sums, and the state that the turn leaves.
    async fn close(self, outcome: Outcome) {
        let (failure, finish) = match &outcome {
            Outcome::Finished | Outcome::Refused => (None, "stop"),
            Outcome::Failed(message) => (Some(failed(message)), "error"),
            Outcome::Aborted => (Some(aborted()), "aborted"),
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
            (self.voice.info(slot), slot.context_used, slot.ended)
        };
        let (info, context, ended) = updated;
        if failure.is_some() {
            self.voice.say(What::Failed(failure.clone())).await;
        }
        let answer = MessageTold {
            tokens: self.used,
            context,
            failure,
            has_ended: true,
            finish: finish.to_owned(),
            completed: Some(clock::now()),
            ..self.answer()
        };
        self.voice.say(What::Message(Box::new(answer))).await;
        self.voice.say(What::SessionUpdated(info)).await;
        if matches!(outcome, Outcome::Stopping) {
            self.voice.say(What::Interrupted { reason: "the agent was stopped".to_owned() }).await;
        }
        self.voice.say(What::Status(Some(TurnTold::Over))).await;
        self.voice.say(What::Idle).await;
        if ended {
            self.voice.ended("killed").await;
        }
    }

    /// The assistant's message as it begins.
    fn answer(&self) -> MessageTold {
        MessageTold {
            id: self.message.clone(),
            parent_id: self.parent.clone(),
            role: Role::Assistant,
            provider: PROVIDER.to_owned(),
            model: MODEL.to_owned(),
            cost: Some(dollars(self.cost_micros)),
            context_limit: Some(CONTEXT_LIMIT),
            created: Some(Time(self.began)),
            ..MessageTold::default()
        }
    }
}

/// A turn that failed as its script says.
fn failed(message: &str) -> Failure {
    let kind = if says_limited(message) { FailureKind::RateLimited } else { FailureKind::Other };
    Failure { kind, name: "EchoError".to_owned(), message: message.to_owned(), http_status: None }
}

fn aborted() -> Failure {
    let (name, message) = ("Aborted".to_owned(), "the turn was stopped".to_owned());
    Failure { kind: FailureKind::Aborted, name, message, http_status: None }
}

/// A call of the one tool that echo has.
struct Tool {
    part: String,
    call: String,
    command: String,
}

impl Tool {
    fn new(command: String) -> Self {
        Self { part: Voice::name("prt"), call: Voice::name("call"), command }
    }

    async fn running(&self, voice: &Voice, message: &str) {
        self.show(voice, message, ToolUse { state: ToolState::Running, ..self.call() }).await;
    }

    /// It ran to its end, and says by its exit how that was.
    async fn completed(&self, voice: &Voice, message: &str, output: &str, exit: i64) {
        let ended = ToolUse {
            state: ToolState::Completed,
            output: output.to_owned(),
            title: self.command.clone(),
            exit: Some(exit),
            ..self.call()
        };
        self.show(voice, message, ended).await;
    }

    async fn failed(&self, voice: &Voice, message: &str, error: &str, cause: ToolCause) {
        let (state, error) = (ToolState::Error, error.to_owned());
        self.show(voice, message, ToolUse { state, error, cause: Some(cause), ..self.call() }).await;
    }

    fn call(&self) -> ToolUse {
        ToolUse {
            tool: TOOL.to_owned(),
            kind: ToolKind::Execute,
            call: self.call.clone(),
            input: ToolInput(json!({"command": self.command, "description": "echo"})),
            ..ToolUse::default()
        }
    }

    async fn show(&self, voice: &Voice, message: &str, told: ToolUse) {
        voice.part(message, &self.part, Content::Tool(Box::new(told))).await;
    }
}
