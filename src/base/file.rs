//! Writing small files whole: whoever reads one sees the old content or the new, never a part.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::clock::{self, Time};

/// Puts `content` in place of whatever `path` held, with these permissions (such as `0o600`), and syncs it.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace_as(path, content, mode, |_| Ok(()))
}

/// The same, with more to be done to the new file before anybody can open it under its name.
pub fn replace_as(
    path: &Path,
    content: &[u8],
    mode: u32,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let fresh = folder.join(name);
    let written = write_new(&fresh, content, mode, finish).and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written?;
    sync_folder(path)
}

/// Makes a change of names in the folder of a file last.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Moves a file out of the way under a name that tells why and when: `supervisor.redb.corrupt.1795450273`.
pub fn set_aside(path: &Path, why: &str) -> io::Result<PathBuf> {
    set_aside_at(path, why, clock::now())
}

/// The same at this time.
pub fn set_aside_at(path: &Path, why: &str, now: Time) -> io::Result<PathBuf> {
    let named = |second: i64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{why}.{second}"));
        PathBuf::from(name)
    };
    let free = (now.seconds()..).map(named).find(|name| !name.exists());
    let aside = free.ok_or(io::ErrorKind::AlreadyExists)?;
    std::fs::rename(path, &aside)?;
    sync_folder(path)?;
    Ok(aside)
}

/// Gives root's files in a folder whose names begin so to the owner of the folder, when root does a daemon's work: else
/// the daemon could not use them.
pub fn give_to_owner(folder: &Path, begin: &str) -> io::Result<()> {
    let owner = std::fs::metadata(folder)?;
    if owner.uid() == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(begin);
        if is_ours && entry.metadata()?.uid() == 0 {
            std::os::unix::fs::lchown(entry.path(), Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

/// Makes an empty file with these permissions where there is none, for a library that would leave them to chance.
pub fn make(path: &Path, mode: u32) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(|_| ()),
    }
}

fn write_new(
    path: &Path,
    content: &[u8],
    mode: u32,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    // A leftover of an earlier process with this id would keep its own permissions.
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    finish(&file)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaces_the_content_and_sets_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "old").unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
