//! Making a new store: under another name first, so that a kill in between leaves nothing half made in its place.

use std::fs::{self, File};
use std::io::{ErrorKind, Result};
use std::path::Path;

use redb::{Builder, DatabaseError, StorageError};

use crate::base::file;

/// Makes an empty store at `path`, with these permissions, unless something is there.
pub fn make(path: &Path, mode: u32, builder: &Builder) -> std::result::Result<(), DatabaseError> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > 0) {
        return Ok(());
    }
    let draft = path.with_added_extension("new");
    clear(&draft, mode).map_err(StorageError::from)?;
    drop(builder.create(&draft)?);
    put(&draft, path).map_err(StorageError::from)?;
    Ok(())
}

/// An empty file, whatever an earlier attempt has left.
fn clear(draft: &Path, mode: u32) -> Result<()> {
    match fs::remove_file(draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    file::make(draft, mode)
}

fn put(draft: &Path, path: &Path) -> Result<()> {
    fs::rename(draft, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
