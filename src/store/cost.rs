//! The rows of costs: what was used, by day, provider, model, project, session and node.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::reader::Reader;
use super::row::{self, Row};
use super::tables::COSTS;
use hal_base::money::MICRO;
use hal_protocol::worth::UsageCost;

/// What was used under one key. Version 2. Money is in millionths of a millionth of a US dollar: see `base::money`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CostRecord {
    /// The day in UTC, `YYYY-MM-DD`.
    pub date: String,
    /// Name of the provider.
    pub provider: String,
    /// Name of the model.
    pub model: String,
    /// Name of the project.
    pub project: String,
    /// Id of the session.
    pub session_id: String,
    /// Name of the node.
    pub node_id: String,
    /// Tokens: input, output, reasoning, read from and written to the cache.
    pub tokens: [u64; 5],
    /// Money; absent: unknown, which is never zero.
    pub picos: Option<u64>,
    /// The part of the money that comes from a price table, since the backend told none.
    pub estimated: u64,
    /// What a subscription has covered; not in the money.
    pub equivalent: u64,
    /// Tokens of which nobody knows the price.
    pub unpriced: u64,
    /// Calls of which the backend told nothing.
    pub unreported: u64,
}

/// As it was once: money in millionths of a dollar, and nothing else about it.
#[derive(Deserialize)]
struct Version1 {
    date: String,
    provider: String,
    model: String,
    project: String,
    session_id: String,
    node_id: String,
    tokens: [u64; 5],
    micros: Option<u64>,
}

impl Row for CostRecord {
    const TABLE: &'static str = "costs";
    const VERSION: u8 = 2;

    fn open_older(version: u8, body: &[u8]) -> Option<Result<Self, postcard::Error>> {
        let old = |old: Version1| Self {
            date: old.date,
            provider: old.provider,
            model: old.model,
            project: old.project,
            session_id: old.session_id,
            node_id: old.node_id,
            tokens: old.tokens,
            picos: old.micros.map(|micros| micros.saturating_mul(MICRO)),
            ..Self::default()
        };
        (version == 1).then(|| postcard::from_bytes(body).map(old))
    }
}

impl CostRecord {
    /// The key it is kept under.
    pub fn key(&self) -> String {
        let parts: [&str; 6] =
            [&self.date, &self.provider, &self.model, &self.project, &self.session_id, &self.node_id];
        parts.join("|")
    }

    /// True when nothing was used after all.
    pub fn is_nothing(&self) -> bool {
        let counts = [self.picos.unwrap_or(0), self.equivalent, self.unpriced, self.unreported];
        self.tokens == [0; 5] && counts == [0; 4]
    }

    /// What was used, without where.
    pub fn worth(&self) -> UsageCost {
        UsageCost {
            tokens: self.tokens,
            picos: self.picos.unwrap_or(0),
            is_known: self.picos.is_some(),
            estimated: self.estimated,
            equivalent: self.equivalent,
            unpriced: self.unpriced,
            unreported: self.unreported,
        }
    }

    /// Puts these amounts in place of those that are there.
    pub fn set(&mut self, worth: &UsageCost) {
        self.tokens = worth.tokens;
        self.picos = worth.is_known.then_some(worth.picos);
        self.estimated = worth.estimated;
        self.equivalent = worth.equivalent;
        self.unpriced = worth.unpriced;
        self.unreported = worth.unreported;
    }
}

/// What changes under a key: added first, then taken away, so that nothing between falls below zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CostChange {
    /// Whose row; its amounts are what is added.
    pub more: CostRecord,
    /// What is taken away.
    pub less: UsageCost,
}

impl CostChange {
    /// Adds all of a row.
    pub fn of(more: CostRecord) -> Self {
        Self { more, less: UsageCost::default() }
    }

    /// A change of the ledger, at the place that `at` names.
    pub fn at(mut at: CostRecord, gone: UsageCost, now: &UsageCost) -> Self {
        at.set(now);
        Self { more: at, less: gone }
    }

    /// This and another one under the same key.
    pub fn and(&mut self, other: &Self) {
        self.more.set(&self.more.worth().plus(&other.more.worth()));
        self.less = self.less.plus(&other.less);
    }

    /// The row after this.
    pub fn on(&self, known: Option<CostRecord>) -> CostRecord {
        let before = known.map(|known| known.worth()).unwrap_or_default();
        let mut row = self.more.clone();
        row.set(&before.plus(&self.more.worth()).minus(&self.less));
        row
    }
}

impl Reader<'_> {
    /// Shows every row of these days, both included. The days' keys lie together, and days that are not asked for are
    /// stepped over; an operator's rows have keys of their own, anywhere between.
    pub fn each_cost(
        &self,
        from: &str,
        to: &str,
        see: &mut dyn FnMut(&CostRecord),
    ) -> Result<(), StoreError> {
        let table = self.txn().open_table(COSTS)?;
        let is_asked_for = |day: &str| (from..=to).contains(&day);
        let mut rows = table.range::<&str>(..)?;
        while let Some(entry) = rows.next() {
            let (key, bytes) = entry?;
            if let Some(day) = day_of_key(key.value()).filter(|day| !is_asked_for(day)) {
                // `}` comes after the `|` behind the day.
                rows = table.range(format!("{day}}}").as_str()..)?;
                continue;
            }
            let record: CostRecord = row::open(bytes.value(), key.value())?;
            if is_asked_for(&record.date) {
                see(&record);
            }
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Millionths of a US dollar that are known to have been spent on a day, as `YYYY-MM-DD`.
    pub fn spent_on(&self, day: &str) -> Result<u64, StoreError> {
        let mut sum: u64 = 0;
        self.each_cost(day, day, &mut |record| sum = sum.saturating_add(record.picos.unwrap_or(0)))?;
        Ok(sum / MICRO)
    }
}

/// The day with which the ledger's own keys begin.
fn day_of_key(key: &str) -> Option<&str> {
    let (day, _) = key.split_once('|')?;
    let is_day = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_day.then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{Batch, Store};

    fn row(date: &str, tokens: u64) -> CostRecord {
        CostRecord { date: date.into(), tokens: [tokens, 0, 0, 0, 0], ..CostRecord::default() }
    }

    #[test]
    fn the_rows_of_some_days_are_found_wherever_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&folder.path().join("x.redb")).unwrap();
        let mut batch = Batch::default();
        for (n, date) in
            ["2025-01-01", "2026-11-24", "2026-11-25", "2026-11-25", "2026-11-26"].iter().enumerate()
        {
            let row = CostRecord { session_id: n.to_string(), ..row(date, 1 << n) };
            batch.costs.insert(row.key(), CostChange::of(row));
        }
        for (key, date) in [("0a1b", "2026-11-25"), ("x", "2026-11-26"), ("2026-zz", "2026-11-24")] {
            batch.costs.insert(key.into(), CostChange::of(row(date, 1 << 10)));
        }
        store.commit(&batch).unwrap();
        let sum = |from: &str, to: &str| {
            let mut sum = 0;
            store.read().unwrap().each_cost(from, to, &mut |row| sum += row.tokens[0]).unwrap();
            sum
        };
        assert_eq!(sum("2026-11-25", "2026-11-25"), 4 + 8 + (1 << 10));
        assert_eq!(sum("2026-11-24", "2026-11-26"), 2 + 4 + 8 + 16 + (3 << 10));
        assert_eq!(sum("2025-01-01", "2025-12-31"), 1);
    }

    #[test]
    fn a_row_that_is_empty_after_all_is_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(&folder.path().join("x.redb")).unwrap();
        let mut batch = Batch::default();
        let used = row("2026-11-26", 7);
        batch.costs.insert(used.key(), CostChange::of(used.clone()));
        store.commit(&batch).unwrap();
        let gone = CostChange { more: row("2026-11-26", 0), less: used.worth() };
        batch.costs.insert(used.key(), gone);
        store.commit(&batch).unwrap();
        let mut rows = 0;
        store.read().unwrap().each_cost("2026-11-26", "2026-11-26", &mut |_| rows += 1).unwrap();
        assert_eq!(rows, 0);
    }
}
