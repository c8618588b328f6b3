//! Audit records of edits: those alike are one record.

use std::collections::BTreeMap;

use serde_json::json;

use super::schema::Table;
use crate::audit::AuditRecord;
use crate::change::RowKind;
use hal_base::clock::Time;
use hal_protocol::who::Who;

/// What came of one edit.
#[derive(Debug)]
pub struct Outcome {
    pub(super) kind: RowKind,
    pub(super) key: String,
    pub(super) word: &'static str,
    pub(super) refused: Option<String>,
}

/// Edits of one kind in one table, told together.
#[derive(Default)]
pub(super) struct EditAudit(BTreeMap<Alike, Rows>);

/// Table, what was done, why not.
type Alike = (RowKind, &'static str, Option<String>);

/// The first row, the last one, how many.
type Rows = (String, String, u64);

impl EditAudit {
    /// Adds what came of one edit.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let of = (outcome.kind, outcome.word, outcome.refused.clone());
        let (_, last, count) = self.0.entry(of).or_insert_with(|| (outcome.key.clone(), String::new(), 0));
        last.clone_from(&outcome.key);
        *count += 1;
    }

    /// The audit records, and a line of the log for each.
    pub(super) fn records(self, who: &Who, at: Time) -> Vec<AuditRecord> {
        let record = |((kind, word, refused), (first, last, count)): (Alike, Rows)| {
            let table = Table::of(kind).name;
            let target = if first == last { first } else { format!("{first} .. {last}") };
            let result = if refused.is_some() { "refused" } else { "done" };
            tracing::info!(table, what = word, rows = count, %target, result, why = refused, "{}", who.name);
            let record =
                AuditRecord::new(who, &format!("{word} {table}"), target, &json!({ "rows": count }), at);
            AuditRecord { result: result.to_owned(), error: refused, ..record }
        };
        self.0.into_iter().map(record).collect()
    }
}
