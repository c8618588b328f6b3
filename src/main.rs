//! The executable: finds out which program it is, runs it, and prints its failure once.

use std::io::Write;
use std::process::ExitCode;

use hal_o_swarm::base::config::Purpose;
use hal_o_swarm::base::daemon::{Order, Start, VERSION};
use hal_o_swarm::base::exit::{self, Exit, Failure};
use hal_o_swarm::base::{log, signals};
use hal_o_swarm::role::{Call, Named, Role, named};
use hal_o_swarm::{agent, supervisor};

const HELP: &str = "\
HAL-O-SWARM: a distributed supervisor for autonomous coding agents.

Usage: hal <PROGRAM> [ARGUMENTS]...

Programs:
  up          A supervisor and an agent for the current folder, in one process: start here
  ctl         What people type at a terminal (also called halctl)
  supervisor  The daemon that agents and people connect to (also called hal-supervisor)
  agent       The daemon on every machine that runs coding agents (also called hal-agent)

Each explains itself: hal <PROGRAM> --help
";

fn main() -> ExitCode {
    let (program, outcome) = match named(std::env::args_os()) {
        Named::Help => ("hal", Ok(print(&format!("{HELP}\n{}\n", exit::HELP)))),
        Named::Version => ("hal", Ok(print(&format!("hal {VERSION}\n")))),
        Named::Unknown(word, meant) => ("hal", Err(unknown(&word, meant))),
        Named::Program(call) => (call.role.program(), run(call)),
    };
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            let priority = if log::is_under_systemd() { log::JOURNAL_ERROR } else { "" };
            // When standard error is closed there is nobody left to tell; the exit code stands.
            let _ = writeln!(std::io::stderr(), "{priority}{program}: error: {failure}");
            failure.exit.into()
        }
    }
}

fn run(call: Call) -> Result<(), Failure> {
    // Fails only when a provider is there already, and this is the only place that installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match call.role {
        Role::Supervisor => match supervisor::cli::DAEMON.order(&call.called, call.args)? {
            Order::Print(text) => Ok(print(&text)),
            Order::Start(start) => runtime()?.block_on(supervisor::run::run(start)),
        },
        Role::Agent => match agent::cli::DAEMON.order(&call.called, call.args)? {
            Order::Print(text) => Ok(print(&text)),
            Order::Start(start) => runtime()?.block_on(run_agent(start)),
        },
        Role::Ctl | Role::Up => Err(not_in_this_build(call.role)),
    }
}

async fn run_agent(start: Start<agent::config::Config>) -> Result<(), Failure> {
    let _ = (start.config, signals::Signals::listen().map_err(anyhow::Error::from)?);
    let _ = agent::config::read(&start.path, Purpose::Run);
    Err(not_in_this_build(Role::Agent))
}

fn not_in_this_build(role: Role) -> Failure {
    Failure::say(Exit::Failed, format!("{} is not part of this build", role.program()))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::from(anyhow::Error::new(error).context("cannot start worker threads")))
}

fn unknown(word: &str, meant: Option<&str>) -> Failure {
    let meant = meant.map(|meant| format!(", did you mean \"{meant}\"?")).unwrap_or_default();
    Failure::say(Exit::Usage, format!("there is no program \"{word}\"{meant} See: hal --help"))
}

/// Prints on standard output. A reader that went away, as `| head` does, is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
