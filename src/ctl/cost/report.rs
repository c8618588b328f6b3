//! `halctl cost today|week|month` and `halctl cost --from --to`: what sessions have used.

use serde::Serialize;

use crate::base::exit::Failure;
use crate::ctl::cli::Output;
use crate::ctl::cli::cost::{By, Days};
use crate::ctl::client::{Client, Query};
use crate::ctl::print::Screen;
use crate::ctl::print::record::{Field, Record, Tone};
use crate::ctl::print::text::{money, number};
use crate::protocol::cost::{Amount, CostReport, Day, Forecast, Freshness, Part};
use crate::protocol::provider::ProviderStatus;

/// The longest bar of a day, in characters.
const WIDEST: f64 = 40.0;

/// Shows a period that has a name. Today's numbers are brought up to date first.
pub async fn named(
    period: &str,
    by: Option<By>,
    client: &Client,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if period == "today" {
        // What the ledger has is worth showing even while a provider cannot be asked; how fresh each is stands below.
        if let Err(failure) = client.post::<Vec<ProviderStatus>>(&["cost", "update"]).await {
            screen.say(&format!("The bills could not be brought up to date: {failure}"));
        }
    }
    let report = client.get::<CostReport>(&["cost", period], &Query::new()).await?.data;
    show(&report, by, screen)
}

/// Shows any days.
pub async fn of_days(days: Days, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    let given = [("from", days.from), ("to", days.to)];
    let query: Query = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let report = client.get::<CostReport>(&["cost"], &query).await?.data;
    show(&report, days.by, screen)
}

fn show(report: &CostReport, by: Option<By>, screen: &mut Screen) -> Result<(), Failure> {
    let none = format!("Nothing was used from {} to {}.", report.from, report.to);
    let parts = by.map(|by| match by {
        By::Provider => &report.by_provider,
        By::Model => &report.by_model,
        By::Project => &report.by_project,
        By::Session => &report.by_session,
        By::Node => &report.by_node,
    });
    match (screen.output(), parts) {
        (Output::Json | Output::Yaml, _) => screen.structured(report),
        (Output::Lines | Output::Name | Output::Csv, Some(parts)) => screen.list(parts, &none),
        (Output::Csv, None) => screen.list(&report.days, &none),
        (Output::Lines | Output::Name, None) => screen.one(&Sums(report)),
        (Output::Table | Output::Wide, parts) => {
            screen.one(&Sums(report))?;
            if report.days.len() > 1 {
                screen.write(&format!("\n{}", bars(&report.days)))?;
            }
            screen.write("\n")?;
            screen.list(parts.unwrap_or(&report.by_model), &none)?;
            if report.freshness.is_empty() {
                return Ok(());
            }
            screen.write("\n")?;
            screen.list(&report.freshness, "")
        }
    }
}

/// A line with a bar for every day.
fn bars(days: &[Day]) -> String {
    let most = days.iter().filter_map(|day| day.amount.cost_usd).fold(0.0, f64::max);
    let line = |day: &Day| {
        let cost = day.amount.cost_usd.unwrap_or(0.0);
        // A day on which something was spent has a bar.
        let long = if cost > 0.0 { (cost / most * WIDEST).ceil() as usize } else { 0 };
        let bar = "█".repeat(long);
        format!("{}  {bar:40}  {}  {} tokens\n", day.date, spent(&day.amount), number(day.amount.tokens))
    };
    days.iter().map(line).collect()
}

fn spent(amount: &Amount) -> String {
    money(amount.cost_micros)
}

/// To the millionth for programs, and as people write it in a table.
fn exact(key: &'static str, usd: Option<f64>) -> Field {
    match usd {
        Some(usd) => Field::new(key, format!("{usd:.6}")).brief(dollars(usd)),
        None => Field::new(key, "unknown"),
    }
}

fn dollars(usd: f64) -> String {
    format!("${usd:.4}")
}

/// Everything together.
#[derive(Serialize)]
struct Sums<'a>(&'a CostReport);

impl Record for Sums<'_> {
    fn fields(&self) -> Vec<Field> {
        let Self(report) = self;
        let total = &report.total;
        let before = &report.before;
        let change = match before.change_percent {
            Some(percent) => format!(" ({percent:+.1} %)"),
            None => String::new(),
        };
        let sign = if before.change_usd < 0.0 { "-" } else { "+" };
        let mut fields = vec![
            Field::new("period", &report.period),
            Field::new("from", &report.from),
            Field::new("to", &report.to),
            Field::new("total_cost", spent(total)),
            Field::new("session_count", report.session_count),
            Field::new("tokens_used", report.tokens_used),
            Field::new("daily_average", dollars(report.daily_average_usd)),
            Field::new("before", spent(&before.amount)),
            Field::new("change", format!("{sign}{}{change}", dollars(before.change_usd.abs()))),
            Field::new("end_of_day", range(&report.end_of_day)),
            Field::new("end_of_month", range(&report.end_of_month)),
        ];
        fields.extend(apart(total));
        fields
    }
}

/// What is in no sum of money, and how sure the sum is.
fn apart(amount: &Amount) -> Vec<Field> {
    let warn = |count: u64| if count > 0 { Tone::Attention } else { Tone::Plain };
    vec![
        exact("estimated_usd", Some(amount.estimated_usd)).wide(),
        exact("api_equivalent_usd", Some(amount.api_equivalent_usd)).wide(),
        Field::new("unpriced_tokens", amount.unpriced_tokens).tone(warn(amount.unpriced_tokens)),
        Field::new("unreported_calls", amount.unreported_calls).tone(warn(amount.unreported_calls)),
    ]
}

fn range(forecast: &Forecast) -> String {
    let Forecast { expected_usd, low_usd, high_usd } = *forecast;
    format!("{} ({} to {})", dollars(expected_usd), dollars(low_usd), dollars(high_usd))
}

impl Record for Part {
    fn fields(&self) -> Vec<Field> {
        let names = [
            ("provider", &self.provider),
            ("model", &self.model),
            ("project", &self.project),
            ("session_id", &self.session_id),
            ("node_id", &self.node_id),
        ];
        let names = names.into_iter().filter_map(|(key, name)| Some(Field::new(key, name.as_deref()?)));
        names.chain(used(&self.amount)).collect()
    }
}

impl Record for Day {
    fn fields(&self) -> Vec<Field> {
        std::iter::once(Field::new("date", &self.date)).chain(used(&self.amount)).collect()
    }
}

fn used(amount: &Amount) -> Vec<Field> {
    let kinds = &amount.token_kinds;
    let mut fields = vec![
        exact("cost_usd", amount.cost_usd),
        Field::new("tokens", amount.tokens),
        Field::new("input", kinds.input).wide(),
        Field::new("output", kinds.output).wide(),
        Field::new("reasoning", kinds.reasoning).wide(),
        Field::new("cache_read", kinds.cache_read).wide(),
        Field::new("cache_write", kinds.cache_write).wide(),
    ];
    fields.extend(apart(amount));
    fields
}

impl Record for Freshness {
    fn fields(&self) -> Vec<Field> {
        let tone = match self.state.as_str() {
            "live" | "ok" => Tone::Good,
            "behind" | "waiting" => Tone::Busy,
            _ => Tone::Bad,
        };
        vec![
            Field::new("source", &self.source),
            Field::new("state", &self.state).tone(tone),
            Field::moment("as_of", self.as_of),
            Field::new("note", &self.note).long(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(date: &str, micros: Option<u64>) -> Day {
        let cost_usd = micros.map(|micros| micros as f64 / 1e6);
        let amount = Amount { cost_usd, cost_micros: micros, tokens: 1234, ..Amount::default() };
        Day { date: date.into(), amount }
    }

    #[test]
    fn the_dearest_day_has_the_longest_bar_and_an_unknown_one_has_none() {
        let days = [day("2026-11-25", Some(2_000_000)), day("2026-11-26", Some(1)), day("2026-11-27", None)];
        let text = bars(&days);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("2026-11-25  {}  $2.0000  1,234 tokens", "█".repeat(40)));
        assert!(lines[1].contains(" █ ") && lines[1].contains("$0.0000"), "{text}");
        assert!(!lines[2].contains('█') && lines[2].contains("unknown"), "{text}");
    }
}
