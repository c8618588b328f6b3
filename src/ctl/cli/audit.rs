//! Command line of `halctl audit`: what may be typed.

use std::path::PathBuf;

use clap::Subcommand;

use super::list::ListArgs;
use super::{Moment, moment};

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// List who did what, newest first
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  halctl audit list --user ada --since 24h
  halctl audit list --action budget
  halctl audit list --target ses_1234 -o json"
    )]
    List {
        /// Only those of this user, policy or program
        #[arg(long, visible_alias = "actor", value_name = "NAME")]
        user: Option<String>,
        /// Only those whose action holds this text, such as `budget` or `kill_session`
        #[arg(long, value_name = "TEXT")]
        action: Option<String>,
        /// Only those on this session, node, budget, user or the like
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Only those after this: `5m` ago, or an RFC 3339 time
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<Moment>,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
    /// Show one record with all particulars
    #[command(alias = "show")]
    Get {
        /// The record's id or number; for a command, the command's id.
        id: String,
    },
    /// Verify that no record was changed, removed or added since it was written
    #[command(after_help = "\
Each record holds the hash of the one before it. What retention, a restored backup or an older release has cut is named by
records of its own; whatever no record accounts for is found, and the command fails. Nodes keep the last hash, as it was
told to them, in audit-anchors.jsonl of their data folder: with such a file a chain that was written anew as a whole is
found, too.

Examples:
  halctl audit verify
  halctl audit verify --anchors audit-anchors.jsonl
  halctl audit verify --file audit.jsonl --anchors audit-anchors.jsonl")]
    Verify {
        /// Verify this export, without asking a supervisor
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Heads that a node has kept; may be given more than once
        #[arg(long, value_name = "FILE")]
        anchors: Vec<PathBuf>,
    },
    /// Write all records, one line of JSON each, as they can be verified elsewhere
    #[command(after_help = "Example:\n  halctl audit export > audit.jsonl")]
    Export,
}
