//! The supervisor's command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::config::{Config, DEFAULT_PATH, SAMPLE, read};
use crate::base::daemon::{Daemon, VERSION};
use crate::base::exit;

/// Work on the store's files while no supervisor runs.
#[derive(Debug, Parser)]
#[command(name = "hal-supervisor", version = VERSION, after_help = exit::HELP, disable_help_subcommand = true)]
pub struct Offline {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Work on supervisor.redb and supervisor.db while no supervisor runs
    Store(StoreOptions),
}

impl Offline {
    /// What is to be done, and with which files.
    pub fn options(self) -> StoreOptions {
        let Part::Store(options) = self.part;
        options
    }
}

/// What is to be done, and with which files.
#[derive(Debug, Args)]
pub struct StoreOptions {
    /// The supervisor's configuration file, which names the files
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Only say what would be done
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: StoreVerb,
}

/// What can be done with the files.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// Look at every page and row of both files, and whether they say the same; exit 1 if something is wrong
    Check,
    /// Make one of the two anew from the other, which is kept; the one before is set aside
    Rebuild {
        /// Which one: store (supervisor.redb) or mirror (supervisor.db)
        #[arg(value_enum)]
        which: Which,
    },
    /// Write all that the store holds into a new SQLite file
    Export {
        /// The file; it must not be there yet.
        file: PathBuf,
    },
    /// Put what such a file holds in place of the store, which is set aside
    Import {
        /// A copy or an export of supervisor.db.
        file: PathBuf,
    },
    /// Put a backup in place of supervisor.db; the next start makes the store from it
    Restore {
        /// The backup; by default the newest.
        file: Option<PathBuf>,
    },
    /// Give the room of deleted rows back to the disk
    Compact,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// supervisor.redb
    Store,
    /// supervisor.db
    Mirror,
}

/// How `hal-supervisor` is called.
pub const DAEMON: Daemon<Config> = Daemon {
    name: "hal-supervisor",
    about: "Watches and steers the coding agents of all nodes; agents and people connect to it. For work on its files while it is stopped: hal-supervisor store --help",
    default_config: DEFAULT_PATH,
    sample: SAMPLE,
    read,
};

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    DAEMON.command().subcommands(Offline::command().get_subcommands().cloned())
}
