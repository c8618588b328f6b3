//! Tells the programs which commit they were built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=HAL_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("HAL_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(commit_of_this_folder).unwrap_or_else(|| "unknown".to_string());
    println!("cargo::rustc-env=HAL_COMMIT={commit}");
}

/// The short commit. `None` outside git, also when this folder was unpacked inside somebody else's repository.
fn commit_of_this_folder() -> Option<String> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // HEAD changes with the branch, its log with every commit.
    for name in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short", "HEAD"])
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}
