//! The agent's command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::config::{Config, SAMPLE, read};
use hal_base::daemon::{Daemon, version};
use hal_base::exit;
use hal_base::secret::Secret;
use hal_base::tls::Pin;
use hal_protocol::default;

/// How `hal-agent` is called.
pub const DAEMON: Daemon<Config> = Daemon {
    name: "hal-agent",
    about: "Runs the coding agents of this machine and reports to the supervisor. To join a supervisor: hal-agent join --help; to choose the user they run as: hal-agent setup --help",
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
    Setup(Setup),
    /// Join a supervisor: make a key for this machine and write it down in the configuration; `halctl join-token create`
    /// prints the line
    Join(Join),
}

/// Who is to run the service.
#[derive(Debug, Args)]
pub struct Setup {
    /// The user who owns the projects
    #[arg(long, value_name = "NAME")]
    pub user: String,
}

/// Which supervisor to join, and as what.
#[derive(Debug, Args)]
pub struct Join {
    /// The supervisor's address, such as `https://hal.example.org:8420`
    #[arg(value_name = "URL")]
    pub url: String,
    /// The token for joining; with `-` it is read from standard input
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub token: Secret,
    /// The supervisor's key, as the line says it; without it an authority of this system must have signed its certificate
    #[arg(long, value_name = "PIN")]
    pub pin: Option<Pin>,
    /// What the node is to be called; by default as configured, else the machine's name
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<String>,
    /// The configuration that is to say so
    #[arg(long, value_name = "PATH", default_value = default::AGENT_CONFIG)]
    pub config: PathBuf,
}

fn secret(text: &str) -> Result<Secret, String> {
    if text != "-" {
        return Ok(Secret::new(text));
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    Ok(Secret::new(line.trim()))
}

/// What the command line asks of this machine.
#[derive(Debug)]
pub enum MachineOrder {
    /// Run the service as another user.
    Setup(Setup),
    /// Join a supervisor.
    Join(Join),
}

impl Machine {
    /// True for a first word that is one of these.
    pub fn is_asked(word: &std::ffi::OsStr) -> bool {
        word == "setup" || word == "join"
    }

    /// What is to be done.
    pub fn order(self) -> MachineOrder {
        match self.part {
            Part::Setup(setup) => MachineOrder::Setup(setup),
            Part::Join(join) => MachineOrder::Join(join),
        }
    }
}

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    DAEMON.command().subcommands(Machine::command().get_subcommands().cloned())
}
