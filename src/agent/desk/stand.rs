//! Where a project's directory stands, so that a person can go back to where a session was stopped.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::protocol::frame::Stood;

/// A git that takes longer is not waited for: what is to be done matters more.
const PATIENCE: Duration = Duration::from_secs(2);

/// What git says of the directory; `None` when it is not under version control, or git is not there.
pub(super) async fn of(directory: &str) -> Option<Stood> {
    let commit = git(directory, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
    let changes = git(directory, &["status", "--porcelain", "--untracked-files=no"]).await;
    let is_dirty = changes.is_none_or(|changes| !changes.is_empty());
    Some(Stood { commit, is_dirty })
}

async fn git(directory: &str, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).args(args);
    // A look must not wait for the lock of a git that works.
    git.env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, git.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
