//! What two stores hold differently, counted by table.

use std::cell::RefCell;

use super::compare::{COMPARED, Comparison, Selection, time_of};
use super::quarantine::Source;
use super::salvage::fields_of;
use crate::StoreError;
use crate::change::RowKind;
use crate::sqlite::schema::Table;
use crate::sqlite::sql_row::Fields;
use hal_base::clock::Time;
use hal_base::progress::Progress;

/// Which of the two has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Only the one that was set aside.
    There,
    /// Only the present one.
    Here,
    /// Both, and they say different things.
    Both,
}

/// Rows of a table on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRange {
    /// Number of rows.
    pub rows: u64,
    /// The first one's and the last one's number or name.
    pub ends: Option<(String, String)>,
    /// The earliest and the latest.
    pub times: Option<(Time, Time)>,
}

impl RowRange {
    fn add(&mut self, key: &str, at: Time) {
        self.rows += 1;
        let first = self.ends.take().map_or_else(|| key.to_owned(), |(first, _)| first);
        self.ends = Some((first, key.to_owned()));
        let (from, to) = self.times.unwrap_or((at, at));
        self.times = Some((from.min(at), to.max(at)));
    }
}

/// A table.
#[derive(Debug)]
pub struct Difference {
    /// The table that differs.
    pub kind: RowKind,
    /// Rows that only the store set aside has.
    pub there: RowRange,
    /// Rows that only the present store has.
    pub here: RowRange,
    /// Rows that say different things, as the one set aside has them.
    pub both: RowRange,
}

/// A row that is shown.
#[derive(Debug)]
pub struct ShownRow {
    /// The row's table.
    pub kind: RowKind,
    /// Who has it.
    pub side: Side,
    /// Its number or name.
    pub key: String,
    /// What it says; where both have it, what the one set aside says.
    pub fields: Fields,
}

/// The result of a comparison, by table.
#[derive(Debug, Default)]
pub struct DiffReport {
    /// The tables that were compared.
    pub tables: Vec<Difference>,
    /// The first rows, as many as were asked for.
    pub rows: Vec<ShownRow>,
    /// Rows that cannot be read any more.
    pub unreadable: u64,
}

/// Compares a store that was set aside with the present one, and shows up to so many rows.
pub fn differ(
    there: &dyn Source,
    here: &dyn Source,
    selection: &Selection,
    limit: usize,
    progress: &Progress,
) -> Result<DiffReport, StoreError> {
    let kinds: Vec<RowKind> = COMPARED.into_iter().filter(|kind| selection.takes_table(*kind)).collect();
    progress.expect(rows_of(&kinds, there)? + rows_of(&kinds, here)?);
    let mut report = DiffReport::default();
    for kind in kinds {
        let parts = (RowRange::default(), RowRange::default(), RowRange::default());
        let table = Difference { kind, there: parts.0, here: parts.1, both: parts.2 };
        report.tables.push(table);
        let mut one = Comparison::of(there, here, progress);
        report.compare(&mut one, kind, selection, limit, (Side::There, Some(Side::Both)))?;
        report.unreadable += one.unreadable;
        let mut other = Comparison::of(here, there, progress);
        report.compare(&mut other, kind, selection, limit, (Side::Here, None))?;
    }
    Ok(report)
}

/// How many rows there are to look at.
pub fn rows_of(kinds: &[RowKind], store: &dyn Source) -> Result<u64, StoreError> {
    kinds.iter().map(|kind| store.look()?.rows_of(*kind)).sum()
}

impl DiffReport {
    fn compare(
        &mut self,
        comparison: &mut Comparison<'_>,
        kind: RowKind,
        selection: &Selection,
        limit: usize,
        (only, both): (Side, Option<Side>),
    ) -> Result<(), StoreError> {
        let report = RefCell::new(self);
        let note = |side: Option<Side>, key: &str, fields: Fields| {
            if let Some(side) = side.filter(|_| selection.takes(kind, key, &fields)) {
                report.borrow_mut().add(kind, side, key, fields, limit);
            }
        };
        if !matches!(kind, RowKind::Event | RowKind::Audit) {
            return comparison.named(kind, &mut |key, said, known| {
                note(if known.is_some() { both } else { Some(only) }, key, said);
                Ok(())
            });
        }
        let there = comparison.there;
        comparison.numbered(
            kind,
            &mut |found| {
                for seq in found.numbers() {
                    let key = seq.to_string();
                    if let Some(fields) = fields_of(&there.look()?, Table::of(kind), &key)? {
                        note(Some(only), &key, fields);
                    }
                }
                Ok(())
            },
            &mut |reader, seq| {
                let key = seq.to_string();
                if let Some(fields) = fields_of(reader, Table::of(kind), &key)? {
                    note(both, &key, fields);
                }
                Ok(())
            },
        )
    }

    fn add(&mut self, kind: RowKind, side: Side, key: &str, fields: Fields, limit: usize) {
        let Some(table) = self.tables.last_mut() else { return };
        let part = match side {
            Side::There => &mut table.there,
            Side::Here => &mut table.here,
            Side::Both => &mut table.both,
        };
        part.add(key, time_of(kind, &fields));
        if self.rows.len() < limit {
            self.rows.push(ShownRow { kind, side, key: key.to_owned(), fields });
        }
    }
}
