//! A report of costs: rows of the ledger added up by day and by everything else, and what they will come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::ledger::day_of;
use super::price::{DOLLAR, MICRO};
use hal_base::clock::Time;
use hal_protocol::cost::{Amount, CostPart, CostReport, Day, Forecast, PeriodBefore};
use hal_protocol::session::Tokens;
use hal_protocol::worth::UsageCost;

/// Days before today from which a forecast is made.
const LATELY: u64 = 14;

/// Parts of one kind at most; of sessions there may be any number.
const MOST_PARTS: usize = 1000;

/// Days of a period at most: as far back as anybody asks.
pub const MOST_DAYS: u64 = 3660;

const DAY: Duration = Duration::from_secs(86_400);

/// Which days, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// What it is called.
    pub name: String,
    /// The first day in UTC, `YYYY-MM-DD`.
    pub from: String,
    /// The last day in UTC, `YYYY-MM-DD`.
    pub to: String,
}

impl Period {
    /// `today`, `week` or `month`, which end today.
    pub fn named(name: &str, now: Time) -> Option<Self> {
        let back = match name {
            "today" => 0,
            "week" => 6,
            "month" => 29,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), from: day_of(now.minus(DAY * back)), to: day_of(now) })
    }

    /// Any days; says what is wrong with them.
    pub fn between(from: &str, to: &str) -> Result<Self, String> {
        let (Some(begin), Some(end)) = (start_of(from), start_of(to)) else {
            let wrong = if start_of(from).is_none() { ("from", from) } else { ("to", to) };
            return Err(format!("{} is {:?}: expected a day such as 2026-11-26", wrong.0, wrong.1));
        };
        if begin > end {
            return Err(format!("from is {from}, which is after {to}"));
        }
        if end.since(begin) > DAY * MOST_DAYS as u32 {
            return Err(format!("{from} to {to} is more than {MOST_DAYS} days"));
        }
        Ok(Self { name: format!("{from}..{to}"), from: from.to_owned(), to: to.to_owned() })
    }

    fn days(&self) -> Vec<String> {
        let (Some(from), Some(to)) = (start_of(&self.from), start_of(&self.to)) else { return Vec::new() };
        (0..=to.since(from).as_secs() / DAY.as_secs()).map(|n| day_of(from.plus(DAY * n as u32))).collect()
    }

    /// As many days as this has, just before it.
    fn before(&self) -> Self {
        let from = start_of(&self.from).unwrap_or_default();
        let long = DAY * self.days().len() as u32;
        let (from, to) = (day_of(from.minus(long)), day_of(from.minus(DAY)));
        Self { name: format!("{from}..{to}"), from, to }
    }
}

/// The first moment of a day in UTC.
pub fn start_of(day: &str) -> Option<Time> {
    Some(day).filter(|day| day.len() == 10).and_then(|day| Time::parse(&format!("{day}T00:00:00Z")))
}

/// A row of the ledger.
#[derive(Clone, Copy, Debug)]
pub struct LedgerRow<'a> {
    /// The day in UTC.
    pub date: &'a str,
    /// Name of the provider.
    pub provider: &'a str,
    /// Name of the model.
    pub model: &'a str,
    /// Name of the project.
    pub project: &'a str,
    /// Id of the session.
    pub session_id: &'a str,
    /// Name of the node.
    pub node_id: &'a str,
    /// Money and tokens used.
    pub worth: &'a UsageCost,
}

/// Sums that a single row could not hold.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    picos: u128,
    estimated: u128,
    equivalent: u128,
    is_known: bool,
    tokens: Tokens,
    unpriced: u64,
    unreported: u64,
}

impl Sum {
    fn add(&mut self, worth: &UsageCost) {
        self.picos += u128::from(worth.picos);
        self.estimated += u128::from(worth.estimated);
        self.equivalent += u128::from(worth.equivalent);
        self.is_known |= worth.is_known;
        let [input, output, reasoning, cache_read, cache_write] = worth.tokens;
        self.tokens = self.tokens.plus(&Tokens { input, output, reasoning, cache_read, cache_write });
        self.unpriced = self.unpriced.saturating_add(worth.unpriced);
        self.unreported = self.unreported.saturating_add(worth.unreported);
    }

    fn dollars(&self) -> f64 {
        dollars(self.picos)
    }

    /// Nothing used is known to cost nothing.
    fn amount(&self) -> Amount {
        let micros = (self.is_known || (self.tokens.total() == 0 && self.unreported == 0)).then(|| {
            u64::try_from((self.picos + u128::from(MICRO) / 2) / u128::from(MICRO)).unwrap_or(u64::MAX)
        });
        Amount {
            cost_usd: micros.map(|micros| micros as f64 / 1e6),
            cost_micros: micros,
            estimated_usd: dollars(self.estimated),
            api_equivalent_usd: dollars(self.equivalent),
            tokens: self.tokens.total(),
            token_kinds: self.tokens,
            unpriced_tokens: self.unpriced,
            unreported_calls: self.unreported,
        }
    }
}

/// Dollars to the millionth: what is counted more finely is for sums.
fn dollars(picos: u128) -> f64 {
    ((picos as f64 / DOLLAR as f64) * 1e6).round() / 1e6
}

/// Sums by name.
#[derive(Debug, Default)]
struct Parts(HashMap<String, Sum>);

impl Parts {
    fn add(&mut self, name: &str, worth: &UsageCost) {
        match self.0.get_mut(name) {
            Some(sum) => sum.add(worth),
            None => self.0.entry(name.to_owned()).or_default().add(worth),
        }
    }

    /// The dearest first.
    fn list(self, name: impl Fn(String, Amount) -> CostPart) -> Vec<CostPart> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_by(|a, b| {
            let size = |sum: &Sum| (sum.picos, sum.equivalent, sum.tokens.total());
            size(&b.1).cmp(&size(&a.1)).then_with(|| a.0.cmp(&b.0))
        });
        all.truncate(MOST_PARTS);
        all.into_iter().map(|(of, sum)| name(of, sum.amount())).collect()
    }
}

/// A report that is being added up.
#[derive(Debug)]
pub struct Adding {
    period: Period,
    before: Period,
    now: Time,
    total: Sum,
    earlier: Sum,
    days: BTreeMap<String, Sum>,
    sessions: BTreeSet<String>,
    providers: Parts,
    models: Parts,
    projects: Parts,
    by_session: Parts,
    nodes: Parts,
}

impl Adding {
    /// Begins a report of a period.
    pub fn of(period: Period, now: Time) -> Self {
        Self {
            before: period.before(),
            period,
            now,
            total: Sum::default(),
            earlier: Sum::default(),
            days: BTreeMap::new(),
            sessions: BTreeSet::new(),
            providers: Parts::default(),
            models: Parts::default(),
            projects: Parts::default(),
            by_session: Parts::default(),
            nodes: Parts::default(),
        }
    }

    /// The days whose rows it needs, both included: of its period, of the one before, and for a forecast.
    pub fn needs(&self) -> (String, String) {
        let today = day_of(self.now);
        let lately = day_of(self.now.minus(DAY * LATELY as u32));
        let first = [self.before.from.clone(), month_of(&today), lately].into_iter().min();
        (first.unwrap_or_default(), self.period.to.clone().max(today))
    }

    /// Adds a row.
    pub fn add(&mut self, row: &LedgerRow<'_>) {
        match self.days.get_mut(row.date) {
            Some(sum) => sum.add(row.worth),
            None => self.days.entry(row.date.to_owned()).or_default().add(row.worth),
        }
        let is_in = |period: &Period| (period.from.as_str()..=period.to.as_str()).contains(&row.date);
        if is_in(&self.before) {
            self.earlier.add(row.worth);
        }
        if !is_in(&self.period) {
            return;
        }
        self.total.add(row.worth);
        self.providers.add(row.provider, row.worth);
        self.models.add(&format!("{}\0{}", row.provider, row.model), row.worth);
        self.projects.add(row.project, row.worth);
        self.by_session.add(row.session_id, row.worth);
        self.nodes.add(row.node_id, row.worth);
        if !self.sessions.contains(row.session_id) {
            self.sessions.insert(row.session_id.to_owned());
        }
    }

    /// The report.
    pub fn end(self) -> CostReport {
        let total = self.total.amount();
        let spent = self.total.dollars();
        let (end_of_day, end_of_month) = self.forecasts();
        let days = self.period.days();
        let before = self.earlier.dollars();
        let day = |date: &String| Day {
            date: date.clone(),
            amount: self.days.get(date).copied().unwrap_or_default().amount(),
        };
        CostReport {
            total_cost_usd: spent,
            total_cost: spent,
            total_tokens: total.tokens,
            tokens_used: total.tokens,
            session_count: self.sessions.len() as u64,
            daily_average_usd: rounded(spent / days.len().max(1) as f64),
            days: days.iter().map(day).collect(),
            before: PeriodBefore {
                from: self.before.from,
                to: self.before.to,
                amount: self.earlier.amount(),
                change_usd: rounded(spent - before),
                change_percent: (before > 0.0).then(|| ((spent - before) / before * 1000.0).round() / 10.0),
            },
            end_of_day,
            end_of_month,
            by_provider: self.providers.list(|provider, amount| CostPart {
                provider: Some(provider),
                amount,
                ..CostPart::default()
            }),
            by_model: self.models.list(|both, amount| {
                let (provider, model) = both.split_once('\0').unwrap_or_default();
                let (provider, model) = (Some(provider.to_owned()), Some(model.to_owned()));
                CostPart { provider, model, amount, ..CostPart::default() }
            }),
            by_project: self.projects.list(|project, amount| CostPart {
                project: Some(project),
                amount,
                ..CostPart::default()
            }),
            by_session: self.by_session.list(|session, amount| CostPart {
                session_id: Some(session),
                amount,
                ..CostPart::default()
            }),
            by_node: self.nodes.list(|node, amount| CostPart {
                node_id: Some(node),
                amount,
                ..CostPart::default()
            }),
            period: self.period.name,
            from: self.period.from,
            to: self.period.to,
            total,
            ..CostReport::default()
        }
    }

    fn on(&self, day: &str) -> f64 {
        self.days.get(day).map_or(0.0, Sum::dollars)
    }

    /// What today and this month will come to.
    fn forecasts(&self) -> (Forecast, Forecast) {
        let today = day_of(self.now);
        let begin = start_of(&today).unwrap_or_default();
        let gone = self.now.since(begin).as_secs_f64() / DAY.as_secs_f64();
        // Days on which nothing was used count, but not those before anything ever was.
        let lately: Vec<f64> = (1..=LATELY as u32)
            .map(|n| day_of(self.now.minus(DAY * n)))
            .filter(|day| self.days.keys().next().is_some_and(|first| first <= day))
            .map(|day| self.on(&day))
            .collect();
        let day = whole_day(self.on(&today), gone, &lately);
        let month: f64 = self
            .days
            .range(month_of(&today)..today.clone())
            .fold(0.0, |sum, (_, of_day)| sum + of_day.dollars());
        let left = days_left(&today);
        let of = |day: f64, each: f64| rounded(month + day + left * each);
        let pace = pace(self.on(&today), gone, &lately);
        let month = Forecast {
            expected_usd: of(day.expected_usd, pace.expected_usd),
            low_usd: of(day.low_usd, pace.low_usd),
            high_usd: of(day.high_usd, pace.high_usd),
        };
        (day, month)
    }
}

/// What a whole day comes to: as on the last days and as today so far, each with half its weight.
fn pace(so_far: f64, gone: f64, lately: &[f64]) -> Forecast {
    // Of the first minutes of a day nothing can be told.
    let today = (gone > 0.02).then(|| so_far / gone);
    let mean = (!lately.is_empty()).then(|| lately.iter().sum::<f64>() / lately.len() as f64);
    let known = || lately.iter().copied().chain(today);
    match (mean, today) {
        (None, None) => Forecast { expected_usd: so_far, low_usd: 0.0, high_usd: so_far },
        // One day tells nothing about how days differ.
        (None, Some(today)) => Forecast { expected_usd: today, low_usd: 0.0, high_usd: 2.0 * today },
        (Some(mean), today) => Forecast {
            expected_usd: today.map_or(mean, |today| f64::midpoint(mean, today)),
            low_usd: known().fold(f64::INFINITY, f64::min),
            high_usd: known().fold(0.0, f64::max),
        },
    }
}

fn whole_day(so_far: f64, gone: f64, lately: &[f64]) -> Forecast {
    let pace = pace(so_far, gone, lately);
    let end = |day: f64| rounded(so_far + (1.0 - gone) * day);
    Forecast {
        expected_usd: end(pace.expected_usd),
        low_usd: end(pace.low_usd),
        high_usd: end(pace.high_usd),
    }
}

fn rounded(dollars: f64) -> f64 {
    (dollars * 1e6).round() / 1e6
}

/// The first day of a day's month.
fn month_of(day: &str) -> String {
    format!("{}-01", day.get(..7).unwrap_or_default())
}

/// Days of a day's month that come after it.
fn days_left(day: &str) -> f64 {
    let begin = start_of(day).unwrap_or_default();
    (1..=31_u32).take_while(|n| month_of(&day_of(begin.plus(DAY * *n))) == month_of(day)).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worth(dollars: f64, tokens: u64) -> UsageCost {
        UsageCost {
            tokens: [tokens, 0, 0, 0, 0],
            picos: (dollars * DOLLAR as f64) as u64,
            is_known: true,
            ..UsageCost::default()
        }
    }

    fn row<'a>(date: &'a str, session_id: &'a str, worth: &'a UsageCost) -> LedgerRow<'a> {
        LedgerRow { date, provider: "a", model: "m", project: "shop", session_id, node_id: "web-1", worth }
    }

    fn now() -> Time {
        Time::parse("2026-11-26T12:00:00Z").unwrap()
    }

    #[test]
    fn a_week_is_seven_days_and_is_compared_with_the_seven_before() {
        let mut adding = Adding::of(Period::named("week", now()).unwrap(), now());
        assert_eq!(adding.needs(), ("2026-11-01".into(), "2026-11-26".into()));
        adding.add(&row("2026-11-13", "s0", &worth(2.0, 1)));
        adding.add(&row("2026-11-19", "s1", &worth(4.0, 1)));
        adding.add(&row("2026-11-20", "s1", &worth(1.0, 10)));
        adding.add(&row("2026-11-26", "s2", &worth(6.0, 20)));
        let report = adding.end();
        assert_eq!(
            (report.from.as_str(), report.to.as_str(), report.days.len()),
            ("2026-11-20", "2026-11-26", 7)
        );
        assert_eq!((report.total_cost_usd, report.total_tokens, report.session_count), (7.0, 30, 2));
        assert_eq!((report.total_cost, report.tokens_used, report.daily_average_usd), (7.0, 30, 1.0));
        assert_eq!((report.before.from.as_str(), report.before.to.as_str()), ("2026-11-13", "2026-11-19"));
        assert_eq!((report.before.change_usd, report.before.change_percent), (1.0, Some(16.7)));
        let sessions: Vec<_> =
            report.by_session.iter().map(|part| part.session_id.as_deref().unwrap()).collect();
        assert_eq!(sessions, ["s2", "s1"], "the dearest first");
        assert_eq!(report.days[1].amount.cost_micros, Some(0), "nothing was used");
    }

    #[test]
    fn what_is_unknown_is_unknown_and_a_subscription_is_apart() {
        let mut adding = Adding::of(Period::named("today", now()).unwrap(), now());
        let unknown = UsageCost { tokens: [77, 0, 0, 0, 0], unpriced: 77, ..UsageCost::default() };
        adding.add(&row("2026-11-26", "s1", &unknown));
        let covered = UsageCost { equivalent: 5 * DOLLAR, is_known: true, ..worth(0.0, 3) };
        adding.add(&LedgerRow { provider: "sub", ..row("2026-11-26", "s2", &covered) });
        let report = adding.end();
        let of = |provider: &str| {
            let part = report.by_provider.iter().find(|part| part.provider.as_deref() == Some(provider));
            part.unwrap().amount.clone()
        };
        assert_eq!((of("a").cost_usd, of("a").unpriced_tokens), (None, 77));
        assert_eq!((of("sub").cost_usd, of("sub").api_equivalent_usd), (Some(0.0), 5.0));
        assert_eq!((report.total_cost_usd, report.total.unpriced_tokens), (0.0, 77));
    }

    #[test]
    fn a_forecast_goes_on_as_lately_and_says_between_what() {
        let mut adding = Adding::of(Period::named("today", now()).unwrap(), now());
        for (day, dollars) in
            [("2026-11-23", 1.0), ("2026-11-24", 2.0), ("2026-11-25", 6.0), ("2026-11-26", 1.0)]
        {
            adding.add(&row(day, "s", &worth(dollars, 1)));
        }
        let report = adding.end();
        // Half the day is gone with one dollar: two for the whole day, and three on the days before.
        let day = report.end_of_day;
        assert_eq!((day.low_usd, day.expected_usd, day.high_usd), (1.5, 2.25, 4.0));
        let month = report.end_of_month;
        assert_eq!(
            (month.low_usd, month.expected_usd, month.high_usd),
            (9.0 + 1.5 + 4.0, 9.0 + 2.25 + 10.0, 9.0 + 4.0 + 24.0)
        );
        let nothing = Adding::of(Period::named("today", now()).unwrap(), now()).end();
        assert_eq!(nothing.end_of_month, Forecast::default());
    }

    #[test]
    fn periods_are_checked_and_said_in_a_sentence() {
        assert_eq!(Period::between("2026-02-27", "2026-03-01").unwrap().days().len(), 3);
        let wrong = |from, to| Period::between(from, to).unwrap_err();
        assert_eq!(
            wrong("yesterday", "2026-03-01"),
            "from is \"yesterday\": expected a day such as 2026-11-26"
        );
        assert_eq!(wrong("2026-03-02", "2026-03-01"), "from is 2026-03-02, which is after 2026-03-01");
        assert!(wrong("1970-01-01", "2026-03-01").contains("more than 3660 days"));
        assert!(Period::named("year", now()).is_none());
    }
}
