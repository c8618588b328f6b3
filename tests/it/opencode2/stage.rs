//! The programs: the stand-in, and a true OpenCode 2 where this machine has one.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::fault::means::skip;
use crate::opencode::stage::Stage;

/// The stand-in of OpenCode 2.
pub fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in_opencode2/server.mjs")
}

/// A true OpenCode 2 on PATH; says that the scene is skipped where there is none.
pub fn true_program() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let named = folders.iter().flat_map(|folder| ["opencode2", "opencode"].map(|name| folder.join(name)));
    let is_two = |program: &PathBuf| {
        let said = Command::new(program).arg("--version").output();
        said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("v2."))
    };
    let found = named.filter(|path| path.is_file()).find(is_two);
    if found.is_none() {
        skip("what every kind must pass, with a true OpenCode 2", "none is on PATH, and npm carries none");
    }
    found
}

/// A stage with the stand-in, where everything is allowed.
pub async fn set() -> Stage {
    Stage::set_through(json!({"*": "allow"}), |_, _| stand_in()).await
}
