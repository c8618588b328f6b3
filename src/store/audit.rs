//! The rows of the audit log: who did what, and what came of it.

use serde::{Deserialize, Serialize};

use super::row::Row;
use crate::base::clock::Time;

/// One record. Version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its identity.
    pub id: String,
    /// When.
    pub at: Time,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// The particulars, as JSON text.
    pub args: String,
    /// What came of it.
    pub result: String,
    /// Why it failed.
    pub error: Option<String>,
    /// How long it took, where that is known.
    pub duration_ms: Option<u64>,
    /// From where; empty when that is not known.
    pub ip: String,
}

impl Row for AuditRecord {
    const TABLE: &'static str = "audit";
    const VERSION: u8 = 1;
}
