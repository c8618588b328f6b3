//! The ledger of costs: what a session's events add to it, and what is remembered so that nothing is added twice.

use super::Work;
use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_protocol::node::{NodeId, Project};
use hal_protocol::session::{Session, SessionId};
use hal_protocol::worth::UsageCost;
use hal_rules::budget::of_unknown;
use hal_rules::ledger::{Before, LedgerBill, LedgerEntry, LedgerEvent, Since, difference};
use hal_rules::price::micros;
use hal_store::cost::{CostChange, CostRecord};
use hal_store::kept::{LEDGER, SINCE};

/// What an event has added to what a session has used, in micro-dollars; less than nothing where something that was
/// counted is explained by what came later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Charge {
    /// All of it.
    pub micros: i64,
    /// The parts of it by the day on which they were used.
    pub by_day: Vec<(String, i64)>,
}

impl Charge {
    /// What of it falls into the period of this moment, by the days that `counts`.
    pub fn within(&self, counts: impl Fn(&str) -> bool) -> i64 {
        let others = self.by_day.iter().filter(|(day, _)| !counts(day)).map(|(_, micros)| micros);
        others.fold(self.micros, |rest, micros| rest.saturating_sub(*micros))
    }
}

impl Work {
    /// Adds to the ledger what an event has added to its session, which is as the event says already, and from then on
    /// as the ledger says. Gives what that is worth for budgets: tokens without a price count at one that is too high.
    pub(super) fn charge(&mut self, session: &mut Session, heard: &LedgerEvent<'_>) -> Charge {
        if !heard.matters() {
            return Charge::default();
        }
        let since = self.looked_at_since(&session.node_id, session.project.as_str());
        let (bill, entries, micros) = self.bill(session, &LedgerEvent { since, ..*heard });
        for entry in &entries {
            self.enter(CostChange::at(row_of(session, entry), entry.gone, &entry.now));
        }
        bill.show(session);
        let unknown = self.view.settings.terms.unknown_micros;
        let part = |entry: &LedgerEntry| (entry.place.day.clone(), entry.change(|one| worth(one, unknown)));
        Charge { micros, by_day: entries.iter().map(part).collect() }
    }

    /// Takes note of an event whose costs came back with it from a store that was set aside.
    pub(super) fn note_billed(&mut self, event: &EventView) {
        let Some(record) = self.view.stored.sessions.get(&SessionId::new(&event.session_id)).cloned() else {
            return;
        };
        let session = &record.session;
        let heard = LedgerEvent {
            what: &event.what(),
            occurred: event.occurred_at,
            received: event.timestamp,
            // All of its events come back, and its row is as it was after them.
            before: Before::default(),
            since: Time::default(),
        };
        if heard.matters() {
            let since = self.looked_at_since(&session.node_id, session.project.as_str());
            self.bill(session, &LedgerEvent { since, ..heard });
        }
    }

    /// Notes since when the projects of a node are looked at.
    pub(super) fn note_since(&mut self, node: &NodeId, projects: &[Project], at: Time) {
        let of_projects = projects.iter().map(|project| format!("{node}/{}", project.name));
        for key in of_projects.chain([node.to_string()]) {
            if !self.view.is_kept(SINCE, &key) {
                self.put_kept(SINCE, &key, &Since { at }, at);
            }
        }
    }

    /// Since when a project of a node is looked at; the beginning of time where nobody knows.
    pub(super) fn looked_at_since(&self, node: &NodeId, project: &str) -> Time {
        let of_project = self.view.kept(SINCE, &format!("{node}/{project}"));
        of_project.or_else(|| self.view.kept(SINCE, node.as_str())).unwrap_or_default().at
    }

    /// A session as its node pictures it shows what the ledger holds, too. What one had used of which nobody here has
    /// ever heard was before our time.
    pub(super) fn show_as_billed(&mut self, session: &mut Session, is_known: bool, at: Time) {
        match self.view.kept(LEDGER, session.id.as_str()) {
            Some(bill) => bill.show(session),
            None if is_known || self.view.is_kept(LEDGER, session.id.as_str()) => {}
            None => {
                let bill = LedgerBill::of_stranger(&Before::of(session));
                self.put_kept(LEDGER, session.id.as_str(), &bill, at);
                bill.show(session);
            }
        }
    }

    /// Changes a row of the ledger.
    pub(super) fn enter(&mut self, change: CostChange) {
        let key = change.more.key();
        self.batch.costs.entry(key).and_modify(|sum| sum.and(&change)).or_insert(change);
    }

    /// The bill of a session after an event, remembered, and what the event changes.
    fn bill(&mut self, session: &Session, heard: &LedgerEvent<'_>) -> (LedgerBill, Vec<LedgerEntry>, i64) {
        let known = self.view.kept(LEDGER, session.id.as_str());
        let is_lost = self.view.is_unreadable(LEDGER, session.id.as_str());
        let begin =
            || if is_lost { LedgerBill::begin_anew(&heard.before) } else { LedgerBill::begin(&heard.before) };
        let before = known.unwrap_or_else(begin);
        let mut bill = before.clone();
        let entries = bill.take(session, heard, &self.view.settings.prices);
        if bill != before {
            self.put_kept(LEDGER, session.id.as_str(), &bill, heard.received);
        }
        let unknown = self.view.settings.terms.unknown_micros;
        let change = difference(worth(&bill.sum, unknown), worth(&before.sum, unknown));
        (bill, entries, change)
    }
}

/// What counts in budgets.
fn worth(worth: &UsageCost, unknown_micros: u64) -> u64 {
    micros(worth.picos).saturating_add(of_unknown(worth.unpriced, unknown_micros))
}

fn row_of(session: &Session, entry: &LedgerEntry) -> CostRecord {
    CostRecord {
        date: entry.place.day.clone(),
        provider: entry.place.provider.clone(),
        model: entry.place.model.clone(),
        project: session.project.to_string(),
        session_id: session.id.to_string(),
        node_id: session.node_id.to_string(),
        ..CostRecord::default()
    }
}
