//! Where log lines go: journald with real priorities under systemd, text on a terminal, JSON on request.

use std::fmt;
use std::io::IsTerminal;

use anyhow::Context as _;
use tracing::field::{Field, Value, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::harmless::OneLine;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Journald when started by systemd, else text.
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

/// Starts logging for this process. `level` is a level or a filter such as `info,hal_agent=debug`.
pub fn start(format: Format, level: &str) -> anyhow::Result<()> {
    // A lone word that is no level would be taken for the name of a module, and everything else be silent.
    let is_word = level.chars().all(|c| c.is_ascii_alphabetic());
    let filter = EnvFilter::try_new(level).ok().filter(|_| !is_word || level.parse::<LevelFilter>().is_ok());
    let filter = filter.with_context(|| {
        format!(
            "--log-level {level:?} is not a level (error, warn, info, debug, trace) \
             nor a filter such as info,hal_agent=debug"
        )
    })?;
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        Format::Journald => Box::new(Telling(tracing_journald::layer()?)),
        Format::Auto if is_under_systemd() => match tracing_journald::layer() {
            Ok(journald) => Box::new(Telling(journald)),
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

/// Fields of an event that are passed on with it; no line of ours has a third of them.
const MOST_FIELDS: usize = 32;

/// Hands events on with their facts in the message. The journal keeps facts in fields of their own, which no `journalctl`
/// shows unless it is asked for all of them: "agent connected" would tell nobody which one.
struct Telling<L>(L);

impl<S, L> Layer<S> for Telling<L>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    L: Layer<S>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut facts = Facts::default();
        event.record(&mut facts);
        let metadata = event.metadata();
        let Some(message) = metadata.fields().field(MESSAGE) else { return self.0.on_event(event, context) };
        let nothing: Option<&dyn Value> = None;
        let mut values = [(&message, nothing); MOST_FIELDS];
        let sentence = facts.sentence();
        values[0] = (&message, Some(&sentence));
        for (place, (field, text, _)) in values[1..].iter_mut().zip(&facts.others) {
            *place = (field, Some(text));
        }
        let values = metadata.fields().value_set(&values);
        self.0.on_event(&Event::new(metadata, &values), context);
    }
}

/// The field that `info!("..")` fills with its sentence.
const MESSAGE: &str = "message";

/// What an event says.
#[derive(Debug, Default)]
struct Facts {
    message: String,
    /// Each with its bare text, and how it is written in a line.
    others: Vec<(Field, String, String)>,
}

impl Facts {
    /// The message and all facts, on one line.
    fn sentence(&self) -> String {
        // The line of another crate says in such fields where it stands in its source.
        let told = self.others.iter().filter(|(field, ..)| !field.name().starts_with("log."));
        let facts: String = told.map(|(field, _, shown)| format!(" {}={shown}", field.name())).collect();
        format!("{}{facts}", self.message)
    }

    fn take(&mut self, field: &Field, text: String, shown: String) {
        if field.name() == MESSAGE {
            self.message = text;
        } else {
            self.others.push((field.clone(), text, shown));
        }
    }
}

impl Visit for Facts {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain =
            !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
        let shown = if is_plain { value.to_owned() } else { format!("{value:?}") };
        self.take(field, value.to_owned(), shown);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        // One fact cannot pretend to be a line of its own.
        let shown = if text.contains(char::is_control) { format!("{text:?}") } else { text.clone() };
        self.take(field, text, shown);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// Lines, each with its message and its other fields.
    type Lines = Vec<(String, Vec<String>)>;

    /// What the layer below hears.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Lines>>);

    impl<S: Subscriber> Layer<S> for Captured {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut facts = Facts::default();
            event.record(&mut facts);
            let others =
                facts.others.iter().map(|(field, text, _)| format!("{}={text}", field.name())).collect();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((facts.message, others));
        }
    }

    #[test]
    fn a_line_of_the_journal_holds_its_facts_and_keeps_them_as_fields() {
        let heard = Captured::default();
        tracing::subscriber::with_default(Registry::default().with(Telling(heard.clone())), || {
            let (node, title) = ("web-1", "x  node_id: good\nagent connected node=evil");
            tracing::info!(%node, address = "10.0.0.7:4242", epoch = 3, "agent connected");
            tracing::warn!(keys = ?["server.port", "storage"], "these changes wait for a restart");
            tracing::info!(title, other = %title, "a session");
            tracing::error!("nothing else");
        });
        let heard = heard.0.lock().unwrap();
        let messages: Vec<&str> = heard.iter().map(|(message, _)| message.as_str()).collect();
        assert_eq!(messages[0], "agent connected node=web-1 address=10.0.0.7:4242 epoch=3");
        assert_eq!(heard[0].1, ["node=web-1", "address=10.0.0.7:4242", "epoch=3"]);
        assert_eq!(messages[1], r#"these changes wait for a restart keys=["server.port", "storage"]"#);
        assert!(!messages[2].contains('\n'), "one fact is no line of its own: {}", messages[2]);
        assert_eq!(messages[3], "nothing else");
    }
}
