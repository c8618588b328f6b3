//! The supervisor's command line.

use super::config::{Config, DEFAULT_PATH, SAMPLE, read};
use crate::base::daemon::Daemon;

/// How `hal-supervisor` is called.
pub const DAEMON: Daemon<Config> = Daemon {
    name: "hal-supervisor",
    about: "Watches and steers the coding agents of all nodes; agents and people connect to it.",
    default_config: DEFAULT_PATH,
    sample: SAMPLE,
    read,
};
