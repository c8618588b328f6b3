//! The agent's command line.

use super::config::{Config, DEFAULT_PATH, SAMPLE, read};
use crate::base::daemon::Daemon;

/// How `hal-agent` is called.
pub const DAEMON: Daemon<Config> = Daemon {
    name: "hal-agent",
    about: "Runs the coding agents of this machine and tells the supervisor what they do.",
    default_config: DEFAULT_PATH,
    sample: SAMPLE,
    read,
};
