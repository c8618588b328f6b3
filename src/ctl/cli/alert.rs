//! Command line of `halctl alerts`: what may be typed.

use std::time::Duration;

use clap::Subcommand;

use super::list::ListArgs;
use super::{duration, severity};
use hal_protocol::alert::Severity;

/// What can be done with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertVerb {
    /// List open alerts, newest first
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  halctl alerts list --severity high
  halctl alerts list --status all --name node.offline"
    )]
    List {
        /// Only those `firing`, `acknowledged`, `resolved`, `open` (not resolved), or `all`
        #[arg(long, default_value = "open", value_name = "STATUS", hide_default_value = true)]
        status: String,
        /// Only those of at least this severity: low, medium, high or critical
        #[arg(long, value_name = "SEVERITY", value_parser = severity)]
        severity: Option<Severity>,
        /// Only those of this kind, such as node.offline
        #[arg(long)]
        name: Option<String>,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
    /// Show one alert
    #[command(alias = "show")]
    Get {
        /// The alert's id.
        id: String,
    },
    /// Acknowledge alerts. One-off alerts are closed by it; lasting ones stay open but stop notifying
    Ack {
        /// The alerts' ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Silence alerts for a while; without a subcommand, list the silences
    #[command(after_help = "\
Silenced alerts are still raised and listed. Those still open when the silence ends are notified then.

Examples:
  halctl alerts silence add node.offline --for 2h --reason \"the network is being moved\"
  halctl alerts silence add 'alert.about == \"web-1\"' --for 30m
  halctl alerts silence list
  halctl alerts silence expire 019ac1d0-6b3e-7c3e-9c57-5a3e0d1f2b4c")]
    Silence {
        /// What to do with silences; by default `list`.
        #[command(subcommand)]
        verb: Option<SilenceVerb>,
    },
}

/// What can be done with silences.
#[derive(Debug, Subcommand)]
pub enum SilenceVerb {
    /// List active silences
    #[command(visible_alias = "ls")]
    List,
    /// Add a silence
    Add {
        /// Which alerts: a name such as node.offline or disk.*, or a rule such as 'alert.severity < high'.
        matches: String,
        /// For how long
        #[arg(long = "for", default_value = "1h", value_name = "TIME", value_parser = duration)]
        span: Duration,
        /// Why
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            value_name = "TEXT",
            allow_hyphen_values = true
        )]
        reason: String,
    },
    /// End a silence early
    Expire {
        /// The silence's id.
        id: String,
    },
}
