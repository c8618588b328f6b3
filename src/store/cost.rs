//! The rows of costs: what was used, by day, provider, model, project, session and node.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::reader::Reader;
use super::row::{self, Row};
use super::tables::COSTS;
use crate::rules::ledger::{Entry, Worth};
use crate::rules::price::MICRO;

/// The kind of state under which the bill of a session is kept: what of its messages is in the ledger of costs already.
pub const LEDGER: &str = "ledger";

/// What was used under one key. Version 2. Money is in millionths of a millionth of a US dollar: see `rules::price`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CostRecord {
    /// The day in UTC, `YYYY-MM-DD`.
    pub date: String,
    /// The provider.
    pub provider: String,
    /// Its model.
    pub model: String,
    /// The project.
    pub project: String,
    /// The session.
    pub session_id: String,
    /// The node.
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
    pub fn worth(&self) -> Worth {
        Worth {
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
    pub fn set(&mut self, worth: &Worth) {
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
    pub less: Worth,
}

impl CostChange {
    /// Adds all of a row.
    pub fn of(more: CostRecord) -> Self {
        Self { more, less: Worth::default() }
    }

    /// A change of the ledger, at the place that `at` names.
    pub fn at(mut at: CostRecord, entry: &Entry) -> Self {
        at.set(&entry.now);
        Self { more: at, less: entry.gone }
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
    /// Shows every row of these days, both included, in the order of the days.
    pub fn each_cost(
        &self,
        from: &str,
        to: &str,
        see: &mut dyn FnMut(&CostRecord),
    ) -> Result<(), StoreError> {
        let table = self.txn().open_table(COSTS)?;
        // Keys begin with the day, and `}` comes after the `|` behind it.
        let end = format!("{to}}}");
        for entry in table.range(from..end.as_str())? {
            let (key, bytes) = entry?;
            see(&row::open(bytes.value(), key.value())?);
        }
        Ok(())
    }
}
