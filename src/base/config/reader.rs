//! What all sections of one reading share: what was noted, what may be shown, which keys were asked for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Purpose;
use super::finding::Severity;

/// What is said of a file that everybody may read and that holds a secret.
pub(super) const OPEN_TO_ALL: &str =
    "everyone on this machine can read it and it holds a secret; remove that with chmod o-r";

/// Something to say, before the places are worked out.
pub(super) struct Note {
    pub severity: Severity,
    /// Bytes of the source; `None`: about the file as a whole.
    pub range: Option<Range<usize>>,
    pub key: String,
    pub value: Option<String>,
    pub expectation: String,
    pub suggestion: Option<String>,
}

/// What all sections of one reading share.
pub(super) struct ReaderContext {
    pub purpose: Purpose,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// True while learning which keys there are: there is no file, and lists and maps show one made-up element.
    pub is_probing: bool,
    /// Every key that may be in the file, as a path with `[]` and `<name>`; empty while probing.
    pub known: BTreeSet<String>,
    /// The keys asked for in this reading.
    pub asked: RefCell<BTreeSet<String>>,
    /// Bytes that may be shown; what is not here may be secret. Start to end.
    pub shown: RefCell<BTreeMap<usize, usize>>,
    /// True once a secret was read.
    pub holds_secret: Cell<bool>,
    pub notes: RefCell<Vec<Note>>,
}

impl ReaderContext {
    pub fn new(path: &Path, purpose: Purpose, known: Option<BTreeSet<String>>) -> Self {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self {
            purpose,
            folder,
            is_probing: known.is_none(),
            known: known.unwrap_or_default(),
            asked: RefCell::default(),
            shown: RefCell::default(),
            holds_secret: Cell::default(),
            notes: RefCell::default(),
        }
    }

    pub fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    /// Allows these bytes to be shown in an excerpt.
    pub fn show(&self, range: &Range<usize>) {
        self.shown.borrow_mut().insert(range.start, range.end);
    }

    /// Takes the permission back.
    pub fn hide(&self, range: &Range<usize>) {
        self.shown.borrow_mut().remove(&range.start);
    }
}
