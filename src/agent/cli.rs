//! The agent's command line.

use clap::{CommandFactory, Parser, Subcommand};

use super::config::{Config, SAMPLE, read};
use hal_base::daemon::{Daemon, version};
use hal_base::exit;
use hal_protocol::default;

/// How `hal-agent` is called.
pub const DAEMON: Daemon<Config> = Daemon {
    name: "hal-agent",
    about: "Runs the coding agents of this machine and reports to the supervisor. To choose the user they run as: hal-agent setup --help",
    default_config: default::AGENT_CONFIG,
    sample: SAMPLE,
    read,
};

/// Change how the agent of this machine is run.
#[derive(Debug, Parser)]
#[command(name = "hal-agent", version = version(), after_help = exit::HELP, disable_help_subcommand = true)]
pub struct Machine {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Run the service as the user who owns the projects; needs root
    Setup {
        /// The user who owns the projects
        #[arg(long, value_name = "NAME")]
        user: String,
    },
}

impl Machine {
    /// Who is to run it.
    pub fn user(self) -> String {
        let Part::Setup { user } = self.part;
        user
    }
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    DAEMON.command().subcommands(Machine::command().get_subcommands().cloned())
}
