//! The processes that tools of a session have started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::Up;
use crate::backend::processes::{self, Process};

/// How long they may take to end.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Ends the tool processes in a directory and all that `seen` still names; tells how many there were.
pub async fn sweep_tools(up: &Up, directory: PathBuf, seen: Vec<Process>) -> usize {
    let (mark, pid) = (up.mark.clone(), up.pid);
    let find = move || {
        let mut tools = tools(&mark, pid, &directory);
        let still =
            seen.iter().filter(|one| Process::read(one.pid).is_some_and(|now| now.started == one.started));
        for process in still {
            if !tools.iter().any(|one| one.pid == process.pid) {
                tools.push(process.clone());
            }
        }
        tools
    };
    timeout(END_LIMIT, processes::end(find)).await.map_or(0, |(found, _)| found)
}

/// Processes that tools have started in a directory, and their descendants. What is in opencode's own process session
/// is opencode itself and its servers for languages: those stay.
pub fn tools(mark: &str, server: i32, directory: &Path) -> Vec<Process> {
    let own = Process::read(server).map(|server| server.session);
    let all = processes::marked(mark);
    let is_tool = |one: &&Process| one.pid != server && Some(one.session) != own;
    let mut out: Vec<Process> =
        all.iter().filter(is_tool).filter(|one| one.is_within(directory)).cloned().collect();
    loop {
        let more: Vec<Process> = all
            .iter()
            .filter(|one| out.iter().any(|parent| parent.pid == one.parent))
            .filter(|one| !out.contains(one))
            .cloned()
            .collect();
        if more.is_empty() {
            return out;
        }
        out.extend(more);
    }
}
