//! Rows that have left the store: compressed files, a JSON object a line, as the row stood in `supervisor.db`.
//!
//! `events.20260101T000000Z-20260102T000000Z.1-50000.jsonl.gz`: when and which. gzip's checksum is over the whole, so
//! `gzip -t` looks a file through and `zgrep` searches it. A file has its name only once it was read back.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use rusqlite::types::Value as Cell;
use serde_json::{Map, Value};

use super::StoreError;
use super::audit::{self, AuditRecord};
use super::change::RowKind;
use super::event;
use super::reader::Reader;
use super::sqlite::edit::{Edit, EditAction};
use super::sqlite::schema::{Column, Table};
use super::sqlite::sql_row::{self, SqlRow};
use super::tables::{AUDIT, EVENTS};
use hal_base::clock::Time;
use hal_base::file;
use hal_protocol::event::EventView;

/// Rows that were brought back are left alone so long.
const RESTORED_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Bytes of one archive, before it is compressed, about: its rows are in memory when they come back.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Permissions of an archive: as those of the mirror.
const GROUP_READS: u32 = 0o640;

const END: &str = ".jsonl.gz";

/// A row that is too old.
#[derive(Debug)]
pub struct Old {
    /// The row's sequence number.
    pub seq: u64,
    at: Time,
    line: SqlRow,
}

impl Old {
    /// The line of an event.
    pub(super) fn event(event: &EventView) -> Self {
        Self { seq: event.seq, at: event.timestamp, line: sql_row::of_event(event) }
    }

    /// An audit record.
    pub(super) fn audit(seq: u64, record: &AuditRecord) -> Self {
        Self { seq, at: record.at, line: sql_row::of(RowKind::Audit, &seq.to_string(), record) }
    }

    /// When it was stored.
    pub fn at(&self) -> Time {
        self.at
    }

    /// Its removal.
    pub fn removal(kind: RowKind, seq: u64) -> Edit {
        Edit { kind, key: seq.to_string(), action: EditAction::Drop }
    }
}

/// A file of old rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Where it lies.
    pub path: PathBuf,
    /// What its rows are.
    pub kind: RowKind,
    /// When the first and the last were stored.
    pub times: (Time, Time),
    /// Their numbers.
    pub seqs: (u64, u64),
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether its rows are back in the store for a while.
    pub is_restored: bool,
}

impl Reader<'_> {
    /// The numbers of those rows of an archive that are in the store as they are in the archive.
    pub fn still_here(&self, archive: &Archive) -> Result<Vec<u64>, StoreError> {
        let failed = |source| StoreError::File { path: archive.path.clone(), source };
        let (table, mut rows) = (Table::of(archive.kind), Vec::new());
        read(&archive.path, |row| {
            rows.push(row);
            true
        })
        .map_err(failed)?;
        let mut same = Vec::new();
        for row in rows {
            let Some(seq) = row.get(table.key()).and_then(Value::as_u64) else { continue };
            let line = match archive.kind {
                RowKind::Event => self.event_line(seq)?,
                kind => self.plain_row(kind, &seq.to_string())?,
            };
            if line.is_some_and(|line| row_of(archive.kind, &line) == row) {
                same.push(seq);
            }
        }
        Ok(same)
    }

    fn event_line(&self, seq: u64) -> Result<Option<SqlRow>, StoreError> {
        let mut found = None;
        self.event_rows(seq, seq, |_, line| {
            found = Some(line);
            Ok(())
        })?;
        Ok(found)
    }

    /// The first number of rows that are to come back which stands for another row here, or for none yet: after an
    /// older backup was restored numbers are given again.
    pub fn taken_by_another(&self, kind: RowKind, rows: &[Edit]) -> Result<Option<u64>, StoreError> {
        let (events, records) = (self.txn().open_table(EVENTS)?, self.txn().open_table(AUDIT)?);
        let last = self.meta(if kind == RowKind::Event { "last_seq" } else { "last_audit" })?;
        for (seq, row) in rows.iter().filter_map(|row| Some((row.key.parse::<u64>().ok()?, row))) {
            let known = match kind {
                RowKind::Event => {
                    events.get(seq)?.map(|row| event::view(row.value(), seq).map(|view| view.id))
                }
                _ => records.get(seq)?.map(|row| audit::open(row.value(), seq).map(|record| record.id)),
            };
            let is_other = match (known.transpose(), &row.action) {
                (Ok(Some(known)), EditAction::Put(columns)) => {
                    !columns.contains(&("id".to_owned(), Cell::Text(known)))
                }
                // A damaged one is better replaced.
                _ => false,
            };
            if is_other || seq > last {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }
}

/// A new archive on its way.
pub struct Writer {
    draft: PathBuf,
    kind: RowKind,
    lines: GzEncoder<BufWriter<File>>,
    span: Option<((Time, Time), (u64, u64))>,
    rows: u64,
    bytes: usize,
}

impl Writer {
    /// True when it has about as much as one archive should.
    pub fn is_full(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    /// Begins one in a folder, which is made if it is not there.
    pub fn begin(folder: &Path, kind: RowKind) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let draft = folder.join(format!("{}.new", Table::of(kind).name));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => file::make(&draft, GROUP_READS)?,
        }
        let out = BufWriter::new(File::options().write(true).open(&draft)?);
        Ok(Self {
            draft,
            kind,
            lines: GzEncoder::new(out, Compression::default()),
            span: None,
            rows: 0,
            bytes: 0,
        })
    }

    /// Adds a row.
    pub fn add(&mut self, old: &Old) -> io::Result<()> {
        let mut text = serde_json::to_vec(&row_of(self.kind, &old.line))?;
        text.push(b'\n');
        self.lines.write_all(&text)?;
        self.bytes += text.len();
        let ((from, to), (first, _)) = self.span.unwrap_or(((old.at, old.at), (old.seq, old.seq)));
        self.span = Some(((from.min(old.at), to.max(old.at)), (first, old.seq)));
        self.rows += 1;
        Ok(())
    }

    /// Ends it: on the disk, read back, and under its name.
    pub fn finish(self, folder: &Path) -> io::Result<PathBuf> {
        let out = self.lines.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        out.sync_all()?;
        let mut rows = 0;
        read(&self.draft, |_| {
            rows += 1;
            true
        })?;
        let Some(((from, to), (first, last))) = self.span.filter(|_| rows == self.rows) else {
            let lost = format!("{} rows were written and {rows} read back", self.rows);
            return Err(io::Error::new(io::ErrorKind::InvalidData, lost));
        };
        let table = Table::of(self.kind).name;
        let (from, to) = (from.stamp(), to.stamp());
        let name = format!("{table}.{from}-{to}.{first}-{last}");
        let path = free_name(folder, &name, &self.draft)?;
        fs::rename(&self.draft, &path)?;
        file::sync_folder(&path)?;
        Ok(path)
    }
}

/// A name that no other archive has: one with the same ends may hold other rows. The same archive, written again after
/// a crash, keeps its name.
fn free_name(folder: &Path, name: &str, draft: &Path) -> io::Result<PathBuf> {
    let fresh = fs::read(draft)?;
    let mut path = folder.join(format!("{name}{END}"));
    for nth in 2.. {
        match fs::symlink_metadata(&path).and_then(|there| Ok(there.is_file() && fs::read(&path)? == fresh)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Ok(true) => break,
            Ok(false) => path = folder.join(format!("{name}.{nth}{END}")),
            Err(error) => return Err(error),
        }
    }
    Ok(path)
}

/// The archive of a kind that was written last, unless its rows are back for a while.
pub fn last_written(folder: &Path, kind: RowKind) -> Option<Archive> {
    let written = |one: &Archive| fs::metadata(&one.path).and_then(|file| file.modified()).ok();
    let last = list(folder).into_iter().filter(|one| one.kind == kind).max_by_key(written)?;
    (!last.is_restored).then_some(last)
}

/// All archives of a folder, newest first.
pub fn list(folder: &Path) -> Vec<Archive> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<Archive> = entries.filter_map(|entry| named(&entry.path())).collect();
    all.sort_by(|one, other| other.times.cmp(&one.times).then(other.seqs.cmp(&one.seqs)));
    all
}

fn named(path: &Path) -> Option<Archive> {
    let name = path.file_name()?.to_str()?.strip_suffix(END)?;
    let mut parts = name.split('.');
    let (table, times, seqs) =
        (parts.next()?, parts.next()?.split_once('-')?, parts.next()?.split_once('-')?);
    // Whatever else has such a name is none: a pipe would keep whoever searches waiting for ever.
    let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    let restored = fs::metadata(mark_of(path)).and_then(|mark| mark.modified());
    let is_recent = |at: SystemTime| at.elapsed().is_ok_and(|passed| passed < RESTORED_FOR);
    Some(Archive {
        path: path.to_owned(),
        kind: Table::named(table)?.kind,
        times: (Time::of_stamp(times.0)?, Time::of_stamp(times.1)?),
        seqs: (seqs.0.parse().ok()?, seqs.1.parse().ok()?),
        bytes: found.len(),
        is_restored: restored.is_ok_and(is_recent),
    })
}

/// Shows every row of an archive until told to stop. Fails when its bytes are not those that were written.
pub fn read(path: &Path, mut see: impl FnMut(Map<String, Value>) -> bool) -> io::Result<()> {
    for line in BufReader::new(MultiGzDecoder::new(BufReader::new(file::open_here(path)?))).lines() {
        let row = serde_json::from_str(&line?).map_err(io::Error::from)?;
        if !see(row) {
            break;
        }
    }
    Ok(())
}

/// The edits that bring an archive's rows back.
pub fn returns(archive: &Archive) -> io::Result<Vec<Edit>> {
    let table = Table::of(archive.kind);
    let mut edits = Vec::new();
    read(&archive.path, |row| {
        let cell = |column: &Column| (column.name.to_owned(), cell_of(row.get(column.name)));
        let key = row.get(table.key()).map(Value::to_string).unwrap_or_default();
        edits.push(Edit {
            kind: archive.kind,
            key,
            action: EditAction::Put(table.columns.iter().map(cell).collect()),
        });
        true
    })?;
    Ok(edits)
}

/// Notes that an archive's rows are back, so that they are left alone for a while.
pub fn mark_restored(archive: &Archive) -> io::Result<()> {
    File::create(mark_of(&archive.path)).map(drop)
}

fn mark_of(path: &Path) -> PathBuf {
    path.with_added_extension("restored")
}

fn row_of(kind: RowKind, line: &SqlRow) -> Map<String, Value> {
    let columns = Table::of(kind).columns.iter().zip(line);
    columns.map(|(column, cell)| (column.name.to_owned(), value_of(cell))).collect()
}

fn value_of(cell: &Cell) -> Value {
    match cell {
        Cell::Integer(number) => (*number).into(),
        Cell::Real(number) => (*number).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Null | Cell::Blob(_) => Value::Null,
    }
}

fn cell_of(value: Option<&Value>) -> Cell {
    match value {
        Some(Value::String(text)) => Cell::Text(text.clone()),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cell::Integer(whole),
            (None, Some(real)) => Cell::Real(real),
            (None, None) => Cell::Null,
        },
        _ => Cell::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, seqs: &[u64]) -> PathBuf {
        let mut writer = Writer::begin(folder, RowKind::Audit).unwrap();
        for seq in seqs {
            let record = AuditRecord { at: Time(1_795_450_273_000), ..AuditRecord::default() };
            writer.add(&Old::audit(*seq, &record)).unwrap();
        }
        writer.finish(folder).unwrap()
    }

    #[test]
    fn only_files_are_archives() {
        let folder = tempfile::tempdir().unwrap();
        let whole = write(folder.path(), &[1, 2, 3]);
        let named = |seqs: &str| {
            whole.with_file_name(format!("audit_log.20261121T000000Z-20261121T000001Z.{seqs}.jsonl.gz"))
        };
        rustix::fs::mknodat(rustix::fs::CWD, named("4-5"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        std::os::unix::fs::symlink(&whole, named("6-7")).unwrap();
        fs::create_dir(named("8-9")).unwrap();
        let paths: Vec<PathBuf> = list(folder.path()).into_iter().map(|one| one.path).collect();
        assert_eq!(paths, std::slice::from_ref(&whole));
        assert!(read(&named("4-5"), |_| true).is_err(), "one that was put there in between");
    }

    #[test]
    fn no_archive_is_written_over_by_one_that_holds_other_rows() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, again) = (write(folder.path(), &[1, 2, 3]), write(folder.path(), &[1, 2, 3]));
        assert_eq!(whole, again, "the same rows are the same archive");
        let less = write(folder.path(), &[1, 3]);
        assert_ne!(less, whole);
        let rows = |path: &Path| {
            let mut rows = 0;
            read(path, |_| {
                rows += 1;
                true
            })
            .unwrap();
            rows
        };
        assert_eq!((rows(&whole), rows(&less), list(folder.path()).len()), (3, 2, 2));
        assert_eq!(list(folder.path())[1].seqs, (1, 3));
    }
}
