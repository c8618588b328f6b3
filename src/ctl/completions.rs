//! `halctl completions`.

use clap_complete::Shell;

use super::cli;
use super::print::Screen;
use crate::base::exit::Failure;

/// Prints the script for a shell.
pub fn run(shell: Shell, screen: &mut Screen) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "halctl", &mut script);
    screen.write(&String::from_utf8_lossy(&script))
}
