//! What is lent, and when a turn must stop: the supervisor's side, and the node's, which may be cut off.
//!
//! ```text
//!   limit = spent + outstanding + free     outstanding: lent, and not accounted for yet
//! ```
//! Usage moves from outstanding to spent; only the end of a lease, said after all its usage, makes the rest free again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Time;
use crate::base::sabotage;
use crate::protocol::budget::{AtLimit, dollars};
use crate::protocol::lease::{Lease, LeaseEnd, LeaseRequest, Verdict};
use crate::protocol::node::{NodeId, ProjectName};
use crate::protocol::session::SessionId;

/// How soon is asked again when all is lent to others.
const AGAIN_WHEN_LENT_MS: u64 = 500;

/// How soon is asked again when no answer came: it may have been lost with a link.
const AGAIN_UNANSWERED_MS: u64 = 2_000;

/// How soon a turn that goes on after it was interrupted is interrupted again.
const AGAIN_INTERRUPTED_MS: u64 = 5_000;

/// Money that is lent, as the supervisor keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loan {
    /// The node's name for it.
    pub id: String,
    /// To whom.
    pub node: NodeId,
    /// Its public name; `None`: it is not known yet.
    pub session: Option<SessionId>,
    /// In which project.
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
pub struct Room {
    /// Its name.
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
    pub verdict: Verdict,
    /// So much more.
    pub more: u64,
    /// The budget that is the tightest, or spent.
    pub budget: String,
    /// What the node does at the limit.
    pub at_limit: AtLimit,
    /// Why not.
    pub why: String,
}

/// Judges a request by all budgets that hold for it. `size` is what is lent at a time; `begun`: the turn runs already.
pub fn judge(rooms: &[Room], ask: &LeaseRequest, size: u64, begun: bool) -> Judged {
    // A turn that may be finished is given what it needs.
    let holds =
        |room: &&Room| room.at_limit != AtLimit::Notify && !(begun && room.at_limit == AtLimit::FinishTurn);
    let strictest = rooms.iter().map(|room| room.at_limit).max().unwrap_or(AtLimit::Notify);
    let Some(tight) = rooms.iter().filter(holds).min_by_key(|room| (room.left, room.free)) else {
        let more = if ask.more { size } else { 0 };
        let budget = rooms.first().map(|room| room.name.clone()).unwrap_or_default();
        return Judged { verdict: Verdict::Granted, more, budget, at_limit: strictest, why: String::new() };
    };
    let judged = |verdict, more, room: &Room, why| Judged {
        verdict,
        more,
        budget: room.name.clone(),
        at_limit: if verdict == Verdict::Refused { room.at_limit } else { strictest },
        why,
    };
    if !ask.more {
        return judged(Verdict::Granted, 0, tight, String::new());
    }
    // Less than the next step costs is of no use: it would only go beyond the limit.
    let least = ask.step_micros.clamp(1, size);
    if tight.left < least {
        let why = match tight.left {
            0 => format!("budget {} is spent", tight.name),
            left => format!(
                "budget {} has ${} left, less than the ${} that a step of this session costs",
                tight.name,
                dollars(left),
                dollars(ask.step_micros)
            ),
        };
        return judged(Verdict::Refused, 0, tight, why);
    }
    let narrow = rooms.iter().filter(holds).min_by_key(|room| room.free).unwrap_or(tight);
    if narrow.free < least {
        let why = format!("all that is left of budget {} is lent to other sessions", narrow.name);
        return judged(Verdict::Wait, 0, narrow, why);
    }
    judged(Verdict::Granted, size.min(narrow.free), narrow, String::new())
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
    /// The last answer, unless something was asked since.
    pub said: Option<Verdict>,
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

    /// The supervisor has answered.
    pub fn hear(&mut self, answer: &Lease) {
        self.lent = self.lent.max(answer.micros);
        self.used = self.used.max(answer.used_micros);
        if answer.asked_ms == 0 {
            return;
        }
        self.size = answer.size_micros;
        self.ttl_ms = answer.ttl_ms;
        if answer.verdict == Verdict::Granted {
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
            None => (self.is_low(), self.asked_ms.map_or(0, |at| at + AGAIN_UNANSWERED_MS)),
            Some(Verdict::Wait) => (true, self.asked_ms.unwrap_or(0) + AGAIN_WHEN_LENT_MS),
            Some(Verdict::Refused) => (true, self.asked_ms.unwrap_or(0) + AGAIN_UNANSWERED_MS),
            Some(Verdict::Granted) if self.is_low() => (true, 0),
            Some(Verdict::Granted) => (false, renew_at),
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

    fn must_stop(&self, now_ms: u64) -> Option<String> {
        if self.at_limit <= AtLimit::FinishTurn {
            return None;
        }
        if self.said == Some(Verdict::Refused) && self.left() < self.step.max(1) {
            return Some(self.why.clone());
        }
        if self.used > 0 && self.used >= self.lent {
            return Some(match self.said {
                Some(Verdict::Wait) => self.why.clone(),
                _ => format!(
                    "the ${} that were lent to it are spent, and the supervisor has not lent more",
                    dollars(self.lent)
                ),
            });
        }
        (self.expires_ms > 0 && now_ms >= self.expires_ms)
            .then(|| "its lease ran out, and the supervisor could not be asked for another".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 50_000;

    fn room(name: &str, left: u64, free: u64) -> Room {
        Room { name: name.into(), left, free, at_limit: AtLimit::Pause }
    }

    fn ask(step: u64) -> LeaseRequest {
        LeaseRequest { step_micros: step, more: true, ..LeaseRequest::default() }
    }

    fn held() -> Held {
        let mut held = Held { asked_ms: Some(1_000), ..Held::default() };
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
        let judged = judge(&[room("a", 900_000, 20_000), room("b", 800_000, 800_000)], &ask(0), SIZE, false);
        assert_eq!((judged.verdict, judged.more, judged.budget.as_str()), (Verdict::Granted, 20_000, "a"));
        let judged = judge(&[room("a", 900_000, 0)], &ask(0), SIZE, false);
        assert_eq!(judged.verdict, Verdict::Wait);
        let judged = judge(&[room("a", 0, 0), room("b", 800_000, 800_000)], &ask(0), SIZE, false);
        assert_eq!((judged.verdict, judged.why.as_str()), (Verdict::Refused, "budget a is spent"));
        let judged = judge(&[room("a", 20_000, 20_000)], &ask(30_000), SIZE, false);
        assert_eq!((judged.verdict, judged.more), (Verdict::Refused, 0), "a step would go beyond it");
    }

    #[test]
    fn a_turn_may_be_finished_and_a_new_one_not_begun() {
        let spent = Room { at_limit: AtLimit::FinishTurn, ..room("a", 0, 0) };
        assert_eq!(judge(std::slice::from_ref(&spent), &ask(0), SIZE, true).more, SIZE);
        assert_eq!(judge(&[spent], &ask(0), SIZE, false).verdict, Verdict::Refused);
        let told = Room { at_limit: AtLimit::Notify, ..room("a", 0, 0) };
        assert_eq!(judge(&[told], &ask(0), SIZE, false).verdict, Verdict::Granted);
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
        assert!(matches!(held.next(2_000, true), Next::Interrupt(_)));
        assert_eq!((held.at_limit, held.size), (AtLimit::Pause, SIZE), "nothing else is news");
    }

    #[test]
    fn more_is_asked_for_in_time_and_time_before_it_is_over() {
        let mut held = held();
        assert_eq!(held.next(2_000, true), Next::Rest(31_000));
        assert_eq!(held.next(31_000, true), Next::Ask { more: false });
        held.debit(30_000);
        assert_eq!(held.next(2_000, true), Next::Ask { more: true }, "a second such step does not fit");
        (held.asked_ms, held.said) = (Some(2_000), None);
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
        assert!(stops(&spent, 2_000));
        assert!(!matches!(spent.next(2_000, false), Next::Interrupt(_)), "nothing runs");
        assert!(!stops(&held(), 60_999) && stops(&held(), 61_000), "cut off");
        let mut refused = held();
        refused.debit(30_000);
        refused.said = Some(Verdict::Refused);
        assert!(stops(&refused, 2_000), "the next step would go beyond the limit");
        refused.at_limit = AtLimit::FinishTurn;
        assert!(!stops(&refused, 2_000));
        spent.interrupted_ms = Some(2_000);
        assert_eq!(spent.next(3_000, true), Next::Rest(7_000));
        assert!(stops(&spent, 7_000), "it did not heed");
    }
}
