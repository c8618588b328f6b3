//! Command line of `halctl archive` and `halctl backup`: what may be typed.

use clap::Subcommand;

/// What can be done with archives.
#[derive(Debug, Subcommand)]
pub enum ArchiveVerb {
    /// List all archives, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Search archived rows for a text
    Search {
        /// The text to search for, verbatim.
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// How many at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Restore an archive's rows into the store for a week
    Restore {
        /// Its name, as in the list.
        name: String,
    },
}

/// What can be done with backups.
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Make a backup now, verify it, and make it the newest
    Now,
    /// List all backups, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Rehearse a recovery: restore the newest backup into a supervisor of its own on the supervisor's machine, and compare;
    /// exit 1 if it could not be restored, or is not what was there
    Rehearse,
    /// Verify a backup: every page, and that all rows are there; exit 1 if it is damaged
    Verify {
        /// Its name, as in the list; by default the newest.
        name: Option<String>,
    },
}
