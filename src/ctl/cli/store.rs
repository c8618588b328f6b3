//! The part of the command line about the store, and about stores that were set aside.

use clap::{ArgAction, Args, Subcommand};

use super::{Moment, moment};

/// What can be done with the store, and with one that was set aside.
#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// How large the store is, bytes per event, how fast it grows, and when the disk is full
    #[command(after_help = "\
Examples:
  halctl store status
  halctl store status -o json | jq -r .disk_full_at")]
    Status,
    /// Compare a store that was set aside with the present one, by table
    #[command(after_help = "\
Examples:
  halctl store diff
  halctl store diff supervisor.redb.replaced.1795450273 --table events --rows 20
  halctl store diff -o json")]
    Diff {
        /// Which rows of which store.
        #[command(flatten)]
        which: Which,
        /// Also show this many of the rows
        #[arg(long, visible_alias = "limit", default_value_t = 0, value_name = "N")]
        rows: usize,
    },
    /// Bring back rows that only the store that was set aside has; nothing is duplicated
    #[command(after_help = "\
Examples:
  halctl store merge --dry-run
  halctl store merge --session ses_1234
  halctl store merge supervisor.redb.replaced.1795450273 --table events --since 2026-11-23T16:00:00Z")]
    Merge {
        /// Which rows of which store.
        #[command(flatten)]
        which: Which,
        /// Only show what would come back
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which rows of which store.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// Its file name, in the store's folder; by default the newest.
    pub file: Option<String>,
    /// Only these tables: events, sessions, nodes, costs, audit_log or commands
    #[arg(long = "table", value_name = "TABLE", value_delimiter = ',', action = ArgAction::Append)]
    pub tables: Vec<String>,
    /// Only rows stored after this: `5m` ago, or an RFC 3339 time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<Moment>,
    /// Only rows stored before this
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub until: Option<Moment>,
    /// Only rows of this session
    #[arg(long, visible_alias = "session-id", value_name = "ID")]
    pub session: Option<String>,
}
