//! The command line of `halctl policies`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Moment, moment};

/// What can be done with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// List the policies in force
    #[command(visible_alias = "ls")]
    List,
    /// Show what policies know of a session, what each would do now, and why
    Explain {
        /// The session's id.
        id: String,
    },
    /// Replay recorded history: what these policies would have done, and whether it was done then
    #[command(after_help = "\
History before --since is not read: what a session did then is not known to the replay.

Examples:
  halctl policies test --since 7d
  halctl policies test --since 24h --config changed.config.json")]
    Test {
        /// From when on: `7d` ago, or an RFC 3339 time
        #[arg(long, value_name = "WHEN", value_parser = moment, default_value = "7d")]
        since: Moment,
        /// The policies of this supervisor configuration instead of those in force
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Only what concerns this session
        #[arg(long, visible_alias = "session-id", value_name = "ID")]
        session: Option<String>,
    },
}
