//! The folders that `hal up` works in.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::agent::backend::BackendKind;
use crate::agent::config::{ProjectConfig, Trust};
use crate::agent::trust::FormerTrust;
use crate::base::exit::{Exit, Failure};

/// The projects of these folders, or of the current one; `is_trusted`: what their checkouts bring along may run.
pub fn of(
    named: &[(String, PathBuf)],
    backend: BackendKind,
    is_trusted: bool,
) -> Result<Vec<ProjectConfig>, Failure> {
    let here = env::current_dir().context("cannot tell the current folder")?;
    let default = [(folder_name(&here), here)];
    let named = if named.is_empty() { &default } else { named };
    let mut projects: Vec<ProjectConfig> = Vec::new();
    for (name, folder) in named {
        let directory = folder.canonicalize().map_err(|error| {
            Failure::say(Exit::Usage, format!("--project {name}={}: {error}", folder.display()))
        })?;
        if !directory.is_dir() {
            return Err(Failure::say(
                Exit::Usage,
                format!("--project {name}={}: expected a folder", folder.display()),
            ));
        }
        if projects.iter().any(|other| other.name.as_str() == name) {
            return Err(Failure::say(Exit::Usage, format!("--project {name}: named twice")));
        }
        let trust = if is_trusted { Trust::Said(true) } else { Trust::Unsaid };
        projects.push(ProjectConfig { trust, ..ProjectConfig::new(name.as_str(), directory, backend) });
    }
    Ok(projects)
}

/// Reads `NAME=DIR`.
pub fn named(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => Ok((name.into(), folder.into())),
        _ => Err("expected NAME=DIR".into()),
    }
}

/// Says what becomes of what the checkouts bring along and nobody has allowed.
pub fn tell_brought(projects: &[ProjectConfig], data: &Path) {
    let former = match FormerTrust::read(data) {
        Ok(Some(former)) => former,
        // The first start of this version after another: what is in use goes on, and the next start says so.
        Ok(None) if data.join("agent.redb").exists() => return,
        _ => FormerTrust::default(),
    };
    for project in projects.iter().filter(|project| project.trust.word() != Some(true)) {
        let Some(path) = project.backend.brought(&project.directory) else { continue };
        let (kind, path) = (project.backend.as_str(), path.display());
        match (former.covers(project.backend, &project.directory), project.backend.leaves_out()) {
            (true, _) => {
                eprintln!("{kind} runs what {path} says, as it did before; hal up --trust says that it may")
            }
            (false, true) => eprintln!("{kind} runs nothing of what {path} says; hal up --trust lets it"),
            // It is said to be not ready, and why.
            (false, false) => {}
        }
    }
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().into_owned())
}
