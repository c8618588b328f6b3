//! What a log keeps, and what it says of what was done to its files.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::folder::{FolderLog, Found, folder_of};
use super::record::{LogRow, NamedTable, NumberedTable, Record, Sealed};
use super::{Log, segment};

const STORE: &str = "0123456789abcdef0123456789abcdef";

fn record(position: u64) -> Record {
    let rows = vec![
        LogRow::Numbered(NumberedTable::Events, position, Some(Sealed(vec![7; 40]))),
        LogRow::Named(NamedTable::Nodes, format!("web-{position}"), None),
        LogRow::Number("last_seq".to_owned(), position),
    ];
    Record { rows }
}

struct Stage {
    _folder: TempDir,
    store: PathBuf,
}

impl Stage {
    /// A log with the records 1 to `last`.
    fn with(last: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("s.redb");
        let stage = Self { _folder: folder, store };
        stage.append(1, last);
        stage
    }

    fn append(&self, from: u64, last: u64) {
        let log = self.open().0;
        for position in from..=last {
            log.append(position, &record(position).encode()).unwrap();
        }
    }

    fn open(&self) -> (FolderLog, Found) {
        FolderLog::open(&self.store, STORE).unwrap()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> =
            fs::read_dir(folder_of(&self.store)).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    }

    /// Where the records of the first segment end, one after the other.
    fn ends(&self) -> Vec<usize> {
        let bytes = fs::read(&self.segments()[0]).unwrap();
        let mut ends = vec![segment::HEAD];
        while let Some(whole) = segment::at(&bytes, *ends.last().unwrap(), segment::seed(&bytes)) {
            ends.push(whole.end);
        }
        ends
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        change_file(&self.segments()[0], change);
    }
}

fn change_file(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn read(log: &FolderLog, from: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    log.read(from, u64::MAX, &mut |position, body| {
        assert_eq!(Record::decode(position, body).unwrap(), record(position));
        seen.push(position);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    seen
}

#[test]
fn what_was_appended_is_there_and_each_process_goes_on_in_a_file_of_its_own() {
    let stage = Stage::with(5);
    stage.append(6, 9);
    let (log, found) = stage.open();
    assert_eq!(found, Found { bounds: Some((1, 9)), ..Found::default() });
    assert_eq!((log.bounds(), stage.segments().len()), (Some((1, 9)), 2));
    assert_eq!(read(&log, 1), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    // Going on where the last reading ended.
    assert_eq!(read(&log, 8), [8, 9]);
    assert_eq!(read(&log, 3), [3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_record_cut_at_every_byte_was_never_there() {
    let stage = Stage::with(3);
    let whole = fs::read(&stage.segments()[0]).unwrap();
    let ends = stage.ends();
    for cut in ends[2] + 1..ends[3] {
        // What was not written is zeros: the file has had its room from the beginning.
        let body = ends[2] + segment::RECORD_HEAD + record(3).encode().len();
        if cut >= body {
            break;
        }
        stage.change(|bytes| {
            bytes.copy_from_slice(&whole);
            bytes[cut..].fill(0);
        });
        let (log, found) = stage.open();
        assert_eq!((found.bounds, found.torn, found.gaps.len()), (Some((1, 2)), Some(3), 0), "cut at {cut}");
        log.append(3, &record(3).encode()).unwrap();
        let (log, found) = stage.open();
        assert_eq!((found.bounds, found.torn, found.gaps.len()), (Some((1, 3)), None, 0), "cut at {cut}");
        assert_eq!(read(&log, 1), [1, 2, 3]);
        fs::remove_file(&stage.segments()[1]).unwrap();
    }
}

#[test]
fn a_file_cut_short_ends_before_the_record_that_is_cut() {
    let stage = Stage::with(3);
    let cut = stage.ends()[3] - 9;
    stage.change(|bytes| bytes.truncate(cut));
    let (log, found) = stage.open();
    assert_eq!((found.bounds, found.torn), (Some((1, 2)), Some(3)));
    assert_eq!(read(&log, 1), [1, 2]);
}

#[test]
fn every_flipped_bit_is_noticed_and_what_follows_is_read() {
    let stage = Stage::with(4);
    let whole = fs::read(&stage.segments()[0]).unwrap();
    let ends = stage.ends();
    let end = ends[1] + segment::RECORD_HEAD + record(2).encode().len();
    for at in ends[1]..end {
        for bit in 0..8 {
            stage.change(|bytes| {
                bytes.copy_from_slice(&whole);
                bytes[at] ^= 1 << bit;
            });
            let (log, found) = stage.open();
            assert_eq!((found.bounds, found.torn), (Some((1, 4)), None), "bit {bit} of byte {at}");
            assert_eq!(found.gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(2, 2)]);
            assert_eq!(read(&log, 1), [1, 3, 4]);
        }
    }
}

#[test]
fn a_missing_file_is_said_with_the_positions_that_were_in_it() {
    let stage = Stage::with(3);
    stage.append(4, 6);
    stage.append(7, 9);
    fs::remove_file(&stage.segments()[1]).unwrap();
    let (log, found) = stage.open();
    assert_eq!(found.bounds, Some((1, 9)));
    assert_eq!(found.gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(4, 6)]);
    // Whoever follows has no use for what is before it.
    assert_eq!(log.bounds(), Some((7, 9)));
    let said = found.gaps[0].to_string();
    assert!(said.starts_with("4 to 6 (the file before ") && said.ends_with("is missing)"), "{said}");
}

#[test]
fn another_stores_log_is_set_aside_and_one_from_the_future_refused() {
    let stage = Stage::with(3);
    let (log, found) = FolderLog::open(&stage.store, "another").unwrap();
    assert_eq!((log.bounds(), found), (None, Found::default()));
    let aside: Vec<_> = fs::read_dir(stage.store.parent().unwrap()).unwrap().flatten().collect();
    assert!(aside.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("s.redb.wal.foreign.")));

    let stage = Stage::with(3);
    stage.change(|bytes| {
        bytes[8] = 9;
        let sum = segment::head_sum(bytes.first_chunk().unwrap());
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    });
    let error = FolderLog::open(&stage.store, STORE).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[test]
fn a_segment_that_was_begun_in_vain_is_not_trimmed_from_under_the_one_that_took_its_place() {
    let stage = Stage::with(0);
    let log = stage.open().0;
    log.begin(1).unwrap();
    drop(log);
    let (log, _) = stage.open();
    log.begin(1).unwrap();
    let record = |position| (position, vec![7; 30_000]);
    for (position, body) in (1..=6).map(record) {
        log.append(position, &body).unwrap();
    }
    assert!(stage.segments().len() > 2);
    log.trim(2);
    let mut seen = Vec::new();
    log.read(2, u64::MAX, &mut |position, _| {
        seen.push(position);
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(seen, [2, 3, 4, 5, 6]);
}

#[test]
fn a_folder_that_cannot_be_read_is_not_one_that_is_not_there() {
    let stage = Stage::with(3);
    let folder = folder_of(&stage.store);
    fs::rename(&folder, folder.with_extension("elsewhere")).unwrap();
    std::os::unix::fs::symlink("/is/not/mounted", &folder).unwrap();
    let error = FolderLog::open(&stage.store, STORE).unwrap_err();
    assert!(matches!(&error, crate::StoreError::File { .. }) && !error.is_damage(), "{error}");
    assert!(super::folder::owner(&stage.store).is_err());
}

#[test]
fn a_text_that_looks_like_a_record_is_none() {
    let stage = Stage::with(1);
    let log = stage.open().0;
    // What somebody could have made by himself, without the segment's seed.
    let (strange, _) = segment::record(3, 0, 0, &record(3).encode()).unwrap();
    let rows = vec![LogRow::Named(NamedTable::State, "x/y".to_owned(), Some(Sealed(strange)))];
    log.append(2, &Record { rows }.encode()).unwrap();
    drop(log);
    change_file(&stage.segments()[1], |bytes| bytes[segment::HEAD + segment::RECORD_HEAD] ^= 1);
    let (_, found) = stage.open();
    assert_eq!((found.bounds, found.torn, found.gaps.len()), (Some((1, 1)), Some(2), 0));
}

#[test]
fn a_damaged_head_does_not_hide_the_records_behind_it() {
    let stage = Stage::with(3);
    stage.change(|bytes| bytes[20] ^= 1);
    let (log, found) = stage.open();
    assert_eq!(found.bounds, Some((1, 3)));
    assert_eq!(read(&log, 1), [1, 2, 3]);
}

#[test]
fn a_record_of_another_branch_does_not_go_on_from_ours() {
    let stage = Stage::with(3);
    let other = Stage::with(2);
    let log = other.open().0;
    let mut strange = record(3);
    strange.rows.pop();
    log.append(3, &strange.encode()).unwrap();
    log.append(4, &record(4).encode()).unwrap();
    drop(log);
    fs::copy(&other.segments()[1], stage.segments()[0].with_file_name(format!("{:020}", 4))).unwrap();
    // Its first record is our third one, and differs: the fourth goes on from something that is not here.
    let (_, found) = stage.open();
    assert!(found.gaps.iter().any(|gap| gap.why.contains("does not go on from")), "{found:?}");
}

#[test]
fn what_is_done_with_is_removed_but_for_the_last_file() {
    let stage = Stage::with(3);
    stage.append(4, 6);
    stage.append(7, 9);
    let (log, _) = stage.open();
    log.trim(6);
    assert_eq!(log.bounds(), Some((4, 9)));
    log.trim(u64::MAX);
    assert_eq!((log.bounds(), stage.segments().len()), (Some((7, 9)), 1));
    log.clear().unwrap();
    assert!(!folder_of(&stage.store).exists());
    assert_eq!(stage.open().1, Found::default());
}

#[test]
fn a_segment_takes_its_room_at_once_and_a_small_record_writes_little() {
    // In a process of its own: bytes are counted for all of a process.
    if std::env::var_os(ALONE).is_none() {
        let name = "log::tests::a_segment_takes_its_room_at_once_and_a_small_record_writes_little";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let done = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1").status().unwrap();
        return assert!(done.success());
    }
    let stage = Stage::with(1);
    let (log, _) = stage.open();
    log.append(2, &record(2).encode()).unwrap();
    let before = written();
    let records: u64 = 200;
    for position in 3..3 + records {
        log.append(position, &record(position).encode()).unwrap();
    }
    let each = (written() - before) / records;
    // On a file system in memory nothing is written at all.
    assert!(each <= 2 * 4_096 + 1_024, "{each} bytes for each record");
}

/// Set in the process that counts.
const ALONE: &str = "HAL_ALONE";

/// Bytes that this process had written to disks.
fn written() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn a_record_of_this_version_is_read_for_ever() {
    let rows = vec![
        LogRow::Numbered(NumberedTable::Events, 7, Some(Sealed(b"event".to_vec()))),
        LogRow::Numbered(NumberedTable::Alerts, 8, None),
        LogRow::Named(NamedTable::Gone, "session\0s".to_owned(), Some(Sealed(b"row".to_vec()))),
        LogRow::Member(super::record::NameSet::Returned, "web-1\0x".to_owned(), true),
        LogRow::Indexed(3, vec![7, 300], true),
        LogRow::Number("last_seq".to_owned(), 300),
        LogRow::Look(crate::change::RowKind::Cost, "2026-11-30".to_owned()),
    ];
    let hex: String = Record { rows }.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "010701000701056576656e740102080000060973657373696f6e00730103726f770201077765622d3100780103030207ac0201\
         04086c6173745f736571ac0205030a323032362d31312d3330"
    );
}
