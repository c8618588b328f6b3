//! Making a new store: under another name first, so that a kill in between leaves nothing half made in its place.

use std::fs::{self, File};
use std::io::{ErrorKind, Result};
use std::path::Path;

use redb::{Builder, DatabaseError, StorageError};

use hal_base::file;

/// Makes an empty store at `path`, with these permissions, unless something is there.
pub fn make(path: &Path, mode: u32, builder: &Builder) -> std::result::Result<(), DatabaseError> {
    let is_there = match fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => return Ok(()),
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(StorageError::from(error).into()),
    };
    let draft = path.with_added_extension("new");
    clear(&draft, mode).map_err(StorageError::from)?;
    drop(builder.create(&draft)?);
    put(&draft, path, is_there).map_err(StorageError::from)?;
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

/// Never in place of a store that another process has made meanwhile.
fn put(draft: &Path, path: &Path, is_there: bool) -> Result<()> {
    if is_there {
        fs::rename(draft, path)?;
    } else {
        match fs::hard_link(draft, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => fs::remove_file(draft)?,
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
