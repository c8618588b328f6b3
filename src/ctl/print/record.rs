//! A record: one thing as fields with names, and the shapes it is printed in.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::layout::{GAP, cut, width};
use super::text::{ago, clean, exact, money, one_line, short, short_id};
use hal_base::clock::Time;

/// Characters of a value in a line of an endless table.
const MAX_ROW_VALUE: usize = 160;

/// Something that is printed as a record.
pub trait Record {
    /// Its fields, the identity first. The same fields in the same order for every record of a kind.
    fn fields(&self) -> Vec<Field>;

    /// What names it.
    fn name(&self) -> String {
        self.fields().into_iter().next().map(|field| field.text()).unwrap_or_default()
    }
}

/// A field of a record.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key in lines and the heading of the column.
    pub key: &'static str,
    /// Where it is shown; lines and sheets show every field.
    pub place: ColumnPlace,
    /// What it means for the person.
    pub tone: Tone,
    /// True when a table may cut it.
    pub long: bool,
    /// How much a person misses it in a table that is too narrow: the least missed goes first.
    pub weight: u8,
    /// True when it is a name that nobody reads to its end.
    pub is_id: bool,
    is_money: bool,
    value: FieldValue,
    brief: Option<String>,
}

#[derive(Clone, Debug)]
enum FieldValue {
    Text(String),
    Moment(Time),
}

/// In which tables a field is a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnPlace {
    /// In every table.
    Table,
    /// In wide tables.
    Wide,
    /// In none.
    Detail,
}

/// What a value means for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// All is well.
    Good,
    /// Something is going on.
    Busy,
    /// Somebody is asked for.
    Attention,
    /// Something is wrong.
    Bad,
    /// Over and done.
    Quiet,
}

impl Field {
    /// A text; an empty one is shown as `-`.
    pub fn new(key: &'static str, text: impl ToString) -> Self {
        Self::of(key, FieldValue::Text(text.to_string()))
    }

    /// The name of one of many: tables on a terminal show as much of it as tells it from the others.
    pub fn id(key: &'static str, name: impl ToString) -> Self {
        Self { is_id: true, ..Self::new(key, name) }
    }

    /// An amount of money: `exact` for programs, and as people write it for people.
    pub fn money(key: &'static str, exact: impl ToString, micros: Option<u64>) -> Self {
        Self { is_money: true, ..Self::new(key, exact).brief(money(micros)) }
    }

    /// A moment: relative in tables, exact elsewhere.
    pub fn moment(key: &'static str, at: Time) -> Self {
        Self::of(key, FieldValue::Moment(at))
    }

    fn of(key: &'static str, value: FieldValue) -> Self {
        let (place, tone) = (ColumnPlace::Table, Tone::Plain);
        Self { key, place, tone, long: false, weight: 50, is_id: false, is_money: false, value, brief: None }
    }

    /// Shown in wide tables, lines and sheets only.
    pub fn wide(self) -> Self {
        Self { place: ColumnPlace::Wide, ..self }
    }

    /// Shown in lines and sheets only.
    pub fn detail(self) -> Self {
        Self { place: ColumnPlace::Detail, ..self }
    }

    /// May be cut in a table.
    pub fn long(self) -> Self {
        Self { long: true, ..self }
    }

    /// Missed so much, of 100; 50 when nothing is said.
    pub fn weight(self, weight: u8) -> Self {
        Self { weight, ..self }
    }

    /// Where it stands among others: what is no number before all numbers, and both before words.
    pub fn sort_key(&self) -> (u8, f64, String) {
        let number = |text: &str| text.trim_end_matches('%').parse::<f64>().ok();
        match &self.value {
            FieldValue::Moment(at) => (1, at.0 as f64, String::new()),
            FieldValue::Text(text) => match number(text) {
                Some(number) => (1, number, String::new()),
                None if self.is_money || text.is_empty() => (0, 0.0, String::new()),
                None => (2, 0.0, text.to_lowercase()),
            },
        }
    }

    /// True when there is nothing to show.
    pub fn is_empty(&self) -> bool {
        matches!(&self.value, FieldValue::Text(text) if text.is_empty())
    }

    /// With a meaning.
    pub fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// With other words for a table.
    pub fn brief(self, brief: impl ToString) -> Self {
        Self { brief: Some(brief.to_string()), ..self }
    }

    /// The exact value on one line.
    pub fn text(&self) -> String {
        match &self.value {
            FieldValue::Text(text) if text.is_empty() => "-".to_owned(),
            FieldValue::Text(text) => one_line(text),
            FieldValue::Moment(at) => exact(*at),
        }
    }

    /// The value for a spreadsheet: what is empty stays so.
    pub fn csv(&self) -> String {
        match &self.value {
            FieldValue::Text(text) if text.is_empty() => String::new(),
            _ => self.text(),
        }
    }

    /// The value as a table shows it.
    pub fn short(&self, now: Time) -> String {
        match (&self.brief, &self.value) {
            (Some(brief), _) => one_line(brief),
            (None, FieldValue::Moment(at)) => ago(*at, now),
            (None, FieldValue::Text(_)) => self.text(),
        }
    }
}

/// A record as one line: `key: value  key: value`. No value looks like a field: a search for one finds those that have it.
pub fn line(record: &impl Record) -> String {
    let fields = record.fields();
    let keys: Vec<&str> = fields.iter().map(|field| field.key).collect();
    let part = |field: &Field| format!("{}: {}", field.key, unlike_fields(&field.text(), &keys));
    let parts: Vec<_> = fields.iter().map(part).collect();
    format!("{}\n", parts.join("  "))
}

/// A value in which `key:` stands as `key :`, so that whoever chose a title cannot choose what a `grep` finds.
fn unlike_fields(text: &str, keys: &[&str]) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let before = &text.as_bytes()[..at];
        let ends_in = |key: &&str| {
            let tail = before.len().checked_sub(key.len()).map(|from| &before[from..]);
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(key.as_bytes()))
        };
        if c == ':' && matches!(text[at + 1..].chars().next(), None | Some(' ')) && keys.iter().any(ends_in) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// True for what a spreadsheet would calculate or run. A sign alone and a number are what they seem.
fn is_formula(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']) else {
        return false;
    };
    let amount = rest.strip_prefix('$').unwrap_or(rest);
    let is_number =
        text.starts_with(['+', '-']) && amount.chars().all(|c| c.is_ascii_digit() || ".,".contains(c));
    !is_number
}

/// A line of comma-separated values. What a spreadsheet would take for a formula is marked as text.
pub fn csv_line(fields: &[Field], value: impl Fn(&Field) -> String) -> String {
    let cell = |field: &Field| {
        let text = value(field);
        let text = if is_formula(&text) { format!("'{text}") } else { text };
        if text.contains([',', '"', '\'', '\n']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text
        }
    };
    let cells: Vec<String> = fields.iter().map(cell).collect();
    format!("{}\n", cells.join(","))
}

/// A record as a sheet: a line for each field, names in one column, times both exact and relative.
pub fn sheet(record: &impl Record, now: Time, color: bool) -> String {
    let fields = record.fields();
    let width = fields.iter().map(|field| field.key.len()).max().unwrap_or(0);
    let mut out = String::new();
    for field in &fields {
        let value = match &field.value {
            FieldValue::Moment(at) if *at != Time::default() => format!("{} ({})", exact(*at), ago(*at, now)),
            FieldValue::Moment(_) => "never".to_owned(),
            FieldValue::Text(text) if text.contains('\n') => {
                let indent = format!("\n{:width$}  ", "");
                clean(text.trim_end()).replace('\n', &indent)
            }
            FieldValue::Text(_) if field.is_money => field.short(now),
            FieldValue::Text(_) => field.text(),
        };
        let value = if color { painted(&value, field.tone) } else { value };
        let _ = writeln!(out, "{:width$}  {value}", field.key);
    }
    out
}

/// A record as a line of a table that has no end, so its columns cannot be measured. With a `room` it is one line of
/// that width at most: texts that may be cut share what the others leave.
pub fn row(record: &impl Record, color: bool, room: Option<usize>) -> String {
    let mut fields = record.fields();
    fields.retain(|field| field.place == ColumnPlace::Table);
    let value = |field: &Field| match &field.value {
        FieldValue::Moment(at) => super::text::clock(*at),
        FieldValue::Text(_) if field.is_id && room.is_some() => short_id(&field.text()).to_owned(),
        FieldValue::Text(_) => short(&field.text(), MAX_ROW_VALUE),
    };
    let values: Vec<String> = fields.iter().map(value).collect();
    let fixed: usize =
        values.iter().zip(&fields).filter(|(_, field)| !field.long).map(|(text, _)| width(text)).sum();
    let long = fields.iter().filter(|field| field.long).count().max(1);
    let spared = |room: usize| room.saturating_sub(fixed + GAP * fields.len().saturating_sub(1)) / long;
    let mut left = room.unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    for (text, field) in values.iter().zip(&fields) {
        let most = if field.long { room.map_or(usize::MAX, spared) } else { usize::MAX };
        let text = cut(text, most.min(left));
        if text.is_empty() {
            continue;
        }
        left = left.saturating_sub(width(&text) + GAP);
        parts.push(if color { painted(&text, field.tone) } else { text });
    }
    format!("{}\n", parts.join("  "))
}

/// The text in the colour of its tone.
pub fn painted(text: &str, tone: Tone) -> String {
    let style = Style::new();
    let style = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => style.fg_color(Some(AnsiColor::Green.into())),
        Tone::Busy => style.fg_color(Some(AnsiColor::Cyan.into())),
        Tone::Attention => style.fg_color(Some(AnsiColor::Yellow.into())).bold(),
        Tone::Bad => style.fg_color(Some(AnsiColor::Red.into())),
        Tone::Quiet => style.dimmed(),
    };
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Thing;

    impl Record for Thing {
        fn fields(&self) -> Vec<Field> {
            vec![
                Field::new("id", "s1"),
                Field::new("node_id", "web-1"),
                Field::new("title", "two\nlines").long(),
                Field::moment("since", Time(1_000)).detail(),
                Field::new("error", "").tone(Tone::Bad),
            ]
        }
    }

    #[test]
    fn a_line_is_one_line_and_can_be_searched_for_a_node() {
        assert_eq!(
            line(&Thing),
            "id: s1  node_id: web-1  title: two\\nlines  since: 1970-01-01T00:00:01.000Z  error: -\n"
        );
        assert_eq!(Thing.name(), "s1");
    }

    #[test]
    fn a_spreadsheet_gets_values_and_no_formulas() {
        let fields = [Field::new("a", "=1+1"), Field::new("b", "x, \"y\""), Field::new("c", "")];
        assert_eq!(csv_line(&fields, Field::csv), "\"'=1+1\",\"x, \"\"y\"\"\",\n");
        assert_eq!(csv_line(&fields, |field| field.key.to_owned()), "a,b,c\n");
    }

    #[test]
    fn a_cell_that_begins_with_any_sign_is_text_unless_it_is_a_number() {
        let cell = |text: &str| csv_line(&[Field::new("a", text)], Field::csv);
        for formula in ["=1", "+1+1", "-2+3|x!A0", "-cmd", "@SUM(A1)", "＝1", "－x", "+$x", "=", "-- note"]
        {
            assert!(cell(formula).starts_with("\"'"), "{formula}: {}", cell(formula));
        }
        for value in ["-3", "-0.25", "-$1.5000", "+1,234", "-", "a-b", "2026-11-27"] {
            assert!(!cell(value).contains('\''), "{value}: {}", cell(value));
        }
    }

    #[test]
    fn no_value_of_a_line_looks_like_a_field() {
        struct Titled(&'static str);
        impl Record for Titled {
            fn fields(&self) -> Vec<Field> {
                vec![Field::new("node_id", "bad"), Field::new("title", self.0)]
            }
        }
        for title in [
            "x  node_id: good",
            "xnode_id:\u{a0}good",
            "x\tNode_Id: good",
            "node_id:\u{200b} good",
            "a\u{9b}node_id: good",
        ] {
            let line = line(&Titled(title)).to_lowercase();
            assert!(!line.contains("node_id: good"), "{line}");
            assert_eq!(line.matches("node_id: ").count(), 1, "{line}");
        }
        assert!(line(&Titled("note: 12:30")).ends_with("title: note: 12:30\n"));
        assert!(line(&Titled("ends in title:")).ends_with("title: ends in title :\n"));
    }

    #[test]
    fn a_sheet_has_a_line_for_each_field() {
        let sheet = sheet(&Thing, Time(61_000), false);
        assert!(sheet.contains("since    1970-01-01T00:00:01.000Z (1 min ago)\n"), "{sheet}");
        assert!(sheet.contains("title    two\n         lines\n"), "{sheet}");
        assert!(row(&Thing, true, None).contains("\x1b["));
    }
}
