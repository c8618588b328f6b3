//! `budgets`: how much may be spent, and how little of it is lent to a node at a time.

use std::time::Duration;

use hal_base::config::{Section, Value};
use hal_protocol::budget::{AtLimit, Budget, Period, Scope};
use hal_rules::budget::{Terms, fault};
use hal_rules::session::micros;

/// For how long money may be lent: shorter, and a slow link interrupts turns; longer, and a node that is cut off goes on.
const LEASE_TIME: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(3600);

/// Reads the section.
pub(super) fn read(root: &Section<'_>) -> Terms {
    root.section("budgets", |section| {
        let default = Terms::default();
        let (lease_micros, lease_for) = section.section("lease", |lease| {
            let size = money(lease, "usd").unwrap_or(default.lease_micros);
            if size == 0 {
                lease.problem("usd", "expected more than 0, such as 0.05");
            }
            let time = lease.value("time").and_then(|time| time.duration(LEASE_TIME));
            (size, time.unwrap_or(default.lease_for))
        });
        let unknown_micros =
            money(section, "unknown_usd_per_million_tokens").unwrap_or(default.unknown_micros);
        let mut budgets: Vec<Budget> = Vec::new();
        for item in section.items("limits") {
            let Some(budget) = item.section(budget) else { continue };
            let sentence = fault(&budget).or_else(|| {
                let is_known = budgets.iter().any(|other| other.name == budget.name);
                is_known.then(|| format!("there are two budgets named {}", budget.name))
            });
            match sentence {
                Some(sentence) => item.problem(sentence),
                None => budgets.push(budget),
            }
        }
        Terms { budgets, lease_micros, lease_for, unknown_micros }
    })
}

fn budget(section: &Section<'_>) -> Option<Budget> {
    section.require("name", "a name such as day");
    section.require("limit_usd", "an amount in US dollars such as 10.00");
    let default = Budget::default();
    let words = |value: &Value<'_>, words: &[&'static str]| value.choice(words);
    let scope = match section.text("scope").map(Scope::try_from) {
        None => default.scope,
        Some(Ok(scope)) => scope,
        Some(Err(_)) => {
            section.problem("scope", "expected \"fleet\", \"node NAME\", \"project NAME\" or \"session\"");
            return None;
        }
    };
    let period = section.value("period").and_then(|value| words(&value, &Period::ALL.map(Period::as_str)));
    let at_limit =
        section.value("at_limit").and_then(|value| words(&value, &AtLimit::ALL.map(AtLimit::as_str)));
    let percents = section.items("warn_percent");
    Some(Budget {
        name: section.text("name")?,
        scope,
        limit_micros: money(section, "limit_usd")?,
        period: period.and_then(Period::parse).unwrap_or(default.period),
        warn_percent: percents.iter().filter_map(|percent| percent.whole(1..=99)).collect(),
        at_limit: at_limit.and_then(AtLimit::parse).unwrap_or(default.at_limit),
    })
}

fn money(section: &Section<'_>, key: &'static str) -> Option<u64> {
    section.value(key)?.amount().and_then(micros)
}
