//! The executable: finds out which program it is, runs it, and prints its failure once.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use hal_o_swarm::agent::cli::{Machine, MachineOrder};
use hal_o_swarm::agent::leave::Clearing;
use hal_o_swarm::base::daemon::{self, DaemonOrder, typed};
use hal_o_swarm::base::exit::{self, Exit, Failure};
use hal_o_swarm::base::harmless::clean;
use hal_o_swarm::base::{log, panic};
use hal_o_swarm::role::{Call, Named, Role, named};
use hal_o_swarm::supervisor::cli::Offline;
use hal_o_swarm::{agent, ctl, manual, supervisor, up};
use tokio::runtime::{Builder, Runtime};

/// Of all programs, with the commit they were built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("HAL_COMMIT"), ")");

const HELP: &str = "\
HAL-O-SWARM: a distributed supervisor for autonomous coding agents.

Usage: hal <PROGRAM> [ARGUMENTS]...

Programs:
  up          A supervisor and an agent for the current folder, in one process: start here
  ctl         What people type at a terminal (also called halctl)
  supervisor  The daemon that agents and people connect to (also called hal-supervisor)
  agent       The daemon on every machine that runs coding agents (also called hal-agent)
  manual      Man pages and shell completions, written into a folder

Each explains itself: hal <PROGRAM> --help
";

/// What `hal-supervisor` asks of the running supervisor, as halctl does.
const ASKED: [&str; 3] = ["join-token", "recovery-key", "secure"];

fn main() -> ExitCode {
    daemon::say_version(VERSION);
    let (program, outcome) = match named(std::env::args_os()) {
        Named::Help => ("hal", print(&format!("{HELP}\n{}\n", exit::HELP))),
        Named::Version => ("hal", print(&format!("hal {VERSION}\n"))),
        Named::Unknown(word, meant) => ("hal", Err(unknown(&word, meant))),
        Named::Program(call) => (call.role.program(), run(call)),
    };
    match outcome {
        Ok(()) => Exit::Done.into(),
        Err(failure) if failure.is_silent() => failure.exit.into(),
        Err(failure) => {
            let priority = if log::is_under_systemd() { log::JOURNAL_ERROR } else { "" };
            // When standard error is closed there is nobody left to tell; the exit code stands.
            let _ =
                writeln!(std::io::stderr(), "{priority}{program}: error: {}", clean(&failure.to_string()));
            failure.exit.into()
        }
    }
}

fn run(call: Call) -> Result<(), Failure> {
    panic::end_the_process();
    // Fails only when a provider is there already, and this is the only place that installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match call.role {
        Role::Supervisor if call.args.first().is_some_and(|word| Offline::is_asked(word)) => {
            match typed(&call.called, call.args) {
                Err(text) => print(&text?),
                Ok(options) => print(&supervisor::offline::run(options)?),
            }
        }
        // Whoever sets up a fleet looks for it here; the running supervisor is asked, as by halctl.
        Role::Supervisor
            if call.args.first().is_some_and(|word| ASKED.iter().any(|asked| word == *asked)) =>
        {
            match ctl::slip::read(&call.called, call.args) {
                Err(text) => print(&text?),
                Ok(cli) => runtime()?.block_on(ctl::run(cli)),
            }
        }
        Role::Supervisor => match supervisor::cli::DAEMON.order(&call.called, call.args)? {
            DaemonOrder::Print(text) => print(&text),
            DaemonOrder::Start(start) => runtime()?.block_on(supervisor::run::run(start)),
        },
        Role::Agent if call.args.first().is_some_and(|word| Machine::is_asked(word)) => {
            match typed::<Machine>(&call.called, call.args).map(Machine::order) {
                Err(text) => print(&text?),
                Ok(MachineOrder::Setup(setup)) => print(&agent::setup::run(&setup.user)?),
                Ok(MachineOrder::Join(join)) => print(&one_thread()?.block_on(agent::join::run(join))?),
            }
        }
        Role::Agent => match agent::cli::DAEMON.order(&call.called, call.args)? {
            DaemonOrder::Print(text) => print(&text),
            DaemonOrder::Start(start) => one_thread()?.block_on(agent::run::run(start)),
        },
        Role::Ctl if ctl::complete::answer(&std::env::args_os().collect::<Vec<_>>())? => Ok(()),
        Role::Ctl => match ctl::slip::read(&call.called, call.args) {
            Err(text) => print(&text?),
            Ok(cli) => runtime()?.block_on(ctl::run(cli)),
        },
        Role::Up => match typed(&call.called, call.args) {
            Err(text) => print(&text?),
            Ok(options) => runtime()?.block_on(up::run(options)),
        },
        Role::Manual => match typed(&call.called, call.args) {
            Err(text) => print(&text?),
            Ok(options) => manual::run(&options),
        },
        Role::Hold if !call.args.is_empty() => match Clearing::of(&call.args[0]) {
            Some(clearing) => {
                one_thread()?.block_on(agent::leave::clear(clearing, call.args.get(1)));
                Ok(())
            }
            None => Err(Failure::say(Exit::Usage, "only hal-agent and its unit start this")),
        },
        // Started with an order on its standard input; a person who types it is told so.
        Role::Hold => agent::backend::hold::holder::run()
            .map_err(|error| Failure::say(Exit::Usage, format!("only hal-agent starts this: {error}"))),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    started(Builder::new_multi_thread())
}

/// An agent mostly waits: more threads would make it larger, and each answer one wake-up slower.
fn one_thread() -> Result<Runtime, Failure> {
    started(Builder::new_current_thread())
}

fn started(mut builder: Builder) -> Result<Runtime, Failure> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|error| Failure::from(anyhow::Error::new(error).context("cannot start worker threads")))
}

fn unknown(word: &str, meant: Option<&str>) -> Failure {
    let meant = meant.map_or_else(|| ";".to_string(), |meant| format!(", did you mean \"{meant}\"?"));
    Failure::say(Exit::Usage, format!("there is no program \"{word}\"{meant} see hal --help"))
}

/// Prints on standard output. A reader that went away, as `| head` does, is no error; a full disk is.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output").into())
        }
        _ => Ok(()),
    }
}
