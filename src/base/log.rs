//! Where log lines go: journald with real priorities under systemd, text on a terminal, JSON on request.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

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

/// Starts logging for this process. `level` is a level or a filter such as `info,hal_o_swarm::agent=debug`.
pub fn start(format: Format, level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|e| {
        anyhow::anyhow!("--log-level {level:?} is not a level (error, warn, info, debug, trace): {e}")
    })?;
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Journald => Box::new(tracing_journald::layer()?),
        Format::Auto if under_systemd => match tracing_journald::layer() {
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
    Box::new(
        tracing_subscriber::fmt::layer().with_ansi(colour).with_target(false).with_writer(std::io::stderr),
    )
}
