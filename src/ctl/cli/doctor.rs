//! Command line of `halctl doctor`: what may be typed.

use std::path::PathBuf;

use clap::Args;

use hal_protocol::default;

/// What follows the help of `halctl doctor`.
pub const DOCTOR_HELP: &str = "\
Works on the supervisor's machine and on an agent's, whichever has its configuration or its unit here,
also while the supervisor is down. Run it as root: other users see less, and the notes say what is missing.

Examples:
  sudo halctl doctor
  sudo halctl doctor --fix
  halctl doctor --fleet -o json
  sudo halctl doctor | grep 'severity: critical'

Exit codes: 0 no finding above low; 3 findings above low; 1 a fix was tried and did not help.";

/// The configurations of a machine.
#[derive(Clone, Debug, Args)]
pub struct Machine {
    /// The supervisor's configuration, if it belongs on this machine
    #[arg(long, value_name = "FILE", default_value = default::SUPERVISOR_CONFIG)]
    pub supervisor_config: PathBuf,
    /// The agent's configuration, if it belongs on this machine
    #[arg(long, value_name = "FILE", default_value = default::AGENT_CONFIG)]
    pub agent_config: PathBuf,
}

/// `halctl doctor`.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// Apply safe fixes, after asking: restart what is down, replace a bad configuration or database by a
    /// good copy, restore the owner of files, make a backup; then check whether it helped
    #[arg(long)]
    pub fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Also ask the supervisor about every node: memory, disk, clock, version, lag, coding agents
    #[arg(long)]
    pub fleet: bool,
    /// Which files.
    #[command(flatten)]
    pub machine: Machine,
}
