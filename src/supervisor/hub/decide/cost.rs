//! The ledger of costs: what a session's events add to it, and what is remembered so that nothing is added twice.

use super::Work;
use crate::protocol::event::EventView;
use crate::protocol::session::{Session, SessionId};
use crate::rules::budget::of_unknown;
use crate::rules::ledger::{Before, Bill, Entry, Heard};
use crate::rules::price::micros;
use crate::store::cost::{CostChange, CostRecord};
use crate::supervisor::hub::kept::LEDGER;

impl Work {
    /// Adds to the ledger what an event has added to its session, which is as the event says already.
    /// Gives what that is worth for budgets, in micro-dollars: tokens without a price count at one that is too high.
    pub(super) fn charge(&mut self, session: &mut Session, heard: &Heard<'_>) -> u64 {
        if !heard.matters() {
            return 0;
        }
        let (bill, entries, more) = self.bill(session, heard);
        for entry in &entries {
            self.enter(CostChange::at(row_of(session, entry), entry.gone, &entry.now));
        }
        show(session, &bill);
        more
    }

    /// Takes note of an event whose costs came back with it from a store that was set aside.
    pub(super) fn note_billed(&mut self, event: &EventView) {
        let Some(record) = self.view.sessions.get(&SessionId::new(&event.session_id)).cloned() else {
            return;
        };
        let heard = Heard {
            kind: &event.kind,
            data: event.data.get(),
            occurred: event.occurred_at,
            received: event.timestamp,
            before: Before::of(&record.session),
        };
        if heard.matters() {
            self.bill(&record.session, &heard);
        }
    }

    /// Changes a row of the ledger.
    pub(super) fn enter(&mut self, change: CostChange) {
        let key = change.more.key();
        self.batch.costs.entry(key).and_modify(|sum| sum.and(&change)).or_insert(change);
    }

    /// The bill of a session after an event, remembered, and what the event changes.
    fn bill(&mut self, session: &Session, heard: &Heard<'_>) -> (Bill, Vec<Entry>, u64) {
        let known = self.view.kept(LEDGER, session.id.as_str());
        let before = known.unwrap_or_else(|| Bill::begin(&heard.before));
        let mut bill = before.clone();
        let entries = bill.take(session, heard, &self.view.prices);
        if bill != before {
            self.keep(LEDGER, session.id.as_str(), &bill, heard.received);
        }
        let more = worth(&bill, self.view.terms.unknown_micros)
            .saturating_sub(worth(&before, self.view.terms.unknown_micros));
        (bill, entries, more)
    }
}

/// What a bill counts for in budgets.
fn worth(bill: &Bill, unknown_micros: u64) -> u64 {
    micros(bill.sum.picos).saturating_add(of_unknown(bill.sum.unpriced, unknown_micros))
}

/// A session of which the backend tells no money shows what the price table says, and nothing where it says nothing.
fn show(session: &mut Session, bill: &Bill) {
    let sum = &bill.sum;
    if sum.estimated > 0 {
        session.cost_micros = Some(micros(sum.picos));
    } else if sum.unpriced > 0 && !sum.is_known {
        session.cost_micros = None;
    }
}

fn row_of(session: &Session, entry: &Entry) -> CostRecord {
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
