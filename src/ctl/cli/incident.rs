//! Command line of `halctl incident`: what may be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::doctor::Machine;
use super::{duration, severity};
use hal_protocol::alert::Severity;

/// Which folder of incidents.
#[derive(Clone, Debug, Args)]
pub struct Shelf {
    /// Where incidents are kept; by default /var/lib/hal-o-swarm/incidents for root, else
    /// ~/.local/state/hal-o-swarm/incidents [env: HALCTL_INCIDENT_FOLDER]
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

/// What can be done with incidents.
#[derive(Debug, Subcommand)]
pub enum IncidentVerb {
    /// Open an incident
    #[command(after_help = "\
Example:
  sudo halctl incident open --severity high \"web-1 does not come back\"")]
    Open {
        /// What it is, in one sentence.
        #[arg(allow_hyphen_values = true)]
        title: String,
        /// Its severity: low, medium, high or critical
        #[arg(long, default_value = "medium", value_name = "SEVERITY", value_parser = severity)]
        severity: Severity,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
    /// Collect logs, configurations, doctor's findings, events and metrics into one archive, without secrets
    #[command(after_help = "\
Example:
  sudo halctl incident collect
  tar -tzf /var/lib/hal-o-swarm/incidents/inc-20261126T101500Z/inc-20261126T101500Z.20261126T102000Z.tar.gz")]
    Collect {
        /// The incident; by default the only one that is open.
        id: Option<String>,
        /// How far back events, commands and audit records go
        #[arg(long, default_value = "2h", value_name = "TIME", value_parser = duration)]
        since: Duration,
        /// Write the archive here instead
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Which files.
        #[command(flatten)]
        machine: Machine,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
    /// Add a note: what was seen or tried
    #[command(after_help = "\
Example:
  halctl incident note \"restarted hal-agent on web-1, no change\"")]
    Note {
        /// The sentence.
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// The incident; by default the only one that is open.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
    /// Post a status update; one is due every 15 minutes while the incident is open
    #[command(after_help = "\
Example:
  halctl incident update --severity critical \"the database cannot be opened, restoring\"")]
    Update {
        /// The current status, in one sentence.
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// Its new severity: low, medium, high or critical
        #[arg(long, value_name = "SEVERITY", value_parser = severity)]
        severity: Option<Severity>,
        /// The incident; by default the only one that is open.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
    /// Close an incident
    #[command(after_help = "\
Example:
  halctl incident close \"the backup of 02:00 was restored; nodes have sent the rest\"")]
    Close {
        /// The cause, and what helped.
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// The incident; by default the only one that is open.
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
    /// List incidents, newest first, and when the next update of an open one is due
    #[command(visible_alias = "ls")]
    List {
        /// Only those that are open
        #[arg(long)]
        open: bool,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
    /// Show an incident with its timeline
    #[command(alias = "show")]
    Get {
        /// The incident; by default the only one that is open.
        id: Option<String>,
        /// The folder of incidents.
        #[command(flatten)]
        shelf: Shelf,
    },
}
