//! The files under `tests/fixtures`: the protocol as examples.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::source::root;

/// One fixture file.
pub struct Fixture {
    /// Its name without the ending.
    pub name: String,
    /// What it holds.
    pub value: Value,
}

/// Every `.json` file directly in a folder of `tests/fixtures`, by name.
pub fn all(folder: &str) -> Vec<Fixture> {
    let folder: PathBuf = root().join("tests/fixtures").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Fixture {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = path.file_stem().expect("it has an ending").to_string_lossy().into_owned();
    Fixture { name, value }
}
