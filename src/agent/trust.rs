//! Checkouts that are trusted although nobody has said so: coding agents ran what they bring before anybody was asked.
//!
//! Versions that did not know `projects[].trusted` let opencode and Claude Code run whatever a checkout names. Where they
//! have worked by then goes on as it was, until a person says yes or no. Which folders those are is written down once, at
//! the first start that finds no list; no folder is added later. The journal remembers that it was written: one that is
//! gone afterwards was lost, and is not made anew of what has happened since.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backend::BackendKind;
use hal_base::file;
use hal_store::journal::SessionRecord;

/// The list, in the data folder.
const FILE: &str = "trust.json";

/// Under which name the journal remembers that the list was written.
pub const MARK: &str = "trust-list";

/// The kinds that ran what a checkout brings.
const RAN: [BackendKind; 2] = [BackendKind::Opencode, BackendKind::Claude];

/// Permissions of the list: folders are nobody else's business.
const PRIVATE: u32 = 0o600;

/// Bytes of the list that are read.
const MOST_BYTES: u64 = 4 << 20;

/// Folders in which coding agents ran what the checkout brings before anybody was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerTrust {
    folders: Vec<Folder>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Folder {
    backend: String,
    directory: PathBuf,
}

impl FormerTrust {
    /// Reads the list, or writes it for these sessions where there was none. One that cannot be read, or was lost though
    /// it was written before, trusts nobody.
    pub fn open(data_dir: &Path, sessions: &[SessionRecord], was_written: bool) -> Self {
        let file = data_dir.join(FILE);
        match Self::read(data_dir) {
            Ok(Some(known)) => known,
            Ok(None) if was_written => {
                tracing::error!(
                    "{} is gone: no checkout is trusted but where a project says so (\"trusted\": true); put the file \
                     back from a backup, or write {{\"folders\":[]}} into it once each project says it",
                    file.display()
                );
                Self::default()
            }
            Ok(None) => {
                let known = Self::of(sessions);
                let text = serde_json::to_vec_pretty(&known).unwrap_or_default();
                if let Err(error) = file::replace(&file, &text, PRIVATE) {
                    tracing::error!("cannot write {}: {error}", file.display());
                }
                known
            }
            Err(why) => {
                tracing::error!(
                    "{} cannot be read ({why}): no checkout is trusted but where a project says so",
                    file.display()
                );
                Self::default()
            }
        }
    }

    /// The list as it was written; `None` where there is none.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, String> {
        let bytes = match file::open_regular(&data_dir.join(FILE)) {
            Ok(file) => {
                let mut bytes = Vec::new();
                let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, MOST_BYTES), &mut bytes);
                read.map_err(|error| error.to_string())?;
                bytes
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| error.to_string())
    }

    fn of(sessions: &[SessionRecord]) -> Self {
        let mut folders: Vec<Folder> = Vec::new();
        for SessionRecord { session, .. } in sessions {
            let folder = Folder { backend: session.backend.clone(), directory: (&session.directory).into() };
            let has_run = RAN.iter().any(|kind| kind.as_str() == folder.backend);
            if has_run && !session.directory.is_empty() && !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Self { folders }
    }

    /// True when a kind ran what the checkout in this directory brings.
    pub fn covers(&self, kind: BackendKind, directory: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_it = |folder: &&Folder| {
            folder.backend == kind.as_str()
                && (folder.directory == directory || real(&folder.directory) == real(directory))
        };
        self.folders.iter().any(|folder| is_it(&folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_base::clock::Time;
    use hal_protocol::session::Session;

    fn session(backend: &str, directory: &str) -> SessionRecord {
        let session = Session::new("s".into(), "n".into(), "p".into(), Time(1));
        let session = Session { backend: backend.into(), directory: directory.into(), ..session };
        SessionRecord { session, mark: None }
    }

    #[test]
    fn who_worked_before_the_first_list_goes_on_and_nobody_else() {
        let data = tempfile::tempdir().unwrap();
        let before = [session("claude", "/web"), session("claude", "/web"), session("codex", "/web")];
        let known = FormerTrust::open(data.path(), &before, false);
        assert!(known.covers(BackendKind::Claude, Path::new("/web")));
        assert!(!known.covers(BackendKind::Codex, Path::new("/web")), "it asked already");
        assert!(!known.covers(BackendKind::Opencode, Path::new("/web")));
        assert_eq!(known.folders.len(), 1);
        let later = [session("claude", "/later")];
        assert_eq!(FormerTrust::open(data.path(), &later, true), known, "nobody is added");
        std::fs::write(data.path().join(FILE), "{").unwrap();
        let none = FormerTrust::open(data.path(), &before, true);
        assert_eq!(none, FormerTrust::default(), "what cannot be read trusts nobody");
        assert_eq!(std::fs::read(data.path().join(FILE)).unwrap(), b"{", "and stays for whoever looks");
        std::fs::remove_file(data.path().join(FILE)).unwrap();
        let lost = FormerTrust::open(data.path(), &before, true);
        assert_eq!(lost, FormerTrust::default(), "what was lost is not made anew");
        assert!(!data.path().join(FILE).exists(), "and not silently replaced");
        let new = tempfile::tempdir().unwrap();
        assert_eq!(FormerTrust::open(new.path(), &[], false), FormerTrust::default());
        assert_eq!(FormerTrust::open(new.path(), &before, true), FormerTrust::default(), "it was new");
    }
}
