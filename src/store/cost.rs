//! The rows of costs: what was used, by day, provider, model, project, session and node.

use serde::{Deserialize, Serialize};

use super::row::Row;

/// What was used under one key. Version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Millionths of a US dollar; absent: unknown, which is never zero.
    pub micros: Option<u64>,
}

impl Row for CostRecord {
    const TABLE: &'static str = "costs";
    const VERSION: u8 = 1;
}

impl CostRecord {
    /// The key it is kept under.
    pub fn key(&self) -> String {
        let parts: [&str; 6] =
            [&self.date, &self.provider, &self.model, &self.project, &self.session_id, &self.node_id];
        parts.join("|")
    }

    /// Adds what was used since.
    pub fn add(&mut self, more: &Self) {
        for (kind, more) in self.tokens.iter_mut().zip(more.tokens) {
            *kind = kind.saturating_add(more);
        }
        if let Some(more) = more.micros {
            self.micros = Some(self.micros.unwrap_or(0).saturating_add(more));
        }
    }
}
