//! `hal manual`: man pages and shell completions, written from the same definitions that read the command lines.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::base::daemon::version;
use crate::base::exit::{self, Failure};
use crate::{agent, ctl, supervisor, up};

/// The sections of the manual: what everybody runs, and what runs as a service.
const EVERYBODY: &str = "1";
const SERVICE: &str = "8";

/// Write man pages and shell completions of all programs into a folder
#[derive(Debug, Parser)]
#[command(name = "hal manual", version = version(), after_help = exit::HELP)]
pub struct Options {
    /// The folder; man/, bash/, zsh/ and fish/ are made in it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes them.
pub fn run(options: &Options) -> Result<(), Failure> {
    let folder = &options.folder;
    write(folder).with_context(|| format!("cannot write the manual into {}", folder.display()))?;
    Ok(())
}

fn write(folder: &Path) -> anyhow::Result<()> {
    let man = folder.join("man");
    std::fs::create_dir_all(&man)?;
    let programs = [
        (hal(), EVERYBODY),
        (ctl::cli::command(), EVERYBODY),
        (supervisor::cli::command(), SERVICE),
        (agent::cli::command(), SERVICE),
    ];
    for (mut program, section) in programs {
        let name = program.get_name().to_owned();
        for (shell, place) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
            let place = folder.join(place);
            std::fs::create_dir_all(&place)?;
            match name.as_str() {
                // It asks the supervisor for names.
                "halctl" => std::fs::write(
                    place.join(clap_complete::Generator::file_name(&shell, &name)),
                    ctl::completions::script(shell).map_err(|failure| failure.error)?,
                )?,
                _ => {
                    clap_complete::generate_to(shell, &mut program, &name, place)?;
                }
            }
        }
        program.build();
        pages(&program, section, &man)?;
    }
    Ok(())
}

/// The page of a command, and those of the commands below it. The other programs have pages by their own names.
fn pages(command: &Command, section: &str, folder: &Path) -> anyhow::Result<()> {
    let others = ["hal-ctl", "hal-supervisor", "hal-agent"];
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let is_other = below.get_display_name().is_some_and(|name| others.contains(&name));
        if !is_other && below.get_name() != "help" {
            pages(below, section, folder)?;
        }
    }
    Man::new(command.clone()).section(section).manual("HAL-O-SWARM").generate_to(folder)?;
    Ok(())
}

/// `hal` itself, which finds out which program is meant before any command line is read.
fn hal() -> Command {
    Command::new("hal")
        .version(version())
        .about("HAL-O-SWARM: a distributed supervisor for autonomous coding agents")
        .after_help(exit::HELP)
        .subcommands([
            up::Options::command().name("up"),
            ctl::cli::command().name("ctl"),
            supervisor::cli::command().name("supervisor"),
            agent::cli::command().name("agent"),
            Options::command().name("manual"),
        ])
}
