//! What a session's process says, told as events; and what the session waits for.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::SPEC;
use super::classify;
use super::items::text_of;
use super::usage::{Meter, beyond};
use super::words::{Asked, Item, Told, TurnEnd, TurnSaid, UsageSaid};
use crate::backend::piped::turn::{Note, OpenAsk, OpenCall, Turn};
use crate::backend::piped::voice::Voice;
use hal_base::clock::{self, Time};
use hal_protocol::event::part::{Content, ToolState, ToolUse, Words};
use hal_protocol::event::what::{MessageTold, Role, SessionTold, What};
use hal_protocol::session::{Session, Tokens};

/// What ran with a turn that was stopped.
const STOPPED: &str = "the turn was stopped";

/// Calls of helpers that are remembered: more are never open at once.
const MOST_CALLS: usize = 1024;

/// Bytes of words that are gathered in case their end is never told; a piece that is longer is told at its end only.
const MOST_WRITTEN: usize = 256 * 1024;

/// An answer of the model: what one call of it brings.
#[derive(Clone, Debug)]
struct Answer {
    id: String,
    created: Time,
    calls: bool,
    /// The piece that is being written, and its words so far.
    written: Option<(String, String)>,
}

/// The turns of a session.
#[derive(Debug)]
pub struct CodexTurn {
    /// What every kind has of them.
    pub base: Turn<Asked>,
    provider: String,
    model: String,
    /// The turn that runs.
    running: Option<String>,
    /// The turn that was over last.
    last_over: String,
    /// Turns of helpers that run, by thread: the session's turn is not over before them.
    helpers: HashMap<String, String>,
    /// What helpers call, for what they ask.
    helpers_calls: HashMap<String, OpenCall>,
    /// Answers of that turn so far.
    answers: u64,
    open: Option<Answer>,
    /// By thread: the session's own, and those of helpers.
    meters: HashMap<String, Meter>,
    /// What the session has used so far.
    used: Tokens,
    /// And what of that was told.
    told: Tokens,
}

impl CodexTurn {
    /// Of a session as it is known, or as it is made.
    pub fn new(voice: Voice, session: &Session, is_told: bool) -> Self {
        let own = session.id.to_string();
        let mut meter = Meter::default();
        if !is_told {
            meter.begin(UsageSaid::default());
        }
        Self {
            base: Turn::new(&SPEC, voice, session, is_told, false),
            provider: String::new(),
            model: String::new(),
            running: None,
            last_over: String::new(),
            helpers: HashMap::new(),
            helpers_calls: HashMap::new(),
            answers: 0,
            open: None,
            meters: HashMap::from([(own, meter)]),
            used: session.tokens,
            told: session.tokens,
        }
    }

    /// A process has the session; this is what it says of it.
    pub fn note_thread(&mut self, said: &Value) {
        self.provider = text_of(&said["modelProvider"]);
        self.model = text_of(&said["model"]);
    }

    /// A turn of this name runs, unless it is over already: false then.
    pub fn set_running(&mut self, turn: &str) -> bool {
        let is_over = self.last_over == turn;
        if !is_over {
            self.running = Some(turn.to_owned());
        }
        !is_over
    }

    /// The turn that runs.
    pub fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// What runs, each turn with its thread.
    pub fn all_running(&self) -> Vec<(String, String)> {
        let own = self.running.iter().map(|turn| (self.base.id.to_string(), turn.clone()));
        own.chain(self.helpers.iter().map(|(thread, turn)| (thread.clone(), turn.clone()))).collect()
    }

    /// Takes what is told of a thread.
    pub async fn hear(&mut self, thread: &str, told: Told) -> Note {
        let is_own = thread == self.base.id.as_str();
        match told {
            Told::Usage { turn, sum, last, window } => {
                self.usage(thread, &turn, sum, last, window).await;
            }
            _ if !is_own => return self.of_helper(thread, told).await,
            Told::TurnStarted(turn) => {
                self.running = Some(turn);
                self.answers = 0;
                // A turn for something that was said is told of with that.
                if !self.base.expects() {
                    self.base.busy().await;
                }
            }
            Told::TurnOver(said) => {
                self.over(&said).await;
                self.last_over = said.turn;
                return self.all_over().await;
            }
            // The end of a turn is told by itself.
            Told::Rests => {}
            Told::Begun { turn, item } if self.is_running(&turn) => self.begun(&turn, item).await,
            Told::Done { turn, item } if self.is_running(&turn) => self.done(&turn, item).await,
            // A command may run on when its turn is over.
            Told::Done { item: Item::Tool { told, files, is_declined }, .. } => {
                if self.base.calls.contains_key(&told.call) {
                    self.tool_done("", *told, files, is_declined).await;
                }
            }
            Told::Begun { .. } | Told::Done { .. } => {}
            Told::Words { item, text } => self.growing(item, text).await,
            Told::Retry(said) => {
                let (attempt, why) = classify::retry(&said);
                self.base.retry(attempt, why, Duration::ZERO).await;
            }
            Told::Rerouted(model) => self.model = model,
        }
        Note::Nothing
    }

    fn is_running(&self, turn: &str) -> bool {
        self.running.as_deref() == Some(turn)
    }

    /// Helpers are threads of their own, which are told as a part of the session that has started them.
    async fn of_helper(&mut self, thread: &str, told: Told) -> Note {
        match told {
            Told::TurnStarted(turn) => {
                self.helpers.insert(thread.to_owned(), turn);
                self.base.busy().await;
            }
            // Not every helper is heard to have ended its turn: one that is closed, or has lost its provider, is not.
            Told::TurnOver(_) | Told::Rests => {
                let has_worked = self.helpers.remove(thread).is_some();
                return if has_worked { self.all_over().await } else { Note::Nothing };
            }
            Told::Begun { item: Item::Tool { told, .. }, .. } if self.helpers_calls.len() < MOST_CALLS => {
                let session = self.base.id.clone();
                let (message, part) = (String::new(), String::new());
                let call = OpenCall { session, message, part, told: *told, is_refused: false };
                self.helpers_calls.insert(call.told.call.clone(), call);
            }
            Told::Done { item: Item::Tool { told, .. }, .. } => {
                self.helpers_calls.remove(&told.call);
            }
            _ => {}
        }
        Note::Nothing
    }

    /// It asks a person, or one of its helpers does.
    pub async fn ask(&mut self, said: Asked) {
        let call = self.base.calls.get(&said.item).or_else(|| self.helpers_calls.get(&said.item));
        let (told, is_permission, what) = classify::asked(&said, call);
        let ask = OpenAsk {
            request: said.name.clone(),
            session: self.base.id.clone(),
            call: said.item.clone(),
            said,
            is_permission,
            what,
        };
        self.base.ask(ask, &told).await;
    }

    /// A request is over, whoever has answered it.
    pub async fn resolved(&mut self, id: &Value) {
        if let Some(name) = self.base.name_of(|asked| asked.id == *id) {
            self.base.withdrawn(&name).await;
        }
    }

    /// The process has ended: what ran is cut off, for this reason.
    pub async fn cut(&mut self, reason: &str) {
        // Its end is not told: that a call was cut off is told with the turn.
        if let Some(answer) = self.open.take() {
            self.tell_written(&answer).await;
        }
        self.running = None;
        self.helpers.clear();
        self.helpers_calls.clear();
        // What helpers and summaries have used would be told with the end of a turn that does not come.
        if self.told != self.used {
            self.tell_sum().await;
        }
        // The next process says what the thread comes with, which may be less than the last one has said.
        self.meters.clear();
        self.base.cut(reason).await;
    }

    /// The answer that is open, opened if there is none.
    async fn answer(&mut self, turn: &str) -> Answer {
        self.base.goes_on();
        self.base.busy().await;
        if let Some(answer) = &self.open {
            return answer.clone();
        }
        self.answers += 1;
        let (id, created) = (format!("{turn}.{}", self.answers), clock::now());
        let answer = Answer { id, created, calls: false, written: None };
        self.open = Some(answer.clone());
        let told = self.told_of(&answer);
        self.base.voice.say(&self.base.id, &What::Message(Box::new(told))).await;
        answer
    }

    fn told_of(&self, answer: &Answer) -> MessageTold {
        MessageTold {
            id: answer.id.clone(),
            parent_id: self.base.parent.clone(),
            role: Role::Assistant,
            provider: self.provider.clone(),
            model: self.model.clone(),
            created: Some(answer.created),
            ..MessageTold::default()
        }
    }

    /// Tells what was written of a piece that was cut off in the middle: its end is never told.
    async fn tell_written(&self, answer: &Answer) {
        let Some((item, text)) = answer.written.as_ref().filter(|(_, text)| !text.is_empty()) else { return };
        let words = Content::Text(Words { text: text.clone(), ..Words::default() });
        self.base.voice.part(&self.base.id, &answer.id, part_of(&answer.id, item), words).await;
    }

    /// The answer that is open is complete, and used this.
    async fn close(&mut self, end: TurnEnd, tokens: Tokens, context: u64, window: Option<u64>) {
        let Some(answer) = self.open.take() else { return };
        self.tell_written(&answer).await;
        let finish = match end {
            TurnEnd::Completed if answer.calls => "tool_calls",
            TurnEnd::Completed => "stop",
            TurnEnd::Interrupted => "interrupted",
            TurnEnd::Failed => "failed",
        };
        let told = MessageTold {
            tokens,
            context,
            context_limit: window,
            has_ended: true,
            finish: finish.to_owned(),
            completed: Some(clock::now()),
            ..self.told_of(&answer)
        };
        self.base.voice.say(&self.base.id, &What::Message(Box::new(told))).await;
    }

    /// Words come.
    async fn growing(&mut self, item: String, text: String) {
        let Some(answer) = &mut self.open else { return };
        let (part, id) = (part_of(&answer.id, &item), answer.id.clone());
        match &mut answer.written {
            Some((known, written)) if *known == item && written.len() < MOST_WRITTEN => {
                written.push_str(&text);
            }
            Some((known, _)) if *known == item => {}
            written => *written = Some((item, text.clone())),
        }
        self.base.voice.delta(&self.base.id, &id, part, text).await;
    }

    async fn begun(&mut self, turn: &str, item: Item) {
        match item {
            // What is said to a running turn cuts off the answer that it writes, and what that used is not told.
            Item::User { .. } => self.close(TurnEnd::Interrupted, Tokens::default(), 0, None).await,
            Item::Text { .. } | Item::Thought { .. } => drop(self.answer(turn).await),
            Item::Tool { told, .. } => {
                let answer = self.answer(turn).await;
                if let Some(open) = &mut self.open {
                    open.calls = true;
                }
                let part = part_of(&answer.id, &told.call);
                let call = OpenCall {
                    session: self.base.id.clone(),
                    message: answer.id,
                    part,
                    told: *told,
                    is_refused: false,
                };
                self.tell_call(&call).await;
                self.base.open_call(call);
            }
            Item::Compaction | Item::Other => {}
        }
    }

    async fn tell_call(&self, call: &OpenCall) {
        let content = Content::Tool(Box::new(call.told.clone()));
        self.base.voice.part(&call.session, &call.message, call.part.clone(), content).await;
    }

    async fn done(&mut self, turn: &str, item: Item) {
        match item {
            Item::User { client, .. } if !client.is_empty() => {
                // It was told when it was taken.
                self.base.parent = client;
            }
            Item::User { id, text, .. } => self.base.voice.heard(&self.base.id, &id, &text, None).await,
            Item::Text { id, text } => self.words(turn, &id, text, Content::Text).await,
            Item::Thought { id, text } => self.words(turn, &id, text, Content::Thought).await,
            Item::Tool { told, files, is_declined } => self.tool_done(turn, *told, files, is_declined).await,
            Item::Compaction => self.base.voice.say(&self.base.id, &What::Compacted).await,
            Item::Other => {}
        }
    }

    async fn words(&mut self, turn: &str, id: &str, text: String, content: fn(Words) -> Content) {
        if text.is_empty() {
            return;
        }
        let answer = self.answer(turn).await;
        if let Some(open) = &mut self.open {
            open.written = None;
        }
        let words = content(Words { text, ..Words::default() });
        self.base.voice.part(&self.base.id, &answer.id, part_of(&answer.id, id), words).await;
    }

    async fn tool_done(&mut self, turn: &str, told: ToolUse, files: Vec<String>, is_declined: bool) {
        let known = self.base.calls.remove(&told.call);
        let (message, part) = match known {
            Some(call) => (call.message, call.part),
            None => {
                let answer = self.answer(turn).await;
                let part = part_of(&answer.id, &told.call);
                (answer.id, part)
            }
        };
        let is_done = told.state == ToolState::Completed && !is_declined;
        let call = OpenCall { session: self.base.id.clone(), message, part, told, is_refused: is_declined };
        self.tell_call(&call).await;
        for file in files.into_iter().filter(|_| is_done) {
            self.base.voice.say(&self.base.id, &What::FileEdited(file)).await;
        }
    }

    /// What a thread has used.
    async fn usage(
        &mut self,
        thread: &str,
        turn: &str,
        sum: UsageSaid,
        last: UsageSaid,
        window: Option<u64>,
    ) {
        let is_own = thread == self.base.id.as_str();
        let meter = self.meters.entry(thread.to_owned()).or_default();
        // A sum of an earlier turn is what the thread came with.
        let is_old = is_own && meter.is_blank() && self.running.as_deref() != Some(turn);
        if is_old {
            meter.begin(sum);
            if let Some(missed) = beyond(&sum.tokens(), &self.used).filter(|missed| missed.total() > 0) {
                self.used = self.used.plus(&missed);
                self.tell_sum().await;
            }
            return;
        }
        let used = meter.take(sum, last).tokens();
        if used.total() == 0 {
            return;
        }
        self.used = self.used.plus(&used);
        if is_own {
            self.close(TurnEnd::Completed, used, last.total, window).await;
        }
    }

    /// Tells what the session has used, with what no answer shows: a summary, a helper.
    async fn tell_sum(&mut self) {
        self.told = self.used;
        let told =
            SessionTold { created: None, tokens: Some(self.used), ..self.base.told_of(&self.base.id, None) };
        self.base.voice.say(&self.base.id, &What::SessionUpdated(told)).await;
    }

    /// The session's own turn is over.
    async fn over(&mut self, said: &TurnSaid) {
        // What runs on after a turn that is done is told when it ends.
        if said.end != TurnEnd::Completed {
            self.stop_calls().await;
        }
        self.close(said.end, Tokens::default(), 0, None).await;
        self.running = None;
        let failure = classify::failure(said);
        if failure.is_some() {
            self.base.voice.say(&self.base.id, &What::Failed(failure)).await;
        }
    }

    /// Nothing runs any more, once no helper does.
    async fn all_over(&mut self) -> Note {
        if self.running.is_some() || !self.helpers.is_empty() {
            return Note::Nothing;
        }
        self.helpers_calls.clear();
        self.tell_sum().await;
        self.base.over().await;
        Note::Over
    }

    async fn stop_calls(&mut self) {
        let open: Vec<OpenCall> = self.base.calls.drain().map(|(_, call)| call).collect();
        for call in open {
            self.tell_call(&call.stopped(STOPPED)).await;
        }
    }
}

/// The name of a piece of an answer: providers may use theirs again.
fn part_of(answer: &str, item: &str) -> String {
    format!("{answer}_{item}")
}
