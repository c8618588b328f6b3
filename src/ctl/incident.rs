//! `halctl incident`: the story of an incident, kept on this machine, and what explains it.
//!
//! - `book`: incidents as files.
//! - `collect`: what goes into a bundle.
//! - `bundle`: an archive without secrets, with a manifest.

mod book;
mod bundle;
mod collect;

use std::path::PathBuf;
use std::time::Duration;

use super::cli::Global;
use super::cli::incident::{IncidentVerb, Shelf};
use super::client::Client;
use super::discover::{self, Surroundings};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use super::print::text::span;
use book::{Book, Incident, TimelineEntry, TimelineKind};
use hal_base::clock::{Time, now};
use hal_base::exit::{Exit, Failure};
use hal_protocol::alert::{Alert, AlertRequest, INCIDENT_OPEN};

/// How long the supervisor may take to be told: whoever writes has an incident at hand.
const TELL: Duration = Duration::from_secs(5);

/// Where root keeps incidents.
const OF_THE_MACHINE: &str = "/var/lib/hal-o-swarm/incidents";

/// Carries out one of the verbs.
pub async fn run(
    verb: IncidentVerb,
    global: &Global,
    around: &Surroundings,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let by = author(around);
    match verb {
        IncidentVerb::Open { title, severity, shelf } => {
            let incident = book(&shelf, around)?.open(&title, severity, &by, now())?;
            tell(&incident, global, around, screen).await;
            screen.say(&format!("The first update is due {}.", incident.due(now())));
            screen.one(&incident)
        }
        IncidentVerb::Note { text, id, shelf } => {
            let entry = TimelineEntry::new(TimelineKind::Note, &by, &text);
            let incident = book(&shelf, around)?.write(id.as_deref(), None, entry)?;
            tell(&incident, global, around, screen).await;
            screen.one(&incident)
        }
        IncidentVerb::Update { text, severity, id, shelf } => {
            let entry = TimelineEntry::new(TimelineKind::Update, &by, &text);
            let incident = book(&shelf, around)?.write(id.as_deref(), severity, entry)?;
            tell(&incident, global, around, screen).await;
            screen.one(&incident)
        }
        IncidentVerb::Close { text, id, shelf } => {
            let entry = TimelineEntry::new(TimelineKind::Closed, &by, &text);
            let incident = book(&shelf, around)?.write(id.as_deref(), None, entry)?;
            tell(&incident, global, around, screen).await;
            screen.one(&incident)
        }
        IncidentVerb::List { open, shelf } => {
            let mut all = book(&shelf, around)?.list()?;
            all.retain(|incident| !open || incident.is_open());
            screen.list(&all, "No incidents. Open one with: halctl incident open TITLE")
        }
        IncidentVerb::Get { id, shelf } => screen.one(&book(&shelf, around)?.find(id.as_deref())?),
        IncidentVerb::Collect { id, since, to, machine, shelf } => {
            let book = book(&shelf, around)?;
            let incident = book.find(id.as_deref())?;
            let asked = collect::CollectScope { machine: &machine, since, global, around };
            let bundle = collect::collect(&asked, &incident, screen).await?;
            let path = to.unwrap_or_else(|| book.bundle_path(&incident, now()));
            let made = bundle.write(&path)?;
            let text = format!("{} ({} files, sha256 {})", path.display(), made.files, made.sha256);
            if incident.is_open() {
                book.write(
                    Some(&incident.id),
                    None,
                    TimelineEntry::new(TimelineKind::Collected, &by, &text),
                )?;
            }
            screen.one(&made)
        }
    }
}

fn book(shelf: &Shelf, around: &Surroundings) -> Result<Book, Failure> {
    let named = shelf.folder.clone().or_else(|| around.variable("HALCTL_INCIDENT_FOLDER").map(PathBuf::from));
    let folder = match named {
        Some(folder) => folder,
        None if rustix::process::geteuid().is_root() => OF_THE_MACHINE.into(),
        None => {
            let none =
                || Failure::say(Exit::Usage, "no home folder to keep incidents in; name one with --folder");
            hal_protocol::ctl_file::up_file(|name| around.variable(name))
                .ok_or_else(none)?
                .with_file_name("incidents")
        }
    };
    Ok(Book::new(folder))
}

/// Has the supervisor know how it stands, which reminds people of it. One that cannot be told is no reason not to write.
async fn tell(incident: &Incident, global: &Global, around: &Surroundings, screen: &mut Screen) {
    let report = AlertRequest {
        name: INCIDENT_OPEN.to_owned(),
        about: incident.id.clone(),
        severity: incident.severity,
        text: incident.standing(),
        resolved: !incident.is_open(),
    };
    let told = async {
        let client = Client::new(discover::find(global, around)?)?;
        client.put_to::<Alert>(&["alerts"], &report, Some(TELL)).await
    };
    match told.await {
        Ok(_) => {}
        // It was opened while the supervisor could not be told, or is forgotten.
        Err(failure) if report.resolved && failure.exit == Exit::NotFound => {}
        Err(failure) => screen.say(&format!(
            "It is recorded here only, and nobody is reminded of it: {failure}. The next entry notifies the supervisor again."
        )),
    }
}

/// Who writes: the person behind sudo.
fn author(around: &Surroundings) -> String {
    let name = ["SUDO_USER", "USER"].iter().find_map(|name| around.variable(name));
    name.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

impl Incident {
    /// What it is and how it stands, in one sentence.
    fn standing(&self) -> String {
        let told = |entry: &&TimelineEntry| matches!(entry.word, TimelineKind::Update | TimelineKind::Closed);
        match self.timeline.iter().rev().find(told) {
            None => self.title.clone(),
            Some(last) => format!("{}: {}", self.title, last.text),
        }
    }

    /// When the next update is due, in words.
    fn due(&self, now: Time) -> String {
        match self.update_due() {
            None => String::new(),
            Some(at) if at < now => format!("{} ago: overdue", span(now.since(at))),
            Some(at) => format!("in {}", span(at.since(now))),
        }
    }
}

impl Record for Incident {
    fn fields(&self) -> Vec<Field> {
        let due = self.due(now());
        let is_late = due.ends_with("overdue");
        let status = if self.is_open() { "open" } else { "closed" };
        let line = |entry: &TimelineEntry| {
            format!("{} {} by {}: {}", entry.at, entry.word.as_str(), entry.by, entry.text)
        };
        vec![
            Field::new("id", &self.id),
            Field::new("severity", self.severity.as_str()).weight(80),
            Field::new("status", status)
                .tone(if self.is_open() { Tone::Attention } else { Tone::Good })
                .weight(85),
            Field::moment("opened_at", self.opened_at),
            Field::new("update_due", due).tone(if is_late { Tone::Bad } else { Tone::Plain }),
            Field::new("title", &self.title).long().weight(90),
            Field::new("timeline", self.timeline.iter().map(line).collect::<Vec<_>>().join("\n")).detail(),
        ]
    }
}

impl Record for bundle::Made {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("bundle", self.path.display()),
            Field::new("files", self.files),
            Field::new("bytes", self.bytes),
            Field::new("sha256", &self.sha256),
            Field::new("missing", self.missing.join("\n")).detail(),
        ]
    }
}
