//! How much a store of `hal up` may keep: the file `max_size` in its folder.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

use super::PRIVATE;
use crate::base::config::unit::bytes;
use crate::base::file;
use crate::store::usage::of_disk;
use crate::supervisor::config::LEAST_SIZE;

const MIB: u64 = 1024 * 1024;

/// What the file says, in bytes; `None`: there is no bound. A new folder gets a file that says half of the disk; one that
/// was used without it keeps everything, as before.
pub fn max_size(data: &Path, is_new: bool) -> anyhow::Result<Option<u64>> {
    let path = data.join("max_size");
    if is_new && let Some((used, free)) = of_disk(data) {
        let half = (used.saturating_add(free) / 2).max(LEAST_SIZE);
        file::replace(&path, format!("{}MiB\n", half / MIB).as_bytes(), PRIVATE)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let size = bytes(&text).filter(|size| *size == 0 || *size >= LEAST_SIZE).with_context(|| {
        format!("{} says {:?}: expected a size such as 20GiB, or 0 for no bound", path.display(), text.trim())
    })?;
    Ok(Some(size).filter(|size| *size > 0))
}

#[cfg(test)]
mod tests {
    use super::super::UserPaths;
    use super::*;
    use crate::store::retain::Retention;

    #[test]
    fn only_a_new_folder_is_bound_to_half_of_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let data = folder.path().join(name);
            fs::create_dir_all(&data).unwrap();
            data
        };
        let new = UserPaths::prepare(place("new")).unwrap().supervisor_config(0).retention.max_size.unwrap();
        let (used, free) = of_disk(folder.path()).unwrap();
        assert!(new.abs_diff((used + free) / 2) < 1 << 30, "{new} of {used} + {free}");
        let again = UserPaths::prepare(place("new")).unwrap();
        assert_eq!(again.max_size, Some(new), "the disk may have grown: what was said stays");
        for (name, file) in [("by.an.older.one", "supervisor.redb"), ("tried", "token")] {
            fs::write(place(name).join(file), "x").unwrap();
            let old = UserPaths::prepare(place(name)).unwrap();
            assert_eq!(old.supervisor_config(0).retention, Retention::default(), "{name}");
        }
        fs::write(place("new").join("max_size"), "0").unwrap();
        assert_eq!(UserPaths::prepare(place("new")).unwrap().max_size, None);
        for wrong in ["much", "1KiB", ""] {
            fs::write(place("new").join("max_size"), wrong).unwrap();
            let said = UserPaths::prepare(place("new")).err().unwrap().to_string();
            assert!(said.contains("expected a size such as 20GiB"), "{said}");
        }
    }
}
