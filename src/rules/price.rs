//! What tokens cost: prices by model, each from the day on which it began to hold.
//!
//! Money is counted in millionths of a millionth of a US dollar: a token may cost less than a millionth of a dollar,
//! and sums of rounded parts are not the rounded sum.

use serde::{Deserialize, Serialize};

pub use hal_base::money::{DOLLAR, MICRO, micros, picos};
use hal_protocol::session::Tokens;

/// The most that a million tokens may cost, in dollars: a thousand times the dearest model there is.
pub const DEAREST: f64 = 1_000_000.0;

/// The prices that come with the program.
const EMBEDDED: &str = include_str!("../../assets/prices.json");

/// What one token of each kind costs, in millionths of a millionth of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Read.
    pub input: u64,
    /// Written, reasoning included.
    pub output: u64,
    /// Read from the provider's cache.
    pub cache_read: u64,
    /// Written to it.
    pub cache_write: u64,
}

impl Rates {
    /// What these tokens cost; the largest number where it is larger.
    pub fn of(&self, tokens: &Tokens) -> u64 {
        let parts = [
            (tokens.input, self.input),
            (tokens.output, self.output),
            (tokens.reasoning, self.output),
            (tokens.cache_read, self.cache_read),
            (tokens.cache_write, self.cache_write),
        ];
        let sum: u128 = parts.iter().map(|(count, rate)| u128::from(*count) * u128::from(*rate)).sum();
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

/// The price of a model from a day on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Who serves it; empty: whoever does.
    pub provider: String,
    /// What it is called there.
    pub model: String,
    /// The first day in UTC on which this holds, `YYYY-MM-DD`.
    pub from: String,
    /// The usual rates.
    pub rates: Rates,
    /// Beyond so many tokens read by one call, cached ones included, all of it costs this.
    pub above: Option<(u64, Rates)>,
    /// Where the price comes from.
    pub source: String,
}

impl Price {
    /// What one call costs.
    pub fn of(&self, tokens: &Tokens) -> u64 {
        let read = tokens.input.saturating_add(tokens.cache_read).saturating_add(tokens.cache_write);
        match self.above {
            Some((limit, rates)) if read > limit => rates.of(tokens),
            _ => self.rates.of(tokens),
        }
    }
}

/// All prices in force, and who is paid by subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// What the configuration says; it goes before what came with the program.
    pub own: Vec<Price>,
    /// What came with the program.
    pub embedded: Vec<Price>,
    /// Providers whose usage is covered by a subscription: what it would have cost is shown, never added to a bill.
    pub subscriptions: Vec<String>,
}

impl Prices {
    /// The prices that came with the program, and what the configuration says beside them.
    pub fn new(own: Vec<Price>, subscriptions: Vec<String>) -> Self {
        Self { own, embedded: embedded(), subscriptions }
    }

    /// The price of a model on a day.
    pub fn find(&self, provider: &str, model: &str, day: &str) -> Option<&Price> {
        let plain = plain_name(model);
        [&self.own, &self.embedded]
            .into_iter()
            .find_map(|list| [model, plain].into_iter().find_map(|name| latest(list, provider, name, day)))
    }

    /// True for a provider that is paid by subscription.
    pub fn is_subscribed(&self, provider: &str) -> bool {
        self.subscriptions.iter().any(|one| one == provider)
    }

    /// Every price, the configuration's first.
    pub fn all(&self) -> impl Iterator<Item = &Price> {
        self.own.iter().chain(&self.embedded)
    }
}

/// Among those that hold already, the latest; a price of this very provider before one of any.
fn latest<'a>(list: &'a [Price], provider: &str, model: &str, day: &str) -> Option<&'a Price> {
    let holds = |price: &&Price| price.model == model && price.from.as_str() <= day;
    let best =
        |of: &str| list.iter().filter(holds).filter(|price| price.provider == of).max_by_key(|it| &it.from);
    best(provider).or_else(|| best(""))
}

/// A model's name without what names a dated copy or a larger window of it: `-20260925`, `-2026-09-25`, `[1m]`.
fn plain_name(model: &str) -> &str {
    let model = model.split('[').next().unwrap_or(model);
    for digits in [8, 10] {
        let cut = model.len().checked_sub(digits + 1).and_then(|at| model.split_at_checked(at));
        if let Some((name, end)) = cut
            && let Some(date) = end.strip_prefix('-')
            && date.bytes().filter(u8::is_ascii_digit).count() == 8
            && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        {
            return name;
        }
    }
    model
}

/// A list of prices as the file says it: dollars for a million tokens.
#[derive(Deserialize)]
struct File {
    prices: Vec<PriceEntry>,
}

#[derive(Deserialize, Serialize)]
struct PriceEntry {
    #[serde(default)]
    provider: String,
    model: String,
    from: String,
    source: String,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    above: Option<Above>,
}

#[derive(Deserialize, Serialize)]
struct Above {
    tokens: u64,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
}

fn embedded() -> Vec<Price> {
    // A test reads the file, so that it is always whole.
    let file = serde_json::from_str(EMBEDDED).unwrap_or(File { prices: Vec::new() });
    let price = |said: PriceEntry| Price {
        rates: per_million(said.input, said.output, said.cache_read, said.cache_write),
        above: said.above.map(|above| {
            (above.tokens, per_million(above.input, above.output, above.cache_read, above.cache_write))
        }),
        provider: said.provider,
        model: said.model,
        from: said.from,
        source: said.source,
    };
    file.prices.into_iter().map(price).collect()
}

/// Rates from dollars for a million tokens. Where nothing is said of a cache, its tokens cost what others cost.
pub fn per_million(input: f64, output: f64, cache_read: Option<f64>, cache_write: Option<f64>) -> Rates {
    let rate = |dollars: f64| (dollars.clamp(0.0, DEAREST) * MICRO as f64).round() as u64;
    Rates {
        input: rate(input),
        output: rate(output),
        cache_read: rate(cache_read.unwrap_or(input)),
        cache_write: rate(cache_write.unwrap_or(input)),
    }
}

/// The rates as dollars for a million tokens.
pub fn dollars_per_million(rate: u64) -> f64 {
    rate as f64 / MICRO as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(provider: &str, model: &str, from: &str, input: f64) -> Price {
        Price {
            provider: provider.into(),
            model: model.into(),
            from: from.into(),
            rates: per_million(input, 5.0 * input, None, None),
            ..Price::default()
        }
    }

    #[test]
    fn the_embedded_prices_are_whole_and_dated() {
        let prices = embedded();
        assert!(prices.len() >= 30, "{}", prices.len());
        for price in prices.iter().filter(|price| price.provider != "echo") {
            assert!(price.rates.input > 0 && price.rates.output > price.rates.input, "{price:?}");
            assert!(
                price.from.len() == 10 && !price.source.is_empty() && !price.provider.is_empty(),
                "{price:?}"
            );
        }
        let mut keys: Vec<_> = prices.iter().map(|one| (&one.provider, &one.model, &one.from)).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), prices.len(), "one of them is there twice");
    }

    #[test]
    fn a_price_holds_from_its_day_on_and_the_configuration_goes_before_the_program() {
        let mut prices = Prices {
            embedded: vec![price("a", "m", "2026-01-01", 1.0), price("a", "m", "2026-06-01", 2.0)],
            ..Prices::default()
        };
        let input = |prices: &Prices, model: &str, day: &str| {
            prices.find("a", model, day).map(|found| found.rates.input / MICRO)
        };
        assert_eq!(input(&prices, "m", "2025-12-31"), None);
        assert_eq!(input(&prices, "m", "2026-05-31"), Some(1));
        assert_eq!(input(&prices, "m-20260401", "2026-06-01"), Some(2));
        assert_eq!(input(&prices, "m-2026-04-01", "2026-06-01"), Some(2));
        assert_eq!(input(&prices, "m[1m]", "2026-06-01"), Some(2));
        assert_eq!(input(&prices, "other", "2026-06-01"), None);
        prices.own = vec![price("", "m", "2026-01-01", 3.0)];
        assert_eq!(input(&prices, "m", "2026-06-01"), Some(3));
        assert_eq!(prices.find("b", "m", "2026-06-01").map(|found| found.rates.input / MICRO), Some(3));
    }

    #[test]
    fn every_kind_of_token_has_its_rate_and_a_long_call_costs_more_as_a_whole() {
        let rates = per_million(3.0, 15.0, Some(0.3), Some(3.75));
        let tokens = Tokens { input: 600, output: 150, reasoning: 50, cache_read: 400, cache_write: 8 };
        assert_eq!(rates.of(&tokens), (1800 + 2250 + 750 + 120 + 30) * MICRO);
        let price =
            Price { rates, above: Some((1008, per_million(6.0, 30.0, None, None))), ..Price::default() };
        assert_eq!(price.of(&tokens), rates.of(&tokens));
        assert_eq!(price.of(&Tokens { input: 601, ..Tokens::default() }), 1803 * MICRO);
        assert_eq!(price.of(&Tokens { input: 1009, ..Tokens::default() }), 6054 * MICRO);
    }

    #[test]
    fn money_is_rounded_once() {
        assert_eq!(
            (picos(0.000_000_3), picos(0.00726), picos(-1.0)),
            (Some(300_000), Some(7_260_000_000), None)
        );
        assert_eq!((micros(499_999), micros(500_000), micros(7_260_000_000)), (0, 1, 7260));
    }
}
