//! What was used today, in Prometheus' words: `hal_cost_today_*`, by provider and model.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use hal_protocol::cost::{Amount, CostReport};

/// Models with values of their own: names come from coding agents, and a label must not grow without end.
pub(super) const MOST_MODELS: usize = 50;

/// What the others are called together.
pub(super) const OTHERS: &str = "other";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfModel {
    provider: String,
    model: String,
}

type Dollars = Family<OfModel, Gauge<f64, AtomicU64>>;
type Count = Family<OfModel, Gauge>;

/// Today's costs.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    spent: Dollars,
    estimated: Dollars,
    equivalent: Dollars,
    tokens: Count,
    unpriced: Count,
    unreported: Count,
    forecast: Gauge<f64, AtomicU64>,
}

impl Costs {
    /// Registers the metrics under their names.
    pub fn name(&self, root: &mut Registry) {
        let of = root.sub_registry_with_prefix("hal_cost_today");
        of.register("usd", "US dollars spent since midnight UTC, as far as known", self.spent.clone());
        of.register("estimated_usd", "The part of it that comes from a price table", self.estimated.clone());
        of.register("equivalent_usd", "Covered by a subscription, in no sum", self.equivalent.clone());
        of.register("tokens", "Tokens used since midnight UTC", self.tokens.clone());
        of.register("unpriced_tokens", "Tokens without a known price", self.unpriced.clone());
        of.register("unreported_calls", "Calls without reported usage", self.unreported.clone());
        of.register("forecast_usd", "Expected total of today", self.forecast.clone());
    }

    /// Takes over today's report.
    pub fn set(&self, report: &CostReport) {
        for family in [&self.spent, &self.estimated, &self.equivalent] {
            family.clear();
        }
        for family in [&self.tokens, &self.unpriced, &self.unreported] {
            family.clear();
        }
        for (at, part) in report.by_model.iter().enumerate() {
            let name = |name: &Option<String>| match name {
                Some(name) if at < MOST_MODELS => name.clone(),
                _ => OTHERS.to_owned(),
            };
            self.add(&OfModel { provider: name(&part.provider), model: name(&part.model) }, &part.amount);
        }
        self.forecast.set(report.end_of_day.expected_usd);
    }

    fn add(&self, of: &OfModel, amount: &Amount) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        // Nothing known is no sample, which is not zero.
        if let Some(usd) = amount.cost_usd {
            self.spent.get_or_create(of).inc_by(usd);
        }
        self.estimated.get_or_create(of).inc_by(amount.estimated_usd);
        self.equivalent.get_or_create(of).inc_by(amount.api_equivalent_usd);
        self.tokens.get_or_create(of).inc_by(count(amount.tokens));
        self.unpriced.get_or_create(of).inc_by(count(amount.unpriced_tokens));
        self.unreported.get_or_create(of).inc_by(count(amount.unreported_calls));
    }
}
