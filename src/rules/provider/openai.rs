//! OpenAI's costs and usage: buckets of days, amounts in dollars as numbers or as texts.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Page, digits, read, some};
use hal_base::clock::Time;
use hal_base::money::Money;
use hal_protocol::provider::{BillLine, Metered};

/// The paths below the base URL.
pub const COST: &str = "/organization/costs";
/// The path of the tokens.
pub const USAGE: &str = "/organization/usage/completions";

/// Most days of one page that both answers allow.
const PAGE: &str = "31";

/// What costs tell of a model ends in one of these.
const KINDS: [&str; 4] = [", input", ", output", ", cached input", ", cache writes"];

#[derive(Deserialize)]
struct CostPage {
    data: Vec<Bucket>,
    has_more: bool,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Bucket {
    start_time: i64,
    results: Vec<Box<RawValue>>,
}

/// Results are of many kinds; those of another kind are none of ours.
#[derive(Deserialize)]
struct Kind {
    object: String,
}

#[derive(Deserialize)]
struct Cost {
    amount: Amount,
    line_item: Option<String>,
    project_id: Option<String>,
    api_key_id: Option<String>,
}

#[derive(Deserialize)]
struct Amount {
    value: Box<RawValue>,
    currency: String,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    input_cached_tokens: Option<u64>,
    #[serde(default)]
    input_cache_write_tokens: Option<u64>,
    model: Option<String>,
    project_id: Option<String>,
    api_key_id: Option<String>,
}

/// What to ask for. The same for all pages but for the page.
pub fn query(path: &str, (from, until): (Time, Time), page: Option<&str>) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("start_time", from.seconds().to_string()),
        ("end_time", until.seconds().to_string()),
        ("bucket_width", "1d".to_owned()),
        ("limit", PAGE.to_owned()),
    ];
    let groups: &[&str] = match path {
        COST => &["project_id", "line_item", "api_key_id"],
        _ => &["project_id", "model", "api_key_id"],
    };
    query.extend(groups.iter().map(|group| ("group_by[]", (*group).to_owned())));
    query.extend(page.map(|page| ("page", page.to_owned())));
    query
}

/// Reads a page of costs.
pub fn costs(text: &str) -> Result<Page, String> {
    page("OpenAI's costs", "organization.costs.result", text, |cost: Cost| {
        let Amount { value, currency } = cost.amount;
        if !currency.eq_ignore_ascii_case("usd") {
            return Err(format!("OpenAI bills in {currency}; only US dollars are supported"));
        }
        let usd = Money::dollars(digits(&value))
            .ok_or_else(|| format!("OpenAI's costs have an amount that is not a number: {value}"))?;
        let item = cost.line_item.unwrap_or_default();
        let (model, item) = match model_of(&item) {
            Some(model) => (model.to_owned(), String::new()),
            None => (String::new(), item),
        };
        let (project, key) = (cost.project_id.unwrap_or_default(), cost.api_key_id.unwrap_or_default());
        Ok(BillLine { model, item, project, key, usd: Some(usd), ..BillLine::default() })
    })
}

/// The model of an item such as `priority | gpt-5.5-2026-04-23, cached input, long context`.
fn model_of(item: &str) -> Option<&str> {
    let item = item.strip_prefix("priority | ").unwrap_or(item);
    let item = item.strip_suffix(", long context").unwrap_or(item);
    let name = KINDS.iter().find_map(|kind| item.strip_suffix(kind))?;
    // Models of more than text carry the kind of what goes in or out: `gpt-audio-mini audio`.
    name.split(' ').next().filter(|name| !name.is_empty())
}

/// Reads a page of the usage of completions, in which cached tokens are a part of the input.
pub fn usage(text: &str) -> Result<Page, String> {
    page("OpenAI's usage", "organization.usage.completions.result", text, |usage: Usage| {
        let cache_read = usage.input_cached_tokens.unwrap_or(0);
        let cache_write = usage.input_cache_write_tokens.unwrap_or(0);
        let tokens = Metered {
            input: usage.input_tokens.saturating_sub(cache_read).saturating_sub(cache_write),
            output: usage.output_tokens,
            cache_read,
            cache_write,
        };
        Ok(BillLine {
            model: usage.model.unwrap_or_default(),
            project: usage.project_id.unwrap_or_default(),
            key: usage.api_key_id.unwrap_or_default(),
            tokens: some(tokens),
            ..BillLine::default()
        })
    })
}

fn page<R: DeserializeOwned>(
    what: &str,
    kind: &str,
    text: &str,
    line: impl Fn(R) -> Result<BillLine, String>,
) -> Result<Page, String> {
    let report: CostPage = read(what, text)?;
    let mut page = Page { next: report.next_page.filter(|_| report.has_more), ..Page::default() };
    for bucket in report.data {
        let start = Time(bucket.start_time.saturating_mul(1000));
        if !start.is_in_calendar() {
            return Err(format!("{what} have a day that is not a time: {}", bucket.start_time));
        }
        let day = super::day_of(start);
        let lines = page.days.entry(day).or_default();
        for result in bucket.results {
            if read::<Kind>(what, result.get())?.object == kind {
                lines.push(line(read(what, result.get())?)?);
            }
        }
    }
    Ok(page)
}
