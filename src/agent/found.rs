//! Which coding agents this machine has: asked of their programs, and of nothing that runs.

use std::path::Path;

use futures_util::future::join_all;

use super::backend::BackendKind;
use super::backend::program::FoundProgram;
use super::config::{Programs, ProjectConfig};

/// What was found of each kind, in the order of the list of kinds.
pub type Found = Vec<(BackendKind, FoundProgram)>;

/// The kinds that projects use: all of them where one takes what is there.
pub fn used(projects: &[ProjectConfig]) -> Vec<BackendKind> {
    let is_used = |kind: &&BackendKind| projects.iter().any(|one| one.is_auto || one.backend == **kind);
    BackendKind::all().iter().filter(is_used).copied().collect()
}

/// Looks for the programs of all kinds at the same time. Those that were asked before and are the same are not asked again;
/// of those that are `used`, one that gave no answer is, after a while.
pub async fn look(programs: &Programs, used: &[BackendKind]) -> Found {
    let one = async |kind: &BackendKind| {
        let found = kind.look(programs.get(*kind), &programs.launch(*kind), used.contains(kind)).await;
        (*kind, found)
    };
    join_all(programs.kinds().iter().map(one)).await
}

/// Those that can be used, without the ones that need no program.
pub fn usable(found: &Found) -> Vec<BackendKind> {
    let is_usable = |(kind, found): &&(BackendKind, FoundProgram)| {
        // One that has to be named is meant where it is named.
        let is_offered = kind.program().is_some() && !matches!(kind, BackendKind::Acp(_));
        is_offered && found.fault.is_none()
    };
    found.iter().filter(is_usable).map(|(kind, _)| *kind).collect()
}

/// The one for a directory: the only one that can be used, else the only one whose files are there.
pub fn choose(found: &Found, directory: &Path) -> Option<BackendKind> {
    let usable = usable(found);
    let is_marked = |kind: &&BackendKind| {
        let marks = kind.program().map(|spec| spec.marks).unwrap_or_default();
        marks.iter().any(|mark| directory.join(mark).exists())
    };
    let marked: Vec<BackendKind> = usable.iter().filter(is_marked).copied().collect();
    match (usable.as_slice(), marked.as_slice()) {
        ([only], _) | (_, [only]) => Some(*only),
        _ => None,
    }
}

/// True when it was found out that the program is not there, or of a version that is not supported: one that gave no
/// answer may give it the next time.
fn is_gone(found: &Found, kind: BackendKind) -> bool {
    let its = found.iter().find(|(other, _)| *other == kind).map(|(_, found)| found);
    its.is_some_and(|found| found.fault.is_some() && (found.path.is_none() || found.version.is_some()))
}

/// Gives each project that takes what is there its backend. Where several could be meant it is the first of the list of
/// kinds, and where there is none it stays as it is. `before` is what was found the last time, `None` at the first: after
/// that the one that a project has goes on, whatever else is installed, until it was gone in two looks. A program that
/// is being replaced is gone in one. True when one has changed.
pub fn settle(projects: &mut [ProjectConfig], found: &Found, before: Option<&Found>) -> bool {
    let usable = usable(found);
    let mut has_changed = false;
    for project in projects.iter_mut().filter(|project| project.is_auto) {
        let is_gone = |before| is_gone(found, project.backend) && is_gone(before, project.backend);
        if before.is_some_and(|before| !is_gone(before)) {
            continue;
        }
        let kind = choose(found, &project.directory).or(usable.first().copied());
        let Some(kind) = kind.filter(|kind| before.is_none() || *kind != project.backend) else { continue };
        tracing::info!("project {} is worked in by {}", project.name, kind.as_str());
        has_changed |= kind != project.backend;
        project.backend = kind;
    }
    has_changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_s_own_goes_before_the_first_and_what_works_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let good = FoundProgram {
            path: Some("/bin/x".into()),
            version: Some("1.0.0".into()),
            ..FoundProgram::default()
        };
        let bad = FoundProgram { fault: Some("it is another".into()), ..good.clone() };
        let found = |opencode: &FoundProgram, claude: &FoundProgram| {
            let both = [(BackendKind::Opencode, opencode.clone()), (BackendKind::Claude, claude.clone())];
            both.into_iter().chain([(BackendKind::Echo, FoundProgram::default())]).collect::<Found>()
        };
        assert_eq!(choose(&found(&bad, &good), folder.path()), Some(BackendKind::Claude));
        assert_eq!(choose(&found(&good, &good), folder.path()), None);
        let auto = ProjectConfig::new("shop", folder.path().to_owned(), BackendKind::Opencode);
        let mut projects = [ProjectConfig { is_auto: true, ..auto }];
        let both = found(&good, &good);
        assert!(!settle(&mut projects, &both, None), "the first of the list");
        std::fs::write(folder.path().join("CLAUDE.md"), "").unwrap();
        assert_eq!(choose(&found(&good, &good), folder.path()), Some(BackendKind::Claude));
        assert!(!settle(&mut projects, &both, Some(&both)), "what works goes on");
        let mute = FoundProgram { version: None, ..bad.clone() };
        let mute = found(&mute, &good);
        assert!(!settle(&mut projects, &mute, Some(&mute)), "it may answer the next time");
        let other = found(&bad, &good);
        assert!(!settle(&mut projects, &other, Some(&both)), "it may be about to be replaced");
        assert!(settle(&mut projects, &other, Some(&other)));
        assert_eq!(projects[0].backend, BackendKind::Claude);
        let none = found(&bad, &bad);
        assert!(!settle(&mut projects, &none, Some(&none)), "where there is none it stays");
    }
}
