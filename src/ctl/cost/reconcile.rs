//! `halctl cost reconcile`: what providers bill against what sessions have used, and what to type next.

use crate::client::{Client, Query};
use crate::print::Screen;
use crate::print::record::{Field, Record, Tone};
use hal_base::exit::Failure;
use hal_protocol::provider::{Compared, Reconciliation};

/// Which days of whom.
#[derive(Clone, Debug, Default)]
pub struct ReconcileDays {
    /// The first day in UTC, `YYYY-MM-DD`.
    pub from: Option<String>,
    /// The last day in UTC, `YYYY-MM-DD`.
    pub to: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
}

/// Shows the comparison, and then the steps.
pub async fn run(asked: ReconcileDays, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let ReconcileDays { from, to, provider } = asked;
    let given = [("from", from), ("to", to), ("provider", provider)];
    let query: Query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let found = client.get::<Reconciliation>(&["cost", "reconcile"], &query).await?.data;
    if screen.is_structured() {
        return screen.structured(&found);
    }
    let none = format!("Nothing was billed and nothing was used from {} to {}.", found.from, found.to);
    screen.list(&found.lines, &none)?;
    for (at, step) in found.steps.iter().enumerate() {
        screen.say(&format!("{}. {}", at + 1, step.finding));
        for command in &step.commands {
            screen.say(&format!("     {command}"));
        }
    }
    Ok(())
}

impl Record for Compared {
    fn fields(&self) -> Vec<Field> {
        let money = |micros: Option<i64>| micros.map(dollars).unwrap_or_default();
        let parts =
            self.explained.iter().map(|part| format!("{} {}", dollars(part.micros), part.reason.words()));
        let tone = match (self.is_discrepancy, self.is_partial) {
            (true, _) => Tone::Bad,
            (false, true) => Tone::Busy,
            (false, false) => Tone::Good,
        };
        let verdict = match (self.is_discrepancy, self.theirs_micros, self.is_partial) {
            (true, ..) => "discrepancy",
            (false, None, _) => "no bill yet",
            (false, _, true) => "partial",
            (false, _, false) if self.difference_micros == 0 => "equal",
            (false, _, false) => "explained",
        };
        let verdict = if verdict == "explained" && self.unexplained_micros != 0 { "small" } else { verdict };
        vec![
            Field::new("date", &self.date),
            Field::new("provider", &self.provider).weight(60),
            Field::new("model", &self.model).weight(80),
            Field::new("ours", money(self.ours_micros)).weight(70),
            Field::new("theirs", money(self.theirs_micros)).weight(75),
            Field::new("difference", dollars(self.difference_micros)).weight(85),
            Field::new("unexplained", dollars(self.unexplained_micros)).weight(65),
            Field::new("verdict", verdict).tone(tone).weight(90),
            Field::new("our_tokens", self.our_tokens).wide(),
            Field::new(
                "their_tokens",
                self.their_tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
            )
            .wide(),
            Field::new("explained", parts.collect::<Vec<_>>().join(", ")).long(),
        ]
    }

    fn name(&self) -> String {
        format!("{}/{}/{}", self.date, self.provider, self.model)
    }
}

fn dollars(micros: i64) -> String {
    let text = hal_rules::reconcile::dollars(micros);
    match text.strip_prefix('-') {
        Some(rest) => format!("-${rest}"),
        None => format!("${text}"),
    }
}
