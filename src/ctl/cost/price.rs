//! `halctl cost prices`: what tokens cost, from which day on, and who said so.

use crate::client::{Client, Query};
use crate::print::Screen;
use crate::print::record::{Field, Record, Tone};
use hal_base::exit::Failure;
use hal_protocol::cost::ModelPrice;

/// Shows them, or those whose model holds this word.
pub async fn run(model: Option<String>, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let mut prices = client.list::<ModelPrice>(&["cost", "prices"], &Query::new()).await?;
    prices.retain(|price| model.as_deref().is_none_or(|word| price.model.contains(word)));
    screen.list(&prices, "No price is known for such a model. Set one in cost.model_rates.")
}

impl Record for ModelPrice {
    fn fields(&self) -> Vec<Field> {
        let dollars = |usd: f64| format!("${usd}");
        let above = match (self.above_tokens, self.above_input, self.above_output) {
            (Some(tokens), Some(input), Some(output)) => {
                format!("over {tokens} tokens: {} and {}", dollars(input), dollars(output))
            }
            _ => String::new(),
        };
        let paid = if self.is_subscribed { "subscription" } else { "by use" };
        vec![
            Field::new("model", &self.model),
            Field::new("provider", &self.provider),
            Field::new("from", &self.from).weight(40),
            Field::new("input", dollars(self.input)).weight(80),
            Field::new("output", dollars(self.output)).weight(85),
            Field::new("cache_read", dollars(self.cache_read)).weight(45),
            Field::new("cache_write", dollars(self.cache_write)).weight(44),
            Field::new("above", above).wide(),
            Field::new("paid", paid)
                .tone(if self.is_subscribed { Tone::Busy } else { Tone::Plain })
                .weight(30),
            Field::new("source", &self.source).long().weight(20),
        ]
    }
}
