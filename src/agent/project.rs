//! The projects of this node: which directories coding agents work in, and whether they can.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;

use super::backend::BackendKind;
use super::config::ProjectConfig;
use super::found::Found;
use hal_protocol::backend::NodeBackend;
use hal_protocol::node::{Project, ProjectName};

/// Names that are offered when one is not known.
const NAMES_SHOWN: usize = 10;

/// How alike two names must be for one to be offered for the other; 1 is equal.
const ALIKE: f64 = 0.75;

/// A project whose state has changed: it can be worked in (`None`) or it cannot, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// The project's name.
    pub name: ProjectName,
    /// Why nothing can be started in it; `None`: it works again.
    pub error: Option<String>,
}

/// All projects. Shared by whoever needs to know.
#[derive(Debug)]
pub struct Projects {
    entries: RwLock<Vec<ProjectEntry>>,
    found: RwLock<Found>,
    changes: watch::Sender<u64>,
}

#[derive(Clone, Debug)]
struct ProjectEntry {
    config: ProjectConfig,
    /// The directory without symbolic links: coding agents tend to say that one.
    real: Option<PathBuf>,
    directory_error: Option<String>,
    backend_error: Option<String>,
    /// Why the backend cannot work in this directory, although it runs.
    place_error: Option<String>,
}

impl ProjectEntry {
    fn new(config: ProjectConfig) -> Self {
        Self { config, real: None, directory_error: None, backend_error: None, place_error: None }
    }

    fn error(&self) -> Option<String> {
        let errors = [&self.directory_error, &self.backend_error, &self.place_error];
        errors.into_iter().find_map(Clone::clone)
    }

    fn covers(&self, directory: &Path) -> bool {
        directory.starts_with(&self.config.directory)
            || self.real.as_ref().is_some_and(|real| directory.starts_with(real))
    }
}

impl Projects {
    /// Takes the configured ones; call [`Projects::check`] next.
    pub fn new(configs: Vec<ProjectConfig>) -> Self {
        let entries = RwLock::new(configs.into_iter().map(ProjectEntry::new).collect());
        Self { entries, found: RwLock::default(), changes: watch::Sender::new(0) }
    }

    /// Counts changes of the list or of a state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// As they are shown.
    pub fn list(&self) -> Vec<Project> {
        let shown = |entry: &ProjectEntry| Project {
            name: entry.config.name.clone(),
            directory: entry.config.directory.display().to_string(),
            backend: entry.config.backend.as_str().to_owned(),
            error: entry.error(),
        };
        self.read().iter().map(shown).collect()
    }

    /// Which coding agents there are, as was found last, with the projects that use each. Nothing before the first look.
    pub fn backends(&self) -> Vec<NodeBackend> {
        let entries = self.read();
        let users = |kind: BackendKind| {
            let its = entries.iter().filter(move |entry| entry.config.backend == kind);
            its.map(|entry| entry.config.name.to_string()).collect::<Vec<String>>()
        };
        let unguarded = |kind: BackendKind| {
            let is_its = |entry: &&ProjectEntry| entry.config.backend == kind && entry.config.is_unguarded();
            entries.iter().filter(is_its).map(|entry| entry.config.name.to_string()).collect()
        };
        let unasked = |kind: BackendKind| {
            let runs =
                |entry: &&ProjectEntry| entry.config.backend == kind && entry.config.runs_unasked().is_some();
            entries.iter().filter(runs).map(|entry| entry.config.name.to_string()).collect()
        };
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        let told = found.iter().map(|(kind, found)| NodeBackend {
            kind: kind.as_str().to_owned(),
            version: found.version.clone().unwrap_or_default(),
            path: found.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            tested: kind.program().map(|spec| spec.tested.to_owned()).unwrap_or_default(),
            login: match (&found.login, &found.path) {
                (_, None) => String::new(),
                (login, Some(_)) => login.clone().unwrap_or_else(|| "unknown".to_owned()),
            },
            fault: found.fault.clone(),
            abilities: kind.abilities_of(found.version.as_deref().unwrap_or_default()),
            projects: users(*kind),
            unguarded: unguarded(*kind),
            unasked: unasked(*kind),
        });
        // What is neither there nor wanted is no news.
        told.filter(|one| one.fault.is_none() || !one.path.is_empty() || !one.projects.is_empty()).collect()
    }

    /// Notes which coding agents there are.
    pub fn note_found(&self, found: Found) {
        let mut known = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if *known != found {
            *known = found;
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// The project in whose directory (or below) `directory` lies; the innermost one.
    pub fn of_directory(&self, directory: &str) -> Option<ProjectName> {
        let directory = Path::new(directory);
        let entries = self.read();
        let covering = entries.iter().filter(|entry| entry.covers(directory));
        covering
            .max_by_key(|entry| entry.config.directory.components().count())
            .map(|entry| entry.config.name.clone())
    }

    /// The project to start something in. An empty name means the only one. The error is a sentence.
    pub fn find(&self, name: &str) -> Result<ProjectConfig, String> {
        let entries = self.read();
        let found = match (name, entries.as_slice()) {
            ("", [only]) => Some(only),
            _ => entries.iter().find(|entry| entry.config.name.as_str() == name),
        };
        let Some(entry) = found else {
            return Err(unknown(name, &entries));
        };
        match look(&entry.config.directory) {
            Err(why) => Err(format!("project {}: {why}", entry.config.name)),
            Ok(_) => Ok(entry.config.clone()),
        }
    }

    /// Looks at every directory; says which projects changed.
    pub fn check(&self) -> Vec<Turned> {
        self.change(|entry| match look(&entry.config.directory) {
            Ok(real) => {
                entry.real = Some(real);
                entry.directory_error = None;
            }
            Err(why) => entry.directory_error = Some(why),
        })
    }

    /// Notes whether a backend works; says which projects changed by that.
    pub fn note_backend(&self, kind: BackendKind, error: Option<&str>) -> Vec<Turned> {
        self.change(|entry| {
            if entry.config.backend == kind {
                entry.backend_error = error.map(|why| format!("{} does not run: {why}", kind.as_str()));
            }
        })
    }

    /// Notes whether a backend can work in one directory; says which projects changed by that.
    pub fn note_place(&self, kind: BackendKind, directory: &str, error: Option<&str>) -> Vec<Turned> {
        let directory = Path::new(directory);
        self.change(|entry| {
            let is_there = entry.config.directory == directory || entry.real.as_deref() == Some(directory);
            if entry.config.backend == kind && is_there {
                entry.place_error = error.map(str::to_owned);
            }
        })
    }

    /// Takes another list, keeping what is known of projects that stay. Check afterwards.
    pub fn replace(&self, configs: Vec<ProjectConfig>) {
        let mut entries = self.write();
        let old = std::mem::take(&mut *entries);
        *entries = configs
            .into_iter()
            .map(|config| match old.iter().find(|entry| entry.config == config) {
                Some(entry) => entry.clone(),
                None => ProjectEntry::new(config),
            })
            .collect();
        drop(entries);
        self.changes.send_modify(|count| *count += 1);
    }

    fn change(&self, work: impl Fn(&mut ProjectEntry)) -> Vec<Turned> {
        let mut turned = Vec::new();
        for entry in self.write().iter_mut() {
            let before = entry.error();
            work(entry);
            let error = entry.error();
            if error != before {
                turned.push(Turned { name: entry.config.name.clone(), error });
            }
        }
        if !turned.is_empty() {
            self.changes.send_modify(|count| *count += 1);
        }
        turned
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<ProjectEntry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<ProjectEntry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory without symbolic links, or why it cannot be worked in.
fn look(directory: &Path) -> Result<PathBuf, String> {
    let shown = directory.display();
    match std::fs::canonicalize(directory) {
        Ok(real) if real.is_dir() => match std::fs::read_dir(&real) {
            Ok(_) => Ok(real),
            Err(error) => Err(format!("directory {shown} cannot be read: {error}")),
        },
        Ok(_) => Err(format!("{shown} is not a directory")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!("directory {shown} does not exist")),
        Err(error) => Err(format!("directory {shown} cannot be opened: {error}")),
    }
}

fn unknown(name: &str, entries: &[ProjectEntry]) -> String {
    let known: Vec<&str> = entries.iter().map(|entry| entry.config.name.as_str()).collect();
    let nearest = known
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), *other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let list = match known.len() {
        0 => "this node has none".to_owned(),
        count if count > NAMES_SHOWN => {
            format!("this node has {}, .. ({count} in all)", known[..NAMES_SHOWN].join(", "))
        }
        _ => format!("this node has {}", known.join(", ")),
    };
    match (name, nearest) {
        ("", _) => format!("no project was named; {list}"),
        (_, Some((_, nearest))) => format!("no project {name:?}, did you mean {nearest:?}? ({list})"),
        (_, None) => format!("no project {name:?}; {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, directory: &Path) -> ProjectConfig {
        ProjectConfig::new(name, directory.to_owned(), BackendKind::Echo)
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_the_known() {
        let folder = tempfile::tempdir().unwrap();
        let projects = Projects::new(vec![config("shop", folder.path()), config("blog", folder.path())]);
        assert_eq!(
            projects.find("shpo").unwrap_err(),
            r#"no project "shpo", did you mean "shop"? (this node has shop, blog)"#
        );
        assert_eq!(projects.find("zzz").unwrap_err(), r#"no project "zzz"; this node has shop, blog"#);
        assert_eq!(projects.find("").unwrap_err(), "no project was named; this node has shop, blog");
        assert!(projects.find("blog").is_ok());
    }

    #[test]
    fn a_directory_that_vanishes_and_comes_back_is_noticed_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop");
        std::fs::create_dir(&path).unwrap();
        let projects = Projects::new(vec![config("shop", &path)]);
        assert!(projects.check().is_empty());
        std::fs::remove_dir(&path).unwrap();
        let why = format!("directory {} does not exist", path.display());
        assert_eq!(projects.check(), [Turned { name: "shop".into(), error: Some(why.clone()) }]);
        assert!(projects.check().is_empty());
        assert_eq!(projects.find("").unwrap_err(), format!("project shop: {why}"));
        std::fs::create_dir(&path).unwrap();
        assert_eq!(projects.check(), [Turned { name: "shop".into(), error: None }]);
    }

    #[test]
    fn the_innermost_project_has_the_directory_also_behind_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let link = folder.path().join("link");
        std::fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink(&inner, &link).unwrap();
        let projects = Projects::new(vec![config("outer", folder.path()), config("linked", &link)]);
        projects.check();
        let real = std::fs::canonicalize(&inner).unwrap();
        assert_eq!(projects.of_directory(link.to_str().unwrap()), Some("linked".into()));
        assert!(projects.of_directory(real.join("src").to_str().unwrap()).is_some());
        assert_eq!(projects.of_directory("/elsewhere"), None);
    }

    #[test]
    fn a_sick_backend_is_an_error_of_its_projects() {
        let folder = tempfile::tempdir().unwrap();
        let projects = Projects::new(vec![config("shop", folder.path())]);
        assert!(projects.note_backend(BackendKind::Opencode, Some("gone")).is_empty());
        let turned = projects.note_backend(BackendKind::Echo, Some("gone"));
        assert_eq!(turned[0].error.as_deref(), Some("echo does not run: gone"));
        assert_eq!(projects.list()[0].error, turned[0].error);
        assert_eq!(projects.note_backend(BackendKind::Echo, None)[0].error, None);
    }

    #[test]
    fn a_directory_that_the_backend_cannot_work_in_is_an_error_of_its_project_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [shop, blog] = ["shop", "blog"].map(|name| folder.path().join(name));
        std::fs::create_dir(&shop).unwrap();
        std::fs::create_dir(&blog).unwrap();
        let projects = Projects::new(vec![config("shop", &shop), config("blog", &blog)]);
        projects.check();
        let place = shop.to_str().unwrap();
        assert!(projects.note_place(BackendKind::Opencode, place, Some("bad")).is_empty());
        let turned = projects.note_place(BackendKind::Echo, place, Some("bad"));
        assert_eq!(turned, [Turned { name: "shop".into(), error: Some("bad".into()) }]);
        // That the backend runs says nothing of this directory, and the other one is well.
        assert!(projects.note_backend(BackendKind::Echo, None).is_empty());
        assert_eq!(projects.list()[1].error, None);
        assert_eq!(projects.note_place(BackendKind::Echo, place, None)[0].error, None);
    }
}
