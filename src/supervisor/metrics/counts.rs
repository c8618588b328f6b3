//! The hub's own counters: what was committed, by what it was.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::cost::{MOST_MODELS, OTHERS};
use crate::hub::Tally;
use hal_base::money::MICRO;
use hal_protocol::command::Command;
use hal_protocol::event::kind::Kind;
use hal_store::cost::CostChange;
use hal_store::hub::Batch;

/// Kinds of tokens, in the order in which rows have them.
const TOKENS: [&str; 5] = ["input", "output", "reasoning", "cache_read", "cache_write"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    r#type: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfType {
    r#type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct OfModel {
    provider: String,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTokens {
    provider: String,
    model: String,
    kind: &'static str,
}

/// The counters. Clones share their values.
#[derive(Clone, Debug)]
pub struct Counts {
    events: Counter,
    by_type: Family<OfType, Counter>,
    commits: Counter,
    failures: Counter,
    commit_seconds: Histogram,
    commit_events: Histogram,
    commands: Family<Outcome, Counter>,
    command_seconds: Family<OfType, Histogram, fn() -> Histogram>,
    dollars: Family<OfModel, Counter<f64, AtomicU64>>,
    tokens: Family<OfTokens, Counter>,
    used: Arc<Mutex<BTreeMap<OfModel, Used>>>,
}

/// What a model was used for since the start: money in millionths of a millionth of a dollar, and tokens of each kind. What
/// is taken back later is made up for before the counter goes on, since a counter never falls.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    picos: i128,
    tokens: [i128; 5],
}

impl Default for Counts {
    fn default() -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 3.0, 13));
        Self {
            events: Counter::default(),
            by_type: Family::default(),
            commits: Counter::default(),
            failures: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 16)),
            commit_events: Histogram::new(exponential_buckets(1.0, 4.0, 9)),
            commands: Family::default(),
            command_seconds: Family::new_with_constructor(seconds),
            dollars: Family::default(),
            tokens: Family::default(),
            used: Arc::default(),
        }
    }
}

impl Counts {
    /// Registers them under their names.
    pub(super) fn name(&self, of: &mut Registry) {
        of.register("events", "Durable events committed", self.events.clone());
        of.register("events_by_type", "Durable events committed, by type", self.by_type.clone());
        of.register("commits", "Transactions committed", self.commits.clone());
        of.register("commit_failures", "Transactions that failed", self.failures.clone());
        of.register("commit_seconds", "Time of a commit with its sync", self.commit_seconds.clone());
        of.register("commit_events", "Events in a commit", self.commit_events.clone());
        of.register("commands", "Commands that ended, by type and final state", self.commands.clone());
        let seconds = "From request to end, by type";
        of.register("command_duration_seconds", seconds, self.command_seconds.clone());
        let dollars = "US dollars spent since this process began, as far as known";
        of.register("cost_dollars", dollars, self.dollars.clone());
        of.register("cost_tokens", "Tokens used since this process began, by kind", self.tokens.clone());
    }

    fn charge<'a>(&self, changes: impl Iterator<Item = &'a CostChange>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for CostChange { more, less } in changes {
            let mut of = OfModel { provider: more.provider.clone(), model: more.model.clone() };
            if used.len() >= MOST_MODELS && !used.contains_key(&of) {
                of = OfModel { provider: OTHERS.to_owned(), model: OTHERS.to_owned() };
            }
            let sum = used.entry(of.clone()).or_default();
            sum.picos += i128::from(more.picos.unwrap_or(0)) - i128::from(less.picos);
            let dollars = sum.picos as f64 / (MICRO as f64 * 1e6);
            let counter = self.dollars.get_or_create(&of);
            counter.inc_by((dollars - counter.get()).max(0.0));
            for (at, kind) in TOKENS.into_iter().enumerate() {
                sum.tokens[at] += i128::from(more.tokens[at]) - i128::from(less.tokens[at]);
                let total = u64::try_from(sum.tokens[at]).unwrap_or(0);
                let (provider, model) = (of.provider.clone(), of.model.clone());
                let counter = self.tokens.get_or_create(&OfTokens { provider, model, kind });
                counter.inc_by(total.saturating_sub(counter.get()));
            }
        }
    }
}

impl Tally for Counts {
    fn committed(&self, took: Duration, batch: &Batch) {
        self.commits.inc();
        self.events.inc_by(batch.events.len() as u64);
        self.commit_seconds.observe(took.as_secs_f64());
        self.commit_events.observe(batch.events.len() as f64);
        for event in &batch.events {
            let r#type = Kind::parse(&event.kind).map_or(OTHERS, Kind::as_str);
            self.by_type.get_or_create(&OfType { r#type }).inc();
        }
        if !batch.costs.is_empty() {
            self.charge(batch.costs.values());
        }
    }

    fn failed(&self) {
        self.failures.inc();
    }

    fn ended(&self, command: &Command) {
        let r#type = command.verb.as_str();
        self.commands.get_or_create(&Outcome { r#type, status: command.state.as_str() }).inc();
        let took = command.changed_at.since(command.created_at).as_secs_f64();
        self.command_seconds.get_or_create(&OfType { r#type }).observe(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::worth::UsageCost;
    use hal_store::cost::CostRecord;

    #[test]
    fn what_is_taken_back_is_made_up_for_before_a_counter_goes_on() {
        let counts = Counts::default();
        let of = OfModel { provider: "p".to_owned(), model: "m".to_owned() };
        let more = |picos, tokens| CostRecord {
            provider: "p".to_owned(),
            model: "m".to_owned(),
            picos: Some(picos),
            tokens: [tokens, 0, 0, 0, 0],
            ..CostRecord::default()
        };
        let less = |picos| UsageCost { picos, ..UsageCost::default() };
        let dollar = MICRO * 1_000_000;
        let mut seen = Vec::new();
        for change in [
            CostChange { more: more(2 * dollar, 10), less: less(0) },
            CostChange { more: more(0, 5), less: less(dollar) },
            CostChange { more: more(dollar / 2, 0), less: less(0) },
            CostChange { more: more(dollar, 0), less: less(0) },
        ] {
            counts.charge([change].iter());
            seen.push(counts.dollars.get_or_create(&of).get());
        }
        assert_eq!(seen, [2.0, 2.0, 2.0, 2.5]);
        let kind = "input";
        let tokens = OfTokens { provider: "p".to_owned(), model: "m".to_owned(), kind };
        assert_eq!(counts.tokens.get_or_create(&tokens).get(), 15);
    }
}
