//! Where coding agents work: the list of projects.

use std::path::PathBuf;

use super::{Programs, ProjectConfig, Trust};
use crate::backend::{BackendKind, Modes};
use crate::trust::FormerTrust;
use hal_base::config::{Section, service};
use hal_protocol::node::ProjectName;

/// Longer names do not fit a line of a table.
const MOST_NAME_CHARS: usize = 128;

/// The backend that is found.
const AUTO: &str = "auto";

/// Reads `projects`.
pub(super) fn read(root: &Section<'_>, programs: &Programs, former: &FormerTrust) -> Vec<ProjectConfig> {
    let mut projects: Vec<ProjectConfig> = Vec::new();
    for item in root.items("projects") {
        let project = item.section(|section| {
            let project = project(section, programs, former)?;
            if projects.iter().any(|other| other.name == project.name) {
                section.problem("name", "another project has this name already");
            }
            Some(project)
        });
        projects.extend(project);
    }
    projects
}

fn project(section: &Section<'_>, programs: &Programs, former: &FormerTrust) -> Option<ProjectConfig> {
    section.require("name", "a name, unique on this node");
    section.require("directory", "the absolute path of the folder to work in");
    let words: Vec<&str> = programs.kinds().iter().map(|kind| kind.as_str()).chain([AUTO]).collect();
    let word = section.value("backend").and_then(|value| value.choice(&words));
    let is_auto = word == Some(AUTO);
    let backend = word.and_then(BackendKind::parse).unwrap_or_default();
    let of = |words: fn(Modes) -> &'static [&'static str]| kinds_words(backend, is_auto, words);
    let permission_mode = setting(section, "permission_mode", backend, &of(|modes| modes.permission));
    let sandbox = setting(section, "sandbox", backend, &of(|modes| modes.sandbox));
    let settings = [
        ("permission_mode", &permission_mode, "the coding agent asks nobody for permission"),
        ("sandbox", &sandbox, "nothing holds the coding agent's commands: they may write anywhere"),
    ];
    for (key, said, warning) in settings {
        let words = of(|modes| modes.unguarded);
        if said.as_ref().is_some_and(|word| words.contains(&word.as_str())) {
            section.warn(key, warning);
        }
    }
    let said = section.value("trusted").and_then(|value| value.flag());
    let trust = said.map_or(Trust::Unsaid, Trust::Said);
    if matches!(backend, BackendKind::Acp(_)) && said != Some(true) {
        section.problem(
            "trusted",
            format!(
                "what {} runs of a checkout by itself is not known here: set it to true if you would run it there, else \
                 choose another backend",
                backend.as_str()
            ),
        );
    }
    let (name, directory) = (name(section), directory(section));
    let (name, directory) = (name?, directory?);
    let project = ProjectConfig { name, directory, backend, is_auto, permission_mode, sandbox, trust };
    warn_of_checkout(section, &project, former);
    Some(project)
}

/// Says what becomes of what the checkout brings along, where nobody has said that it may run.
fn warn_of_checkout(section: &Section<'_>, project: &ProjectConfig, former: &FormerTrust) {
    let kinds = BackendKind::ALL.iter().filter(|kind| project.is_auto || **kind == project.backend);
    let brought = kinds.filter_map(|kind| Some((*kind, kind.brought(&project.directory)?))).next();
    let Some((kind, path)) = brought.filter(|_| project.trust.word() != Some(true)) else { return };
    let (kind, path) = (kind, path.display());
    let mut settled = ProjectConfig { backend: kind, ..project.clone() };
    settled.settle_trust(former);
    let what = match (settled.trust, kind.leaves_out()) {
        (Trust::AsBefore, _) => {
            format!(
                "{} runs what {path} says, as it did before this was asked; say true or false",
                kind.as_str()
            )
        }
        (Trust::Said(_), true) => return,
        (_, true) => format!(
            "{} runs nothing of what {path} says; say true if you have looked at it, or false",
            kind.as_str()
        ),
        (_, false) => format!(
            "{} would run what {path} says, and nothing is done in this project until that is allowed: say true if \
             you have looked at it",
            kind.as_str()
        ),
    };
    section.warn("trusted", what);
}

/// The words of a setting: those of the backend; with `auto`, of any.
fn kinds_words(
    backend: BackendKind,
    is_auto: bool,
    words: fn(Modes) -> &'static [&'static str],
) -> Vec<&'static str> {
    match is_auto {
        true => BackendKind::ALL.iter().flat_map(|kind| words(kind.modes())).copied().collect(),
        false => words(backend.modes()).to_vec(),
    }
}

/// One of these words, where the backend knows any.
fn setting(
    section: &Section<'_>,
    key: &'static str,
    backend: BackendKind,
    words: &[&'static str],
) -> Option<String> {
    let value = section.value(key)?;
    // Which modes it has is known when it runs.
    if matches!(backend, BackendKind::Acp(_)) && key == "permission_mode" {
        return value.text().filter(|text| !text.is_empty());
    }
    if words.is_empty() {
        let what = if key == "sandbox" { "sandbox" } else { "permission modes" };
        value.problem(format!("{} has no {what} here: leave it out", backend.as_str()));
        return None;
    }
    value.choice(words).map(str::to_owned)
}

fn name(section: &Section<'_>) -> Option<ProjectName> {
    let text = section.text("name")?;
    let is_name = !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= MOST_NAME_CHARS
        && !text.chars().any(char::is_control);
    if !is_name {
        let expectation =
            format!("expected 1 to {MOST_NAME_CHARS} characters without white space around them");
        section.problem("name", expectation);
        return None;
    }
    Some(ProjectName::from(text))
}

fn directory(section: &Section<'_>) -> Option<PathBuf> {
    let path = PathBuf::from(section.text("directory")?);
    if !path.is_absolute() {
        section.problem("directory", "expected an absolute path, such as /home/me/project");
        return None;
    }
    let user = service::judged_for();
    if let Some(Err(why)) = user.map(|user| user.may(&path, service::LOOK_INTO)) {
        section.absent("directory", format!("cannot be read by the service: {why}"));
        return Some(path);
    }
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => {}
        // The service goes where this user may not.
        Err(error) if user.is_some() && error.kind() == std::io::ErrorKind::PermissionDenied => {}
        Ok(_) => section.absent("directory", "is a file; expected a folder"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            section.absent("directory", "this folder does not exist");
        }
        Err(error) => section.absent("directory", format!("cannot be read: {error}")),
    }
    Some(path)
}
