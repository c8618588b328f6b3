//! Audit records of edits: those alike are one record.

use std::collections::BTreeMap;

use serde_json::json;

use super::schema::Table;
use crate::audit::AuditRecord;
use crate::change::RowKind;
use hal_base::clock::Time;
use hal_protocol::who::Who;
use hal_rules::audit;

/// What came of one edit.
#[derive(Debug)]
pub struct Outcome {
    pub(super) kind: RowKind,
    pub(super) key: String,
    pub(super) word: &'static str,
    pub(super) refused: Option<String>,
}

/// What of the chain of audit records came or went with rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MovedLinks {
    /// How many links.
    links: u64,
    /// The last one of them.
    through: u64,
}

impl MovedLinks {
    /// The links of a record.
    pub(super) fn of(record: &AuditRecord) -> Self {
        Self { links: audit::link_count(record), through: audit::last_link(record).unwrap_or(0) }
    }

    fn and(self, other: Self) -> Self {
        Self { links: self.links + other.links, through: self.through.max(other.through) }
    }
}

/// Edits of one kind in one table, told together.
#[derive(Default)]
pub(super) struct EditAudit {
    rows: BTreeMap<Alike, Rows>,
    /// By what was done.
    links: BTreeMap<&'static str, MovedLinks>,
}

/// Table, what was done, why not.
type Alike = (RowKind, &'static str, Option<String>);

/// The first row, the last one, how many.
type Rows = (String, String, u64);

impl EditAudit {
    /// Adds what came of one edit.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        let of = (outcome.kind, outcome.word, outcome.refused.clone());
        let (_, last, count) = self.rows.entry(of).or_insert_with(|| (outcome.key.clone(), String::new(), 0));
        last.clone_from(&outcome.key);
        *count += 1;
    }

    /// Adds what of the chain came or went with such an edit.
    pub(super) fn add_links(&mut self, word: &'static str, moved: MovedLinks) {
        let sum = self.links.entry(word).or_default();
        *sum = sum.and(moved);
    }

    /// The audit records, and a line of the log for each.
    pub(super) fn records(mut self, who: &Who, at: Time) -> Vec<AuditRecord> {
        let mut links = std::mem::take(&mut self.links);
        let record = |((kind, word, refused), (first, last, count)): (Alike, Rows)| {
            let table = Table::of(kind).name;
            let target = if first == last { first } else { format!("{first} .. {last}") };
            let result = if refused.is_some() { "refused" } else { "done" };
            tracing::info!(table, what = word, rows = count, %target, result, why = refused, "{}", who.name);
            let mut args = json!({ "rows": count });
            if let Some(moved) = links.remove(word).filter(|_| kind == RowKind::Audit && refused.is_none()) {
                args["links"] = moved.links.into();
                args["through"] = moved.through.into();
            }
            let record = AuditRecord::new(who, &format!("{word} {table}"), target, &args, at);
            AuditRecord { result: result.to_owned(), error: refused, ..record }
        };
        self.rows.into_iter().map(record).collect()
    }
}
