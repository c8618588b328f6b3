//! Claude Code's own record of a session: a file of JSON lines, by which it is known what it has taken.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use hal_protocol::session::SessionId;

/// Where the records are: one folder for each folder that was worked in, one file for each session.
#[derive(Clone, Debug)]
pub struct Transcripts(PathBuf);

impl Transcripts {
    /// Those of the user whose environment this is; `variable` looks into it.
    pub fn of(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let home = || variable("HOME").unwrap_or_default().join(".claude");
        Self(variable("CLAUDE_CONFIG_DIR").unwrap_or_else(home).join("projects"))
    }

    /// The record of a session; `None` when there is none.
    pub async fn find(&self, id: &SessionId) -> Option<PathBuf> {
        let (all, name) = (self.0.clone(), format!("{id}.jsonl"));
        // Reading folders is quick but it is file reading all the same.
        let look = move || {
            let folders = fs::read_dir(all).ok()?.filter_map(|folder| Some(folder.ok()?.path().join(&name)));
            folders.into_iter().find(|file| file.is_file())
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }

    /// True when a message of this name was taken into the record of a session.
    pub async fn has(&self, id: &SessionId, message: &str) -> bool {
        let Some(file) = self.find(id).await else { return false };
        let wanted = format!("\"uuid\":\"{message}\"");
        tokio::task::spawn_blocking(move || holds(&file, &wanted)).await.unwrap_or(false)
    }
}

fn holds(file: &Path, wanted: &str) -> bool {
    let Ok(file) = File::open(file) else { return false };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
        if String::from_utf8_lossy(&line).contains(wanted) {
            return true;
        }
        line.clear();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_is_found_in_the_record_of_its_session() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("projects/-srv-shop");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("s1.jsonl"),
            "{\"uuid\":\"m1\"}\nno JSON\n{\"type\":\"user\",\"uuid\":\"m2\"}\n",
        )
        .unwrap();
        let place = home.path().to_owned();
        let all = Transcripts::of(|name| (name == "CLAUDE_CONFIG_DIR").then(|| place.clone()));
        assert!(all.has(&"s1".into(), "m1").await && all.has(&"s1".into(), "m2").await);
        assert!(!all.has(&"s1".into(), "m3").await && !all.has(&"s2".into(), "m1").await);
        assert!(all.find(&"s2".into()).await.is_none());
    }
}
