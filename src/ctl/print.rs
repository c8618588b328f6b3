//! Everything halctl shows goes through one [`Screen`]: data to standard output in the shape that was asked for,
//! sentences to standard error.

pub mod record;
pub mod text;

use std::io::{self, IsTerminal, Write};

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Row, Table};
use serde::Serialize;

use super::cli::{self, Global, Output};
use crate::base::clock::{Time, now};
use crate::base::exit::{Exit, Failure};
use crate::base::harmless;
use record::{Field, Place, Record, Tone};

/// Where a program's output goes.
pub type Sink = Box<dyn Write + Send>;

/// The one writer of data and of sentences.
pub struct Screen {
    output: Output,
    color: bool,
    terminal: bool,
    headers: bool,
    out: Sink,
    aside: Sink,
}

impl Screen {
    /// The process's own standard output and error, in the shape that the flags and the terminal ask for.
    pub fn of_process(global: &Global) -> Self {
        let terminal = io::stdout().is_terminal();
        let color = match global.color {
            cli::Color::Always => true,
            cli::Color::Never => false,
            cli::Color::Auto => anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        };
        Self::to(global, terminal, color, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// A screen on any two writers. `terminal` decides the shape when no flag does.
    pub fn to(global: &Global, terminal: bool, color: bool, out: Sink, aside: Sink) -> Self {
        let output = global.output.unwrap_or(if terminal { Output::Table } else { Output::Lines });
        Self { output, color, terminal, headers: !global.no_headers, out, aside }
    }

    /// The shape of what is printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// True when a person reads along.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// True when text may carry colour.
    pub fn color(&self) -> bool {
        self.color
    }

    /// Prints a list. An empty one is nothing at all into a pipe, and `none` for a person.
    pub fn list<T: Record + Serialize>(&mut self, items: &[T], none: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => self.json(&items),
            Output::Yaml => self.yaml(&items),
            Output::Name => items.iter().try_for_each(|item| self.named(item)),
            Output::Csv => self.csv(items),
            Output::Lines => items.iter().try_for_each(|item| self.line(item)),
            Output::Table | Output::Wide if items.is_empty() => {
                self.say(none);
                Ok(())
            }
            Output::Table | Output::Wide => {
                let table = self.table(items, now());
                self.write(&table)
            }
        }
    }

    /// Prints one thing with all that is known of it.
    pub fn one<T: Record + Serialize>(&mut self, item: &T) -> Result<(), Failure> {
        match self.output {
            Output::Json => self.json(item),
            Output::Yaml => self.yaml(item),
            Output::Name => self.named(item),
            Output::Csv => self.csv(std::slice::from_ref(item)),
            Output::Lines => self.line(item),
            Output::Table | Output::Wide => {
                let text = record::sheet(item, now(), self.color);
                self.write(&text)
            }
        }
    }

    /// True when a program reads what is printed.
    pub fn is_structured(&self) -> bool {
        matches!(self.output, Output::Json | Output::Yaml)
    }

    /// Prints anything for a program.
    pub fn structured<T: Serialize + ?Sized>(&mut self, data: &T) -> Result<(), Failure> {
        if self.output == Output::Yaml { self.yaml(data) } else { self.json(data) }
    }

    /// Prints one thing of an endless list, at once: a line, or a JSON or YAML document of its own.
    pub fn next<T: Record + Serialize>(&mut self, item: &T) -> Result<(), Failure> {
        match self.output {
            Output::Json => {
                let text = harmless::json(serde_json::to_string(item).map_err(unwritable)?);
                self.write(&format!("{text}\n"))?;
            }
            Output::Yaml => {
                self.write("---\n")?;
                self.yaml(item)?;
            }
            Output::Name => self.named(item)?,
            Output::Csv => self.write(&record::csv_line(&item.fields(), Field::csv))?,
            Output::Lines => self.line(item)?,
            Output::Table | Output::Wide => {
                let text = record::row(item, self.color);
                self.write(&text)?;
            }
        }
        self.flush()
    }

    /// Prints text, which may carry colour. Whoever calls has made foreign text harmless; see [`text::clean`].
    pub fn write(&mut self, text: &str) -> Result<(), Failure> {
        // The second set of control characters is never ours.
        let is_foreign = |c: char| !c.is_ascii_control() && harmless::is_harmful(c);
        if text.contains(is_foreign) {
            return self.out.write_all(text.replace(is_foreign, "").as_bytes()).map_err(broken);
        }
        self.out.write_all(text.as_bytes()).map_err(broken)
    }

    /// Makes sure that everything printed so far can be read.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(broken)
    }

    /// Says a sentence to the person, beside the data.
    pub fn say(&mut self, sentence: &str) {
        // A person who closed standard error does not want to hear it.
        let _ = writeln!(self.aside, "{}", text::clean(sentence));
    }

    fn csv<T: Record>(&mut self, items: &[T]) -> Result<(), Failure> {
        let rows: Vec<Vec<Field>> = items.iter().map(Record::fields).collect();
        if let Some(first) = rows.first().filter(|_| self.headers) {
            self.write(&record::csv_line(first, |field| field.key.to_owned()))?;
        }
        rows.iter().try_for_each(|row| self.write(&record::csv_line(row, Field::csv)))
    }

    fn named<T: Record>(&mut self, item: &T) -> Result<(), Failure> {
        self.write(&format!("{}\n", text::one_line(&item.name())))
    }

    fn line<T: Record>(&mut self, item: &T) -> Result<(), Failure> {
        let line = record::line(item);
        self.write(&line)
    }

    fn json<T: Serialize + ?Sized>(&mut self, data: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(data).map_err(unwritable)?;
        self.write(&harmless::json(text))?;
        self.write("\n")
    }

    fn yaml<T: Serialize + ?Sized>(&mut self, data: &T) -> Result<(), Failure> {
        // By way of JSON, because an event's data is JSON text that only a JSON writer understands.
        let value = serde_json::to_value(data).map_err(unwritable)?;
        let text = yaml_serde::to_string(&value).map_err(unwritable)?;
        // JSON is YAML, and can name what YAML would print as it is.
        if text.contains(|c| !matches!(c, '\n' | '\t') && harmless::is_harmful(c)) {
            return self.json(&value);
        }
        self.write(&text)
    }

    fn table<T: Record>(&self, items: &[T], now: Time) -> String {
        let shown = |field: &Field| match field.place {
            Place::Table => true,
            Place::Wide => self.output == Output::Wide,
            Place::Detail => false,
        };
        let rows: Vec<Vec<Field>> =
            items.iter().map(|item| item.fields().into_iter().filter(shown).collect()).collect();
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_content_arrangement(if self.terminal {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        if self.color {
            table.enforce_styling();
        } else if !self.terminal {
            table.force_no_tty();
        }
        if self.headers {
            table.set_header(rows.iter().take(1).flatten().map(|field| field.key.to_uppercase()));
        }
        for row in &rows {
            let cells: Vec<Cell> =
                row.iter().map(|field| self.colored(Cell::new(field.short(now)), field.tone)).collect();
            let mut row = Row::from(cells);
            row.max_height(1);
            table.add_row(row);
        }
        for (index, field) in rows.iter().take(1).flatten().enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            column.set_padding((0, 2));
            // Names and states are copied and compared, so they are never cut; titles and sentences may be.
            if !field.long {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut text = table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
        text.push('\n');
        text
    }

    fn colored(&self, cell: Cell, tone: Tone) -> Cell {
        match tone {
            _ if !self.color => cell,
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Busy => cell.fg(Color::Cyan),
            Tone::Attention => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Quiet => cell.fg(Color::DarkGrey),
        }
    }
}

/// A reader that went away (`| head`) has got what it wanted: the failure is [`Exit::Done`], which ends the program
/// as a success.
fn broken(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::say(Exit::Done, "the reader of the output went away"),
        _ => Failure::new(Exit::Failed, anyhow::Error::new(error).context("cannot write the output")),
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::new(Exit::Failed, anyhow::Error::new(error).context("cannot write the answer in this format"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        id: String,
        data: Box<serde_json::value::RawValue>,
    }

    impl Record for Thing {
        fn fields(&self) -> Vec<Field> {
            vec![Field::new("id", &self.id), Field::new("note", self.data.get()).long()]
        }
    }

    /// What is printed into a pipe.
    #[derive(Clone, Default)]
    pub struct Paper(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(output: Option<Output>, terminal: bool, no_headers: bool) -> String {
        let things = ["a", "b"].map(|id| Thing {
            id: id.into(),
            data: crate::protocol::event::raw(&serde_json::json!({"text": "one\ntwo"})),
        });
        let paper = Paper::default();
        let global = Global { output, no_headers, ..Global::default() };
        let mut screen = Screen::to(&global, terminal, false, Box::new(paper.clone()), Box::new(io::sink()));
        screen.list(&things, "nothing").unwrap();
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_pipe_gets_a_line_for_each_record_and_a_terminal_a_table() {
        assert_eq!(printed(None, false, false).lines().count(), 2);
        assert!(printed(None, false, false).starts_with("id: a  note: "));
        assert!(printed(None, true, false).starts_with("ID  NOTE\na   "));
        assert!(printed(Some(Output::Table), false, true).starts_with("a  "));
        assert_eq!(printed(Some(Output::Name), false, false), "a\nb\n");
    }

    #[test]
    fn json_and_yaml_are_the_data_itself() {
        let json: serde_json::Value =
            serde_json::from_str(&printed(Some(Output::Json), true, false)).unwrap();
        assert_eq!(json[0]["data"]["text"], "one\ntwo");
        let yaml: serde_json::Value =
            yaml_serde::from_str(&printed(Some(Output::Yaml), true, false)).unwrap();
        assert_eq!(json, yaml);
    }

    #[test]
    fn no_shape_of_what_is_printed_commands_a_terminal() {
        let foreign = "x\u{9b}2J\u{85}\u{202e}y\x1b[31m\nz\x7f";
        let thing = Thing { id: foreign.into(), data: crate::protocol::event::raw(&[foreign]) };
        for output in [
            Output::Json,
            Output::Yaml,
            Output::Csv,
            Output::Lines,
            Output::Name,
            Output::Table,
            Output::Wide,
        ] {
            let paper = Paper::default();
            let global = Global { output: Some(output), ..Global::default() };
            let mut screen = Screen::to(&global, true, false, Box::new(paper.clone()), Box::new(io::sink()));
            screen.list(std::slice::from_ref(&thing), "").unwrap();
            screen.one(&thing).unwrap();
            screen.next(&thing).unwrap();
            let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
            let bad = text.chars().find(|c| *c != '\n' && harmless::is_harmful(*c));
            assert_eq!(bad, None, "{output:?}: {text:?}");
            if output == Output::Yaml {
                let first = text.split("---\n").last().unwrap();
                let yaml: serde_json::Value = yaml_serde::from_str(first).unwrap();
                assert_eq!((&yaml["id"], &yaml["data"][0]), (&foreign.into(), &foreign.into()));
            }
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut screen = Screen::to(&Global::default(), false, false, Box::new(Closed), Box::new(io::sink()));
        assert_eq!(screen.write("x").unwrap_err().exit, Exit::Done);
    }
}
