//! Git checkpoints: reads where a project's directory stands, so that a person can go back to where a session stopped.
//!
//! A repository may say in its own `.git/config` what git runs: this git runs none of it, for the repository may be a
//! stranger's, and whoever steps in wants an end of what it does.

use std::os::unix::ffi::OsStrExt;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use hal_base::child;
use hal_protocol::frame::Checkpoint;

/// A git that takes longer is not waited for: what is to be done matters more.
const PATIENCE: Duration = Duration::from_secs(2);

/// What holds instead of what a repository says: no program of its choice, and nobody is called.
const NOTHING_RUNS: [(&str, &str); 14] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("core.gitProxy", ""),
    ("core.alternateRefsCommand", "false"),
    ("credential.helper", ""),
    ("diff.external", ""),
    ("gpg.program", "false"),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
    ("status.submoduleSummary", "false"),
    ("submodule.recurse", "false"),
];

/// Keys of a filter that name a program, and what makes it none; names of filters are a repository's own.
const OF_A_FILTER: [(&str, &str); 4] =
    [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")];

/// Filters that are taken out one by one; a repository with more is not looked at.
const MOST_FILTERS: usize = 100;

/// What git says of the directory; `None` when it is not under version control, or git is not there.
pub(super) async fn of(directory: &str) -> Option<Checkpoint> {
    let commit = said(&git(directory, &[], &["rev-parse", "--verify", "--quiet", "HEAD"]).await?)?;
    let filters = filters(directory).await;
    let changes = match &filters {
        // A submodule has a configuration of its own, and git would look into it with that.
        Some(filters) => {
            let look = ["status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"];
            git(directory, filters, &look).await.and_then(|output| said(&output))
        }
        None => None,
    };
    let is_dirty = changes.is_none_or(|changes| !changes.is_empty());
    Some(Checkpoint { commit, is_dirty })
}

/// What switches the repository's filters off: git would run them on each file that it compares.
async fn filters(directory: &str) -> Option<Vec<(String, &'static str)>> {
    let names = ["config", "--null", "--name-only", "--get-regexp", r"^filter\."];
    let output = git(directory, &[], &names).await?;
    // It ends with 1 when there is none.
    if !output.status.success() && output.status.code() != Some(1) {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let mut filters: Vec<&str> = text.split('\0').filter_map(|key| Some(key.rsplit_once('.')?.0)).collect();
    filters.sort_unstable();
    filters.dedup();
    if filters.len() > MOST_FILTERS {
        return None;
    }
    let off = |filter: &&str| OF_A_FILTER.map(|(key, value)| (format!("{filter}.{key}"), value));
    Some(filters.iter().flat_map(off).collect())
}

async fn git(directory: &str, more: &[(String, &'static str)], args: &[&str]) -> Option<Output> {
    let mut git = Command::new("git");
    git.arg("--no-pager").arg("-C").arg(directory).args(args);
    // Ours could name another repository, as a git does to what it runs, or other programs.
    let is_left_out =
        |name: &std::ffi::OsStr| child::is_for_us_alone(name) || name.as_bytes().starts_with(b"GIT_");
    child::leave_out(git.as_std_mut(), is_left_out);
    let settings = NOTHING_RUNS.iter().copied().chain(more.iter().map(|(key, value)| (key.as_str(), *value)));
    let mut count = 0;
    for (key, value) in settings {
        git.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
        count += 1;
    }
    git.env("GIT_CONFIG_COUNT", count.to_string());
    // A look must not wait for the lock of a git that works; it asks nobody, and fetches nothing that is missing.
    git.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("GIT_TERMINAL_PROMPT", "0");
    git.env("GIT_ALLOW_PROTOCOL", "none");
    git.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(PATIENCE, git.output()).await.ok()?.ok()
}

fn said(output: &Output) -> Option<String> {
    let text = String::from_utf8(output.stdout.clone()).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn run(folder: &Path, args: &[&str]) {
        let mut git = std::process::Command::new("git");
        child::leave_out(&mut git, |name| name.as_bytes().starts_with(b"GIT_"));
        let who =
            ["-c", "user.name=ada", "-c", "user.email=ada@localhost", "-c", "protocol.file.allow=always"];
        let done = git.arg("-C").arg(folder).args(who).args(args).output().expect("git is here");
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A program that leaves a mark beside the repository when it is run.
    fn trap(folder: &Path, name: &str) -> String {
        let (program, mark) = (folder.join(name), folder.join(format!("{name}-ran")));
        hal_base::file::replace(
            &program,
            format!("#!/bin/sh\ntouch {}\ncat\n", mark.display()).as_bytes(),
            0o755,
        )
        .expect("there is room");
        program.display().to_string()
    }

    fn marks(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut ran: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        ran.retain(|name| name.ends_with("-ran"));
        ran.sort();
        ran
    }

    /// A repository with a submodule, and everything in its configuration that git runs when it is asked how it stands.
    fn trapped(folder: &Path) -> PathBuf {
        let (repository, other) = (folder.join("shop"), folder.join("other"));
        for place in [&repository, &other] {
            std::fs::create_dir(place).unwrap();
            run(place, &["init", "-q"]);
            std::fs::write(place.join("file.txt"), "one\n").unwrap();
            run(place, &["add", "."]);
            run(place, &["commit", "-q", "-m", "first"]);
        }
        run(&repository, &["submodule", "--quiet", "add", other.to_str().unwrap(), "inner"]);
        std::fs::write(repository.join(".gitattributes"), "*.txt filter=own=name\n").unwrap();
        run(&repository, &["add", "."]);
        run(&repository, &["commit", "-q", "-m", "second"]);
        run(&repository, &["config", "core.fsmonitor", &trap(folder, "fsmonitor")]);
        run(&repository, &["config", "filter.own=name.clean", &trap(folder, "clean")]);
        std::fs::create_dir(folder.join("hooks")).unwrap();
        trap(folder, "hook");
        std::fs::rename(folder.join("hook"), folder.join("hooks/post-index-change")).unwrap();
        run(&repository, &["config", "core.hooksPath", folder.join("hooks").to_str().unwrap()]);
        run(&repository.join("inner"), &["config", "core.fsmonitor", &trap(folder, "inner")]);
        repository
    }

    async fn stood(folder: &Path) -> Checkpoint {
        // On a busy machine a git may take longer than it is waited for.
        for _ in 0..20 {
            if let Some(stood) = of(folder.to_str().unwrap()).await {
                return stood;
            }
        }
        panic!("git has said nothing of {}", folder.display());
    }

    #[tokio::test]
    async fn what_a_repository_configures_to_run_does_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let repository = trapped(folder.path());
        // Of the same size, so that git has to look at what is in it.
        std::fs::write(repository.join("file.txt"), "two\n").unwrap();
        let stood = stood(&repository).await;
        assert!(stood.is_dirty && stood.commit.len() >= 40, "{stood:?}");
        assert_eq!(marks(folder.path()), Vec::<String>::new(), "nothing of it was run");
        run(&repository, &["status"]);
        let ran = marks(folder.path());
        for name in ["clean-ran", "fsmonitor-ran", "inner-ran"] {
            assert!(ran.iter().any(|one| one == name), "a plain git does run it: {ran:?}");
        }
    }

    #[tokio::test]
    async fn a_folder_without_changes_is_clean_and_one_without_git_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of(folder.path().to_str().unwrap()).await, None);
        run(folder.path(), &["init", "-q"]);
        run(folder.path(), &["commit", "-q", "--allow-empty", "-m", "first"]);
        let stood = stood(folder.path()).await;
        assert!(!stood.is_dirty, "{stood:?}");
    }
}
