//! Backups of `supervisor.db`: plain files beside it.

use std::path::{Path, PathBuf};

/// The newest backup of a mirror that is there.
pub fn newest(mirror: &Path) -> Option<PathBuf> {
    let mut name = mirror.as_os_str().to_owned();
    name.push(".backup");
    let newest = PathBuf::from(name);
    newest.exists().then_some(newest)
}
