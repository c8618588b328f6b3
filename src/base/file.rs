//! Writing small files whole: whoever reads one sees the old content or the new, never a part. Opening files that others
//! may have put there: never waiting for anybody, and never with rights that they do not have.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

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

/// Opens a file for reading where others may put theirs: a pipe would keep us waiting for ever, a device do anything.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open_flagged(path, 0)
}

/// The same, and not by way of a symbolic link, which leads wherever its owner likes.
pub fn open_here(path: &Path) -> io::Result<File> {
    open_flagged(path, libc::O_NOFOLLOW)
}

fn open_flagged(path: &Path, flags: i32) -> io::Result<File> {
    let flags = flags | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => no_file("it is a symbolic link"),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file("it is not a regular file")) }
}

fn no_file(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Opens a file whose path was read in a file of this user. One that he could not have read himself is refused: whoever
/// has more rights must not use them for him.
pub fn open_named(path: &Path, by: u32) -> io::Result<File> {
    let file = open_regular(path)?;
    if may_name(by, rustix::process::geteuid().as_raw(), file.metadata()?.uid()) {
        return Ok(file);
    }
    let why = "it does not belong to the owner of the file that names it";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// Whether a file of `by` may name one of `owner` to be read by `reader`.
fn may_name(by: u32, reader: u32, owner: u32) -> bool {
    const ROOT: u32 = 0;
    by == ROOT || by == reader || by == owner
}

/// Gives a file to a user and a group, as root may: the file itself, and only if it has no other name, by which it might
/// belong elsewhere.
pub fn give(path: &Path, user: u32, group: u32) -> io::Result<()> {
    give_named(path, 1, user, group)
}

/// The same of a file of which so many names are known.
fn give_named(path: &Path, names: u64, user: u32, group: u32) -> io::Result<()> {
    let file = open_here(path)?;
    if file.metadata()?.nlink() > names {
        return Err(no_file("it has more than one name (hard links)"));
    }
    std::os::unix::fs::fchown(&file, Some(user), Some(group))
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
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.metadata()?;
        if file.is_file() {
            files.push((entry.path(), entry.file_name(), file));
        }
    }
    for (path, name, file) in &files {
        if name.to_string_lossy().starts_with(begin) && file.uid() == 0 {
            // The newest backup has two names in here.
            let names = files.iter().filter(|(_, _, one)| one.ino() == file.ino()).count();
            give_named(path, names as u64, owner.uid(), owner.gid())?;
        }
    }
    Ok(())
}

/// From here on this thread is whoever a folder belongs to, where root does a daemon's work in it: whatever that has arranged
/// there, such as a link to elsewhere, gives it nothing. There is no way back.
pub fn act_as_owner_of(folder: &Path) -> io::Result<()> {
    let owner = std::fs::metadata(folder)?;
    if owner.uid() == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// The same of a folder in it, with all that lies there.
pub fn give_to_owner_of(folder: &Path, inner: &Path) -> io::Result<()> {
    let owner = std::fs::metadata(folder)?;
    if owner.uid() == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let give = |path: &Path| std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid()));
    // Whoever uses the folder may have done with a file meanwhile; what is gone needs no owner.
    std::fs::read_dir(inner)?.try_for_each(|entry| unless_gone(give(&entry?.path())))?;
    give(inner)
}

/// The same, where a file that is not there any more is no failure.
pub fn unless_gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
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
    // Whatever the umask of whoever calls leaves of it.
    file.set_permissions(Permissions::from_mode(mode))?;
    finish(&file)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_and_nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "x").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        assert!(open_here(&at("file")).is_ok() && open_regular(&at("link")).is_ok());
        let why = |name| open_here(&at(name)).unwrap_err().to_string();
        assert_eq!(why("link"), "it is a symbolic link");
        assert_eq!(
            (why("pipe"), why("")),
            ("it is not a regular file".into(), "it is not a regular file".into())
        );
        assert!(open_regular(&at("pipe")).is_err());
    }

    #[test]
    fn a_file_names_what_its_owner_may_read_and_nothing_else() {
        let (root, service, ada) = (0, 990, 1000);
        assert!(!may_name(service, root, root), "root must not read its own secrets for the service");
        assert!(!may_name(service, ada, ada) && !may_name(ada, root, service));
        assert!(may_name(service, root, service) && may_name(service, ada, service));
        assert!(may_name(ada, ada, root) && may_name(root, ada, ada) && may_name(root, root, service));
    }

    #[test]
    fn a_file_with_a_second_name_is_not_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, "x").unwrap();
        let own = path.metadata().unwrap();
        give(&path, own.uid(), own.gid()).unwrap();
        std::fs::hard_link(&path, &other).unwrap();
        assert!(give(&path, own.uid(), own.gid()).unwrap_err().to_string().contains("hard links"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(give(&path, own.uid(), own.gid()).is_err(), "what a link leads to is somebody else's");
    }

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
