//! Audit records of edits: those alike are one record.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::schema::Table;
use crate::audit::AuditRecord;
use crate::change::RowKind;
use hal_base::clock::Time;
use hal_protocol::who::Who;
use hal_rules::audit::{self, Account};

/// What came of one edit.
#[derive(Debug)]
pub struct Outcome {
    pub(super) kind: RowKind,
    pub(super) key: String,
    pub(super) word: &'static str,
    pub(super) refused: Option<String>,
}

/// An audit record that came or went.
#[derive(Debug)]
pub(super) enum Moved {
    /// It is not there any more.
    Gone(AuditRecord),
    /// It is there again.
    Back(AuditRecord),
}

/// Audit records that came and went.
#[derive(Debug, Default)]
pub(super) struct MovedRecords {
    gone: Vec<AuditRecord>,
    back: Vec<AuditRecord>,
}

impl MovedRecords {
    /// Adds one.
    pub(super) fn add(&mut self, moved: Option<Moved>) {
        match moved {
            Some(Moved::Gone(record)) => self.gone.push(record),
            Some(Moved::Back(record)) => self.back.push(record),
            None => {}
        }
    }

    /// Says in the particulars of the record what of the chain came or went, and what is not there any more all together.
    fn say(&self, word: &str, args: &mut Value, account: &mut Account) {
        let is_gone = word == "delete";
        let moved = if is_gone { &self.gone } else { &self.back };
        let links = moved.iter().map(audit::link_count).sum();
        let through = moved.iter().filter_map(audit::last_link).max().unwrap_or(0);
        *account = if is_gone { account.and(links, through) } else { account.but(links) };
        args["links"] = links.into();
        if is_gone {
            args["held"] = json!(audit::held_by(moved));
        }
        account.say(args);
    }
}

/// Edits of one kind in one table, told together.
#[derive(Default)]
pub(super) struct EditAudit {
    rows: BTreeMap<Alike, Rows>,
    /// What of the audit log came and went.
    pub(super) moved: MovedRecords,
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

    /// The audit records, and a line of the log for each.
    pub(super) fn records(self, who: &Who, account: &mut Account, at: Time) -> Vec<AuditRecord> {
        let Self { rows, moved } = self;
        let record = |((kind, word, refused), (first, last, count)): (Alike, Rows)| {
            let table = Table::of(kind).name;
            let target = if first == last { first } else { format!("{first} .. {last}") };
            let result = if refused.is_some() { "refused" } else { "done" };
            tracing::info!(table, what = word, rows = count, %target, result, why = refused, "{}", who.name);
            let mut args = json!({ "rows": count });
            if kind == RowKind::Audit && refused.is_none() {
                moved.say(word, &mut args, account);
            }
            let record = AuditRecord::new(who, &format!("{word} {table}"), target, &args, at);
            AuditRecord { result: result.to_owned(), error: refused, ..record }
        };
        rows.into_iter().map(record).collect()
    }
}
