//! In which permission mode each project is worked in.

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use crate::backend::Place;

/// The modes that can be configured, the one that holds otherwise first: it asks for what changes anything.
pub const MODES: &[&str] = &["default", "acceptEdits", "plan", UNGUARDED];

/// The mode in which it asks nobody: only who says so has it.
pub const UNGUARDED: &str = "bypassPermissions";

/// The projects' modes, by directory as it is configured.
#[derive(Debug)]
pub struct Places(RwLock<Vec<Place>>);

impl Places {
    /// These projects.
    pub fn new(places: &[Place]) -> Self {
        Self(RwLock::new(places.to_vec()))
    }

    /// These from now on. A process that runs goes on in its mode.
    pub fn replace(&self, places: &[Place]) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = places.to_vec();
    }

    /// The mode for a directory. One that is no project any more is worked in as carefully as can be.
    pub fn mode_of(&self, directory: &str) -> String {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let place = places.iter().find(|place| place.directory == Path::new(directory));
        let mode =
            place.and_then(|place| place.permission_mode.as_deref()).filter(|mode| MODES.contains(mode));
        mode.unwrap_or(MODES[0]).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_unguarded_who_has_not_said_so() {
        let place = |name: &str, mode: Option<&str>| Place {
            directory: name.into(),
            permission_mode: mode.map(str::to_owned),
        };
        let places =
            Places::new(&[place("/a", None), place("/b", Some(UNGUARDED)), place("/c", Some("yolo"))]);
        assert_eq!(
            ["/a", "/b", "/c", "/d"].map(|name| places.mode_of(name)),
            ["default", UNGUARDED, "default", "default"]
        );
        places.replace(&[]);
        assert_eq!(places.mode_of("/b"), "default");
    }
}
