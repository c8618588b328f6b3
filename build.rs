//! Tells the programs which commit they were built from.

use std::path::Path;
use std::process::Command;

/// What is said where it cannot be built.
const LINUX_ONLY: &str = "HAL-O-SWARM runs on Linux, all of it: hal-agent finds the processes of coding agents in /proc, and \
     hal-supervisor asks the kernel for leases on its files. From elsewhere, use its HTTP API, or halctl by ssh.";

fn main() {
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        println!("cargo::error={LINUX_ONLY} (This is {system}.)");
        return;
    }
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

/// Nothing of what the repository configures is run for it.
const QUIET: [&str; 5] = ["--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"];

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(QUIET).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}
