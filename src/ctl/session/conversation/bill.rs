//! What each turn of a conversation cost.

use std::collections::HashMap;

use crate::print::text::{money, number, span};
use hal_base::clock::Time;
use hal_protocol::event::what::MessageTold;
use hal_protocol::session::Tokens;
use hal_rules::session::micros;

/// The bill of a conversation: what its messages cost, and how much of that was shown already.
#[derive(Debug, Default)]
pub struct TurnBill {
    messages: HashMap<String, Item>,
    model: String,
    began: Option<Time>,
}

#[derive(Debug, Default)]
struct Item {
    cost: Option<u64>,
    tokens: Tokens,
    shown: bool,
    shown_cost: u64,
    shown_tokens: u64,
}

impl TurnBill {
    /// A turn begins, unless one runs.
    pub fn begin(&mut self, at: Time) {
        self.began.get_or_insert(at);
    }

    /// An assistant's message has cost this so far.
    pub fn message(&mut self, told: &MessageTold, at: Time) {
        let item = self.messages.entry(told.id.clone()).or_default();
        if !item.shown {
            self.began.get_or_insert(at);
        }
        item.cost = told.cost.and_then(micros);
        item.tokens = told.tokens;
        if !told.provider.is_empty() && !told.model.is_empty() {
            self.model = format!("{}/{}", told.provider, told.model);
        }
    }

    /// The turn is over: its line, or nothing when nothing is left to be said about it.
    pub fn end(&mut self, at: Time) -> Option<String> {
        let (mut cost, mut sum, mut new_tokens) = (Some(0), Tokens::default(), 0);
        for item in self.messages.values_mut() {
            let grown = item.tokens.total().saturating_sub(item.shown_tokens);
            if item.shown && grown == 0 && item.cost.unwrap_or(0) <= item.shown_cost {
                continue;
            }
            let more = item.cost.map(|cost| cost.saturating_sub(item.shown_cost));
            cost = cost.zip(more).map(|(cost, more)| cost + more);
            sum = sum.plus(&item.tokens);
            new_tokens += grown;
            (item.shown, item.shown_cost) = (true, item.cost.unwrap_or(0));
            item.shown_tokens = item.tokens.total();
        }
        let began = self.began.take();
        if began.is_none() && new_tokens == 0 && cost == Some(0) {
            return None;
        }
        let mut parts = vec![if new_tokens == 0 && cost == Some(0) {
            "no tokens used".to_owned()
        } else {
            let cost = cost.map_or_else(|| "cost unknown".to_owned(), |cost| money(Some(cost)));
            format!("{cost}, {} tokens{}", number(new_tokens), kinds(&sum))
        }];
        parts.extend((!self.model.is_empty()).then(|| self.model.clone()));
        parts.extend(began.map(|began| format!("took {}", span(at.since(began)))));
        Some(parts.join(", "))
    }
}

fn kinds(tokens: &Tokens) -> String {
    let kinds: Vec<_> = [
        (tokens.input, "in"),
        (tokens.output, "out"),
        (tokens.reasoning, "reasoning"),
        (tokens.cache_read, "from cache"),
        (tokens.cache_write, "to cache"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, kind)| format!("{} {kind}", number(count)))
    .collect();
    if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
}
