//! Everything halctl shows goes through one [`Screen`]: data to standard output in the shape that was asked for,
//! sentences to standard error.

mod layout;
pub mod record;
pub mod text;

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::cli::{self, Global, Output};
use hal_base::clock::{Time, now};
use hal_base::exit::{Exit, Failure};
use hal_base::harmless;
use layout::{Column, GAP, cut, fit, telling, width};
use record::{ColumnPlace, Field, Record, painted};
use text::short_id;

/// Cells of a line where a terminal does not say how many it has.
const ANY_TERMINAL: usize = 80;

/// Where a program's output goes.
pub type Sink = Box<dyn Write + Send>;

/// The one writer of data and of sentences.
pub struct Screen {
    output: Output,
    color: bool,
    terminal: bool,
    room: Option<usize>,
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
        let screen = Self::to(global, terminal, color, Box::new(io::stdout()), Box::new(io::stderr()));
        // Whoever exports COLUMNS, as watch(1) does, knows better than the terminal.
        let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let measured =
            || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
        let room = told.filter(|room| *room > 0).or_else(|| measured().filter(|room| *room > 0));
        Self { room: room.or(terminal.then_some(ANY_TERMINAL)), ..screen }
    }

    /// A screen on any two writers. `terminal` decides the shape when no flag does.
    pub fn to(global: &Global, terminal: bool, color: bool, out: Sink, aside: Sink) -> Self {
        let output = global.output.unwrap_or(if terminal { Output::Table } else { Output::Lines });
        Self { output, color, terminal, room: None, headers: !global.no_headers, out, aside }
    }

    /// The same with lines of so many cells at most, in tables.
    pub fn with_room(self, room: usize) -> Self {
        Self { room: Some(room), ..self }
    }

    /// The shape of what is printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// True when a person reads along.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Cells of a line, where there is an end to it.
    pub fn room(&self) -> Option<usize> {
        self.room
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

    /// True when a list that goes on is drawn over the one before.
    pub fn is_redrawn(&self) -> bool {
        self.terminal && matches!(self.output, Output::Table | Output::Wide)
    }

    /// Prints a list over the one before, which leaves the screen.
    pub fn redraw<T: Record + Serialize>(&mut self, items: &[T], none: &str) -> Result<(), Failure> {
        let table = if items.is_empty() { format!("{none}\n") } else { self.table(items, now()) };
        // To the upper left corner, and what was below it is gone.
        self.write(&format!("\x1b[H\x1b[2J{table}"))?;
        self.flush()
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
                let text = record::row(item, self.color, self.room);
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
            ColumnPlace::Table => true,
            ColumnPlace::Wide => self.output == Output::Wide,
            ColumnPlace::Detail => false,
        };
        let rows: Vec<Vec<Field>> =
            items.iter().map(|item| item.fields().into_iter().filter(shown).collect()).collect();
        let cells = self.cells(&rows, now);
        let headers: Vec<String> =
            rows.iter().take(1).flatten().map(|field| field.key.to_uppercase()).collect();
        let columns: Vec<Column> =
            (0..headers.len()).map(|at| self.column(at, &headers, &rows, &cells)).collect();
        // Whoever asks for a wide table is given one, and can scroll in it.
        let widths = fit(&columns, self.room.filter(|_| self.output == Output::Table));
        let mut text = String::new();
        if self.headers {
            text.push_str(&line(&headers, &widths, |_, cell| cell.to_owned()));
        }
        for (row, cells) in rows.iter().zip(&cells) {
            let tone = |at: usize, cell: &str| match row.get(at).filter(|_| self.color) {
                Some(field) => painted(cell, field.tone),
                None => cell.to_owned(),
            };
            text.push_str(&line(cells, &widths, tone));
        }
        text
    }

    /// What stands in the cells, before any is cut.
    fn cells(&self, rows: &[Vec<Field>], now: Time) -> Vec<Vec<String>> {
        let mut cells: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|field| field.short(now)).collect()).collect();
        // Who copies from a pipe or asks for everything gets whole names.
        if self.room.is_none() || self.output == Output::Wide {
            return cells;
        }
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        for at in 0..columns {
            if !rows.iter().all(|row| row.get(at).is_some_and(|field| field.is_id)) {
                continue;
            }
            let names: Vec<String> = cells.iter().map(|row| row[at].clone()).collect();
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            let short: HashMap<&str, &str> =
                all.iter().copied().zip(telling(&all, |name| short_id(name).len())).collect();
            for row in &mut cells {
                row[at] =
                    short.get(row[at].as_str()).map_or_else(|| row[at].clone(), |short| (*short).to_owned());
            }
        }
        cells
    }

    fn column(&self, at: usize, headers: &[String], rows: &[Vec<Field>], cells: &[Vec<String>]) -> Column {
        let header = if self.headers { headers.get(at).map_or(0, |text| width(text)) } else { 0 };
        let widest = cells.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0);
        let fields = || rows.iter().filter_map(|row| row.get(at));
        let weight = fields().map(|field| field.weight).max().unwrap_or(0);
        Column {
            natural: widest.max(header),
            header,
            is_long: fields().any(|field| field.long),
            // What names a record is missed most, and nobody misses a column with nothing in it.
            weight: match at {
                0 => u8::MAX,
                _ if fields().all(Field::is_empty) => 0,
                _ => weight,
            },
        }
    }
}

/// A line of a table; blanks at its end say nothing.
fn line(cells: &[String], widths: &[Option<usize>], paint: impl Fn(usize, &str) -> String) -> String {
    let (mut line, mut blanks) = (String::new(), 0);
    for (at, cell) in cells.iter().enumerate() {
        let Some(most) = widths.get(at).copied().flatten() else { continue };
        let cell = cut(cell, most);
        line.push_str(&" ".repeat(blanks));
        line.push_str(&paint(at, &cell));
        blanks = most - width(&cell) + GAP;
    }
    line.push('\n');
    line
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
            data: hal_protocol::event::raw(&serde_json::json!({"text": "one\ntwo"})),
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
        let thing = Thing { id: foreign.into(), data: hal_protocol::event::raw(&[foreign]) };
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
