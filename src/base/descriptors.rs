//! How many files and connections this process may have open, and that it leaves no core.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one: the usual 1,024 are for programs that use `select`, and each connection
/// takes one. Not for a process that starts others, which would inherit it.
pub fn raise_limit() {
    let now = getrlimit(Resource::Nofile);
    if now.current == now.maximum {
        return;
    }
    // Whoever may not is told, and serves as many as it may.
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now }) {
        tracing::warn!(%error, limit = now.current, "the limit of open files cannot be raised");
    }
}

/// Keeps what is in memory off the disk: a core has every token in it. Not for a process that starts others, either.
pub fn leave_no_core() {
    let now = getrlimit(Resource::Core);
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), ..now }) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
}

/// How many are open; `None`: it cannot be read.
pub fn open() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// How many may be open.
pub fn limit() -> usize {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}
