//! Answers as they are streamed, what tools give, and what all of it used.

use std::collections::HashMap;

use super::ClaudeTurn;
use crate::backend::claude::account::{Answer, PROVIDER, Settled, tokens_of};
use crate::backend::claude::classify::{self, LastError};
use crate::backend::claude::words::{
    AssistantSaid, BlockSaid, Decided, ResultSaid, StreamEvent, ToolResult, UsageSaid,
};
use crate::backend::piped::turn::OpenCall;
use hal_base::clock;
use hal_protocol::event::part::{Content, ToolInput, ToolState, ToolUse, Words};
use hal_protocol::event::what::{MessageTold, Role, SessionTold, What};
use hal_protocol::session::SessionId;

/// An answer that no model has given.
const SYNTHETIC: &str = "<synthetic>";

/// 10^-12 dollars in a dollar.
const DOLLAR: f64 = 1e12;

impl ClaudeTurn {
    pub(super) async fn stream(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Start { message, model, usage } => {
                self.base.busy().await;
                self.streamed = Some((message.clone(), model.clone(), usage));
                self.tell_answer(&self.base.id.clone(), &message, &model, usage, "").await;
            }
            StreamEvent::Words { index, text } => {
                let Some((message, ..)) = &self.streamed else { return };
                self.base.voice.delta(&self.base.id, message, format!("{message}_{index}"), text).await;
            }
            StreamEvent::End { stop_reason, usage } => {
                let Some((message, model, _)) = self.streamed.take() else { return };
                let reason = if stop_reason.is_empty() { "end_turn" } else { &stop_reason };
                self.tell_answer(&self.base.id.clone(), &message, &model, usage, reason).await;
            }
            StreamEvent::Other => {}
        }
    }

    /// Tells an answer with what it has used; `finish` is empty while more comes.
    async fn tell_answer(
        &mut self,
        session: &SessionId,
        id: &str,
        model: &str,
        usage: UsageSaid,
        finish: &str,
    ) {
        let answer = Answer {
            session: session.clone(),
            id: id.to_owned(),
            model: model.to_owned(),
            tokens: tokens_of(usage),
            picos: None,
            is_open: finish.is_empty() || *session != self.base.id,
            created: clock::now(),
        };
        let answer = self.account.note(answer, clock::now());
        self.say_answer(&answer, finish).await;
    }

    async fn say_answer(&self, answer: &Answer, finish: &str) {
        let has_ended = !finish.is_empty();
        let told = MessageTold {
            id: answer.id.clone(),
            parent_id: if answer.session == self.base.id { self.base.parent.clone() } else { String::new() },
            role: Role::Assistant,
            provider: PROVIDER.to_owned(),
            model: answer.model.clone(),
            cost: answer.picos.map(|picos| picos as f64 / DOLLAR),
            tokens: answer.tokens,
            context_limit: self.limits.get(&answer.model).copied(),
            has_ended,
            finish: finish.to_owned(),
            created: Some(answer.created),
            completed: has_ended.then(clock::now),
            ..MessageTold::default()
        };
        self.base.voice.say(&answer.session, &What::Message(Box::new(told))).await;
    }

    pub(super) async fn assistant(&mut self, said: AssistantSaid) {
        if let Some(word) = said.error {
            self.last_error = LastError { word, status: said.api_error_status };
        }
        let message = said.message;
        if message.model == SYNTHETIC || message.id.is_empty() {
            return;
        }
        let session = self.owner(said.parent_tool_use_id.as_deref());
        if session != self.base.id {
            let calls = message.content.iter().any(|block| block.kind == "tool_use");
            let finish = if calls { "tool_use" } else { "end_turn" };
            self.tell_answer(&session, &message.id, &message.model, message.usage, finish).await;
        }
        for block in message.content {
            let index = self.blocks.entry(message.id.clone()).or_default();
            let part = format!("{}_{index}", message.id);
            *index += 1;
            self.block(&session, &message.id, part, block).await;
        }
    }

    async fn block(&mut self, session: &SessionId, message: &str, part: String, block: BlockSaid) {
        let words = |text: String| Words { text, ..Words::default() };
        let content = match block.kind.as_str() {
            "text" => Content::Text(words(block.text)),
            "thinking" => Content::Thought(words(block.thinking)),
            "tool_use" => {
                let told = ToolUse {
                    kind: classify::tool_kind(&block.name),
                    tool: block.name,
                    call: block.id.clone(),
                    state: ToolState::Running,
                    input: ToolInput(block.input),
                    ..ToolUse::default()
                };
                let call = OpenCall {
                    session: session.clone(),
                    message: message.to_owned(),
                    part: part.clone(),
                    told: told.clone(),
                    is_refused: false,
                };
                self.base.open_call(call);
                Content::Tool(Box::new(told))
            }
            _ => return,
        };
        self.base.voice.part(session, message, part, content).await;
    }

    pub(super) async fn results(&mut self, results: Vec<ToolResult>, decided: &HashMap<String, Decided>) {
        for result in results {
            let Some(call) = self.base.calls.remove(&result.tool_use_id) else { continue };
            let decided = decided.get(&result.tool_use_id);
            let told = classify::ended(call.told, &result, decided, call.is_refused);
            let file = classify::changed_file(&told.tool, &told.input.0);
            let file = file.filter(|_| told.state == ToolState::Completed);
            self.base
                .voice
                .part(&call.session, &call.message, call.part, Content::Tool(Box::new(told)))
                .await;
            if let Some(file) = file {
                self.base.voice.say(&call.session, &What::FileEdited(file)).await;
            }
        }
    }

    pub(super) async fn result(&mut self, said: &ResultSaid) {
        if !said.odd.is_empty() {
            let odd = said.odd.join(", ");
            tracing::warn!(session = %self.base.id, "the end of a turn of Claude Code cannot be read in full: {odd}");
        }
        for (model, usage) in &said.model_usage_since_last_result {
            if usage.context_window > 0 {
                self.limits.insert(model.clone(), usage.context_window);
            }
        }
        self.streamed = None;
        self.base.goes_on();
        self.blocks.clear();
        let settled = self.account.settle(&said.model_usage_since_last_result, clock::now());
        self.tell_sums(said, settled).await;
        let failure = classify::failure(said, &std::mem::take(&mut self.last_error));
        if failure.is_some() {
            self.base.voice.say(&self.base.id, &What::Failed(failure)).await;
        }
    }

    /// Tells answers again whose price is known now, and what the session and its helpers have used.
    async fn tell_sums(&mut self, said: &ResultSaid, settled: Settled) {
        for answer in &settled.changed {
            self.say_answer(answer, "end_turn").await;
        }
        self.add(settled);
        if !said.model_usage_since_last_result.is_empty() {
            let told = SessionTold { created: None, ..self.told_of(&self.base.id, None) };
            self.base.voice.say(&self.base.id, &What::SessionUpdated(told)).await;
        }
    }

    /// Adds to the sums.
    pub(super) fn add(&mut self, settled: Settled) {
        let beyond = (self.base.id.clone(), settled.beyond, settled.beyond_picos);
        for (session, tokens, picos) in settled.sums.into_iter().chain([beyond]) {
            let sum = self.sums.entry(session).or_default();
            sum.tokens = sum.tokens.plus(&tokens);
            sum.picos = sum.picos.saturating_add(picos);
        }
    }

    /// What is told of the session as a whole, or of a helper of this title.
    pub(super) fn told_of(&self, session: &SessionId, helper: Option<(&str, SessionId)>) -> SessionTold {
        let sum = self.sums.get(session).copied().unwrap_or_default();
        SessionTold {
            cost: Some(sum.picos as f64 / DOLLAR),
            tokens: Some(sum.tokens),
            parent_id: helper.as_ref().map(|(_, parent)| parent.clone()),
            ..self.base.told_of(session, helper.map(|(title, _)| title))
        }
    }
}
