//! Leases: asked for, lent, and given back. See `protocol::lease`.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Work;
use super::cost::Charge;
use crate::hub::effect::Effect;
use crate::hub::input::From;
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_protocol::budget::dollars;
use hal_protocol::frame::ToAgent;
use hal_protocol::lease::{Interrupted, Lease, LeaseEnd, LeaseRequest, LeaseVerdict};
use hal_protocol::node::NodeId;
use hal_protocol::session::{Session, SessionId};
use hal_rules::alert::AlertRaised;
use hal_rules::budget;
use hal_rules::lease::{Judged, Loan, first_step, judge};
use hal_store::kept::LEASE;

/// Leases of one node at most: as many as it takes commands at a time.
const MOST_OF_A_NODE: usize = 2048;

/// By how much a node's clock may be off for the days of its usage to be believed.
const MOST_CLOCK_OFF_MS: u64 = 5 * 60 * 1000;

impl Work {
    /// A node asks for money, for more, or for more time.
    pub(super) fn lease_asked(&mut self, from: &From, ask: &LeaseRequest, at: Time) {
        if self.current(from).is_none() {
            return;
        }
        let node = &from.node;
        let known = self.view.stored.loans.get(&ask.lease_id).cloned();
        let is_full =
            self.view.stored.loans.values().filter(|loan| loan.node == *node).count() >= MOST_OF_A_NODE;
        if known.as_ref().map_or(is_full, |loan| loan.node != *node) {
            return;
        }
        let session = ask.session_id.as_ref().map(|local| self.public_id(local, node));
        let mut loan = known.as_deref().cloned().unwrap_or_else(|| Loan {
            id: ask.lease_id.clone(),
            node: node.clone(),
            project: ask.project.clone(),
            // A supervisor that was restored does not know what it has lent.
            lent: ask.lent_micros,
            began: at,
            ..Loan::default()
        });
        if let Some(named) = session.clone().filter(|_| loan.session.is_none()) {
            loan.reported = loan.reported.saturating_add(self.charged_to_others(&loan, &named, at));
            loan.for_others.remove(&named);
        }
        loan.session = session.or(loan.session);
        loan.used = loan.used.max(ask.used_micros);
        let terms = &self.view.settings.clone().terms;
        // The last answer was lost: what it said is said again, and no more is lent.
        let is_repeated = ask.lent_micros < loan.lent;
        let asked = LeaseRequest { more: ask.more && !is_repeated, ..ask.clone() };
        let rooms = self.view.rooms(&loan, at);
        let has_begun = loan.lent > 0 || loan.used > 0;
        let first = if has_begun { 0 } else { first_step(ask, &self.view.settings.prices, at) };
        let judged = judge(&rooms, &asked, terms.lease_micros, first, has_begun);
        if judged.verdict == LeaseVerdict::Granted {
            loan.lend(judged.more);
            loan.expires = at.plus(terms.lease_for);
            self.put_loan(loan.clone(), at);
        } else if known.is_some() {
            self.put_loan(loan.clone(), at);
        }
        if judged.verdict == LeaseVerdict::Refused {
            self.tell_refused(&judged.budget, loan.session.as_ref(), at);
        }
        self.answer_lease(node, ask, &loan, judged);
    }

    fn answer_lease(&mut self, node: &NodeId, ask: &LeaseRequest, loan: &Loan, judged: Judged) {
        let terms = &self.view.settings.terms;
        let lease = Lease {
            lease_id: ask.lease_id.clone(),
            verdict: judged.verdict,
            micros: loan.lent,
            used_micros: loan.reported,
            size_micros: terms.lease_micros,
            ttl_ms: u64::try_from(terms.lease_for.as_millis()).unwrap_or(u64::MAX),
            asked_ms: ask.asked_ms,
            at_limit: judged.at_limit,
            budget: judged.budget,
            why: judged.why,
        };
        self.effects.push(Effect::Tell(node.clone(), ToAgent::Lease(lease)));
    }

    /// Counts what a session has used: it moves from what is lent to what is spent, in the period of the day on which it
    /// was used. What was lent is of the present one, whenever it was used; and so is all where a clock cannot be believed.
    pub(super) fn spend(&mut self, session: &Session, charge: &Charge, at: Time) {
        let root = self.view.root_of(session);
        let was_lent = self.report(session, &root, charge.micros, at);
        let node = self.view.find_node(session.node_id.as_str());
        let is_off =
            node.is_some_and(|node| node.link.vitals().clock_ahead_ms.unsigned_abs() > MOST_CLOCK_OFF_MS);
        self.count(session.node_id.as_str(), session.project.as_str(), Some(&root), at, |budget, counter| {
            let is_of_now = |day: &str| was_lent || is_off || budget::is_of_period(budget.period, day, at);
            counter.spent = counter.spent.saturating_add_signed(charge.within(is_of_now));
        });
    }

    /// What a session was charged with is not outstanding any more. False when nothing was lent to it.
    pub(super) fn report(&mut self, session: &Session, root: &SessionId, micros: i64, at: Time) -> bool {
        let of_root = |loan: &&Arc<Loan>| loan.session.as_ref() == Some(root);
        // One for a session that is being created: its name comes with the node's next word.
        let unnamed = |loan: &&Arc<Loan>| {
            loan.session.is_none() && loan.node == session.node_id && loan.project == session.project
        };
        let loans = &self.view.stored.loans;
        // Whose it is cannot be told, so it goes to the one that has most left: no lease is charged with more than it was
        // lent as long as there is one that holds it.
        let fullest = || loans.values().filter(unnamed).max_by_key(|loan| loan.outstanding());
        let Some(loan) = loans.values().find(of_root).or_else(fullest) else {
            return false;
        };
        let mut loan = Loan { reported: loan.reported.saturating_add_signed(micros), ..Loan::clone(loan) };
        if loan.session.is_none() {
            let charged = loan.for_others.entry(root.clone()).or_default();
            *charged = charged.saturating_add_signed(micros);
        } else if loan.reported > loan.used && loan.reported >= loan.lent {
            // The price is known here alone: without this word the node would let the turn go on.
            let (lease_id, micros) = (loan.id.clone(), loan.lent);
            let lease = Lease { lease_id, micros, used_micros: loan.reported, ..Lease::default() };
            self.effects.push(Effect::Tell(loan.node.clone(), ToAgent::Lease(lease)));
        }
        self.put_loan(loan, at);
        true
    }

    /// A lease whose session is known now is charged with what that session has used, and others no longer are.
    fn charged_to_others(&mut self, own: &Loan, session: &SessionId, at: Time) -> u64 {
        let is_charged = |loan: &&Arc<Loan>| loan.id != own.id && loan.for_others.contains_key(session);
        let charged: Vec<Loan> =
            self.view.stored.loans.values().filter(is_charged).map(|loan| Loan::clone(loan)).collect();
        let mut sum: u64 = 0;
        for mut loan in charged {
            let micros = loan.for_others.remove(session).unwrap_or(0);
            loan.reported = loan.reported.saturating_sub(micros);
            sum = sum.saturating_add(micros);
            self.put_loan(loan, at);
        }
        sum
    }

    /// A node gives a lease back, after all events of what was used.
    pub(super) fn lease_ended(&mut self, node: &NodeId, data: &RawValue, at: Time) {
        let Some(end) = read::<LeaseEnd>(data) else { return };
        self.lease_stopped(&end.lease_id);
        let Some(loan) = self.view.stored.loans.get(&end.lease_id).filter(|loan| loan.node == *node).cloned()
        else {
            // Its node knows what it was, and it is over.
            if self.view.is_unreadable(LEASE, &end.lease_id) {
                self.delete_kept(LEASE, &end.lease_id);
            }
            return;
        };
        self.end_loan(&loan, &end, at);
    }

    /// The journal that knew of a node's leases is not there any more: what was lent counts as spent.
    pub(super) fn forfeit_leases(&mut self, node: &NodeId, at: Time) {
        let lost: Vec<_> =
            self.view.stored.loans.values().filter(|loan| loan.node == *node).cloned().collect();
        for loan in lost {
            self.end_loan(&loan, &LeaseEnd { lost: true, ..LeaseEnd::default() }, at);
        }
    }

    fn end_loan(&mut self, loan: &Loan, end: &LeaseEnd, at: Time) {
        self.delete_kept(LEASE, &loan.id);
        self.view.stored.loans.remove(&loan.id);
        let lost = loan.forfeited(end);
        if lost > 0 {
            let (node, project) = (loan.node.as_str(), loan.project.as_str());
            self.count(node, project, loan.session.as_ref(), at, |_, counter| {
                counter.spent = counter.spent.saturating_add(lost);
                counter.forfeited = counter.forfeited.saturating_add(lost);
            });
        }
    }

    /// A node has interrupted a turn: a person is asked.
    pub(super) fn interrupted(&mut self, node: &NodeId, data: &RawValue, at: Time) {
        let Some(told) = read::<Interrupted>(data) else { return };
        let session = self.public_id(&told.session_id, node);
        let raise = match told.budget.as_str() {
            "" => String::new(),
            name => format!("look at halctl budgets get {name}, raise it if need be, then "),
        };
        let text = format!(
            "session {session} on node {node} is interrupted after ${} of the ${} lent to it: {}. To go on: \
             {raise}halctl sessions resume {session}",
            dollars(told.used_micros),
            dollars(told.lent_micros),
            told.why
        );
        let about = session.to_string();
        let seen = AlertRaised {
            name: "budget.interrupted",
            about: &about,
            severity: Severity::High,
            text: &text,
            lasting: false,
        };
        self.raise(&seen, at);
        self.node_interrupts(&session, &told.lease_id, at);
    }

    fn put_loan(&mut self, loan: Loan, at: Time) {
        self.put_kept(LEASE, &loan.id, &loan, at);
        self.view.stored.loans.insert(loan.id.clone(), Arc::new(loan));
    }
}

fn read<T: DeserializeOwned>(data: &RawValue) -> Option<T> {
    serde_json::from_str(data.get()).ok()
}
