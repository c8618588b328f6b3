//! The last configuration that a daemon has started with, kept beside it as `FILE.backup` for whoever spoils the file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::file;

/// The longest file that can vouch: the SHA-256 in hexadecimal digits, and the end of a line.
const MOST_VOUCHED: u64 = 65;

/// All bits of a mode that are permissions.
const PERMISSIONS: u32 = 0o777;

/// Where the copy of a file lies.
pub fn path_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".backup");
    PathBuf::from(name)
}

/// The SHA-256 of a configuration, in hexadecimal digits.
pub fn fingerprint(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the file `by` names this configuration. Another user may have written it: it is no link that root follows,
/// and nothing that root waits for.
fn is_vouched(by: &Path, fingerprint: &str) -> io::Result<bool> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(by, flags, Mode::empty());
    let file = match opened {
        Err(Errno::NOENT) => return Ok(false),
        opened => File::from(opened?),
    };
    let mut named = Vec::new();
    file.take(MOST_VOUCHED).read_to_end(&mut named)?;
    Ok(named.trim_ascii() == fingerprint.as_bytes())
}

/// Copies the file when the copy says something else. It may hold a token, so whoever may not read the one may not
/// read the other: the copy has its permissions and its owner. `None`: a file must vouch for it, and does not.
pub fn keep(path: &Path, vouched_by: Option<&Path>) -> io::Result<Option<PathBuf>> {
    let backup = path_of(path);
    let content = std::fs::read(path)?;
    if let Some(by) = vouched_by
        && !is_vouched(by, &fingerprint(&content))?
    {
        return Ok(None);
    }
    let of = path.metadata()?;
    let rights = |of: &std::fs::Metadata| (of.mode() & PERMISSIONS, of.uid(), of.gid());
    let same_rights = backup.symlink_metadata().is_ok_and(|is| is.is_file() && rights(&is) == rights(&of));
    if same_rights && std::fs::read(&backup)? == content {
        return Ok(Some(backup));
    }
    let give = |fresh: &File| std::os::unix::fs::fchown(fresh, Some(of.uid()), Some(of.gid()));
    file::replace_as(&backup, &content, of.mode() & PERMISSIONS, give)?;
    Ok(Some(backup))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_copy_follows_the_file_and_its_rights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.config.json");
        let shut =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        std::fs::write(&path, "{ 1 }").unwrap();
        shut(&path, 0o640);
        let backup = keep(&path, None).unwrap().unwrap();
        assert!(backup.ends_with("agent.config.json.backup"));
        let node = backup.metadata().unwrap().ino();
        keep(&path, None).unwrap();
        assert_eq!(backup.metadata().unwrap().ino(), node, "nothing differs, so nothing is written");
        shut(&path, 0o600);
        std::fs::write(&path, "{ 2 }").unwrap();
        keep(&path, None).unwrap();
        assert_eq!(std::fs::read_to_string(&backup).unwrap(), "{ 2 }");
        assert_eq!(backup.metadata().unwrap().mode() & 0o777, 0o600);
    }
}
