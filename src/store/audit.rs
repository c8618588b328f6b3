//! The rows of the audit log: who did what, and what came of it.

use std::collections::BTreeMap;

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::change::{Change, Kind};
use super::row::Row;
use super::tables::AUDIT;
use super::{StoreError, row};
use crate::base::clock::Time;
use crate::protocol::command::Command;

/// Records that are looked through for a command's, from the newest back: some 10 ms. One that was asked for longer
/// ago keeps what was written when it was asked; the command itself says how it ended.
const LOOKED_THROUGH: usize = 10_000;

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

/// Writes into the records of commands that have ended what came of them. A record has its command's identity.
pub(super) fn note_outcomes(
    txn: &WriteTransaction,
    commands: &BTreeMap<String, Command>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let ended = commands.iter().filter(|(_, command)| command.state.is_final());
    let mut ended: BTreeMap<&str, &Command> = ended.map(|(id, command)| (id.as_str(), command)).collect();
    if ended.is_empty() {
        return Ok(());
    }
    let mut table = txn.open_table(AUDIT)?;
    let mut found = Vec::new();
    for entry in table.iter()?.rev().take(LOOKED_THROUGH) {
        let (seq, bytes) = entry?;
        // One that is damaged is for the scrub to find.
        let Ok(record) = row::open::<AuditRecord>(bytes.value(), seq.value()) else { continue };
        let Some(command) = ended.remove(record.id.as_str()) else { continue };
        found.push((seq.value(), record.ended_as(command)));
        if ended.is_empty() {
            break;
        }
    }
    for (seq, record) in found {
        table.insert(seq, row::seal(&record, seq).as_slice())?;
        changes.push(Change::Put(Kind::Audit, seq.to_string()));
    }
    Ok(())
}

impl AuditRecord {
    fn ended_as(self, command: &Command) -> Self {
        let took = command.changed_at.since(command.created_at).as_millis();
        Self {
            result: command.state.as_str().to_owned(),
            error: command.error.clone(),
            duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
            ..self
        }
    }
}
