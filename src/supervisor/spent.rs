//! What was spent: the ledger's rows of a period, read and added up.

use hal_base::clock;
use hal_protocol::cost::CostReport;
use hal_rules::report::{Adding, LedgerRow, Period};
use hal_store::StoreError;
use hal_store::cost::CostRecord;
use hal_store::hub::Store;

/// Reads the rows of a period and adds them up.
pub fn add_up(store: &Store, period: Period) -> Result<CostReport, StoreError> {
    let mut adding = Adding::of(period, clock::now());
    let (from, to) = adding.needs();
    store.read()?.each_cost(&from, &to, &mut |record: &CostRecord| {
        adding.add(&LedgerRow {
            date: &record.date,
            provider: &record.provider,
            model: &record.model,
            project: &record.project,
            session_id: &record.session_id,
            node_id: &record.node_id,
            worth: &record.worth(),
        });
    })?;
    Ok(adding.end())
}
