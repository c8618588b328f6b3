//! In which permission mode, and with which sandbox, each project is worked in.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use crate::backend::Place;

/// The projects' settings, by directory as it is configured.
#[derive(Debug)]
pub struct Places(RwLock<Vec<Place>>);

impl Places {
    /// These projects.
    pub fn new(places: &[Place]) -> Self {
        Self(RwLock::new(places.to_vec()))
    }

    /// These from now on. A process that runs goes on with its settings.
    pub fn replace(&self, places: &[Place]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = places.to_vec();
    }

    /// The mode for a directory, one of `modes`. One that is no project any more is worked in as carefully as can be.
    pub fn mode_of(&self, directory: &str, modes: &[&'static str]) -> &'static str {
        self.setting(directory, modes, |place| place.permission_mode.as_deref())
    }

    /// The mode for a directory in the coding agent's own word; `None`: nobody has said one.
    pub fn permission_mode_of(&self, directory: &str) -> Option<String> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let its = places.iter().find(|place| place.directory == Path::new(directory));
        its.and_then(|place| place.permission_mode.clone())
    }

    /// The sandbox for a directory, one of `sandboxes`; in the same way.
    pub fn sandbox_of(&self, directory: &str, sandboxes: &[&'static str]) -> &'static str {
        self.setting(directory, sandboxes, |place| place.sandbox.as_deref())
    }

    /// Whether what the checkout in a directory brings along may run; `None`: nobody has said so.
    pub fn trust_of(&self, directory: &str) -> Option<bool> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        places.iter().find(|place| place.directory == Path::new(directory)).and_then(|place| place.trusted)
    }

    /// The word that was said, if it is one; the first one otherwise, which is the careful one.
    fn setting(
        &self,
        directory: &str,
        words: &[&'static str],
        said: impl Fn(&Place) -> Option<&str>,
    ) -> &'static str {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let place = places.iter().find(|place| place.directory == Path::new(directory));
        let said = place.and_then(said);
        let known = words.iter().find(|word| Some(**word) == said).or(words.first());
        known.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_unguarded_who_has_not_said_so() {
        const MODES: [&str; 2] = ["asks", "asks-nobody"];
        let place = |name: &str, mode: Option<&str>| Place {
            directory: name.into(),
            permission_mode: mode.map(str::to_owned),
            sandbox: mode.map(str::to_owned),
            trusted: None,
        };
        let places =
            Places::new(&[place("/a", None), place("/b", Some("asks-nobody")), place("/c", Some("yolo"))]);
        assert_eq!(
            ["/a", "/b", "/c", "/d"].map(|name| places.mode_of(name, &MODES)),
            ["asks", "asks-nobody", "asks", "asks"]
        );
        assert_eq!(places.sandbox_of("/b", &["closed", "asks-nobody"]), "asks-nobody");
        assert_eq!(places.sandbox_of("/a", &["closed", "asks-nobody"]), "closed");
        places.replace(&[]);
        assert_eq!(places.mode_of("/b", &MODES), "asks");
    }
}
