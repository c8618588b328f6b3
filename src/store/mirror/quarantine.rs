//! Quarantined stores, which were set aside beside the present one: listed, and opened for reading only.

use std::fs;
use std::path::{Path, PathBuf};

use redb::{Database, ReadOnlyDatabase, ReadableDatabase};

use crate::StoreError;
use crate::hub::Store;
use crate::reader::Reader;
use hal_base::clock::Time;
use hal_base::panic::contained;

/// Bytes of its cache: it is read from one end to the other.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Why stores are set aside, as their names say.
const WHY: [&str; 2] = ["replaced", "corrupt"];

/// A store that can be looked into: the present one, or one set aside.
pub trait Source {
    /// A consistent look, for a moment: while it lives the present store is not reopened.
    fn look(&self) -> Result<Reader<'_>, StoreError>;
}

impl Source for Store {
    fn look(&self) -> Result<Reader<'_>, StoreError> {
        self.read()
    }
}

/// A store that was set aside.
pub struct Aside(ReadOnlyDatabase);

impl Source for Aside {
    fn look(&self) -> Result<Reader<'_>, StoreError> {
        Ok(Reader::of_file(self.0.begin_read()?))
    }
}

impl Aside {
    /// Opens one. Nothing is written to it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || Database::builder().set_cache_size(CACHE_BYTES).open_read_only(path);
        let opened = contained(open).map_err(|_| StoreError::Surprising(path.to_owned()))?;
        opened.map(Self).map_err(|error| StoreError::Open { path: path.to_owned(), source: error.into() })
    }
}

/// The stores set aside beside this one, the newest first.
pub fn list(store: &Path) -> Vec<PathBuf> {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<(Time, PathBuf)> =
        files.filter_map(|path| Some((set_aside_at(store, &path)?, path))).collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}

fn set_aside_at(store: &Path, path: &Path) -> Option<Time> {
    let name = path.file_name()?.to_str()?.strip_prefix(store.file_name()?.to_str()?)?;
    let (why, second) = name.strip_prefix('.')?.split_once('.')?;
    let second: i64 = second.parse().ok().filter(|_| WHY.contains(&why))?;
    path.is_file().then_some(Time(second.checked_mul(1000)?))
}
