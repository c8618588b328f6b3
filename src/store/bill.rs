//! Under which names the supervisor keeps what providers bill: see [`super::state`].

use std::collections::BTreeMap;

use super::cost::CostRecord;
use super::reader::Reader;
use super::tables::COSTS;
use super::{StoreError, row};

/// The kind of a day's bill; its key is [`key`].
pub const BILL: &str = "bill";

/// The kind of how fetching the bills of a provider goes; its key is the provider.
pub const PROVIDER: &str = "provider";

/// Days of bills that are kept for each provider: a year and the month before, to compare with.
pub const KEPT_DAYS: usize = 400;

/// The key of a day's bill, such as `anthropic/2026-11-26`.
pub fn key(provider: &str, date: &str) -> String {
    format!("{provider}/{date}")
}

impl Reader<'_> {
    /// What was used on these days, both included, by key.
    pub fn costs_of_days(&self, from: &str, to: &str) -> Result<BTreeMap<String, CostRecord>, StoreError> {
        let table = self.txn().open_table(COSTS)?;
        // Keys begin with the day, and `}` comes after the `|` behind it.
        let end = format!("{to}}}");
        let rows = table.range(from..end.as_str())?.map(|entry| {
            let (key, bytes) = entry?;
            Ok((key.value().to_owned(), row::open::<CostRecord>(bytes.value(), key.value())?))
        });
        rows.collect()
    }
}
