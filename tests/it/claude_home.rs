//! A true Claude Code for a scene: a home of its own, a fake model behind it, and projects to work in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::fault::means::skip;
use crate::opencode_home::{FakeModel, all_processes};

/// A home for Claude Code. It is removed when dropped, so drop what runs in it first.
pub struct ClaudeHome {
    root: TempDir,
    url: String,
}

impl ClaudeHome {
    /// A home whose models are all the fake one. `None`, and said, where there is no Claude Code to be had.
    pub fn new(scene: &str, model: &FakeModel) -> Option<Self> {
        if let Err(why) = binary() {
            skip(scene, why);
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
    pub fn binary(&self) -> &'static Path {
        binary().expect("a home is made only where there is one")
    }

    /// A new project. Its path is the real one.
    pub fn project(&self, name: &str) -> PathBuf {
        let folder = self.path("projects").join(name);
        fs::create_dir_all(&folder).unwrap();
        folder.canonicalize().unwrap()
    }

    /// Processes of this home whose command line is what is looked for.
    pub fn processes(&self, is_it: impl Fn(&str) -> bool) -> Vec<i32> {
        let home = format!("HOME={}", self.path("").display());
        let is_ours = |environ: &[u8]| environ.split(|byte| *byte == 0).any(|one| one == home.as_bytes());
        let all = all_processes().filter(|(pid, command)| {
            is_it(command) && is_ours(&fs::read(format!("/proc/{pid}/environ")).unwrap_or_default())
        });
        all.map(|(pid, _)| pid).collect()
    }

    /// A place under this home.
    pub fn path(&self, under: &str) -> PathBuf {
        self.root.path().join(under)
    }
}

/// The true program, installed once for all scenes, or why there is none.
pub fn binary() -> Result<&'static Path, &'static str> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/claude.sh");
        let output = Command::new(&script).output().unwrap();
        match output.status.success() {
            true => Ok(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    });
    found.as_deref().map_err(String::as_str)
}
