//! What calls of a model used and cost, made to add up to what Claude Code says at the end of a turn.
//!
//! While a turn runs, an answer is told with its tokens, and with their list price where that is known. The end of a turn
//! tells what was used since the last one, by model: exactly, with calls that no answer shows (a summary, a helper, a call
//! that was cut off). What is left over goes to the answers whose end was not told, else to the session as a whole; what
//! the price differs by, to the last answer.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::words::{ModelUsage, UsageSaid};
use hal_base::clock::Time;
use hal_protocol::session::{SessionId, Tokens};
use hal_rules::ledger::{RECENT, day_of};
use hal_rules::price::{DOLLAR, Prices};

/// Who serves the models.
pub const PROVIDER: &str = "anthropic";

/// An answer as it was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whose it is: the session's, or a helper's.
    pub session: SessionId,
    /// Its name.
    pub id: String,
    /// The model.
    pub model: String,
    /// What it used.
    pub tokens: Tokens,
    /// What that costs, in 10^-12 US dollars; `None`: nobody knows yet.
    pub picos: Option<u64>,
    /// True until its end was told with all that it used.
    pub is_open: bool,
    /// When it began.
    pub created: Time,
}

/// What the end of a turn comes to.
#[derive(Debug, Default, PartialEq)]
pub struct Settled {
    /// Answers that are to be told again.
    pub changed: Vec<Answer>,
    /// What the session used beyond all answers.
    pub beyond: Tokens,
    /// What that costs, in 10^-12 US dollars.
    pub beyond_picos: u64,
    /// What all answers used, by whose they are: tokens and 10^-12 US dollars.
    pub sums: Vec<(SessionId, Tokens, u64)>,
}

/// The answers since the last end of a turn.
#[derive(Debug, Default)]
pub struct Account {
    answers: Vec<Answer>,
}

impl Account {
    /// Notes an answer, or what more is known of it; gives it with its price.
    pub fn note(&mut self, answer: Answer, at: Time) -> Answer {
        let picos = answer.picos.or_else(|| list_price(&answer.model, &answer.tokens, at));
        let mut answer = Answer { picos, ..answer };
        match self.answers.iter_mut().find(|one| one.id == answer.id) {
            Some(known) => {
                answer.created = known.created;
                *known = answer.clone();
            }
            None => self.answers.push(answer.clone()),
        }
        answer
    }

    /// A turn is over: this was used since the last one.
    pub fn settle(&mut self, usage: &HashMap<String, ModelUsage>, at: Time) -> Settled {
        let mut settled = Settled::default();
        let mut answers = std::mem::take(&mut self.answers);
        for (model, used) in usage {
            let mut own: Vec<&mut Answer> =
                answers.iter_mut().filter(|answer| same_model(&answer.model, model)).collect();
            settle_model(model, used, &mut own, &mut settled, at);
        }
        for answer in answers {
            settled.sums.push((answer.session, answer.tokens, answer.picos.unwrap_or(0)));
        }
        settled
    }
}

/// Makes the answers of one model add up to what was used of it.
fn settle_model(
    model: &str,
    used: &ModelUsage,
    answers: &mut [&mut Answer],
    settled: &mut Settled,
    at: Time,
) {
    let told = answers.iter().fold(Tokens::default(), |sum, answer| sum.plus(&answer.tokens));
    let rest = minus(tokens_of(used.usage), told);
    let before: Vec<Answer> = answers.iter().map(|answer| (**answer).clone()).collect();
    // Only the last ones can still be told again.
    let recent = answers.len().saturating_sub(RECENT);
    let open: Vec<usize> = (recent..answers.len()).filter(|at| answers[*at].is_open).collect();
    if rest.total() > 0 && open.is_empty() {
        settled.beyond = settled.beyond.plus(&rest);
    }
    for (share, index) in shares(rest, open.len()).into_iter().zip(&open) {
        let answer = &mut answers[*index];
        answer.tokens = answer.tokens.plus(&share);
        answer.picos = list_price(&answer.model, &answer.tokens, at);
    }
    let known = answers.iter().filter_map(|answer| answer.picos).fold(0_u64, u64::saturating_add);
    let beyond = if open.is_empty() { list_price(model, &rest, at).unwrap_or(0) } else { 0 };
    let beyond = if rest.total() > 0 && open.is_empty() { beyond } else { 0 };
    // Where the sum is not known, the list prices stand.
    let said = used.cost.map(|cost| (cost * DOLLAR as f64).round() as u64);
    let said = said.unwrap_or_else(|| known.saturating_add(beyond));
    let beyond = beyond.min(said);
    let differs = i128::from(said) - i128::from(known) - i128::from(beyond);
    settled.beyond_picos = settled.beyond_picos.saturating_add(beyond);
    match answers.last_mut() {
        Some(_) if used.cost.is_none() => {}
        Some(last) => {
            let price = i128::from(last.picos.unwrap_or(0)).saturating_add(differs).max(0);
            last.picos = Some(u64::try_from(price).unwrap_or(u64::MAX));
        }
        None => {
            let more = u64::try_from(differs.max(0)).unwrap_or(u64::MAX);
            settled.beyond_picos = settled.beyond_picos.saturating_add(more);
        }
    }
    let is_news = |(answer, before): &(&&mut Answer, &Answer)| ***answer != **before;
    let changed = answers.iter().zip(&before).filter(is_news).map(|(answer, _)| (**answer).clone());
    settled.changed.extend(changed.map(|answer| Answer { is_open: false, ..answer }));
}

/// True when both names mean one model: an answer may name a dated copy, a larger window is named with the sum only.
fn same_model(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.split('[').next().unwrap_or(name).to_owned();
    plain(one) == plain(other)
}

fn list_price(model: &str, tokens: &Tokens, at: Time) -> Option<u64> {
    static PRICES: OnceLock<Prices> = OnceLock::new();
    let prices = PRICES.get_or_init(|| Prices::new(Vec::new(), Vec::new()));
    prices.find(PROVIDER, model, &day_of(at)).map(|price| price.of(tokens))
}

/// Tokens of a call.
pub fn tokens_of(said: UsageSaid) -> Tokens {
    Tokens {
        input: said.input_tokens,
        output: said.output_tokens,
        reasoning: 0,
        cache_read: said.cache_read_input_tokens,
        cache_write: said.cache_creation_input_tokens,
    }
}

fn minus(one: Tokens, other: Tokens) -> Tokens {
    Tokens {
        input: one.input.saturating_sub(other.input),
        output: one.output.saturating_sub(other.output),
        reasoning: one.reasoning.saturating_sub(other.reasoning),
        cache_read: one.cache_read.saturating_sub(other.cache_read),
        cache_write: one.cache_write.saturating_sub(other.cache_write),
    }
}

/// So many even parts, the last one with what cannot be parted.
fn shares(whole: Tokens, count: usize) -> Vec<Tokens> {
    let Some(parts) = u64::try_from(count).ok().filter(|parts| *parts > 0) else { return Vec::new() };
    let each = Tokens {
        input: whole.input / parts,
        output: whole.output / parts,
        reasoning: whole.reasoning / parts,
        cache_read: whole.cache_read / parts,
        cache_write: whole.cache_write / parts,
    };
    let mut out = vec![each; count];
    let given = out.iter().fold(Tokens::default(), |sum, part| sum.plus(part));
    if let Some(last) = out.last_mut() {
        *last = last.plus(&minus(whole, given));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPUS: &str = "claude-opus-5-5";

    fn now() -> Time {
        Time::parse("2026-11-30T12:00:00Z").unwrap()
    }

    fn answer(session: &str, id: &str, tokens: [u64; 4], is_open: bool) -> Answer {
        let [input, output, cache_read, cache_write] = tokens;
        let tokens = Tokens { input, output, reasoning: 0, cache_read, cache_write };
        let (session, model) = (session.into(), OPUS.into());
        Answer { session, id: id.into(), model, tokens, picos: None, is_open, created: now() }
    }

    fn used(tokens: [u64; 4], cost: f64) -> HashMap<String, ModelUsage> {
        let [input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens] = tokens;
        let usage =
            UsageSaid { input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens };
        let usage = ModelUsage { usage, cost: Some(cost), context_window: 1_000_000 };
        HashMap::from([(OPUS.to_owned(), usage)])
    }

    #[test]
    fn what_agrees_is_told_once() {
        let mut account = Account::default();
        let told = account.note(answer("s", "m", [1000, 42, 300, 0], false), now());
        assert_eq!(told.picos, Some(4_900_000_000));
        let settled = account.settle(&used([1000, 42, 300, 0], 0.0049), now());
        assert_eq!((settled.changed, settled.beyond_picos), (vec![], 0));
        assert_eq!(settled.sums, [("s".into(), told.tokens, 4_900_000_000)]);
    }

    #[test]
    fn what_a_helper_wrote_is_known_at_the_end_of_the_turn() {
        let mut account = Account::default();
        account.note(answer("s", "m", [2000, 84, 600, 0], false), now());
        account.note(answer("h", "n", [500, 1, 70, 80], true), now());
        let settled = account.settle(&used([2500, 144, 670, 80], 0.013_414), now());
        let [told] = settled.changed.as_slice() else { panic!("{settled:?}") };
        assert_eq!((told.session.as_str(), told.tokens.output, told.picos), ("h", 60, Some(3_614_000_000)));
        assert_eq!((settled.beyond.total(), settled.beyond_picos), (0, 0));
    }

    #[test]
    fn what_no_answer_shows_is_the_session_s() {
        let mut account = Account::default();
        let settled = account.settle(&used([1000, 42, 300, 0], 0.0049), now());
        assert_eq!((settled.beyond.total(), settled.beyond_picos), (1342, 4_900_000_000));
        account.note(answer("s", "m", [1000, 42, 300, 0], false), now());
        let settled = account.settle(&used([2000, 84, 600, 0], 0.0098), now());
        assert_eq!((settled.beyond.total(), settled.beyond_picos), (1342, 4_900_000_000));
        assert_eq!(settled.changed, []);
    }

    #[test]
    fn another_price_than_the_list_s_is_the_last_answer_s() {
        let mut account = Account::default();
        for id in ["a", "b"] {
            account.note(answer("s", id, [1000, 42, 300, 0], false), now());
        }
        let settled = account.settle(&used([2000, 84, 600, 0], 0.01), now());
        let [told] = settled.changed.as_slice() else { panic!("{settled:?}") };
        assert_eq!((told.id.as_str(), told.picos), ("b", Some(5_100_000_000)));
        let unknown = Answer { model: "nonsense-9".into(), ..answer("s", "c", [10, 1, 0, 0], false) };
        assert_eq!(account.note(unknown, now()).picos, None, "unknown is not zero");
        let usage = HashMap::from([("nonsense-9".to_owned(), used([10, 1, 0, 0], 0.002)[OPUS])]);
        assert_eq!(account.settle(&usage, now()).changed[0].picos, Some(2_000_000_000));
    }

    #[test]
    fn where_the_sum_is_not_known_the_list_prices_stand() {
        let mut account = Account::default();
        account.note(answer("s", "m", [1000, 42, 300, 0], false), now());
        let unknown = Answer { model: "nonsense-9".into(), ..answer("s", "c", [10, 1, 0, 0], false) };
        account.note(unknown, now());
        let no_price = |usage: ModelUsage| ModelUsage { cost: None, ..usage };
        let usage = HashMap::from([
            (OPUS.to_owned(), no_price(used([1000, 42, 300, 0], 0.0)[OPUS])),
            ("nonsense-9".to_owned(), no_price(used([10, 1, 0, 0], 0.0)[OPUS])),
        ]);
        let settled = account.settle(&usage, now());
        assert_eq!((settled.changed, settled.beyond_picos), (vec![], 0), "unknown is not zero");
        assert_eq!(settled.sums.iter().map(|(.., picos)| picos).sum::<u64>(), 4_900_000_000);
    }
}
