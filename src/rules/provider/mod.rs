//! What providers answer, read as bills: pure parsers, one for each provider. Fields that are not known are tolerated,
//! those that are missed are an error with a sentence.
//!
//! - `anthropic`, `openai`, `google`: the answers. `trouble`: what a failed request means.

pub mod anthropic;
pub mod google;
pub mod openai;
pub mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use hal_base::clock::Time;
use hal_base::money::Money;
use hal_protocol::provider::{BillLine, DayBill, Metered, Provider};

/// The alert of bills that cannot be fetched.
pub const UPDATE_FAILED: &str = "cost.update_failed";

/// The alert of a difference that nothing explains.
pub const DISCREPANCY: &str = "cost.discrepancy";

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A page of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The days that it tells of, those without a line too.
    pub days: BTreeMap<String, Vec<BillLine>>,
    /// What to ask for next; `None`: it is the last page.
    pub next: Option<String>,
}

/// Days, and the sums of their lines under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days(BTreeMap<String, BTreeMap<[String; 5], BillLine>>);

impl Days {
    /// Adds a page. Lines of the same name become one.
    pub fn add(&mut self, page: Page) {
        for (date, lines) in page.days {
            let day = self.0.entry(date).or_default();
            for line in lines {
                let BillLine { model, item, workspace, project, key, .. } = &line;
                let name = [model, item, workspace, project, key].map(String::clone);
                day.entry(name).and_modify(|sum| merge(sum, &line)).or_insert(line);
            }
        }
    }

    /// The bills as they were at this moment.
    pub fn bills(self, provider: Provider, at: Time) -> BTreeMap<String, DayBill> {
        let bill = |(date, lines): (String, BTreeMap<_, BillLine>)| {
            let bill = DayBill {
                lines: lines.into_values().collect(),
                is_partial: is_partial(provider, &date, at),
                fetched_at: at,
                corrections: 0,
            };
            (date, bill)
        };
        self.0.into_iter().map(bill).collect()
    }
}

fn merge(sum: &mut BillLine, more: &BillLine) {
    if let Some(usd) = more.usd {
        sum.usd = Some(sum.usd.unwrap_or_default() + usd);
    }
    if let Some(tokens) = more.tokens {
        sum.tokens = Some(sum.tokens.unwrap_or_default().plus(tokens));
    }
}

/// How long after its end a day may still grow, as the providers' documents say or their clients have seen.
fn settles_in(provider: Provider) -> Duration {
    let hours = match provider {
        Provider::Anthropic => 2,
        Provider::OpenAi => 24,
        Provider::Google => 48,
    };
    Duration::from_secs(hours * 3600)
}

/// How far back bills are read again each time, because they may have been corrected.
pub fn reads_again(provider: Provider) -> u32 {
    match provider {
        Provider::Anthropic => 3,
        Provider::OpenAi => 7,
        Provider::Google => 31,
    }
}

/// Days that are read at most: what the providers answer in one sequence of pages.
pub const MOST_DAYS: u32 = 31;

/// True when the provider may still add to the day.
pub fn is_partial(provider: Provider, date: &str, at: Time) -> bool {
    start_of(date).is_none_or(|start| at < start.plus(Duration::from_secs(DAY as u64) + settles_in(provider)))
}

/// The day in UTC, `YYYY-MM-DD`.
pub fn day_of(at: Time) -> String {
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}

/// When a day begins.
pub fn start_of(date: &str) -> Option<Time> {
    Time::parse(&format!("{date}T00:00:00Z"))
}

/// The days that a try reads: from this one, before that one. All since the last success that may have changed.
pub fn window(provider: Provider, last_success: Time, now: Time) -> (Time, Time) {
    let back = |at: Time, days: u32| at.minus(Duration::from_secs(u64::from(days) * DAY as u64));
    let midnight = start_of(&day_of(now)).unwrap_or(now);
    let since = back(last_success.min(now), reads_again(provider));
    let since = since.max(back(midnight, MOST_DAYS - 1));
    (start_of(&day_of(since)).unwrap_or(since), midnight.plus(Duration::from_secs(DAY as u64)))
}

/// What is kept when a bill of a day comes: `None` when nothing has changed. A provider that tells nothing of a day that
/// is not complete has not got it yet, which is not zero.
pub fn replaced(old: Option<&DayBill>, new: &DayBill) -> Option<DayBill> {
    if new.lines.is_empty() && new.is_partial {
        return None;
    }
    let Some(old) = old else { return Some(new.clone()) };
    let is_same = old.lines == new.lines;
    if is_same && old.is_partial == new.is_partial {
        return None;
    }
    let corrections = old.corrections + u32::from(!is_same && !old.is_partial);
    Some(DayBill { corrections, ..new.clone() })
}

/// The sum of a bill.
pub fn total(bill: &DayBill) -> Money {
    bill.lines.iter().filter_map(|line| line.usd).sum()
}

/// Reads an answer; the sentence says what of it could not be read.
fn read<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("the answer of {what} cannot be read: {error}"))
}

/// A number that is written as such, or as a text.
fn digits(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}

/// The tokens, unless there are none.
fn some(tokens: Metered) -> Option<Metered> {
    (tokens != Metered::default()).then_some(tokens)
}

/// A model's name without what marks its edition: `claude-sonnet-5-20260301`, `gpt-5.5-2026-04-23` and
/// `claude-opus-5[1m]` are the models before that.
pub fn plain_model(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.split('[').next().unwrap_or(name);
    let name = name.split('@').next().unwrap_or(name);
    let name = ["-latest", "-fast"].iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    let is_date = |text: &str| {
        text.bytes().enumerate().all(|(at, byte)| match (text.len(), at) {
            (10, 4 | 7) => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
    };
    for length in [8, 10] {
        if let Some((model, date)) = name.len().checked_sub(length).and_then(|at| name.split_at_checked(at))
            && let Some(model) = model.strip_suffix('-')
            && date.starts_with("20")
            && is_date(date)
        {
            return model;
        }
    }
    name
}

#[cfg(test)]
mod tests;
