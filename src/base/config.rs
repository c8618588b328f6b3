//! Configuration files, read with places so that every problem can be pointed at.
//!
//! A program describes its file once, as a function from the root [`Section`] to its own checked values. Asking for
//! a key makes it known; what is wrong is noted on the way and reading goes on, so that one run shows everything:
//!
//! - `section`, `value`: what a program asks of the file.
//! - `backup`: the last file a daemon has started with.
//! - `edit`: changing such a file as a person would.
//! - `machine`: what the values name on this machine: folders, certificates.
//! - `service`: for which user they are judged.
//! - `token`: the shared token, in the file or beside it.
//! - `unit`: durations and sizes as people write them.
//! - `reload`: what a running daemon takes over from a changed file.
//! - `finding`: one thing to say about the file, and all of them together.
//! - `excerpt`: the line it is about, with everything that may be secret left out.

pub mod backup;
pub mod edit;
mod excerpt;
mod finding;
pub mod machine;
mod parse;
mod reader;
mod reload;
mod section;
pub mod service;
pub mod token;
pub mod unit;
mod value;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub use finding::{ConfigReport, FilePosition, Finding, Severity};
pub use parse::{known_keys, loose};
pub use reload::Reload;
pub use section::Section;
pub use value::Value;

/// No configuration is longer than this (1 MiB); a longer file is surely another one, given by mistake.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The mode bit that lets everyone read a file.
const OTHERS_READ: u32 = 0o004;

/// What the values are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To tell a person everything that is wrong: what is absent on this machine counts as a problem.
    Validate,
    /// To run: what is absent but can be lived without is a warning.
    Run,
}

/// What comes of reading a file: the value and what to warn of, or everything that is wrong.
pub type Reading<T> = Result<(T, ConfigReport), ConfigReport>;

/// A file that was read.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its path: how findings name it, and where relative paths in it start.
    pub path: &'a Path,
    /// What is in it.
    pub bytes: &'a [u8],
    /// True when every user of the machine may read it.
    pub is_open_to_all: bool,
}

/// Reads a file. `build` asks for its keys; it is called twice, the first time with nothing in the file, to learn
/// which keys there are. Ends in the value and what to warn of, or in everything that is wrong.
pub fn read<T>(path: &Path, purpose: Purpose, build: impl Fn(&Section<'_>) -> T) -> Reading<T> {
    if purpose == Purpose::Validate
        && let Some(Err(why)) = service::judged_for().map(|user| user.may(path, service::READ))
    {
        return Err(ConfigReport::about_file(path, format!("cannot be read by the service: {why}")));
    }
    let (bytes, mode) = load(path).map_err(|sentence| ConfigReport::about_file(path, sentence))?;
    parse(&Source { path, bytes: &bytes, is_open_to_all: mode & OTHERS_READ != 0 }, purpose, build)
}

/// Reads what was in a file; see [`read`].
pub fn parse<T>(file: &Source<'_>, purpose: Purpose, build: impl Fn(&Section<'_>) -> T) -> Reading<T> {
    let (value, report) = parse::parse(file, purpose, build)?;
    Ok((value, ConfigReport { fingerprint: backup::fingerprint(file.bytes), ..report }))
}

/// The bytes of a file, and its mode bits.
pub fn load(path: &Path) -> Result<(Vec<u8>, u32), String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mode = file.metadata().map_err(cannot)?.mode();
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("is longer than {MAX_FILE_BYTES} bytes, so it is not a configuration"));
    }
    Ok((bytes, mode))
}
