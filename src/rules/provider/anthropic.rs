//! Anthropic's cost report and usage report: buckets of days, amounts in cents as decimal texts.

use serde::Deserialize;

use super::{Page, read, some};
use hal_base::clock::Time;
use hal_base::money::Money;
use hal_protocol::provider::{BillLine, Metered};

/// The paths below the base URL.
pub const COST: &str = "/v1/organizations/cost_report";
/// The path of the tokens.
pub const USAGE: &str = "/v1/organizations/usage_report/messages";

/// Most days of one page.
const PAGE: &str = "31";

#[derive(Deserialize)]
struct UsagePage<R> {
    data: Vec<Bucket<R>>,
    has_more: bool,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Bucket<R> {
    starting_at: String,
    results: Vec<R>,
}

#[derive(Deserialize)]
struct Cost {
    amount: String,
    currency: String,
    model: Option<String>,
    description: Option<String>,
    cost_type: Option<String>,
    workspace_id: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    uncached_input_tokens: u64,
    output_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: Creation,
    model: Option<String>,
    workspace_id: Option<String>,
    api_key_id: Option<String>,
}

#[derive(Deserialize)]
struct Creation {
    ephemeral_1h_input_tokens: u64,
    ephemeral_5m_input_tokens: u64,
}

/// What to ask for. The same for all pages but for the page.
pub fn query(path: &str, (from, until): (Time, Time), page: Option<&str>) -> Vec<(&'static str, String)> {
    let moment = |at: Time| format!("{}T00:00:00Z", super::day_of(at));
    let mut query = vec![
        ("starting_at", moment(from)),
        ("ending_at", moment(until)),
        ("bucket_width", "1d".to_owned()),
        ("limit", PAGE.to_owned()),
    ];
    let groups: &[&str] = match path {
        COST => &["workspace_id", "description"],
        _ => &["model", "workspace_id", "api_key_id"],
    };
    query.extend(groups.iter().map(|group| ("group_by[]", (*group).to_owned())));
    query.extend(page.map(|page| ("page", page.to_owned())));
    query
}

/// Reads a page of the cost report.
pub fn costs(text: &str) -> Result<Page, String> {
    page("Anthropic's cost report", text, |cost: Cost| {
        if !cost.currency.eq_ignore_ascii_case("usd") {
            return Err(format!("Anthropic bills in {}; only US dollars are supported", cost.currency));
        }
        let usd = Money::cents(&cost.amount).ok_or_else(|| {
            format!("Anthropic's cost report has an amount that is not a number: {:?}", cost.amount)
        })?;
        let model = cost.model.unwrap_or_default();
        let item = cost.description.or(cost.cost_type).filter(|_| model.is_empty()).unwrap_or_default();
        let workspace = cost.workspace_id.unwrap_or_default();
        Ok(BillLine { model, item, workspace, usd: Some(usd), ..BillLine::default() })
    })
}

/// Reads a page of the usage report.
pub fn usage(text: &str) -> Result<Page, String> {
    page("Anthropic's usage report", text, |usage: Usage| {
        let Creation { ephemeral_1h_input_tokens: hour, ephemeral_5m_input_tokens: minutes } =
            usage.cache_creation;
        let tokens = Metered {
            input: usage.uncached_input_tokens,
            output: usage.output_tokens,
            cache_read: usage.cache_read_input_tokens,
            cache_write: hour.saturating_add(minutes),
        };
        Ok(BillLine {
            model: usage.model.unwrap_or_default(),
            workspace: usage.workspace_id.unwrap_or_default(),
            key: usage.api_key_id.unwrap_or_default(),
            tokens: some(tokens),
            ..BillLine::default()
        })
    })
}

fn page<R: for<'de> Deserialize<'de>>(
    what: &str,
    text: &str,
    line: impl Fn(R) -> Result<BillLine, String>,
) -> Result<Page, String> {
    let report: UsagePage<R> = read(what, text)?;
    let mut page = Page { next: report.next_page.filter(|_| report.has_more), ..Page::default() };
    for bucket in report.data {
        let start = Time::parse(&bucket.starting_at)
            .ok_or_else(|| format!("{what} has a day that is not a time: {:?}", bucket.starting_at))?;
        let lines: Vec<BillLine> = bucket.results.into_iter().map(&line).collect::<Result<_, _>>()?;
        page.days.entry(super::day_of(start)).or_default().extend(lines);
    }
    Ok(page)
}
