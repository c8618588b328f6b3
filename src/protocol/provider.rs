//! What model providers bill, how fetching it goes, and how it compares with what the fleet has counted.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use hal_base::clock::Time;
use hal_base::money::Money;

/// A provider whose bills can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Anthropic's usage and cost reports.
    Anthropic,
    /// OpenAI's usage and costs.
    #[serde(rename = "openai")]
    OpenAi,
    /// The export of Google Cloud's billing to BigQuery.
    Google,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::OpenAi, Self::Google];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Google => "google",
        }
    }

    /// The provider of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// Tokens as bills count them: no kind is part of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Metered {
    /// Read anew.
    pub input: u64,
    /// Written, thinking included.
    pub output: u64,
    /// Read from the cache.
    pub cache_read: u64,
    /// Written to the cache.
    pub cache_write: u64,
}

impl Metered {
    /// All kinds together.
    pub fn total(self) -> u64 {
        [self.output, self.cache_read, self.cache_write].into_iter().fold(self.input, u64::saturating_add)
    }

    /// The sum of both, kind by kind.
    pub fn plus(self, more: Self) -> Self {
        Self {
            input: self.input.saturating_add(more.input),
            output: self.output.saturating_add(more.output),
            cache_read: self.cache_read.saturating_add(more.cache_read),
            cache_write: self.cache_write.saturating_add(more.cache_write),
        }
    }
}

/// A line of a day's bill. What the provider does not tell is empty; what it tells for one sum only is in one line only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BillLine {
    /// The model as the provider names it; empty: it is for something else than tokens of a model.
    #[serde(default)]
    pub model: String,
    /// What it is for, where that is no model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub item: String,
    /// Its workspace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workspace: String,
    /// The provider's project that is billed; empty: not told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub project: String,
    /// The name of the key, never the key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Exactly what it costs, in US dollars; absent: not told for this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub usd: Option<Money>,
    /// The tokens; absent: not told for this line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Metered>,
}

/// A day's bill.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayBill {
    /// Its lines, in order of their names.
    pub lines: Vec<BillLine>,
    /// True while the provider may still add to the day.
    pub is_partial: bool,
    /// When it was fetched as it is here.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub fetched_at: Time,
    /// How often the provider has changed it after the day was complete.
    #[serde(default)]
    pub corrections: u32,
}

/// A day's bill of a provider, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bill {
    /// The day in UTC, `YYYY-MM-DD`.
    pub date: String,
    /// The provider whose bill it is.
    pub provider: Provider,
    /// The bill.
    #[serde(flatten)]
    pub bill: DayBill,
    /// Its sum in millionths of a US dollar.
    pub total_micros: i64,
}

/// The status of fetching the bills of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// No key is configured, or it is switched off.
    #[default]
    Off,
    /// It was not tried yet.
    Waiting,
    /// The last try went well.
    Ok,
    /// The last try failed.
    Failing,
}

impl Standing {
    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Waiting => "waiting",
            Self::Ok => "ok",
            Self::Failing => "failing",
        }
    }
}

/// What is kept of the tries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tries {
    /// When the last try began (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub last_try: Time,
    /// The last one that went well.
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub last_success: Time,
    /// How many have failed since.
    pub failures: u32,
    /// What went wrong with the last one; empty: nothing.
    pub error: String,
}

/// The status of a provider, as `halctl cost status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderStatus {
    /// The provider whose bill it is.
    pub provider: Provider,
    /// How it is.
    pub status: Standing,
    /// The tries.
    #[serde(flatten)]
    pub tries: Tries,
    /// Seconds since the last success; absent: there was none.
    pub lag_seconds: Option<u64>,
    /// The newest day of which there is a bill.
    #[serde(default)]
    pub newest_day: String,
    /// Days of which there is a bill.
    pub days: u64,
}

/// Why a part of a difference is no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The provider has counted tokens that no session of this fleet has used.
    OutsideTheFleet,
    /// Calls of which the coding agent has told nothing, or somebody outside of this fleet.
    Unreported,
    /// Tokens of this fleet whose price is not known here.
    UnknownPrice,
    /// The bill of the day is not complete.
    PartialDay,
    /// Used under a subscription, which is billed as such.
    Subscription,
    /// Something that sessions do not count, such as web searches.
    NotTokens,
}

impl Reason {
    /// As people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::OutsideTheFleet => "used outside of this fleet",
            Self::Unreported => "calls that a coding agent has not reported, or used outside of this fleet",
            Self::UnknownPrice => "tokens without a known price",
            Self::PartialDay => "the bill of the day is not complete",
            Self::Subscription => "used under a subscription",
            Self::NotTokens => "not for tokens of a model",
        }
    }
}

/// A part of a difference that is explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// What explains this part.
    pub reason: Reason,
    /// How much of it, in millionths of a US dollar.
    pub micros: i64,
}

/// A day and model of a provider: what we count and what it bills, in millionths of a US dollar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Compared {
    /// The day in UTC.
    pub date: String,
    /// The provider whose bill it is.
    pub provider: String,
    /// The model, without what marks its edition; empty: something else than tokens.
    pub model: String,
    /// What we have counted; absent: only tokens without a known price, or nothing.
    pub ours_micros: Option<i64>,
    /// What it bills; absent: there is no bill of this day yet.
    pub theirs_micros: Option<i64>,
    /// Our tokens.
    pub our_tokens: u64,
    /// Its tokens; absent: it does not tell.
    pub their_tokens: Option<u64>,
    /// Theirs less ours.
    pub difference_micros: i64,
    /// What explains parts of it.
    pub explained: Vec<Explained>,
    /// What is left of it.
    pub unexplained_micros: i64,
    /// True while the bill may change.
    pub is_partial: bool,
    /// True when what is left is beyond the threshold of a complete day.
    pub is_discrepancy: bool,
}

/// What an operator does next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Step)]
pub struct NextStep {
    /// What was found, in a sentence.
    pub finding: String,
    /// What to type.
    pub commands: Vec<String>,
}

/// How what we count compares with what is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reconciliation {
    /// The first day in UTC, `YYYY-MM-DD`.
    pub from: String,
    /// The last day in UTC, `YYYY-MM-DD`.
    pub to: String,
    /// Every day and model.
    pub lines: Vec<Compared>,
    /// What to do next; the first one first.
    pub steps: Vec<NextStep>,
}
