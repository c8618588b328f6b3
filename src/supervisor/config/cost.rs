//! `cost`: what tokens cost where the program's own prices do not say it right, and what the providers bill.

use super::provider::{self, Bills};
use hal_base::config::{Section, Value};
use hal_rules::price::{DEAREST, Price, Prices, per_million};

/// The most prices that a file may name: every model there is, a few times.
const MOST_PRICES: usize = 10_000;

/// Where a price came from that the file names.
const SOURCE: &str = "configuration";

/// The day from which a price holds that names none.
const ALWAYS: &str = "0001-01-01";

/// What the section says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostConfig {
    /// All prices in force.
    pub prices: Prices,
    /// Whose bills are fetched.
    pub bills: Bills,
}

impl Default for CostConfig {
    fn default() -> Self {
        Self { prices: Prices::new(Vec::new(), Vec::new()), bills: Bills::default() }
    }
}

/// Reads the section.
pub(super) fn read(root: &Section<'_>) -> CostConfig {
    root.section("cost", |cost| {
        let mut own: Vec<Price> = cost.items("model_rates").iter().filter_map(price).collect();
        if own.len() > MOST_PRICES {
            cost.problem("model_rates", format!("names more than {MOST_PRICES} prices"));
        }
        let subscriptions = cost.items("subscriptions").iter().filter_map(Value::text).collect();
        let (bills, prices) = provider::read(cost, rates);
        own.extend(prices);
        CostConfig { prices: Prices::new(own, subscriptions), bills }
    })
}

/// One price: dollars for a million tokens.
fn price(value: &Value<'_>) -> Option<Price> {
    value.section(|rate| {
        rate.require("model", "a model such as \"claude-opus-5\" or \"anthropic/claude-opus-5\"");
        rate.require("input_per_million", "US dollars for a million tokens read, such as 3.0");
        rate.require("output_per_million", "US dollars for a million tokens written, such as 15.0");
        let name = rate.text("model").unwrap_or_default();
        let (provider, model) = name.split_once('/').unwrap_or(("", &name));
        let from = rate.text("from");
        if from.as_deref().is_some_and(|from| !is_day(from)) {
            rate.problem("from", "expected a day such as \"2026-11-01\"");
        }
        let amount = |key| {
            let amount = rate.value(key).and_then(|value| value.amount());
            if amount.is_some_and(|amount| amount > DEAREST) {
                rate.problem(key, format!("expected at most {DEAREST} US dollars for a million tokens"));
            }
            amount
        };
        let (read, write) = (amount("cache_read_per_million"), amount("cache_write_per_million"));
        let (input, output) = (amount("input_per_million"), amount("output_per_million"));
        Some(Price {
            provider: provider.to_owned(),
            model: model.to_owned(),
            from: from.unwrap_or_else(|| ALWAYS.to_owned()),
            rates: per_million(input?, output?, read, write),
            above: None,
            source: SOURCE.to_owned(),
        })
    })
}

/// `model_rates` of a provider, as the predecessor's files say them: dollars for a thousand tokens.
pub(super) fn rates(provider: &str, section: &Section<'_>) -> Vec<Price> {
    let rates = section.value("model_rates").map(|rates| rates.entries()).unwrap_or_default();
    let price = |(model, rates): (String, Value<'_>)| {
        rates.section(|rates| {
            let amount = |key| rates.value(key).and_then(|rate| rate.amount());
            let (input, output) = (amount("input"), amount("output"));
            Some(Price {
                provider: provider.to_owned(),
                model,
                from: ALWAYS.to_owned(),
                rates: per_million(1000.0 * input?, 1000.0 * output?, None, None),
                above: None,
                source: SOURCE.to_owned(),
            })
        })
    };
    rates.into_iter().filter_map(price).collect()
}

/// True for `2026-11-01`.
fn is_day(text: &str) -> bool {
    text.len() == 10 && hal_base::clock::Time::parse(&format!("{text}T00:00:00Z")).is_some()
}
