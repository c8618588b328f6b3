//! Command line of `hal-supervisor secure`: what may be typed.

use std::path::PathBuf;

use clap::Args;

use hal_protocol::default::SUPERVISOR_CONFIG;

/// What is to be closed, and how carefully.
#[derive(Debug, Args)]
pub struct Secure {
    /// Only show what would be changed, and who would be cut off
    #[arg(long)]
    pub dry_run: bool,
    /// Go on though somebody would be cut off
    #[arg(long)]
    pub yes: bool,
    /// The supervisor's configuration file
    #[arg(long, value_name = "PATH", default_value = SUPERVISOR_CONFIG)]
    pub config: PathBuf,
}
