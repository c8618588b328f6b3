//! What a session's process says, told as events.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;

use super::classify;
use super::usage::{self, Costs};
use super::words::{Asked, Refusal, ToolSaid, Update, UsageSaid};
use crate::backend::piped::turn::{OpenAsk, OpenCall, Turn};
use crate::backend::piped::voice::Voice;
use crate::backend::program::ProgramSpec;
use hal_base::clock::{self, Time};
use hal_protocol::event::part::{Content, ToolCause, ToolState, Words};
use hal_protocol::event::what::{MessageTold, Role, SessionTold, What};
use hal_protocol::session::{Session, Tokens};

/// Bytes of one piece of an answer; what is more is another piece.
const MOST_WRITTEN: usize = 256 * 1024;

/// Calls whose files are remembered: more are never open at once.
const MOST_CALLS: usize = 1024;

/// What is told of a tool that was cut off.
const STOPPED: &str = "it was stopped with its turn";

/// A piece of an answer that is being written.
#[derive(Debug)]
struct Piece {
    is_thought: bool,
    part: String,
    text: String,
}

/// An answer that is not complete: there is one for each turn.
#[derive(Debug)]
struct Answer {
    id: String,
    created: Time,
    /// Pieces so far.
    pieces: u64,
    open: Option<Piece>,
    /// What calls of the model have used, where that is told with each, and the newest one.
    used: UsageSaid,
    last: UsageSaid,
    dollars: Option<f64>,
}

/// The turns of a session.
#[derive(Debug)]
pub struct AcpTurn {
    /// What every kind has of them.
    pub base: Turn<Asked>,
    /// What the session has cost.
    pub costs: Costs,
    provider: String,
    model: String,
    answer: Option<Answer>,
    /// True when anything was said or done in this turn.
    has_answered: bool,
    context: Option<(u64, Option<u64>)>,
    /// Files that calls of this turn change.
    files: HashMap<String, BTreeSet<String>>,
    /// All that was used.
    used: Tokens,
    retries: u32,
}

impl AcpTurn {
    /// Of a session as it is known, or as it is made.
    pub fn new(spec: &ProgramSpec, voice: Voice, session: &Session, is_told: bool) -> Self {
        let known = session.model.clone().unwrap_or_default();
        let dollars = session.cost_micros.map(|micros| micros as f64 / 1e6);
        Self {
            base: Turn::new(spec, voice, session, is_told, false),
            costs: Costs::new(dollars, None),
            provider: spec.title.to_owned(),
            model: known.id,
            answer: None,
            has_answered: false,
            context: None,
            files: HashMap::new(),
            used: session.tokens,
            retries: 0,
        }
    }

    /// A process has the session; this is what it says of it.
    pub fn note_begun(&mut self, begun: &Value) {
        let model = classify::model(begun);
        if !model.is_empty() {
            self.model = model;
        }
    }

    /// A turn begins for a message of this name.
    pub fn begin(&mut self, message: &str, text: &str) {
        message.clone_into(&mut self.base.parent);
        // What begins with a slash is done by the program, which may have nothing to say to it.
        self.has_answered = text.trim_start().starts_with('/');
        self.retries = 0;
    }

    /// Takes what is told.
    pub async fn hear(&mut self, told: Update) {
        match told {
            Update::Words(text, used) => {
                self.write(false, &text).await;
                if let (Some(used), Some(answer)) = (used, &mut self.answer) {
                    (answer.used, answer.last) = (answer.used.plus(&used), used);
                }
            }
            Update::Thought(text) => self.write(true, &text).await,
            Update::Tool(said) => self.tool(*said).await,
            Update::Plan(todos) => self.base.voice.say(&self.base.id, &What::Todo(Some(todos))).await,
            Update::Context(used, size, cost) => {
                self.context = Some((used, size));
                if let Some(told) = cost {
                    let new = self.costs.take(told);
                    let answer = self.open().await;
                    answer.dollars = Some(answer.dollars.unwrap_or_default() + new);
                }
            }
            Update::Compacted => {
                self.has_answered = true;
                self.base.voice.say(&self.base.id, &What::Compacted).await;
            }
            Update::Retry(why) => {
                self.retries += 1;
                self.base.retry(self.retries, why, Duration::ZERO).await;
            }
            // The answer to the prompt says it too.
            Update::Failing(_) => {}
        }
    }

    /// The answer that is open, opened if there is none.
    async fn open(&mut self) -> &mut Answer {
        if self.answer.is_none() {
            let (id, created) = (format!("{}.1", self.base.parent), clock::now());
            let told = self.told_of(&id, created);
            self.base.voice.say(&self.base.id, &What::Message(Box::new(told))).await;
        }
        let (id, created) = (format!("{}.1", self.base.parent), clock::now());
        self.answer.get_or_insert(Answer {
            id,
            created,
            pieces: 0,
            open: None,
            used: UsageSaid::default(),
            last: UsageSaid::default(),
            dollars: None,
        })
    }

    fn told_of(&self, id: &str, created: Time) -> MessageTold {
        MessageTold {
            id: id.to_owned(),
            parent_id: self.base.parent.clone(),
            role: Role::Assistant,
            provider: self.provider.clone(),
            model: self.model.clone(),
            created: Some(created),
            ..MessageTold::default()
        }
    }

    async fn write(&mut self, is_thought: bool, text: &str) {
        let is_other = |piece: &Piece| piece.is_thought != is_thought || piece.text.len() > MOST_WRITTEN;
        let is_next = self.answer.as_ref().and_then(|answer| answer.open.as_ref()).is_some_and(is_other);
        if is_next {
            self.close_piece().await;
        }
        let answer = self.open().await;
        if text.is_empty() {
            return;
        }
        if answer.open.is_none() {
            answer.pieces += 1;
            let part = format!("{}_{}", answer.id, answer.pieces);
            answer.open = Some(Piece { is_thought, part, text: String::new() });
        }
        let message = answer.id.clone();
        let part = answer.open.as_mut().map(|piece| {
            piece.text.push_str(text);
            piece.part.clone()
        });
        self.has_answered |= !is_thought;
        self.works().await;
        if let Some(part) = part.filter(|_| !is_thought) {
            self.base.voice.delta(&self.base.id, &message, part, text.to_owned()).await;
        }
    }

    /// It works, and does not wait for its provider.
    async fn works(&mut self) {
        self.base.busy().await;
        self.base.goes_on();
    }

    /// Tells the piece that was written, as a whole.
    async fn close_piece(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        let Some(piece) = answer.open.take() else { return };
        let message = answer.id.clone();
        let words = Words { text: piece.text, ..Words::default() };
        let content = if piece.is_thought { Content::Thought(words) } else { Content::Text(words) };
        self.base.voice.part(&self.base.id, &message, piece.part, content).await;
    }

    async fn tool(&mut self, said: ToolSaid) {
        self.close_piece().await;
        self.has_answered = true;
        self.works().await;
        if !said.diffs.is_empty() && self.files.len() < MOST_CALLS {
            let files = said.diffs.iter().map(|(file, _)| file.clone());
            self.files.entry(said.call.clone()).or_default().extend(files);
        }
        let message = self.open().await.id.clone();
        let known = self.base.calls.get(&said.call).cloned();
        let mut told = classify::merged(known.as_ref().map(|call| &call.told), &said);
        let is_refused = known.as_ref().is_some_and(|call| call.is_refused);
        if told.state == ToolState::Error && is_refused {
            told.cause = Some(ToolCause::Refused);
        }
        let is_news = known.as_ref().is_none_or(|call| call.told != told);
        let part = format!("{message}_{}", said.call);
        let call = OpenCall { session: self.base.id.clone(), message, part, told, is_refused };
        // One whose input is still being written says nothing yet.
        if is_news && call.told.state != ToolState::Pending {
            self.tell_call(&call).await;
        }
        if !call.told.state.is_over() {
            self.base.open_call(call);
            return;
        }
        self.base.calls.remove(&said.call);
        let files = self.files.remove(&said.call).unwrap_or_default();
        for file in files.into_iter().filter(|_| call.told.state == ToolState::Completed) {
            self.base.voice.say(&self.base.id, &What::FileEdited(file)).await;
        }
    }

    async fn tell_call(&self, call: &OpenCall) {
        let content = Content::Tool(Box::new(call.told.clone()));
        self.base.voice.part(&call.session, &call.message, call.part.clone(), content).await;
    }

    /// It asks a person.
    pub async fn ask(&mut self, said: Asked) {
        // What it would do may be told here alone.
        self.tool(ToolSaid { state: None, ..said.tool.clone() }).await;
        let call = self.base.calls.get(&said.tool.call).cloned();
        let (told, message) = match &call {
            Some(call) => (call.told.clone(), call.message.clone()),
            None => (classify::merged(None, &said.tool), String::new()),
        };
        let name = format!("{}.{}", self.base.parent, said.id);
        let asked = classify::asked(&name, &said, &told, &message);
        let ask = OpenAsk {
            request: name,
            session: self.base.id.clone(),
            call: said.tool.call.clone(),
            said,
            is_permission: true,
            what: asked.what(),
        };
        self.base.ask(ask, &What::PermissionAsked(asked)).await;
    }

    /// The prompt is answered: its turn is over.
    pub async fn end(&mut self, outcome: &Result<Value, Refusal>) {
        let failure = classify::failure(outcome, !self.has_answered);
        self.stop_calls().await;
        let of_turn = outcome.as_ref().ok().and_then(usage::of_turn);
        let finish = match (outcome, &failure) {
            (_, Some(failure)) => failure.name.clone(),
            (Ok(answer), None) => answer["stopReason"].as_str().unwrap_or_default().to_owned(),
            (Err(_), None) => String::new(),
        };
        self.close(of_turn, &finish).await;
        if failure.is_some() {
            self.base.voice.say(&self.base.id, &What::Failed(failure)).await;
        }
        self.files.clear();
        self.base.over().await;
    }

    /// The answer is complete. What the turn used is in `of_turn`, or was told with each call of the model.
    async fn close(&mut self, of_turn: Option<UsageSaid>, finish: &str) {
        self.close_piece().await;
        if of_turn.is_some() {
            self.open().await;
        }
        let Some(answer) = self.answer.take() else { return };
        let used = of_turn.unwrap_or(answer.used).tokens();
        let (context, context_limit) = match self.context {
            Some((used, size)) => (used, size),
            // Where only the whole turn is told, nobody knows how full it is.
            None => (answer.last.total, None),
        };
        let told = MessageTold {
            tokens: used,
            cost: answer.dollars,
            context,
            context_limit,
            has_ended: true,
            finish: finish.to_owned(),
            completed: Some(clock::now()),
            ..self.told_of(&answer.id, answer.created)
        };
        self.base.voice.say(&self.base.id, &What::Message(Box::new(told))).await;
        self.used = self.used.plus(&used);
        let (tokens, cost) = (Some(self.used), self.costs.sum);
        let told = SessionTold { created: None, tokens, cost, ..self.base.told_of(&self.base.id, None) };
        self.base.voice.say(&self.base.id, &What::SessionUpdated(told)).await;
    }

    async fn stop_calls(&mut self) {
        let open: Vec<OpenCall> = self.base.calls.drain().map(|(_, call)| call).collect();
        for call in open {
            self.tell_call(&call.stopped(STOPPED)).await;
        }
    }

    /// The process has ended: what ran is cut off, for this reason.
    pub async fn cut(&mut self, reason: &str) {
        if self.base.is_busy() {
            self.close(None, "interrupted").await;
            self.costs.forget_last();
        }
        self.answer = None;
        self.base.cut(reason).await;
    }

    /// The conversation begins anew although it should go on; why.
    pub async fn lost(&self, why: String) {
        tracing::warn!(session = %self.base.id, "{why}");
        self.base.voice.say(&self.base.id, &What::Gap { count: None, reason: Some(why) }).await;
    }
}
