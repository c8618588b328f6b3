//! `halctl cost today|week|month` and `halctl cost --from --to`: what sessions have used.

use serde::Serialize;

use crate::cli::Output;
use crate::cli::cost::{By, Days};
use crate::client::{Client, Query};
use crate::print::Screen;
use crate::print::record::{Field, Record, Tone};
use crate::print::text::{money, number};
use hal_base::exit::Failure;
use hal_protocol::cost::{Amount, CostPart, CostReport, Day, Forecast, Freshness};
use hal_protocol::provider::ProviderStatus;

/// The longest bar of a day, in characters.
const WIDEST: usize = 40;

/// The shortest bar of the dearest day: less shows no difference.
const LEAST: usize = 10;

/// What stands beside a bar: the day, the money, and the tokens.
const BESIDE_A_BAR: usize = 45;

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
            screen.say(&format!("The bills could not be updated: {failure}"));
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
                screen.write(&format!("\n{}", bars(&report.days, screen.room())))?;
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
fn bars(days: &[Day], room: Option<usize>) -> String {
    let widest = room.map_or(WIDEST, |room| room.saturating_sub(BESIDE_A_BAR).clamp(LEAST, WIDEST));
    let most = days.iter().filter_map(|day| day.amount.cost_usd).fold(0.0, f64::max);
    let line = |day: &Day| {
        let cost = day.amount.cost_usd.unwrap_or(0.0);
        // A day on which something was spent has a bar.
        let long = if cost > 0.0 { (cost / most * widest as f64).ceil() as usize } else { 0 };
        let bar = "█".repeat(long);
        let (spent, tokens) = (money(day.amount.cost_micros), number(day.amount.tokens));
        format!("{}  {bar:widest$}  {spent}  {tokens} tokens\n", day.date)
    };
    days.iter().map(line).collect()
}

/// A sum: to four digits for programs, and as people write it for people.
fn spent(key: &'static str, amount: &Amount) -> Field {
    let exact = amount.cost_micros.map(|micros| dollars(micros as f64 / 1e6));
    Field::money(key, exact.unwrap_or_else(|| money(None)), amount.cost_micros)
}

/// To the millionth for programs, and as people write it in a table.
fn exact(key: &'static str, usd: Option<f64>) -> Field {
    match usd {
        Some(usd) => Field::money(key, format!("{usd:.6}"), None).brief(written(usd)),
        None => Field::new(key, "unknown"),
    }
}

fn dollars(usd: f64) -> String {
    format!("${usd:.4}")
}

fn written(usd: f64) -> String {
    money(Some((usd.max(0.0) * 1e6).round() as u64))
}

/// Everything together.
#[derive(Serialize)]
struct Sums<'a>(&'a CostReport);

impl Record for Sums<'_> {
    fn fields(&self) -> Vec<Field> {
        let Self(report) = self;
        let total = &report.total;
        let before = &report.before;
        let percent = before.change_percent.map(|percent| format!(" ({percent:+.1} %)")).unwrap_or_default();
        let sign = if before.change_usd < 0.0 { "-" } else { "+" };
        let change = |write: fn(f64) -> String| format!("{sign}{}{percent}", write(before.change_usd.abs()));
        let by_exact = |key, of: &dyn Fn(fn(f64) -> String) -> String| {
            Field::money(key, of(dollars), None).brief(of(written))
        };
        let mut fields = vec![
            Field::new("period", &report.period),
            Field::new("from", &report.from),
            Field::new("to", &report.to),
            spent("total_cost", total),
            Field::new("session_count", report.session_count),
            Field::new("tokens_used", report.tokens_used),
            by_exact("daily_average", &|write| write(report.daily_average_usd)),
            spent("before", &before.amount),
            by_exact("change", &change),
            by_exact("end_of_day", &|write| range(&report.end_of_day, write)),
            by_exact("end_of_month", &|write| range(&report.end_of_month, write)),
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
        Field::new("unpriced_tokens", amount.unpriced_tokens).tone(warn(amount.unpriced_tokens)).weight(30),
        Field::new("unreported_calls", amount.unreported_calls)
            .tone(warn(amount.unreported_calls))
            .weight(25),
    ]
}

fn range(forecast: &Forecast, write: fn(f64) -> String) -> String {
    let Forecast { expected_usd, low_usd, high_usd } = *forecast;
    format!("{} ({} to {})", write(expected_usd), write(low_usd), write(high_usd))
}

impl Record for CostPart {
    fn fields(&self) -> Vec<Field> {
        let names = [
            ("provider", &self.provider),
            ("model", &self.model),
            ("project", &self.project),
            ("session_id", &self.session_id),
            ("node_id", &self.node_id),
        ];
        let names = names.into_iter().filter_map(|(key, name)| {
            let name = name.as_deref()?;
            Some(if key == "session_id" { Field::id(key, name) } else { Field::new(key, name) })
        });
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
        exact("cost_usd", amount.cost_usd).weight(90),
        Field::new("tokens", amount.tokens).brief(number(amount.tokens)).weight(70),
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
            Field::new("state", &self.state).tone(tone).weight(90),
            Field::moment("as_of", self.as_of).weight(70),
            Field::new("note", &self.note).long().weight(80),
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
        let text = bars(&days, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("2026-11-25  {}  $2.00  1,234 tokens", "█".repeat(40)));
        assert!(lines[1].contains(" █ ") && lines[1].contains("<$0.0001"), "{text}");
        assert!(!lines[2].contains('█') && lines[2].contains("unknown"), "{text}");
    }
}
