//! Coding agents that scenes install, and the processes of a home that one of them was given.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// The true program of a coding agent in its pinned version, installed once for all scenes, or why there is none.
pub fn npm(name: &'static str) -> Result<PathBuf, String> {
    type Found = Arc<OnceLock<Result<PathBuf, String>>>;
    static PROGRAMS: Mutex<Option<HashMap<&'static str, Found>>> = Mutex::new(None);
    let found = Arc::clone(PROGRAMS.lock().unwrap().get_or_insert_default().entry(name).or_default());
    let install = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/npm.sh");
        let output = Command::new(&script).arg(name).output().unwrap();
        match output.status.success() {
            true => Ok(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    found.get_or_init(install).clone()
}

/// Processes whose home this is and whose command line is what is looked for.
pub fn processes_at(home: &Path, is_it: impl Fn(&str) -> bool) -> Vec<i32> {
    // With a slash at its end, or without.
    let homes = [format!("HOME={}", home.join("").display()), format!("HOME={}", home.display())];
    let is_ours = |environ: &[u8]| {
        environ.split(|byte| *byte == 0).any(|one| homes.iter().any(|home| one == home.as_bytes()))
    };
    let all = all_processes().filter(|(pid, command)| {
        is_it(command) && is_ours(&fs::read(format!("/proc/{pid}/environ")).unwrap_or_default())
    });
    all.map(|(pid, _)| pid).collect()
}

/// All processes of the machine with their command lines.
pub fn all_processes() -> impl Iterator<Item = (i32, String)> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.map(|pid: i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned())
    })
}
