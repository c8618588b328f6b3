//! What was spent on a day.

use super::StoreError;
use super::cost::CostRecord;
use super::reader::Reader;
use super::row;
use super::tables::COSTS;
use crate::base::money::MICRO;

impl Reader<'_> {
    /// Millionths of a US dollar that are known to have been spent on a day, as `YYYY-MM-DD`.
    pub fn spent_on(&self, day: &str) -> Result<u64, StoreError> {
        let table = self.txn().open_table(COSTS)?;
        // Keys begin with the day and a bar; `}` comes next after it.
        let (from, to) = (format!("{day}|"), format!("{day}}}"));
        let mut sum: u64 = 0;
        for entry in table.range(from.as_str()..to.as_str())? {
            let (key, bytes) = entry?;
            let record = row::open::<CostRecord>(bytes.value(), key.value())?;
            sum = sum.saturating_add(record.picos.unwrap_or(0));
        }
        Ok(sum / MICRO)
    }
}
