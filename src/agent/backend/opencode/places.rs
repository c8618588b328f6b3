//! Directories that opencode cannot work in, and looking whether it can again. One of them is no reason to end the
//! work in the others.
//!
//! opencode reads the configuration of a directory once. What was wrong with it stays wrong after it was mended, until
//! opencode is started again; that is done when no turn runs.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::client::{CALL_LIMIT, Call, Client};
use super::dialect::Dialect;
use super::snapshot::{self, is_well};
use super::{Directories, NAME};
use crate::backend::BackendError;

/// How often the files are looked at, and how often opencode is asked about a directory again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_secs(15);

/// Files looked at in one folder.
const FILES_MAX: usize = 64;

/// The state of the files that a failure may lie in.
type Stamp = BTreeMap<PathBuf, (u64, i64, i64, u32)>;

/// A directory that cannot be worked in.
#[derive(Clone, Debug)]
struct Failed {
    why: String,
    file: Option<PathBuf>,
    stamp: Stamp,
    /// It was not answered in time; it may hold up what concerns all.
    is_slow: bool,
}

/// What is known of the directories, by real path. It outlives an opencode.
#[derive(Debug, Default)]
pub struct Places(Mutex<HashMap<String, Option<Failed>>>);

impl Places {
    /// Takes note that a directory can be worked in. True when that is news to whoever was told otherwise.
    pub fn answers(&self, directory: &str) -> bool {
        self.all().insert(directory.to_owned(), None).flatten().is_some()
    }

    /// Takes note that it cannot; the reason when it is news.
    pub fn fails(&self, directory: &str, error: &BackendError) -> Option<String> {
        let (file, is_slow) = match error {
            BackendError::Unreadable { file, .. } => (Some(file.clone()), false),
            error => (None, matches!(error, BackendError::Silent { .. })),
        };
        let why = match (&file, is_slow) {
            (Some(_), _) => format!("{error}; once it is fixed it is read again as soon as no turn runs"),
            (None, true) => format!("{NAME} does not get ready in {directory}: {error}; it is asked again"),
            (None, false) => format!("{NAME} cannot work in {directory}: {error}"),
        };
        let mut all = self.all();
        let stamp = || stamp(directory, file.as_deref());
        match all.get_mut(directory) {
            Some(Some(known)) if known.why == why => None,
            Some(place) => {
                *place = Some(Failed { why: why.clone(), stamp: stamp(), file, is_slow });
                Some(why)
            }
            None => {
                let failed = Failed { why: why.clone(), stamp: stamp(), file, is_slow };
                all.insert(directory.to_owned(), Some(failed));
                Some(why)
            }
        }
    }

    /// Forgets those that are no project's any more.
    pub fn keep_only(&self, there: &[String]) {
        self.all().retain(|directory, _| there.contains(directory));
    }

    /// Those of `all` that are not known to fail.
    pub fn fit(&self, all: &[String]) -> Vec<String> {
        let known = self.all();
        all.iter().filter(|one| !matches!(known.get(*one), Some(Some(_)))).cloned().collect()
    }

    /// True when something may hold up what concerns all directories.
    pub fn is_any_slow(&self) -> bool {
        self.all().values().flatten().any(|failed| failed.is_slow)
    }

    /// True when the files of one that fails have changed since. Files are seen as changed once.
    fn is_any_mended(&self) -> bool {
        let mut is_any = false;
        for (directory, failed) in self.all().iter_mut() {
            let Some(failed) = failed else { continue };
            let now = stamp(directory, failed.file.as_deref());
            is_any |= now != failed.stamp;
        }
        is_any
    }

    /// Takes the files as they are now: opencode is going to read them.
    pub fn read_again(&self) {
        for (directory, failed) in self.all().iter_mut() {
            if let Some(failed) = failed {
                failed.stamp = stamp(directory, failed.file.as_deref());
            }
        }
    }

    /// Those that must be asked about: they fail, or were never looked at.
    fn open(&self, all: &[String]) -> Vec<String> {
        let known = self.all();
        all.iter().filter(|one| !matches!(known.get(*one), Some(None))).cloned().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Option<Failed>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file that opencode names, or else those it reads first in a directory.
fn stamp(directory: &str, file: Option<&Path>) -> Stamp {
    let state = |path: PathBuf| {
        let file = path.metadata().ok()?;
        // What is in a folder changes with every look at it: opencode keeps files of its own there.
        let changed = if file.is_dir() { (0, 0) } else { (file.ctime(), file.ctime_nsec()) };
        Some((path, (file.ino(), changed.0, changed.1, file.mode())))
    };
    if let Some(file) = file {
        return state(file.to_owned()).into_iter().collect();
    }
    let folder = Path::new(directory);
    let mut files = vec![folder.to_owned(), folder.join("opencode.json"), folder.join("opencode.jsonc")];
    for name in ["plugin", "plugins", "agent", "agents", "command", "commands"] {
        let entries = std::fs::read_dir(folder.join(".opencode").join(name)).into_iter().flatten();
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).take(FILES_MAX));
    }
    files.into_iter().filter_map(state).collect()
}

/// News of a directory.
#[derive(Debug)]
pub enum News {
    /// It can be worked in.
    Answers(String),
    /// It cannot; why, when that was not known.
    Fails(String, Option<String>),
    /// What was wrong with one was mended, and opencode must be started again to see it.
    Mended,
}

/// Asks about the directories that fail, beside everything else.
pub struct Watch<'a> {
    client: &'a Client,
    places: &'a Places,
    directories: &'a Directories,
    ticks: Interval,
    asked: FuturesUnordered<BoxFuture<'a, (String, Result<(), BackendError>)>>,
    /// When each was asked about last; absent while it is being asked about.
    last: HashMap<String, Option<Instant>>,
}

impl<'a> Watch<'a> {
    /// Begins.
    pub fn new(client: &'a Client, places: &'a Places, directories: &'a Directories) -> Self {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { client, places, directories, ticks, asked: FuturesUnordered::new(), last: HashMap::new() }
    }

    /// The next news. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> News {
        loop {
            tokio::select! {
                _ = self.ticks.tick() => {
                    self.ask();
                    if self.places.is_any_mended() {
                        return News::Mended;
                    }
                }
                Some((directory, outcome)) = self.asked.next() => {
                    self.last.insert(directory.clone(), Some(Instant::now()));
                    match outcome {
                        Ok(()) => return News::Answers(directory),
                        Err(BackendError::Down { .. }) => {}
                        Err(error) => {
                            let news = self.places.fails(&directory, &error);
                            return News::Fails(directory, news);
                        }
                    }
                }
            }
        }
    }

    fn ask(&mut self) {
        for directory in self.places.open(&self.directories.existing()) {
            match self.last.get(&directory) {
                Some(None) => continue,
                Some(Some(last)) if last.elapsed() < ASK_EVERY => continue,
                _ => {}
            }
            self.last.insert(directory.clone(), None);
            let client = self.client;
            let asking = async move {
                let asked = match client.dialect {
                    Dialect::One => snapshot::sessions(client, &directory).await.map(drop),
                    Dialect::Two => {
                        let call = Call::new("/api/session", "listing its sessions").about(&directory);
                        let query = [("directory", directory.as_str()), ("limit", "1")];
                        client.get::<serde_json::Value>(call.with(&query)).await.map(drop)
                    }
                };
                let outcome = match asked {
                    // An opencode that answers nothing at all is not a matter of this directory.
                    Err(BackendError::Silent { .. }) if !is_well(client).await => Err(BackendError::Down {
                        backend: NAME,
                        why: format!("it has not answered within {} s", CALL_LIMIT.as_secs()),
                    }),
                    outcome => outcome,
                };
                (directory, outcome)
            };
            self.asked.push(asking.boxed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_and_its_mended_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("opencode.json");
        std::fs::write(&file, "{").unwrap();
        let directory = folder.path().to_str().unwrap();
        let places = Places::default();
        let error = BackendError::Unreadable { file: file.clone(), why: "ValueExpected".into() };
        let why = places.fails(directory, &error).unwrap();
        assert!(why.contains(file.to_str().unwrap()) && why.contains("ValueExpected"), "{why}");
        assert_eq!(places.fails(directory, &error), None);
        let both = [directory.to_owned(), "/other".to_owned()];
        assert_eq!(places.fit(&both), ["/other"]);
        assert_eq!(places.open(&both), both);
        assert!(!places.is_any_mended() && !places.is_any_slow());
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "{}").unwrap();
        assert!(places.is_any_mended());
        places.read_again();
        assert!(!places.is_any_mended());
        assert!(places.answers(directory), "it was said to fail");
        assert!(!places.answers(directory) && !places.answers("/other"));
        assert_eq!(places.open(&both), Vec::<String>::new());
    }
}
