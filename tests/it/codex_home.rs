//! A true Codex for a scene: a home of its own, configured for a fake model, and projects to work in.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::fault::means::skip;
use crate::opencode_home::FakeModel;
use crate::tool::{npm, processes_at};

/// The model that it takes by itself. Codex knows which tools that one has.
pub const MODEL: &str = "gpt-5.5";

/// A home for Codex. It is removed when dropped, so drop what runs in it first.
pub struct CodexHome {
    root: TempDir,
}

impl CodexHome {
    /// A home whose only model is the fake one. `None`, and said, where there is no Codex to be had.
    pub fn new(scene: &str, model: &FakeModel) -> Option<Self> {
        if let Err(why) = npm("codex") {
            skip(scene, &why);
            return None;
        }
        let root = tempfile::Builder::new().prefix("hal-codex-").tempdir().unwrap();
        let home = Self { root };
        fs::create_dir_all(home.path(".codex")).unwrap();
        fs::write(home.path(".codex/config.toml"), config(model)).unwrap();
        Some(home)
    }

    /// The variables under which Codex finds this home.
    pub fn environment(&self) -> Vec<(String, String)> {
        let place = |under: &str| self.path(under).to_str().unwrap().to_owned();
        vec![("HOME".to_owned(), place("")), ("CODEX_HOME".to_owned(), place(".codex"))]
    }

    /// The true program.
    pub fn binary(&self) -> PathBuf {
        npm("codex").expect("a home is made only where there is one")
    }

    /// A new project. Its path is the real one.
    pub fn project(&self, name: &str) -> PathBuf {
        let folder = self.path("projects").join(name);
        fs::create_dir_all(&folder).unwrap();
        folder.canonicalize().unwrap()
    }

    /// The numbers of its servers.
    pub fn servers(&self) -> Vec<i32> {
        processes_at(self.root.path(), |command| command.ends_with("codex app-server"))
    }

    /// A place under this home.
    pub fn path(&self, under: &str) -> PathBuf {
        self.root.path().join(under)
    }
}

fn config(model: &FakeModel) -> String {
    format!(
        r#"model = "{MODEL}"
model_provider = "fake"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.fake]
name = "Fake"
base_url = "{}/v1"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 2
"#,
        model.url
    )
}
