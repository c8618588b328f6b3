//! `halctl completions`.

use clap_complete::Shell;
use clap_complete::env::Shells;

use super::complete::VARIABLE;
use super::print::Screen;
use hal_base::exit::{Exit, Failure};

/// Prints the script for a shell.
pub fn run(shell: Shell, screen: &mut Screen) -> Result<(), Failure> {
    screen.write(&script(shell)?)
}

/// The script that has a shell ask halctl what to offer.
pub fn script(shell: Shell) -> Result<String, Failure> {
    let cannot =
        |why: String| Failure::say(Exit::Failed, format!("cannot write the script for {shell}: {why}"));
    let shells = Shells::builtins();
    let completer =
        shells.completer(&shell.to_string()).ok_or_else(|| cannot("this shell is not supported".into()))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "halctl", "halctl", "halctl", &mut script)
        .map_err(|error| cannot(error.to_string()))?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}
