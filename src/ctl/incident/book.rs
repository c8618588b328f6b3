//! Incidents as files: a folder for each, with one JSON file that is replaced whole.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::name::LAST;
use crate::print::text::one_line;
use hal_base::clock::{Time, now};
use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_protocol::alert::Severity;
use hal_protocol::api::rfc3339;

/// The file in the folder of an incident.
const FILE: &str = "incident.json";

/// While an incident is open its people hear of it so often.
const UPDATE_EVERY: Duration = Duration::from_secs(15 * 60);

/// Incidents and bundles hold what only operators should read.
const OWNER_ONLY: (u32, u32) = (0o700, 0o600);

/// Bytes of one sentence: more belongs into a file.
const MOST_TEXT: usize = 16 * 1024;

/// An incident.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Its name: `inc-` and when it began.
    pub id: String,
    /// What is wrong, in one sentence.
    pub title: String,
    /// How much it matters now.
    pub severity: Severity,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub opened_at: Time,
    /// When it ended.
    #[serde(with = "rfc3339")]
    pub closed_at: Time,
    /// What happened since.
    pub timeline: Vec<TimelineEntry>,
}

/// One line of a timeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When it was written.
    #[serde(with = "rfc3339")]
    pub at: Time,
    /// What kind of line.
    pub word: TimelineKind,
    /// Who wrote it.
    pub by: String,
    /// What was written down, as it was typed.
    pub text: String,
}

/// Kinds of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimelineKind {
    /// It began.
    Opened,
    /// What was seen or tried.
    Note,
    /// A status update.
    Update,
    /// A bundle was made.
    Collected,
    /// It ended.
    Closed,
}

impl TimelineKind {
    /// The word for it in JSON, tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Note => "note",
            Self::Update => "update",
            Self::Collected => "collected",
            Self::Closed => "closed",
        }
    }
}

impl TimelineEntry {
    /// A line written now.
    pub fn new(word: TimelineKind, by: &str, text: &str) -> Self {
        Self { at: now(), word, by: by.to_owned(), text: text.trim().to_owned() }
    }
}

impl Incident {
    /// True until it is closed.
    pub fn is_open(&self) -> bool {
        self.closed_at == Time::default()
    }

    /// When its people are to hear of it again.
    pub fn update_due(&self) -> Option<Time> {
        let told = |entry: &&TimelineEntry| matches!(entry.word, TimelineKind::Opened | TimelineKind::Update);
        let last = self.timeline.iter().rev().find(told).map_or(self.opened_at, |entry| entry.at);
        self.is_open().then(|| last.plus(UPDATE_EVERY))
    }
}

/// The folder of all incidents.
pub struct Book {
    folder: PathBuf,
}

impl Book {
    /// At this place; made when it is first written to.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Begins an incident.
    pub fn open(&self, title: &str, severity: Severity, by: &str, at: Time) -> Result<Incident, Failure> {
        let _alone = self.alone()?;
        let entry = TimelineEntry { at, ..TimelineEntry::new(TimelineKind::Opened, by, title) };
        sensible(&entry.text)?;
        let named =
            |n: u32| if n == 0 { format!("inc-{}", at.stamp()) } else { format!("inc-{}-{n}", at.stamp()) };
        let id = (0..).map(named).find(|id| !self.folder.join(id).exists()).unwrap_or_default();
        let incident = Incident {
            id,
            title: entry.text.clone(),
            severity,
            opened_at: at,
            closed_at: Time::default(),
            timeline: vec![entry],
        };
        make_folder(&self.folder.join(&incident.id)).map_err(|error| self.unusable(&error))?;
        self.save(&incident)?;
        Ok(incident)
    }

    /// Writes a line into an open incident, and what follows from it.
    pub fn write(
        &self,
        id: Option<&str>,
        severity: Option<Severity>,
        entry: TimelineEntry,
    ) -> Result<Incident, Failure> {
        let _alone = self.alone()?;
        sensible(&entry.text)?;
        let mut incident = self.find(id)?;
        if !incident.is_open() {
            let sentence = format!("{} was closed at {}; open a new one", incident.id, incident.closed_at);
            return Err(Failure::say(Exit::Failed, sentence));
        }
        if entry.word == TimelineKind::Closed {
            incident.closed_at = entry.at;
        }
        incident.severity = severity.unwrap_or(incident.severity);
        incident.timeline.push(entry);
        self.save(&incident)?;
        Ok(incident)
    }

    /// The incident of this name; without one, the only one that is open.
    pub fn find(&self, id: Option<&str>) -> Result<Incident, Failure> {
        let Some(id) = id else { return self.only_open() };
        let id = &self.whole(id)?;
        let is_name = id.starts_with("inc-") && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let path = self.folder.join(id).join(FILE);
        if !is_name || !path.exists() {
            let sentence =
                format!("there is no incident {id:?} in {}; see halctl incident list", self.folder.display());
            return Err(Failure::say(Exit::NotFound, sentence));
        }
        read(&path).map_err(Failure::from)
    }

    /// The incident that is open. Of several, the newest may be somebody else's: they are named, and none is taken.
    fn only_open(&self) -> Result<Incident, Failure> {
        let mut open: Vec<Incident> = self.list()?.into_iter().filter(Incident::is_open).collect();
        match (open.pop(), open.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(Failure::say(
                Exit::NotFound,
                "no incident is open; open one with: halctl incident open TITLE",
            )),
            (Some(oldest), others) => {
                let mut sentence = format!("{} incidents are open, so name one by its id:", others + 1);
                for incident in open.iter().chain([&oldest]) {
                    let by = incident.timeline.first().map_or("", |first| first.by.as_str());
                    let title = one_line(&incident.title);
                    sentence.push_str(&format!("\n  {}  {title} (opened by {by})", incident.id));
                }
                Err(Failure::say(Exit::Usage, sentence))
            }
        }
    }

    /// The name that a word means: the newest by `@last`, or the only one that begins so.
    fn whole(&self, word: &str) -> Result<String, Failure> {
        let is_last = word == LAST;
        if !is_last && self.folder.join(word).join(FILE).exists() {
            return Ok(word.to_owned());
        }
        let all = self.list()?.into_iter().map(|incident| incident.id);
        let mut fitting: Vec<String> =
            all.filter(|id| is_last || (!word.is_empty() && id.starts_with(word))).collect();
        match (fitting.len(), is_last) {
            (0, _) => Ok(word.to_owned()),
            (1, _) | (_, true) => Ok(fitting.swap_remove(0)),
            _ => Err(Failure::say(
                Exit::Usage,
                format!("{word:?} is the beginning of more than one incident: {}", fitting.join(", ")),
            )),
        }
    }

    /// All incidents, newest first.
    pub fn list(&self) -> Result<Vec<Incident>, Failure> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.unusable(&error)),
        };
        let files = entries.flatten().map(|entry| entry.path().join(FILE)).filter(|path| path.exists());
        let mut all = files.map(|path| read(&path)).collect::<anyhow::Result<Vec<_>>>()?;
        all.sort_by(|a, b| (b.opened_at, &b.id).cmp(&(a.opened_at, &a.id)));
        Ok(all)
    }

    /// Where a bundle of an incident is written.
    pub fn bundle_path(&self, incident: &Incident, at: Time) -> PathBuf {
        self.folder.join(&incident.id).join(format!("{}.{}.tar.gz", incident.id, at.stamp()))
    }

    fn save(&self, incident: &Incident) -> Result<(), Failure> {
        let path = self.folder.join(&incident.id).join(FILE);
        let text = serde_json::to_vec_pretty(incident).map_err(anyhow::Error::new)?;
        file::replace(&path, &text, OWNER_ONLY.1).map_err(|error| self.unusable(&error))
    }

    /// Two people may write at once; the second waits for the first.
    fn alone(&self) -> Result<File, Failure> {
        let lock = make_folder(&self.folder).and_then(|()| File::create(self.folder.join(".lock")));
        lock.and_then(|lock| lock.lock().map(|()| lock)).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &std::io::Error) -> Failure {
        let folder = self.folder.display();
        Failure::say(
            Exit::Failed,
            format!("incidents cannot be kept in {folder}: {error}; name another --folder"),
        )
    }
}

fn sensible(text: &str) -> Result<(), Failure> {
    let wrong = |why: String| Err(Failure::say(Exit::Usage, why));
    match text.len() {
        0 => wrong("the text is empty".to_owned()),
        many if many > MOST_TEXT => {
            wrong(format!("a text has at most {MOST_TEXT} bytes, and this one has {many}"))
        }
        _ => Ok(()),
    }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(OWNER_ONLY.0).create(folder)
}

fn read(path: &Path) -> anyhow::Result<Incident> {
    let doing = || format!("{} cannot be read; repair it or move it away", path.display());
    let text = fs::read(path).with_context(doing)?;
    serde_json::from_slice(&text).with_context(doing)
}
