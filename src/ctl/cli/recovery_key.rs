//! Command line of `halctl recovery-key`: what may be typed.

use clap::{Args, Subcommand};

/// What is asked for.
#[derive(Debug, Args)]
pub struct RecoveryKeyArgs {
    /// Make another one in the place of the one that there is, which opens nothing any more then
    #[arg(long)]
    pub replace: bool,
    /// What to do; without one, a recovery key is made.
    #[command(subcommand)]
    pub verb: Option<RecoveryKeyVerb>,
}

/// What can be done beside making one.
#[derive(Debug, Subcommand)]
pub enum RecoveryKeyVerb {
    /// Show whether there is one, who has made it, and when
    Status,
}
