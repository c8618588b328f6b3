//! Budgets: how much money may be spent, on what, in which time, and what happens when it is.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::node::NodeId;
use super::session::SessionId;
use hal_base::clock::Time;

/// Micro-dollars in a dollar: money is counted in whole ones.
pub const DOLLAR: u64 = 1_000_000;

/// What a budget is about. Written `fleet`, `node NAME`, `project NAME` or `session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// All sessions of all nodes.
    #[default]
    Fleet,
    /// All sessions of a node.
    Node(String),
    /// All sessions of a project, on whichever nodes.
    Project(String),
    /// Each session for itself, with its helpers.
    Session,
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => out.write_str("fleet"),
            Self::Node(name) => write!(out, "node {name}"),
            Self::Project(name) => write!(out, "project {name}"),
            Self::Session => out.write_str("session"),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (word, name) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        match (word, name.trim()) {
            ("fleet", "") => Ok(Self::Fleet),
            ("session", "") => Ok(Self::Session),
            ("node", name) if !name.is_empty() => Ok(Self::Node(name.to_owned())),
            ("project", name) if !name.is_empty() => Ok(Self::Project(name.to_owned())),
            _ => Err(format!("scope is {text:?}: expected fleet, node NAME, project NAME or session")),
        }
    }
}

/// The time a limit is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// The whole life of a session.
    Session,
    /// A day in UTC.
    #[default]
    Day,
    /// From Monday to Sunday, in UTC.
    Week,
    /// A calendar month in UTC.
    Month,
}

impl Period {
    /// Every period, shortest life first.
    pub const ALL: [Self; 4] = [Self::Session, Self::Day, Self::Week, Self::Month];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.as_str() == word)
    }
}

/// What happens when the money is spent, mildest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// An alert is raised; work continues.
    Notify,
    /// Turns that run go on to their end; none begins.
    FinishTurn,
    /// Turns are interrupted; none begins.
    #[default]
    Pause,
    /// Turns are interrupted and their sessions ended; none begins.
    Stop,
}

impl AtLimit {
    /// All of them, mildest first.
    pub const ALL: [Self; 4] = [Self::Notify, Self::FinishTurn, Self::Pause, Self::Stop];

    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::FinishTurn => "finish_turn",
            Self::Pause => "pause",
            Self::Stop => "stop",
        }
    }

    /// What a word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// A limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Budget {
    /// The budget's name: up to 64 letters, digits, dots, - or _.
    pub name: String,
    /// What it is about.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// How much, in millionths of a US dollar.
    pub limit_micros: u64,
    /// The time that the limit is for.
    pub period: Period,
    /// At which percentages of the limit an alert is raised.
    pub warn_percent: Vec<u8>,
    /// What happens when it is spent.
    pub at_limit: AtLimit,
}

/// What an operator wants of budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetChange {
    /// This budget, in place of one of that name.
    Set(Budget),
    /// No such budget any more.
    Remove(String),
    /// So many micro-dollars more until the end of the period; of a budget for each session, for which one.
    Raise {
        /// The budget's name.
        name: String,
        /// By how much.
        by_micros: u64,
        /// For which session.
        session: Option<SessionId>,
    },
}

/// The body of `PUT /api/v1/budgets/{name}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BudgetRequest {
    /// `fleet`, `node NAME`, `project NAME` or `session`.
    pub scope: String,
    /// How much, in millionths of a US dollar.
    pub limit_micros: u64,
    /// `session`, `day`, `week` or `month`.
    pub period: String,
    /// At which percentages of the limit an alert is raised.
    pub warn_percent: Vec<u8>,
    /// `notify`, `finish_turn`, `pause` or `stop`.
    pub at_limit: String,
}

/// The body of `POST /api/v1/budgets/{name}/raise`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RaiseRequest {
    /// By how much, in millionths of a US dollar.
    pub by_micros: u64,
    /// The session, when the budget is for each session.
    pub session_id: String,
}

/// The status of a budget; of a budget for each session, for one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetView {
    /// The budget's name: up to 64 letters, digits, dots, - or _.
    pub name: String,
    /// What it is about.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// For which session, when it is for each; empty: none has spent anything yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// The time that the limit is for.
    pub period: Period,
    /// Which one it is now, such as `2026-11-26`.
    pub current: String,
    /// When the next one begins (RFC 3339); empty: never.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resets_at: String,
    /// What happens when it is spent.
    pub at_limit: AtLimit,
    /// At which percentages of the limit an alert is raised.
    pub warn_percent: Vec<u8>,
    /// The limit in millionths of a US dollar, with what it was raised by.
    pub limit_micros: u64,
    /// How much of that it was raised by in this period.
    pub raised_micros: u64,
    /// What was spent, with what was lent to agents that died with it.
    pub spent_micros: u64,
    /// How much of that could not be accounted for.
    pub forfeited_micros: u64,
    /// What is lent and was not accounted for yet: counts as spent.
    pub outstanding_micros: u64,
    /// What can still be lent.
    pub free_micros: u64,
    /// True when it is set in the configuration; it can be removed only there.
    pub is_config: bool,
}

/// Money lent to a session that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoanView {
    /// The lease's id, given by the node: a new one for each turn.
    pub lease_id: String,
    /// The session; empty as long as it is not known.
    pub session_id: String,
    /// The node that the session runs on.
    #[schema(value_type = String)]
    pub node_id: NodeId,
    /// The project that the session works in.
    pub project: String,
    /// What was lent since the turn began.
    pub lent_micros: u64,
    /// What of that was accounted for.
    pub reported_micros: u64,
    /// What may still be spent of it.
    pub left_micros: u64,
    /// When the node must ask again, or stop (RFC 3339).
    #[serde(with = "super::api::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// False: its node is cut off, and says what it used when it comes back.
    pub is_online: bool,
}

/// `GET /api/v1/cost/exposure`: the most that can still be spent, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exposure {
    /// The most that sessions under a budget can still spend; `null`: some session has no budget that stops it.
    pub most_micros: Option<u64>,
    /// What is lent right now, and can be spent without asking.
    pub outstanding_micros: u64,
    /// Sessions that run without a budget that stops them.
    pub unlimited_sessions: u64,
    /// Each budget.
    pub budgets: Vec<BudgetView>,
    /// Each session that runs on lent money.
    pub leases: Vec<LoanView>,
}

/// Micro-dollars as people write them, exactly: `1.00`, `0.05`, `0.000123`.
pub fn dollars(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / DOLLAR, micros % DOLLAR);
    let cents = text.len() - 4;
    let end = text.trim_end_matches('0').len().max(cents);
    text[..end].to_owned()
}

/// Reads `1`, `0.05` or `$2.5`, exactly; `None` for what is no amount or finer than a micro-dollar.
pub fn micros(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches('$');
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || (text.contains('.') && !digits(part)) || part.len() > 6 {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(DOLLAR)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_and_written_exactly() {
        for (text, amount) in
            [("1.00", 1_000_000), ("0.05", 50_000), ("0.000123", 123), ("12.345", 12_345_000), ("0.00", 0)]
        {
            assert_eq!((micros(text), dollars(amount).as_str()), (Some(amount), text));
        }
        assert_eq!((micros("$2.5"), micros("3")), (Some(2_500_000), Some(3_000_000)));
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000001", "1,5", "99999999999999999999"] {
            assert_eq!(micros(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_scope_is_said_in_words() {
        for text in ["fleet", "session", "node web-1", "project shop"] {
            assert_eq!(Scope::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "node", "fleet x", "projects shop"] {
            assert!(Scope::try_from(text.to_owned()).unwrap_err().contains("expected fleet"), "{text:?}");
        }
    }
}
