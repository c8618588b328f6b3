//! Where log lines go: journald with real priorities under systemd, text on a terminal, JSON on request.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::harmless::OneLine;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Journald when systemd started us, else text.
    #[default]
    Auto,
    /// One readable line each, on standard error.
    Text,
    /// One JSON object each, on standard error.
    Json,
    /// Straight to journald, with priorities and fields.
    Journald,
}

/// Written before a line on standard error, this gives it the priority `err` in the journal.
pub const JOURNAL_ERROR: &str = "<3>";

/// Written before a line on standard error, this gives it the priority `warning` in the journal.
pub const JOURNAL_WARNING: &str = "<4>";

/// True when standard error goes to the journal: systemd names its device and inode in `JOURNAL_STREAM`.
pub fn is_under_systemd() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Starts logging for this process. `level` is a level or a filter such as `info,hal_o_swarm::agent=debug`.
pub fn start(format: Format, level: &str) -> anyhow::Result<()> {
    // A lone word that is no level would be taken for the name of a module, and everything else be silent.
    let is_word = level.chars().all(|c| c.is_ascii_alphabetic());
    let filter = EnvFilter::try_new(level).ok().filter(|_| !is_word || level.parse::<LevelFilter>().is_ok());
    let filter = filter.with_context(|| {
        format!(
            "--log-level {level:?} is not a level (error, warn, info, debug, trace) \
             nor a filter such as info,hal_o_swarm::agent=debug"
        )
    })?;
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Journald => Box::new(tracing_journald::layer()?),
        Format::Auto if is_under_systemd() => match tracing_journald::layer() {
            Ok(journald) => Box::new(journald),
            Err(_) => text(),
        },
        Format::Json => {
            Box::new(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
        }
        Format::Auto | Format::Text => text(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init()?;
    Ok(())
}

fn text() -> Box<dyn Layer<Registry> + Send + Sync> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // The words of others in a line must not begin another one. Each is handed over as a whole.
    let line = move || OneLine::new(std::io::stderr(), colour);
    Box::new(tracing_subscriber::fmt::layer().with_ansi(colour).with_target(false).with_writer(line))
}
