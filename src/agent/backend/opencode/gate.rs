//! Checkouts that opencode is to leave alone until a person has said otherwise.
//!
//! opencode reads the configuration of a directory with the first call about it, and then runs what that names: plugins,
//! servers, formatters. It cannot be told to leave out the configuration of one directory, and told to leave out all it
//! leaves out the instructions too. So nothing is asked about a directory that brings any, unless it is trusted.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Opencode, real};
use crate::backend::{BackendError, Place, checkout};

/// What it may read. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    places: Arc<ArcSwap<Vec<Place>>>,
    /// Directories that this opencode has read: it reads them once, and what comes later is not run.
    passed: Arc<Mutex<HashSet<String>>>,
    /// How many those are.
    count: Arc<watch::Sender<usize>>,
}

impl Gate {
    /// For these projects.
    pub fn new(places: &[Place]) -> Self {
        let places = Arc::new(ArcSwap::from_pointee(places.to_vec()));
        Self { places, passed: Arc::default(), count: Arc::default() }
    }

    /// For these from now on.
    pub fn replace(&self, places: &[Place]) {
        self.places.store(Arc::new(places.to_vec()));
    }

    /// The same for an opencode that has read nothing yet.
    pub fn anew(&self) -> Self {
        self.anew_after(&[])
    }

    /// The same for one that has read these directories.
    pub fn anew_after(&self, passed: &[String]) -> Self {
        let passed: HashSet<String> = passed.iter().cloned().collect();
        let count = Arc::new(watch::Sender::new(passed.len()));
        Self { places: Arc::clone(&self.places), passed: Arc::new(Mutex::new(passed)), count }
    }

    /// The directories that this opencode has read, and what tells that there are more.
    pub fn passed(&self) -> (Vec<String>, watch::Receiver<usize>) {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        (passed.iter().cloned().collect(), self.count.subscribe())
    }

    /// Whether something may be asked about a directory.
    pub fn pass(&self, directory: &str) -> Result<(), BackendError> {
        if self.is_trusted(Path::new(directory)) {
            return Ok(());
        }
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.contains(directory) {
            return Ok(());
        }
        let Some(brought) = checkout::brought(Path::new(directory), Opencode::BROUGHT) else {
            passed.insert(directory.to_owned());
            self.count.send_replace(passed.len());
            return Ok(());
        };
        Err(BackendError::Refused(format!(
            "it would run what {} of the checkout says, and nobody has allowed that: look at it, then trust the \
             project (\"trusted\": true in its configuration, or hal up --trust), or remove it",
            brought.display()
        )))
    }

    /// True when it lies in a project that is trusted, the innermost one.
    fn is_trusted(&self, directory: &Path) -> bool {
        let places = self.places.load();
        let covers = |place: &&Place| {
            directory.starts_with(&place.directory) || directory.starts_with(real(&place.directory))
        };
        let its = places.iter().filter(covers).max_by_key(|place| place.directory.components().count());
        its.and_then(|place| place.trusted) == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brings_its_own_configuration_is_asked_about_once_that_is_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir(folder.join(".git")).unwrap();
        let directory = folder.to_str().unwrap();
        let place = |trusted| Place { directory: folder.clone(), trusted, ..Place::default() };
        let gate = Gate::new(&[place(None)]);
        assert!(gate.pass(directory).is_ok());
        std::fs::write(folder.join("opencode.json"), "{}").unwrap();
        assert!(gate.pass(directory).is_ok(), "it was read before, and is read once");
        let next = gate.anew();
        let why = next.pass(directory).unwrap_err().to_string();
        assert!(why.contains("opencode.json of the checkout") && !why.contains('\n'), "{why}");
        let (passed, _) = gate.passed();
        assert!(gate.anew_after(&passed).pass(directory).is_ok(), "one that is gone on with has read it");
        next.replace(&[place(Some(true))]);
        assert!(next.pass(directory).is_ok());
        next.replace(&[place(Some(false))]);
        assert!(next.pass(directory).is_err());
        next.replace(&[]);
        assert!(next.pass(directory).is_err(), "nobody has said it of what is no project");
    }
}
