//! What a checkout brings along: files by which a coding agent runs something that nobody here has asked for.

use std::env;
use std::path::{Path, PathBuf};

/// The first of these in a directory, or in one above it up to the root of the checkout: coding agents look there too.
/// Without a repository that is all there is above, but for the user's home and what is in it, which no checkout brings.
pub fn brought(directory: &Path, names: &[&str]) -> Option<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    brought_below(directory, names, home.as_deref())
}

fn brought_below(directory: &Path, names: &[&str], home: Option<&Path>) -> Option<PathBuf> {
    let real = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    for folder in real.ancestors() {
        let is_home = home.is_some_and(|home| home == folder) && folder != real;
        let found = names.iter().map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok());
        if found.is_some() && !is_home {
            return found;
        }
        if folder.join(".git").symlink_metadata().is_ok() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_for_up_to_the_root_of_the_checkout_and_not_in_the_home() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let (home, inner) = (root.join("home"), root.join("home/web/src"));
        std::fs::create_dir_all(&inner).unwrap();
        let look = |directory: &Path| brought_below(directory, &["x.json", ".x"], Some(&home));
        assert_eq!(look(&inner), None);
        std::fs::create_dir(home.join(".x")).unwrap();
        assert_eq!(look(&inner), None, "it is the user's own");
        std::fs::write(root.join("x.json"), "").unwrap();
        assert_eq!(look(&inner), Some(root.join("x.json")));
        std::fs::write(home.join("web/.git"), "").unwrap();
        assert_eq!(look(&inner), None, "no checkout reaches beyond its root");
        std::os::unix::fs::symlink("nowhere", home.join("web/x.json")).unwrap();
        assert_eq!(look(&inner), Some(home.join("web/x.json")));
        std::fs::create_dir(inner.join(".x")).unwrap();
        assert_eq!(look(&inner), Some(inner.join(".x")));
    }
}
