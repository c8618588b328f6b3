//! What we count against what providers bill: per day, provider and model, the difference, and what explains it.

use std::collections::BTreeMap;

use super::price;
use super::provider::plain_model;
use hal_base::money::Money;
use hal_protocol::provider::{
    Compared, DayBill, Explained, Metered, NextStep, Provider, ProviderStatus, Reason, Standing,
};

/// From where on a difference that nothing explains is worth an alert: both must be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// In millionths of a US dollar, for a day and model.
    pub micros: i64,
    /// In percent of the bill of the day and model.
    pub percent: i64,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { micros: 1_000_000, percent: 5 }
    }
}

/// What the fleet has used of a model on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// What it costs, in 10^-12 US dollars, as far as it is billed by tokens and known.
    pub picos: u64,
    /// What it would cost if it were not covered by a subscription.
    pub subscribed: u64,
    /// All tokens.
    pub tokens: u64,
    /// Those of them whose price is not known.
    pub unpriced: u64,
    /// Calls of which the coding agent has told nothing.
    pub unreported: u64,
}

impl Ours {
    /// Adds the other's money and tokens.
    pub fn add(&mut self, more: &Self) {
        self.picos = self.picos.saturating_add(more.picos);
        self.subscribed = self.subscribed.saturating_add(more.subscribed);
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.unpriced = self.unpriced.saturating_add(more.unpriced);
        self.unreported = self.unreported.saturating_add(more.unreported);
    }
}

/// Day, and model as it is called without its edition.
pub type Key = (String, String);

/// What is billed for a model on a day.
#[derive(Clone, Copy, Debug, Default)]
struct Theirs {
    usd: Money,
    tokens: Option<Metered>,
}

/// Compares what one provider bills with what we count of it.
pub fn compare(
    provider: Provider,
    ours: &BTreeMap<Key, Ours>,
    bills: &BTreeMap<String, DayBill>,
    threshold: Threshold,
) -> Vec<Compared> {
    let mut theirs: BTreeMap<Key, Theirs> = BTreeMap::new();
    for (date, bill) in bills {
        for line in &bill.lines {
            let sum = theirs.entry((date.clone(), plain_model(&line.model).to_owned())).or_default();
            sum.usd += line.usd.unwrap_or_default();
            if let Some(tokens) = line.tokens {
                sum.tokens = Some(sum.tokens.unwrap_or_default().plus(tokens));
            }
        }
    }
    let keys: std::collections::BTreeSet<&Key> = ours.keys().chain(theirs.keys()).collect();
    let line = |key: &Key| {
        let (ours, their, bill) = (ours.get(key), theirs.get(key), bills.get(&key.0));
        let mut line = sums(provider, key, ours, their, bill);
        explain(&mut line, ours.unwrap_or(&Ours::default()));
        judge(&mut line, bill.is_some(), threshold);
        line
    };
    keys.into_iter().rev().map(line).collect()
}

fn sums(
    provider: Provider,
    (date, model): &Key,
    ours: Option<&Ours>,
    theirs: Option<&Theirs>,
    bill: Option<&DayBill>,
) -> Compared {
    let known = ours.filter(|ours| ours.picos > 0 || ours.unpriced < ours.tokens);
    let ours_micros = known.map(|ours| micros_of(ours.picos));
    // A bill that says nothing of a model says that it costs nothing.
    let theirs_micros = bill.map(|_| theirs.map_or(0, |theirs| theirs.usd.micros()));
    Compared {
        date: date.clone(),
        provider: provider.as_str().to_owned(),
        model: model.clone(),
        ours_micros,
        theirs_micros,
        our_tokens: ours.map_or(0, |ours| ours.tokens),
        their_tokens: theirs.and_then(|theirs| theirs.tokens).map(Metered::total),
        difference_micros: theirs_micros.unwrap_or(0).saturating_sub(ours_micros.unwrap_or(0)),
        is_partial: bill.is_none_or(|bill| bill.is_partial),
        ..Compared::default()
    }
}

/// Finds what explains the difference, the surest first; no more than there is of it.
fn explain(line: &mut Compared, ours: &Ours) {
    let mut left = line.difference_micros;
    let mut parts = Vec::new();
    let mut part = |reason, micros: i64| {
        let micros = if left >= 0 { micros.clamp(0, left) } else { micros.clamp(left, 0) };
        if micros != 0 {
            parts.push(Explained { reason, micros });
            left -= micros;
        }
    };
    if line.model.is_empty() {
        part(Reason::NotTokens, line.difference_micros);
    }
    if line.difference_micros > 0 {
        let share = |tokens: u64| share(line.theirs_micros.unwrap_or(0), tokens, line.their_tokens);
        part(Reason::Subscription, micros_of(ours.subscribed));
        part(Reason::UnknownPrice, share(ours.unpriced));
        let elsewhere = match line.their_tokens {
            Some(theirs) => share(theirs.saturating_sub(line.our_tokens)),
            // It does not tell tokens; of a model that no session has used, all is used elsewhere.
            None if line.our_tokens == 0 => line.difference_micros,
            None => 0,
        };
        let reason = if ours.unreported > 0 { Reason::Unreported } else { Reason::OutsideTheFleet };
        part(reason, elsewhere);
    } else if line.is_partial {
        part(Reason::PartialDay, line.difference_micros);
    }
    line.explained = parts;
    line.unexplained_micros = left;
}

fn micros_of(picos: u64) -> i64 {
    i64::try_from(price::micros(picos)).unwrap_or(i64::MAX)
}

/// What so many of all tokens cost, if all cost the same.
fn share(micros: i64, tokens: u64, all: Option<u64>) -> i64 {
    let Some(all) = all.filter(|all| *all > 0) else { return if tokens > 0 { micros } else { 0 } };
    let part = i128::from(micros) * i128::from(tokens.min(all)) / i128::from(all);
    i64::try_from(part).unwrap_or(micros)
}

fn judge(line: &mut Compared, is_billed: bool, threshold: Threshold) {
    let left = i128::from(line.unexplained_micros.unsigned_abs());
    let most = line.theirs_micros.unwrap_or(0).max(line.ours_micros.unwrap_or(0));
    let is_much =
        left > i128::from(threshold.micros) && left * 100 > i128::from(most) * i128::from(threshold.percent);
    line.is_discrepancy = is_billed && !line.is_partial && is_much;
}

/// The sentence of an alert about a provider; `None`: all is well.
pub fn alarm(provider: Provider, lines: &[Compared]) -> Option<String> {
    let found: Vec<&Compared> = lines.iter().filter(|line| line.is_discrepancy).collect();
    let worst = found.iter().max_by_key(|line| line.unexplained_micros.unsigned_abs())?;
    Some(format!(
        "{}'s bill differs from what sessions have used, and nothing explains it: on {} for {} it bills ${}, \
         counted were ${}{}; see: halctl cost reconcile --from {} --to {}",
        provider.as_str(),
        worst.date,
        worst.model,
        dollars(worst.theirs_micros.unwrap_or(0)),
        dollars(worst.ours_micros.unwrap_or(0)),
        if found.len() > 1 { format!(" (and {} more)", found.len() - 1) } else { String::new() },
        worst.date,
        worst.date,
    ))
}

/// Dollars with two to six digits after the point.
pub fn dollars(micros: i64) -> String {
    let text = format!("{}.{:06}", micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let cut = text.trim_end_matches('0').len().max(text.len() - 4);
    format!("{}{}", if micros < 0 { "-" } else { "" }, &text[..cut])
}

/// What an operator does next, in the order of the runbook: the fetching, the keys, the days that are missing, and then each
/// difference with what shows its sessions.
pub fn steps(statuses: &[ProviderStatus], lines: &[Compared]) -> Vec<NextStep> {
    let mut steps: Vec<NextStep> = statuses.iter().filter_map(fetching).collect();
    for line in lines {
        if let Some(step) = difference(line) {
            steps.push(step);
        }
    }
    if steps.is_empty() {
        let finding = match statuses.iter().any(|status| status.status == Standing::Ok) {
            true => "what providers bill and what sessions have used agree",
            false => "no bill is fetched: configure the key of a provider in cost.providers",
        };
        steps.push(NextStep { finding: finding.to_owned(), commands: vec!["halctl cost status".to_owned()] });
    }
    steps
}

fn fetching(status: &ProviderStatus) -> Option<NextStep> {
    let name = status.provider.as_str();
    let commands = |list: &[&str]| list.iter().map(|command| (*command).to_owned()).collect();
    match status.status {
        Standing::Failing => Some(NextStep {
            finding: format!("the bills of {name} cannot be fetched: {}", status.tries.error),
            commands: commands(&[
                "sudo nano /etc/hal-o-swarm/supervisor.config.json",
                "sudo systemctl reload hal-supervisor",
                "halctl cost today",
                "halctl cost status",
            ]),
        }),
        Standing::Waiting => Some(NextStep {
            finding: format!("the bills of {name} were not fetched yet"),
            commands: commands(&["halctl cost today", "halctl cost status"]),
        }),
        Standing::Ok | Standing::Off => None,
    }
}

fn difference(line: &Compared) -> Option<NextStep> {
    let Compared { date, provider, model, .. } = line;
    let is_settled = line.difference_micros == 0 || line.theirs_micros.is_none();
    if is_settled || (line.is_partial && line.unexplained_micros == 0) {
        return None;
    }
    let part = |part: &Explained| format!("${} {}", dollars(part.micros), part.reason.words());
    let mut parts: Vec<String> = line.explained.iter().map(part).collect();
    if line.unexplained_micros != 0 {
        parts.push(format!("${} nothing explains", dollars(line.unexplained_micros)));
    }
    let what = if model.is_empty() { "no model" } else { model };
    let finding = format!(
        "{date} {provider} {what}: billed ${}, counted ${}, difference ${}: {}",
        dollars(line.theirs_micros.unwrap_or(0)),
        line.ours_micros.map_or_else(|| "unknown".to_owned(), dollars),
        dollars(line.difference_micros),
        parts.join(", "),
    );
    let mut commands = vec![
        format!("halctl cost --from {date} --to {date} --by session"),
        format!(
            "sqlite3 /var/lib/hal-o-swarm/supervisor.db \"SELECT * FROM costs WHERE date = '{date}' AND provider = '{provider}';\""
        ),
    ];
    let has = |reason| line.explained.iter().any(|part| part.reason == reason);
    if has(Reason::UnknownPrice) {
        commands.push("halctl cost prices".to_owned());
    }
    if has(Reason::OutsideTheFleet) || line.unexplained_micros != 0 {
        commands.push(format!("halctl cost reconcile --from {date} --to {date} -o json"));
    }
    Some(NextStep { finding, commands })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::provider::BillLine;

    fn bill(usd: &str, tokens: Option<u64>, is_partial: bool) -> BTreeMap<String, DayBill> {
        let line = BillLine {
            model: "claude-opus-5-20260301".into(),
            usd: Money::dollars(usd),
            tokens: tokens.map(|input| Metered { input, ..Metered::default() }),
            ..BillLine::default()
        };
        BTreeMap::from([(
            "2026-11-20".into(),
            DayBill { lines: vec![line], is_partial, ..DayBill::default() },
        )])
    }

    fn compared(ours: Ours, bills: &BTreeMap<String, DayBill>) -> Compared {
        let ours = BTreeMap::from([(("2026-11-20".to_owned(), "claude-opus-5".to_owned()), ours)]);
        let lines = compare(Provider::Anthropic, &ours, bills, Threshold::default());
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    fn parts(line: &Compared) -> Vec<(Reason, i64)> {
        line.explained.iter().map(|part| (part.reason, part.micros)).collect()
    }

    #[test]
    fn what_agrees_is_no_difference() {
        let ours = Ours { picos: 3_000_000_000_000, tokens: 100, ..Ours::default() };
        let line = compared(ours, &bill("3", Some(100), false));
        assert_eq!((line.difference_micros, line.unexplained_micros, line.is_discrepancy), (0, 0, false));
        assert_eq!(steps(&[], &[line])[0].commands, ["halctl cost status"]);
    }

    #[test]
    fn a_difference_is_explained_by_its_tokens_and_the_rest_is_an_alert() {
        // 40 of 100 tokens are not ours, 10 of ours have no price: $5 of $10. We count $2 for the other 50, not $5.
        let ours = Ours { picos: 2_000_000_000_000, tokens: 60, unpriced: 10, ..Ours::default() };
        let line = compared(ours, &bill("10", Some(100), false));
        assert_eq!(line.difference_micros, 8_000_000);
        assert_eq!(parts(&line), [(Reason::UnknownPrice, 1_000_000), (Reason::OutsideTheFleet, 4_000_000)]);
        assert!(line.unexplained_micros == 3_000_000 && line.is_discrepancy);
        let text = alarm(Provider::Anthropic, std::slice::from_ref(&line)).unwrap();
        assert!(text.contains("it bills $10.00, counted were $2.00;"), "{text}");
        let step = &steps(&[], &[line])[0];
        assert!(step.finding.ends_with(
            "$1.00 tokens without a known price, $4.00 used outside of this fleet, $3.00 nothing explains"
        ));
    }

    #[test]
    fn a_day_that_is_not_complete_is_no_discrepancy() {
        let ours = || Ours { picos: 9_000_000_000_000, tokens: 100, ..Ours::default() };
        let line = compared(ours(), &bill("3", Some(30), true));
        assert_eq!((parts(&line), line.unexplained_micros), (vec![(Reason::PartialDay, -6_000_000)], 0));
        let line = compared(ours(), &BTreeMap::new());
        assert_eq!((line.theirs_micros, line.is_discrepancy), (None, false), "no bill yet is not zero");
        let line = compared(ours(), &bill("3", Some(30), false));
        assert!(line.unexplained_micros == -6_000_000 && line.is_discrepancy, "too little is strange, too");
    }

    #[test]
    fn a_small_difference_is_shown_and_is_no_alert() {
        let ours = |micros: u64| Ours { picos: micros * 1_000_000, tokens: 100, ..Ours::default() };
        assert!(
            !compared(ours(9_300_000), &bill("10", Some(100), false)).is_discrepancy,
            "less than a dollar"
        );
        assert!(!compared(ours(96_000_000), &bill("100", Some(100), false)).is_discrepancy, "less than 5 %");
        assert!(compared(ours(94_000_000), &bill("100", Some(100), false)).is_discrepancy);
    }

    #[test]
    fn what_no_session_can_count_is_explained() {
        let line =
            |model: &str| BillLine { model: model.into(), usd: Money::dollars("2"), ..BillLine::default() };
        let lines = vec![line(""), line("o3")];
        let bills = BTreeMap::from([("2026-11-20".into(), DayBill { lines, ..DayBill::default() })]);
        let lines = compare(Provider::OpenAi, &BTreeMap::new(), &bills, Threshold::default());
        assert_eq!(parts(&lines[0]), [(Reason::OutsideTheFleet, 2_000_000)]);
        assert_eq!(parts(&lines[1]), [(Reason::NotTokens, 2_000_000)]);
        let ours = Ours { subscribed: 2_000_000_000_000, tokens: 100, ..Ours::default() };
        let line = compared(ours, &bill("2", Some(100), false));
        assert_eq!(parts(&line), [(Reason::Subscription, 2_000_000)], "billed all the same");
        assert_eq!(line.ours_micros, Some(0));
        let unknown = Ours { tokens: 50, unpriced: 50, ..Ours::default() };
        assert_eq!(compared(unknown, &bill("2", Some(50), false)).ours_micros, None, "unknown is never zero");
    }

    #[test]
    fn dollars_show_no_needless_digits() {
        assert_eq!([0, 1_500_000, 1_237_891, -7].map(dollars), ["0.00", "1.50", "1.237891", "-0.000007"]);
    }
}
