//! Under which names the supervisor keeps what providers bill: see [`super::state`].

use redb::ReadableTable;

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
    /// What was used on these days, both included. Rows that an operator has added have keys of any shape.
    pub fn costs_of_days(&self, from: &str, to: &str) -> Result<Vec<CostRecord>, StoreError> {
        let table = self.txn().open_table(COSTS)?;
        let mut found = Vec::new();
        for entry in table.iter()? {
            let (key, bytes) = entry?;
            let is_elsewhere = day_of(key.value()).is_some_and(|day| day < from || to < day);
            if !is_elsewhere {
                found.push(row::open::<CostRecord>(bytes.value(), key.value())?);
            }
        }
        found.retain(|record| from <= record.date.as_str() && record.date.as_str() <= to);
        Ok(found)
    }
}

/// The day with which the keys of our own rows begin.
fn day_of(key: &str) -> Option<&str> {
    key.split_once('|').map(|(day, _)| day).filter(|day| day.len() == 10)
}
