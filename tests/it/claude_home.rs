//! A true Claude Code for a scene: a home of its own, a fake model behind it, and projects to work in.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::fault::means::skip;
use crate::opencode_home::FakeModel;
use crate::tool::{npm, processes_at};

/// A home for Claude Code. It is removed when dropped, so drop what runs in it first.
pub struct ClaudeHome {
    root: TempDir,
    url: String,
}

impl ClaudeHome {
    /// A home whose models are all the fake one. `None`, and said, where there is no Claude Code to be had.
    pub fn new(scene: &str, model: &FakeModel) -> Option<Self> {
        if let Err(why) = npm("claude") {
            skip(scene, &why);
            return None;
        }
        let root = tempfile::Builder::new().prefix("hal-claude-").tempdir().unwrap();
        Some(Self { root, url: model.url.clone() })
    }

    /// The variables under which Claude Code finds this home and asks nothing of the outside world.
    pub fn environment(&self) -> Vec<(String, String)> {
        let home = self.path("");
        let own = [
            ("HOME", home.to_str().unwrap()),
            ("ANTHROPIC_BASE_URL", &self.url),
            ("ANTHROPIC_API_KEY", "none"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CODE_MAX_RETRIES", "2"),
        ];
        own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The true program.
    pub fn binary(&self) -> PathBuf {
        npm("claude").expect("a home is made only where there is one")
    }

    /// A new project. Its path is the real one.
    pub fn project(&self, name: &str) -> PathBuf {
        let folder = self.path("projects").join(name);
        fs::create_dir_all(&folder).unwrap();
        folder.canonicalize().unwrap()
    }

    /// Processes of this home whose command line is what is looked for.
    pub fn processes(&self, is_it: impl Fn(&str) -> bool) -> Vec<i32> {
        processes_at(self.root.path(), is_it)
    }

    /// A place under this home.
    pub fn path(&self, under: &str) -> PathBuf {
        self.root.path().join(under)
    }
}
