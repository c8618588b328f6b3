//! What is lent, and when a turn must stop: the supervisor's side, and the node's, which may be cut off.
//!
//! ```text
//!   limit = spent + outstanding + free     outstanding: lent, and not accounted for yet
//! ```
//! Usage moves from outstanding to spent; only the end of a lease, said after all its usage, makes the rest free again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ledger::day_of;
use crate::price::{Prices, micros};
use hal_base::clock::Time;
use hal_base::sabotage;
use hal_protocol::budget::{AtLimit, dollars};
use hal_protocol::lease::{Lease, LeaseEnd, LeaseRequest, LeaseVerdict};
use hal_protocol::node::{NodeId, ProjectName};
use hal_protocol::session::{SessionId, Tokens};

/// How soon is asked again when all is lent to others.
const AGAIN_WHEN_LENT_MS: u64 = 500;

/// How soon is asked again when no answer came: it may have been lost with a link.
const AGAIN_UNANSWERED_MS: u64 = 2_000;

/// How long a turn may go on when its lease is spent and the supervisor has been asked for more.
const ANSWER_MS: u64 = 5_000;

/// How many first leases of this size a budget must have room for: less is lent when it has not.
const SHARES: u64 = 4;

/// What the first call of a turn is taken to write.
const WRITTEN: u64 = 2_000;

/// How soon a turn that goes on after it was interrupted is interrupted again.
const AGAIN_INTERRUPTED_MS: u64 = 5_000;

/// Money that is lent, as the supervisor keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loan {
    /// The node's name for it.
    pub id: String,
    /// The node that it was lent to.
    pub node: NodeId,
    /// Its public name; `None`: it is not known yet.
    pub session: Option<SessionId>,
    /// The project that the session works in.
    pub project: ProjectName,
    /// All that was lent.
    pub lent: u64,
    /// What the session was charged with since.
    pub reported: u64,
    /// The part of that which sessions have used whose own lease was not known yet.
    pub for_others: BTreeMap<SessionId, u64>,
    /// What the node has seen being used.
    pub used: u64,
    /// When it began.
    pub began: Time,
    /// When its time is over, by the supervisor's clock: at the node it is over a little earlier.
    pub expires: Time,
}

impl Loan {
    /// What counts as spent though nobody has accounted for it.
    pub fn outstanding(&self) -> u64 {
        if sabotage::LEASE_NOT_COUNTED {
            return 0;
        }
        self.lent.max(self.used).saturating_sub(self.reported)
    }

    /// Lends so much more, beyond what it has gone over already.
    pub fn lend(&mut self, more: u64) {
        if more > 0 {
            self.lent = self.lent.max(self.used).max(self.reported).saturating_add(more);
        }
    }

    /// What is lost with an agent that died while the turn ran.
    pub fn forfeited(&self, end: &LeaseEnd) -> u64 {
        match end.lost {
            true => self.lent.max(self.used).max(end.used_micros).saturating_sub(self.reported),
            false => 0,
        }
    }
}

/// How a budget stands for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRoom {
    /// The budget's name.
    pub name: String,
    /// What may become free for it: neither spent nor lent to it already.
    pub left: u64,
    /// What is neither spent nor lent.
    pub free: u64,
    /// What happens when it is spent.
    pub at_limit: AtLimit,
}

/// What comes of a request, and what is lent in addition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What came of it.
    pub verdict: LeaseVerdict,
    /// So much more.
    pub more: u64,
    /// The budget that is the tightest, or spent.
    pub budget: String,
    /// What the node does at the limit.
    pub at_limit: AtLimit,
    /// Why nothing is lent, in a sentence; empty: it is.
    pub why: String,
}

/// What the first call of a turn is likely to cost at the table's price, with a half of it on top; 0: nobody knows.
pub fn first_step(ask: &LeaseRequest, prices: &Prices, at: Time) -> u64 {
    let Some(model) = ask.model.as_ref().filter(|model| !prices.is_subscribed(&model.provider)) else {
        return 0;
    };
    let Some(price) = prices.find(&model.provider, &model.id, &day_of(at)) else { return 0 };
    // Nothing of it is in the provider's cache, and all of it may have to be written there.
    let read = Tokens { input: ask.first_tokens, output: WRITTEN, ..Tokens::default() };
    let cached = Tokens { cache_write: ask.first_tokens, output: WRITTEN, ..Tokens::default() };
    let likely = micros(price.of(&read).max(price.of(&cached)));
    likely.saturating_add(likely / 2)
}

/// Judges a request by all budgets that hold for it. `size` is what is lent at a time, at least what a step of the
/// session costs; `first`: what the first step is likely to cost, 0 when it is known; `begun`: the turn runs already.
pub fn judge(rooms: &[BudgetRoom], ask: &LeaseRequest, size: u64, first: u64, begun: bool) -> Judged {
    let size = size.max(ask.step_micros);
    // A turn that may be finished is given what it needs.
    let holds = |room: &&BudgetRoom| {
        room.at_limit != AtLimit::Notify && !(begun && room.at_limit == AtLimit::FinishTurn)
    };
    let strictest = rooms.iter().map(|room| room.at_limit).max().unwrap_or(AtLimit::Notify);
    let Some(tight) = rooms.iter().filter(holds).min_by_key(|room| (room.left, room.free)) else {
        let more = if ask.more { size.max(first) } else { 0 };
        let budget = rooms.first().map(|room| room.name.clone()).unwrap_or_default();
        return Judged {
            verdict: LeaseVerdict::Granted,
            more,
            budget,
            at_limit: strictest,
            why: String::new(),
        };
    };
    let judged = |verdict, more, room: &BudgetRoom, why| Judged {
        verdict,
        more,
        budget: room.name.clone(),
        at_limit: if verdict == LeaseVerdict::Refused { room.at_limit } else { strictest },
        why,
    };
    if !ask.more {
        return judged(LeaseVerdict::Granted, 0, tight, String::new());
    }
    // Less than the next step costs is of no use: it would only go beyond the limit. What the session has of its lease
    // goes towards that.
    let held = ask.lent_micros.saturating_sub(ask.used_micros);
    let least = ask.step_micros.saturating_sub(held).max(1);
    if tight.left < least {
        let why = match tight.left.saturating_add(held) {
            0 => format!("budget {} is spent", tight.name),
            left => format!(
                "budget {} has ${} left for this session, less than the ${} that a step of it costs",
                tight.name,
                dollars(left),
                dollars(ask.step_micros)
            ),
        };
        return judged(LeaseVerdict::Refused, 0, tight, why);
    }
    let narrow = rooms.iter().filter(holds).min_by_key(|room| room.free).unwrap_or(tight);
    if narrow.free < least {
        let why = format!("all that is left of budget {} is lent to other sessions", narrow.name);
        return judged(LeaseVerdict::Wait, 0, narrow, why);
    }
    // What is only likely to be needed is not to keep others waiting: a turn that needs it asks again.
    let size = size.max(first.min(narrow.free / SHARES));
    judged(LeaseVerdict::Granted, size.min(narrow.free), narrow, String::new())
}

/// Money that was lent, as the node holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// All that was lent.
    pub lent: u64,
    /// What was used of it.
    pub used: u64,
    /// The dearest step.
    pub step: u64,
    /// What is lent at a time.
    pub size: u64,
    /// When its time is over, by the node's own clock; 0: nothing was lent yet.
    pub expires_ms: u64,
    /// For how long it is lent at a time.
    pub ttl_ms: u64,
    /// When it was last asked for.
    pub asked_ms: Option<u64>,
    /// Since when the supervisor owes an answer.
    pub waits_since: Option<u64>,
    /// The last answer, unless something was asked since.
    pub said: Option<LeaseVerdict>,
    /// Why it was refused.
    pub why: String,
    /// The budget that was last named.
    pub budget: String,
    /// What to do at the limit.
    pub at_limit: AtLimit,
    /// When the turn was interrupted last.
    pub interrupted_ms: Option<u64>,
}

/// What a node does about a lease now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this moment.
    Rest(u64),
    /// Ask the supervisor; for more money, or only for more time.
    Ask {
        /// For more money.
        more: bool,
    },
    /// Interrupt the turn, for this reason.
    Interrupt(String),
}

impl Held {
    /// What is left of it.
    pub fn left(&self) -> u64 {
        self.lent.saturating_sub(self.used)
    }

    /// A step of the turn has cost this much more.
    pub fn debit(&mut self, micros: u64) {
        self.used = self.used.saturating_add(micros);
        self.step = self.step.max(micros);
    }

    /// The supervisor is asked, perhaps once more.
    pub fn ask(&mut self, now_ms: u64) {
        if self.said.is_some() || self.waits_since.is_none() {
            self.waits_since = Some(now_ms);
        }
        (self.asked_ms, self.said) = (Some(now_ms), None);
    }

    /// The supervisor has answered.
    pub fn hear(&mut self, answer: &Lease) {
        self.lent = self.lent.max(answer.micros);
        self.used = self.used.max(answer.used_micros);
        if answer.asked_ms == 0 {
            return;
        }
        self.waits_since = None;
        self.size = answer.size_micros;
        self.ttl_ms = answer.ttl_ms;
        if answer.verdict == LeaseVerdict::Granted {
            self.expires_ms = self.expires_ms.max(answer.asked_ms.saturating_add(answer.ttl_ms));
        }
        self.said = Some(answer.verdict);
        self.budget.clone_from(&answer.budget);
        self.at_limit = answer.at_limit;
        self.why.clone_from(&answer.why);
    }

    /// What to do now. `runs`: the turn is at work, and not only waiting to begin.
    pub fn next(&self, now_ms: u64, runs: bool) -> Next {
        if runs && let Some(why) = self.must_stop(now_ms) {
            return match self.interrupted_ms.map(|at| at + AGAIN_INTERRUPTED_MS) {
                Some(again) if again > now_ms => Next::Rest(again),
                _ => Next::Interrupt(why),
            };
        }
        let renew_at = self.expires_ms.saturating_sub(self.ttl_ms / 2);
        let (more, due) = match self.said {
            // Asked, and not answered.
            None => {
                let again = self.asked_ms.map_or(0, |at| at + AGAIN_UNANSWERED_MS);
                let is_awaited = self.is_spent() && self.patience_end() > now_ms;
                (self.is_low(), if is_awaited { again.min(self.patience_end()) } else { again })
            }
            Some(LeaseVerdict::Wait) => (true, self.asked_ms.unwrap_or(0) + AGAIN_WHEN_LENT_MS),
            Some(LeaseVerdict::Refused) => (true, self.asked_ms.unwrap_or(0) + AGAIN_UNANSWERED_MS),
            Some(LeaseVerdict::Granted) if self.is_low() => (true, 0),
            Some(LeaseVerdict::Granted) => (false, renew_at),
        };
        if due <= now_ms {
            return Next::Ask { more };
        }
        let over = if self.expires_ms > now_ms { self.expires_ms } else { u64::MAX };
        Next::Rest(if runs { due.min(over) } else { due })
    }

    /// True when the next step may need more than is left.
    pub fn is_low(&self) -> bool {
        self.left() < self.step.max(self.size / 4).max(1)
    }

    fn is_spent(&self) -> bool {
        self.used > 0 && self.used >= self.lent
    }

    /// When an answer that is owed is not waited for any more by a turn whose lease is spent.
    fn patience_end(&self) -> u64 {
        self.waits_since.map_or(u64::MAX, |since| since + ANSWER_MS)
    }

    fn must_stop(&self, now_ms: u64) -> Option<String> {
        if self.at_limit <= AtLimit::FinishTurn {
            return None;
        }
        if self.said == Some(LeaseVerdict::Refused) && self.left() < self.step.max(1) {
            return Some(self.why.clone());
        }
        // Spent: more is asked for before it is interrupted, as only the supervisor knows whether there is room.
        let is_spent = self.is_spent();
        match self.said {
            Some(LeaseVerdict::Wait) if is_spent => return Some(self.why.clone()),
            None if is_spent && self.patience_end() <= now_ms => {
                return Some(format!(
                    "the ${} that were lent to it are spent, and the supervisor has not lent more",
                    dollars(self.lent)
                ));
            }
            _ => {}
        }
        (self.expires_ms > 0 && now_ms >= self.expires_ms)
            .then(|| "its lease ran out, and the supervisor could not be asked for another".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::session::Model;

    const SIZE: u64 = 50_000;

    fn room(name: &str, left: u64, free: u64) -> BudgetRoom {
        BudgetRoom { name: name.into(), left, free, at_limit: AtLimit::Pause }
    }

    fn ask(step: u64) -> LeaseRequest {
        LeaseRequest { step_micros: step, more: true, ..LeaseRequest::default() }
    }

    fn held() -> Held {
        let mut held = Held::default();
        held.ask(1_000);
        held.hear(&Lease {
            micros: SIZE,
            size_micros: SIZE,
            ttl_ms: 60_000,
            asked_ms: 1_000,
            at_limit: AtLimit::Pause,
            ..Lease::default()
        });
        held
    }

    #[test]
    fn no_more_is_lent_than_the_tightest_budget_has() {
        let judged =
            judge(&[room("a", 900_000, 20_000), room("b", 800_000, 800_000)], &ask(0), SIZE, 0, false);
        assert_eq!(
            (judged.verdict, judged.more, judged.budget.as_str()),
            (LeaseVerdict::Granted, 20_000, "a")
        );
        let judged = judge(&[room("a", 900_000, 0)], &ask(0), SIZE, 0, false);
        assert_eq!(judged.verdict, LeaseVerdict::Wait);
        let judged = judge(&[room("a", 0, 0), room("b", 800_000, 800_000)], &ask(0), SIZE, 0, false);
        assert_eq!((judged.verdict, judged.why.as_str()), (LeaseVerdict::Refused, "budget a is spent"));
        let judged = judge(&[room("a", 20_000, 20_000)], &ask(30_000), SIZE, 0, false);
        assert_eq!((judged.verdict, judged.more), (LeaseVerdict::Refused, 0), "a step would go beyond it");
    }

    #[test]
    fn a_turn_may_be_finished_and_a_new_one_not_begun() {
        let spent = BudgetRoom { at_limit: AtLimit::FinishTurn, ..room("a", 0, 0) };
        assert_eq!(judge(std::slice::from_ref(&spent), &ask(0), SIZE, 0, true).more, SIZE);
        assert_eq!(judge(&[spent], &ask(0), SIZE, 0, false).verdict, LeaseVerdict::Refused);
        let told = BudgetRoom { at_limit: AtLimit::Notify, ..room("a", 0, 0) };
        assert_eq!(judge(&[told], &ask(0), SIZE, 0, false).verdict, LeaseVerdict::Granted);
    }

    #[test]
    fn what_is_lent_counts_until_it_is_accounted_for() {
        let mut loan = Loan { lent: SIZE, ..Loan::default() };
        assert_eq!(loan.outstanding(), SIZE);
        loan.reported = 30_000;
        assert_eq!(loan.outstanding(), 20_000);
        assert_eq!(loan.forfeited(&LeaseEnd { lost: false, ..LeaseEnd::default() }), 0);
        assert_eq!(loan.forfeited(&LeaseEnd { lost: true, ..LeaseEnd::default() }), 20_000);
        loan.used = 60_000;
        assert_eq!(loan.outstanding(), 30_000, "the node knows of more than was lent");
        loan.reported = 90_000;
        assert_eq!(loan.outstanding(), 0);
    }

    #[test]
    fn what_only_the_supervisor_can_price_is_heard_of() {
        let mut held = held();
        held.hear(&Lease { micros: SIZE, used_micros: SIZE, ..Lease::default() });
        assert_eq!(held.next(2_000, true), Next::Ask { more: true });
        held.ask(2_000);
        assert!(matches!(held.next(2_000 + ANSWER_MS, true), Next::Interrupt(_)));
        assert_eq!((held.at_limit, held.size), (AtLimit::Pause, SIZE), "nothing else is news");
    }

    #[test]
    fn more_is_asked_for_in_time_and_time_before_it_is_over() {
        let mut held = held();
        assert_eq!(held.next(2_000, true), Next::Rest(31_000));
        assert_eq!(held.next(31_000, true), Next::Ask { more: false });
        held.debit(30_000);
        assert_eq!(held.next(2_000, true), Next::Ask { more: true }, "a second such step does not fit");
        held.ask(2_000);
        assert_eq!(held.next(2_000, true), Next::Rest(4_000));
        assert_eq!(held.next(4_000, true), Next::Ask { more: true });
    }

    #[test]
    fn a_turn_stops_when_its_money_is_spent_refused_or_its_time_is_over() {
        let stops = |held: &Held, now| matches!(held.next(now, true), Next::Interrupt(_));
        let mut spent = held();
        spent.debit(20_000);
        assert!(!stops(&spent, 2_000));
        spent.debit(30_000);
        assert_eq!(spent.next(2_000, true), Next::Ask { more: true }, "there may be room");
        spent.ask(2_000);
        spent.ask(4_000);
        assert!(!stops(&spent, 1_999 + ANSWER_MS));
        assert!(stops(&spent, 2_000 + ANSWER_MS), "nobody has answered, asked twice");
        spent.said = Some(LeaseVerdict::Refused);
        assert!(stops(&spent, 2_000), "there is none");
        assert!(!matches!(spent.next(2_000, false), Next::Interrupt(_)), "nothing runs");
        assert!(!stops(&held(), 60_999) && stops(&held(), 61_000), "cut off");
        let mut refused = held();
        refused.debit(30_000);
        refused.said = Some(LeaseVerdict::Refused);
        assert!(stops(&refused, 2_000), "the next step would go beyond the limit");
        refused.at_limit = AtLimit::FinishTurn;
        assert!(!stops(&refused, 2_000));
        spent.interrupted_ms = Some(2_000);
        assert_eq!(spent.next(3_000, true), Next::Rest(7_000));
        assert!(stops(&spent, 7_000), "it did not heed");
    }

    #[test]
    fn a_step_dearer_than_what_is_lent_at_a_time_is_lent_what_it_takes() {
        let rooms = [room("day", 5_000_000, 5_000_000)];
        let mut loan = Loan { lent: SIZE, used: 400_000, ..Loan::default() };
        let judged = judge(&rooms, &ask(400_000), SIZE, 0, true);
        assert_eq!((judged.verdict, judged.more), (LeaseVerdict::Granted, 400_000));
        loan.lend(judged.more);
        assert_eq!(loan.lent, 800_000, "another such step, beyond what it has gone over");
        assert_eq!(loan.outstanding(), 800_000, "all of it counts until it is accounted for");
        let narrow = judge(&[room("day", 300_000, 300_000)], &ask(400_000), SIZE, 0, true);
        assert_eq!(narrow.verdict, LeaseVerdict::Refused);
        assert!(narrow.why.contains("$0.30 left for this session, less than the $0.40"), "{}", narrow.why);
    }

    #[test]
    fn the_first_lease_follows_the_models_price_and_the_prompts_size() {
        let rates = crate::price::per_million(5.0, 25.0, None, Some(6.25));
        let price = crate::price::Price { model: "big".into(), rates, ..Default::default() };
        let prices = Prices { own: vec![price], ..Prices::default() };
        let of = |model: &str, first_tokens| LeaseRequest {
            model: Some(Model { provider: "a".into(), id: model.into() }),
            first_tokens,
            ..ask(0)
        };
        let at = Time(0);
        assert_eq!(first_step(&of("big", 16_000), &prices, at), 225_000, "0.10 read, 0.05 written, and half");
        assert_eq!(first_step(&of("riddle", 16_000), &prices, at), 0);
        assert_eq!(first_step(&ask(0), &prices, at), 0);
        let subscribed = Prices { subscriptions: vec!["a".into()], ..prices };
        assert_eq!(first_step(&of("big", 16_000), &subscribed, at), 0);
        let more =
            |free: u64, first: u64| judge(&[room("day", free, free)], &ask(0), SIZE, first, false).more;
        assert_eq!(more(5_000_000, 225_000), 225_000);
        assert_eq!(more(5_000_000, 10_000), SIZE, "never less than usual");
        assert_eq!(more(400_000, 225_000), 100_000, "others are left something");
        assert_eq!(more(30_000, 225_000), 30_000);
    }

    #[test]
    fn what_a_session_has_of_its_lease_goes_towards_its_next_step() {
        let last = LeaseRequest { lent_micros: 720_000, used_micros: 420_000, ..ask(360_000) };
        let judged = judge(&[room("day", 270_410, 270_410)], &last, SIZE, 0, true);
        assert_eq!((judged.verdict, judged.more), (LeaseVerdict::Granted, 270_410), "{}", judged.why);
        let judged = judge(&[room("day", 50_000, 50_000)], &last, SIZE, 0, true);
        assert_eq!(judged.verdict, LeaseVerdict::Refused);
        assert!(judged.why.contains("has $0.35 left for this session"), "{}", judged.why);
    }
}
