//! Whom a budget is for, which period it is, and what is left.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use hal_base::clock::Time;
use hal_protocol::budget::{AtLimit, Budget, Period, Scope, dollars};
use hal_protocol::lease::Cover;
use hal_protocol::node::ProjectName;
use hal_protocol::session::{Session, Tokens};

/// What is lent at a time when the configuration does not say: enough for a turn of about $0.03.
pub const LEASE_MICROS: u64 = 50_000;

/// For how long it is lent.
pub const LEASE_FOR: Duration = Duration::from_secs(60);

/// What a million tokens are taken to cost where nobody knows: more than nearly all models charge for them.
pub const UNKNOWN_MICROS: u64 = 25_000_000;

/// What the configuration says of budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The budgets that stand there.
    pub budgets: Vec<Budget>,
    /// What is lent at a time.
    pub lease_micros: u64,
    /// How long a lease holds.
    pub lease_for: Duration,
    /// What a million tokens are taken to cost where nobody knows.
    pub unknown_micros: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            budgets: Vec::new(),
            lease_micros: LEASE_MICROS,
            lease_for: LEASE_FOR,
            unknown_micros: UNKNOWN_MICROS,
        }
    }
}

/// The longest name.
const MAX_NAME: usize = 64;

/// The largest limit: with ten of them added up there is no overflow, and nobody has so much.
const MOST_MICROS: u64 = 1_000_000_000_000_000;

/// What was spent of a budget in a period. Stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counter {
    /// Which period: see [`period_of`].
    pub period: String,
    /// What sessions have used, and what was lent to agents that died with it.
    pub spent: u64,
    /// How much of that is the latter.
    pub forfeited: u64,
    /// By how much the limit was raised.
    pub raised: u64,
    /// The highest percent that a person was told of.
    pub told: u8,
}

impl Counter {
    /// As it is in this period: what was of another one is over.
    pub fn in_period(self, period: &str) -> Self {
        if self.period == period { self } else { Self { period: period.to_owned(), ..Self::default() } }
    }

    /// The limit with what it was raised by.
    pub fn limit(&self, budget: &Budget) -> u64 {
        budget.limit_micros.saturating_add(self.raised)
    }

    /// What is not spent.
    pub fn left(&self, budget: &Budget) -> u64 {
        self.limit(budget).saturating_sub(self.spent)
    }

    /// The highest percent of which a person is to be told and was not; 100 when all is spent.
    pub fn news(&self, budget: &Budget) -> Option<u8> {
        let limit = u128::from(self.limit(budget));
        let reached = |percent: u8| u128::from(self.spent) * 100 >= limit * u128::from(percent);
        let percents = budget.warn_percent.iter().copied().chain([100]);
        percents.filter(|percent| *percent > self.told && reached(*percent)).max()
    }
}

/// Why a budget makes no sense, if it does not.
pub fn fault(budget: &Budget) -> Option<String> {
    let name = &budget.name;
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_letter) {
        return Some(format!(
            "the name {name:?} is not valid: expected up to {MAX_NAME} letters, digits, dots, - or _"
        ));
    }
    if budget.limit_micros == 0 || budget.limit_micros > MOST_MICROS {
        return Some(format!(
            "the limit of budget {name} is ${}: expected more than $0 and at most ${}",
            dollars(budget.limit_micros),
            dollars(MOST_MICROS)
        ));
    }
    if budget.period == Period::Session && budget.scope != Scope::Session {
        return Some(format!(
            "budget {name} is for the life of a session and has the scope {}: expected the scope session",
            budget.scope
        ));
    }
    let odd = budget.warn_percent.iter().find(|percent| !(1..=99).contains(*percent))?;
    Some(format!("budget {name} warns at {odd} percent: expected 1 to 99"))
}

/// True when what a session of this node and project uses counts.
pub fn covers(budget: &Budget, node: &str, project: &str) -> bool {
    match &budget.scope {
        Scope::Fleet | Scope::Session => true,
        Scope::Node(name) => name == node,
        Scope::Project(name) => name == project,
    }
}

/// What a node must know of all budgets. One that only notifies holds nobody up.
pub fn cover(budgets: &[Budget], node: &str, unknown_micros: u64) -> Cover {
    let mut cover = Cover { unknown_micros, ..Cover::default() };
    for budget in budgets.iter().filter(|budget| budget.at_limit != AtLimit::Notify) {
        match &budget.scope {
            Scope::Fleet | Scope::Session => cover.all = true,
            Scope::Node(name) => cover.all |= name == node,
            Scope::Project(name) => cover.projects.push(ProjectName::new(name)),
        }
    }
    cover
}

/// The name of the period in which a moment lies: `2026-11-26`, `2026-W48`, `2026-11`; empty for a session's life.
pub fn period_of(period: Period, at: Time) -> String {
    let Some(date) = date_of(at) else { return String::new() };
    match period {
        Period::Session => String::new(),
        Period::Day => date.to_string(),
        Period::Week => {
            let week = date.iso_week_date();
            format!("{}-W{:02}", week.year(), week.week())
        }
        Period::Month => format!("{}-{:02}", date.year(), date.month()),
    }
}

/// True when a day in UTC lies in the period of a moment.
pub fn is_of_period(period: Period, day: &str, at: Time) -> bool {
    let noon = Time::parse(&format!("{day}T12:00:00Z"));
    noon.is_none_or(|noon| period_of(period, noon) == period_of(period, at))
}

/// When the next period begins; `None`: never.
pub fn next_period(period: Period, at: Time) -> Option<Time> {
    let date = date_of(at)?;
    let first = match period {
        Period::Session => return None,
        Period::Day => date.tomorrow().ok()?,
        Period::Week => date.nth_weekday(1, jiff::civil::Weekday::Monday).ok()?,
        Period::Month => date.last_of_month().tomorrow().ok()?,
    };
    let midnight = first.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Time(midnight.timestamp().as_millisecond()))
}

fn date_of(at: Time) -> Option<jiff::civil::Date> {
    let moment = jiff::Timestamp::from_millisecond(at.0).ok()?;
    Some(moment.to_zoned(jiff::tz::TimeZone::UTC).date())
}

/// What a session has used since `before`. Money that the backend tells counts as told; tokens of which nobody says
/// what they cost count at a price that is too high rather than too low.
pub fn used(session: &Session, before: (Tokens, Option<u64>), unknown_micros: u64) -> u64 {
    match session.cost_micros {
        Some(now) => now.saturating_sub(before.1.unwrap_or(0)),
        None => of_unknown(session.tokens.total().saturating_sub(before.0.total()), unknown_micros),
    }
}

/// What tokens are taken to cost where nobody knows.
pub fn of_unknown(tokens: u64, unknown_micros: u64) -> u64 {
    let micros = (u128::from(tokens) * u128::from(unknown_micros)).div_ceil(1_000_000);
    u64::try_from(micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    fn budget() -> Budget {
        Budget {
            name: "day".into(),
            limit_micros: 1_000_000,
            warn_percent: vec![50, 80],
            ..Budget::default()
        }
    }

    #[test]
    fn periods_have_names_and_ends() {
        let now = at("2026-11-26T13:00:00Z");
        let named = |period| (period_of(period, now), next_period(period, now));
        assert_eq!(named(Period::Day), ("2026-11-26".into(), Some(at("2026-11-27T00:00:00Z"))));
        assert_eq!(named(Period::Week), ("2026-W48".into(), Some(at("2026-11-30T00:00:00Z"))));
        assert_eq!(named(Period::Month), ("2026-11".into(), Some(at("2026-12-01T00:00:00Z"))));
        assert_eq!(named(Period::Session), (String::new(), None));
        assert_eq!(period_of(Period::Week, at("2027-01-01T00:00:00Z")), "2026-W53");
        let is_of = |period, day: &str| is_of_period(period, day, now);
        assert!(is_of(Period::Day, "2026-11-26") && !is_of(Period::Day, "2026-11-25"));
        assert!(is_of(Period::Week, "2026-11-23") && !is_of(Period::Week, "2026-11-22"));
        assert!(is_of(Period::Month, "2026-11-01") && is_of(Period::Session, "1999-01-01"));
    }

    #[test]
    fn a_person_is_told_once_of_each_fraction_and_at_the_end() {
        let mut counter = Counter::default().in_period("2026-11-26");
        let mut told = Vec::new();
        for spent in [499_999, 500_000, 700_000, 999_999, 1_000_000, 1_200_000] {
            counter.spent = spent;
            let news = counter.news(&budget());
            counter.told = news.unwrap_or(counter.told);
            told.push(news);
        }
        assert_eq!(told, [None, Some(50), None, Some(80), Some(100), None]);
        assert_eq!(counter.left(&budget()), 0);
        counter.raised = 500_000;
        assert_eq!(counter.left(&budget()), 300_000);
        assert_eq!(counter.in_period("2026-11-27").left(&budget()), 1_000_000, "another day");
    }

    #[test]
    fn a_budget_is_for_whom_it_names() {
        let of = |scope: &str| Budget { scope: Scope::try_from(scope.to_owned()).unwrap(), ..budget() };
        assert!(covers(&of("fleet"), "web-1", "shop") && covers(&of("session"), "web-1", "shop"));
        assert!(covers(&of("node web-1"), "web-1", "shop") && !covers(&of("node web-1"), "web-2", "shop"));
        assert!(covers(&of("project shop"), "web-1", "shop") && !covers(&of("project x"), "web-1", "shop"));
        let only_told = Budget { at_limit: AtLimit::Notify, ..of("fleet") };
        let cover = cover(&[only_told, of("node web-2"), of("project shop")], "web-1", 7);
        assert!(!cover.all && cover.holds_for(&"shop".into()) && !cover.holds_for(&"blog".into()));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let cases = [
            (Budget { name: "a b".into(), ..budget() }, "the name"),
            (Budget { limit_micros: 0, ..budget() }, "the limit"),
            (Budget { period: Period::Session, ..budget() }, "expected the scope session"),
            (Budget { warn_percent: vec![50, 100], ..budget() }, "warns at 100"),
        ];
        for (bad, words) in cases {
            assert!(fault(&bad).unwrap().contains(words), "{bad:?}");
        }
        assert_eq!(fault(&budget()), None);
    }

    #[test]
    fn what_nobody_can_price_is_never_nothing() {
        assert_eq!((of_unknown(0, 25_000_000), of_unknown(1, 25_000_000)), (0, 25));
        assert_eq!((of_unknown(1, 1), of_unknown(1_000_000, 3_000_000)), (1, 3_000_000));
    }
}
