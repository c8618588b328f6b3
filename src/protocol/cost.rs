//! What sessions have used, as the HTTP API says it: the predecessor's names beside ours.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::session::Tokens;
use hal_base::clock::Time;

/// Money and tokens. Money that nobody knows is absent, which is never zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    /// US dollars; absent: nothing is known.
    pub cost_usd: Option<f64>,
    /// The same in millionths of a dollar.
    pub cost_micros: Option<u64>,
    /// The part of it that comes from a price table, since the backend reported no money.
    pub estimated_usd: f64,
    /// What a subscription has covered, at the prices of the API. Not in `cost_usd`.
    pub api_equivalent_usd: f64,
    /// All tokens.
    pub tokens: u64,
    /// Tokens by kind.
    pub token_kinds: Tokens,
    /// Tokens without a known price: their cost is in no sum.
    pub unpriced_tokens: u64,
    /// Calls of a model of which the backend reported nothing: aborted, cut off, or made for a title.
    pub unreported_calls: u64,
}

/// A part of the whole: what one provider, model, project, session or node has used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Part)]
pub struct CostPart {
    /// The provider, when this is a part by provider or model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model, when this is a part by model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The project, when this is a part by project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The session's id, when this is a part by session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The node's name, when this is a part by node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Money and tokens used.
    #[serde(flatten)]
    pub amount: Amount,
}

/// What was used on one day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Day {
    /// The day in UTC.
    pub date: String,
    /// Money and tokens used.
    #[serde(flatten)]
    pub amount: Amount,
}

/// The same number of days before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeriodBefore {
    /// The first day in UTC, `YYYY-MM-DD`.
    pub from: String,
    /// The last day in UTC, `YYYY-MM-DD`.
    pub to: String,
    /// Money and tokens used.
    #[serde(flatten)]
    pub amount: Amount,
    /// How much more was spent since, in US dollars.
    pub change_usd: f64,
    /// The same in percent of what was spent before; absent where that was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_percent: Option<f64>,
}

/// What it will probably come to, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Forecast {
    /// If it continues as on the last days.
    pub expected_usd: f64,
    /// If it continues as on the cheapest of the last days.
    pub low_usd: f64,
    /// If it continues as on the most expensive of them.
    pub high_usd: f64,
}

/// How fresh a part of the numbers is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Freshness {
    /// What it is about: `node NAME`, or `bill of PROVIDER`.
    pub source: String,
    /// `live`, `behind`, `offline`, or how fetching a bill goes: `ok`, `waiting`, `failing`.
    pub state: String,
    /// The numbers are complete up to then.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Time,
    /// What is missing, if something is.
    #[serde(default)]
    pub note: String,
}

/// What was used within a period.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostReport {
    /// `today`, `week` (7 days), `month` (30 days) or `FROM..TO`.
    pub period: String,
    /// The first day in UTC.
    pub from: String,
    /// The last day in UTC, `YYYY-MM-DD`.
    pub to: String,
    /// US dollars, as far as known; the predecessor's server calls it so.
    pub total_cost_usd: f64,
    /// All tokens; the predecessor's server calls it so.
    pub total_tokens: u64,
    /// As the predecessor's halctl reads it.
    pub total_cost: f64,
    /// Sessions that have used something.
    pub session_count: u64,
    /// As the predecessor's halctl reads it.
    pub tokens_used: u64,
    /// Money and tokens of the whole period.
    pub total: Amount,
    /// By provider, the most expensive first; so are the others.
    pub by_provider: Vec<CostPart>,
    /// By provider and model.
    pub by_model: Vec<CostPart>,
    /// By project.
    pub by_project: Vec<CostPart>,
    /// By session; at most 1000.
    pub by_session: Vec<CostPart>,
    /// By node.
    pub by_node: Vec<CostPart>,
    /// Every day of the period, oldest first.
    pub days: Vec<Day>,
    /// US dollars for a day of the period.
    pub daily_average_usd: f64,
    /// The period before, as long as this one.
    pub before: PeriodBefore,
    /// What today will come to by its end in UTC.
    pub end_of_day: Forecast,
    /// What this month will come to by its end.
    pub end_of_month: Forecast,
    /// Providers whose bill could not be fetched lately.
    pub degraded_providers: Vec<String>,
    /// How fresh the numbers are.
    pub freshness: Vec<Freshness>,
}

/// What a model costs from a day on, in US dollars for a million tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelPrice {
    /// Who serves it; empty: whoever does.
    pub provider: String,
    /// The model, as its provider names it.
    pub model: String,
    /// The first day on which this holds.
    pub from: String,
    /// For tokens read.
    pub input: f64,
    /// For tokens written, reasoning included.
    pub output: f64,
    /// For tokens from the cache.
    pub cache_read: f64,
    /// For tokens into the cache.
    pub cache_write: f64,
    /// A call that reads more tokens than this costs as follows, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_tokens: Option<u64>,
    /// For tokens read by such a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_input: Option<f64>,
    /// For tokens written by such a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_output: Option<f64>,
    /// True for a provider that is paid by subscription.
    pub is_subscribed: bool,
    /// Where the price comes from: the configuration, or the built-in table.
    pub source: String,
}
