//! The supervisor's files: who owns them, whether they are whole, what lies beside them.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::DoctorContext;
use crate::cli::duration;
use crate::doctor::facts::{Config, Files};
use hal_base::clock::{Time, now};
use hal_base::file;
use hal_store::mirror::backup::{Rules, list, sessions};

/// How a SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Files larger than this together are not looked through page by page: that takes minutes.
const QUICKLY_CHECKED: u64 = 512 * 1024 * 1024;

/// How long looking through smaller ones may take.
const CHECK: Duration = Duration::from_secs(120);

/// Files of the folder that are looked at; archives lie in a folder of their own.
const MOST_FILES: usize = 10_000;

/// Looks at the files of `supervisor.db`.
pub async fn look(
    place: &DoctorContext<'_>,
    config: &Config,
    mirror: PathBuf,
    is_running: bool,
    notes: &mut Vec<String>,
) -> Files {
    let store = mirror.with_extension("redb");
    let beside = beside(&mirror);
    let mut files = Files {
        sick_mirror: header(&mirror),
        strangers: strangers(&mirror, &beside),
        aside: aside(&beside),
        backups: backups(&mirror),
        backup_every: backup_every(&config.values["backup"]),
        has_data: mirror.exists() || store.exists(),
        mirror,
        ..Files::default()
    };
    files.backup_sessions = files.backups.first().and_then(|(newest, ..)| sessions(newest));
    if !is_running && files.has_data {
        match check(place, config, &files.mirror, &store).await {
            Ok(problems) => files.problems = problems,
            Err(why) => notes.push(format!("the supervisor's files were not checked: {why}")),
        }
    }
    files
}

/// What `hal-supervisor store check` complains of.
async fn check(
    place: &DoctorContext<'_>,
    config: &Config,
    mirror: &Path,
    store: &Path,
) -> Result<Vec<String>, String> {
    let on_disk = |path: &Path| fs::metadata(path).map_or(0, |file| file.blocks() * 512);
    // Both files are there after a first start; one alone is what the next start makes anew.
    let by_hand = format!("sudo hal-supervisor store check --config {}", config.path.display());
    if on_disk(mirror) + on_disk(store) > QUICKLY_CHECKED {
        return Err(format!("they are large; check them with: {by_hand}"));
    }
    let path = config.readable();
    let line = ["store", "check", "--config", &path.to_string_lossy()];
    let said = place.tools.hal("hal-supervisor", &line, CHECK).await?;
    match said.code {
        Some(0) => Ok(Vec::new()),
        Some(1) => {
            let is_problem = |line: &&str| !line.contains("all whole") && !line.is_empty();
            let text = said.err.trim().trim_start_matches("hal-supervisor: error: ");
            Ok(text.lines().map(str::trim).filter(is_problem).map(|line| place.scrub.text(line)).collect())
        }
        _ => Err(place.scrub.text(said.words())),
    }
}

/// The files in the folder.
fn beside(mirror: &Path) -> Vec<PathBuf> {
    let entries =
        mirror.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).take(MOST_FILES).collect()
}

/// What is wrong with the first bytes of a database.
fn header(mirror: &Path) -> Option<String> {
    let mut first = Vec::new();
    let size = fs::metadata(mirror).ok()?.len();
    file::open_regular(mirror).ok()?.take(SQLITE.len() as u64).read_to_end(&mut first).ok()?;
    match first.as_slice() {
        [] => Some(format!("{}: it is empty", mirror.display())),
        SQLITE => None,
        _ => Some(format!("{}: file is not a database ({size} bytes)", mirror.display())),
    }
}

/// Files that the owner of the folder cannot write: those of the two stores and the notes beside them.
fn strangers(mirror: &Path, beside: &[PathBuf]) -> Vec<(PathBuf, u32, (u32, u32))> {
    let Some(folder) = mirror.parent().and_then(|folder| fs::metadata(folder).ok()) else {
        return Vec::new();
    };
    let stem = mirror.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_used = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ends = [".db", ".db-wal", ".db-shm", ".redb", ".redb.ballast", ".redb.suspect", ".redb.wal"];
        ends.iter().any(|end| *name == format!("{stem}{end}"))
    };
    let mut all: Vec<_> = beside
        .iter()
        .filter(is_used)
        .filter_map(|path| {
            let owner = fs::symlink_metadata(path).ok()?;
            // A folder is a stranger's when something in it is.
            let inside = if owner.is_dir() { fs::read_dir(path).ok() } else { None };
            let inside =
                inside.into_iter().flatten().flatten().filter_map(|one| Some(one.metadata().ok()?.uid()));
            let stranger = inside.chain([owner.uid()]).find(|user| *user != folder.uid());
            Some((path.clone(), stranger.unwrap_or(folder.uid()), (folder.uid(), folder.gid())))
        })
        .filter(|(_, owner, (user, _))| owner != user)
        .collect();
    all.sort();
    all
}

/// Files that were set aside: `NAME.corrupt.SECONDS`.
fn aside(beside: &[PathBuf]) -> Vec<(PathBuf, Duration)> {
    let age = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        let word = [".corrupt.", ".replaced."].into_iter().find(|word| name.contains(word))?;
        let (_, second) = name.split_once(word)?;
        Some((path.clone(), now().since(Time(second.parse::<i64>().ok()?.checked_mul(1000)?))))
    };
    let mut all: Vec<_> = beside.iter().filter_map(age).collect();
    all.sort();
    all
}

fn backups(mirror: &Path) -> Vec<(PathBuf, Duration, u64)> {
    let now = now();
    list(mirror).into_iter().map(|saved| (saved.path, now.since(saved.at), saved.bytes)).collect()
}

fn backup_every(backup: &Value) -> Option<Duration> {
    let every =
        backup["interval"].as_str().and_then(|text| duration(text).ok()).unwrap_or(Rules::default().every);
    (backup["enabled"].as_bool() != Some(false)).then_some(every)
}
