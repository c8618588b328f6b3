//! The command line that both daemons share: help, version, a sample configuration, validating, starting.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::config::{ConfigReport, Finding, Purpose, Reading, Severity, backup, service};
use super::exit::{self, Exit, Failure};
use super::log;

/// What [`version`] answers.
static VERSION: OnceLock<&str> = OnceLock::new();

/// Says the version of all programs: the executable does, before anything else. Only it knows the commit, so that a new
/// commit alone makes nothing else to be built again.
pub fn say_version(version: &'static str) {
    VERSION.get_or_init(|| version);
}

/// The version of all programs, such as `0.1.0 (57f41f8)`; in a process that did not say the commit, without it.
pub fn version() -> &'static str {
    VERSION.get().copied().unwrap_or(env!("CARGO_PKG_VERSION"))
}

/// What makes one daemon's command line different from the other's.
pub struct Daemon<C> {
    /// Its own name, such as `hal-agent`.
    pub name: &'static str,
    /// One sentence of what it is.
    pub about: &'static str,
    /// The configuration file when none is named.
    pub default_config: &'static str,
    /// A configuration file, ready to be edited.
    pub sample: &'static str,
    /// Reads a configuration file.
    pub read: fn(&Path, Purpose) -> Reading<C>,
}

/// What the command line asks for.
pub enum DaemonOrder<C> {
    /// Nothing is left to do but to print this on standard output.
    Print(String),
    /// Start with this configuration. Logging is on already, and warnings were logged.
    Start(Start<C>),
}

/// A daemon about to start.
pub struct Start<C> {
    /// What it runs on.
    pub config: C,
    /// The file, to be read again when a reload is asked for.
    pub path: PathBuf,
}

#[derive(Parser)]
#[command(version = version(), after_help = exit::HELP, disable_help_subcommand = true)]
struct Options {
    /// The configuration file: JSON, comments allowed.
    #[arg(long, value_name = "PATH")]
    config: PathBuf,
    /// Check everything that can be checked without starting, print every problem, and exit 0 or 78.
    #[arg(long)]
    validate: bool,
    /// Check whether a daemon could start with the file or reload it, as a reload does first, and exit 0 or
    /// 78. What is missing but not essential is a warning.
    #[arg(long, conflicts_with_all = ["validate", "keep_backup"])]
    check: bool,
    /// Copy a file that a daemon can start with to PATH.backup, with its owner and permissions, and exit.
    #[arg(long, conflicts_with = "validate")]
    keep_backup: bool,
    /// With --keep-backup: only a configuration whose SHA-256 is in this file, as hal-agent writes it to
    /// $RUNTIME_DIRECTORY/vouched once a supervisor has welcomed it.
    #[arg(long, value_name = "FILE", requires = "keep_backup", hide = true)]
    vouched_by: Option<PathBuf>,
    /// Print a configuration file with every key explained, ready to be edited.
    #[arg(long)]
    print_sample_config: bool,
    /// The log level: error, warn, info, debug, trace, or a filter such as `info,hal_agent=debug`.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
    /// The format of log lines.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: log::Format,
}

impl<C> Daemon<C> {
    /// Reads the command line. `called` is how the program was called: its name, or `hal agent`. `args` are the
    /// arguments after that.
    pub fn order(&self, called: &str, args: Vec<OsString>) -> Result<DaemonOrder<C>, Failure> {
        let options = match self.options(called, args) {
            Ok(options) => options,
            Err(error) => return explained(error).map(DaemonOrder::Print),
        };
        if options.print_sample_config {
            return Ok(DaemonOrder::Print(self.sample.to_string()));
        }
        if options.validate {
            return self.validate(&options.config).map(DaemonOrder::Print);
        }
        if options.check {
            let (_, report) = self.read_file(&options.config, Purpose::Run)?;
            print(&report);
            return Ok(DaemonOrder::Print(String::new()));
        }
        if options.keep_backup {
            return self.keep_backup(&options.config, options.vouched_by.as_deref()).map(DaemonOrder::Print);
        }
        self.start(options).map(DaemonOrder::Start)
    }

    /// The whole command line, for man pages and completions.
    pub fn command(&self) -> clap::Command {
        Options::command()
            .name(self.name)
            .about(self.about)
            .mut_arg("config", |config| config.required(false).default_value(self.default_config))
    }

    fn options(&self, called: &str, args: Vec<OsString>) -> Result<Options, clap::Error> {
        let command = self.command().bin_name(called);
        let words = std::iter::once(OsString::from(called)).chain(args.into_iter().map(long_config));
        Options::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    fn validate(&self, path: &Path) -> Result<String, Failure> {
        service::judge_for_unit(self.name, path);
        let (_, report) = self.read_file(path, Purpose::Validate)?;
        print(&report);
        let warnings = report.summary();
        let comma = if warnings.is_empty() { "" } else { ", " };
        Ok(format!("{}: ok{comma}{warnings}\n", path.display()))
    }

    /// What is absent on this machine keeps no daemon from starting, so it does not keep the file from being kept.
    fn keep_backup(&self, path: &Path, vouched_by: Option<&Path>) -> Result<String, Failure> {
        if vouched_by.is_none() {
            self.read_file(path, Purpose::Run)?;
        }
        let kept = backup::keep(path, vouched_by);
        let kept = kept.with_context(|| format!("cannot keep a copy of {}", path.display()))?;
        Ok(match kept {
            Some(copy) => format!("{}\n", copy.display()),
            None => format!("{} is not kept: no supervisor has welcomed it yet\n", path.display()),
        })
    }

    fn start(&self, options: Options) -> Result<Start<C>, Failure> {
        log::start(options.log_format, &options.log_level)
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        let (config, report) = self.read_file(&options.config, Purpose::Run)?;
        warn_of(&report);
        Ok(Start { config, path: options.config })
    }

    /// Reads the file; of a bad one, prints every problem and leaves the count to whoever prints the failure.
    fn read_file(&self, path: &Path, purpose: Purpose) -> Result<(C, ConfigReport), Failure> {
        (self.read)(path, purpose).map_err(|report| {
            print(&report);
            let mut sentence = format!("{}: {}", report.file, report.summary());
            if !path.exists() {
                let name = self.name;
                sentence.push_str(&format!("; to begin with a sample: {name} --print-sample-config"));
            }
            Failure::say(Exit::BadConfig, sentence)
        })
    }
}

/// Reads the file of a running daemon again. `None`: it is no good, the log says why, and nothing is to change.
pub fn reread<C>(path: &Path, read: fn(&Path, Purpose) -> Reading<C>) -> Option<C> {
    match read(path, Purpose::Run) {
        Ok((config, report)) => {
            warn_of(&report);
            Some(config)
        }
        Err(report) => {
            tracing::error!("reload: nothing changed, the file has problems:");
            report.text().lines().for_each(|line| tracing::error!("{line}"));
            None
        }
    }
}

fn warn_of(report: &ConfigReport) {
    for finding in &report.findings {
        tracing::warn!("{finding}");
    }
}

/// Reads any other command line of ours. `called` is how the program was called. `Err(Ok(text))`: help or version,
/// to be printed.
pub fn typed<P: Parser>(called: &str, args: Vec<OsString>) -> Result<P, Result<String, Failure>> {
    let command = P::command().bin_name(called).version(version());
    let words = std::iter::once(OsString::from(called)).chain(args);
    let matches = command.try_get_matches_from(words);
    matches.and_then(|matches| P::from_arg_matches(&matches)).map_err(explained)
}

/// The same with a word of one's own for some mistakes.
pub fn typed_or<P: Parser>(
    called: &str,
    args: Vec<OsString>,
    better: impl FnOnce(&clap::Command, &clap::Error) -> Option<String>,
) -> Result<P, Result<String, Failure>> {
    let mut command = P::command().bin_name(called).version(version());
    let words = std::iter::once(OsString::from(called)).chain(args);
    let matches = command.try_get_matches_from_mut(words);
    matches.and_then(|matches| P::from_arg_matches(&matches)).map_err(|error| {
        match better(&command, &error) {
            Some(sentence) => Err(Failure::say(Exit::Usage, sentence)),
            None => explained(error),
        }
    })
}

/// Help and version are answers; all else is a failure, said without clap's own `error:`.
fn explained(error: clap::Error) -> Result<String, Failure> {
    let text = error.to_string();
    match error.kind() {
        // Who types a noun alone asks what there is.
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Ok(text),
        _ => {
            let sentence = text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_string();
            Err(Failure::say(Exit::Usage, sentence))
        }
    }
}

/// The predecessor's flag had one dash.
fn long_config(word: OsString) -> OsString {
    match word.to_str() {
        Some(text) if text == "-config" || text.starts_with("-config=") => format!("-{text}").into(),
        _ => word,
    }
}

/// Prints findings on standard error: under systemd a line each, with its priority; else with source lines.
fn print(report: &ConfigReport) {
    let text = if log::is_under_systemd() {
        report.findings.iter().map(journal_line).collect()
    } else {
        report.coloured()
    };
    // The stream takes the colours off when it is not a terminal. When it is closed there is nobody to tell.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

fn journal_line(finding: &Finding) -> String {
    let priority = match finding.severity {
        Severity::Problem => log::JOURNAL_ERROR,
        Severity::Warning => log::JOURNAL_WARNING,
    };
    format!("{priority}{finding}\n")
}
