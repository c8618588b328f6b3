//! A value of the file, and how it is read as what a program wants. What does not fit is noted; the answer is then
//! `None` and reading goes on.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;

use super::finding::Severity;
use super::reader::{Note, ReaderContext};
use super::{Purpose, unit};
use crate::nearest::nearest;
use crate::secret::Secret;

/// Longer values are shortened to this many characters in a finding.
const SHOWN_CHARS: usize = 40;

/// The kinds of whole numbers that can be read.
pub trait Whole: Copy + Display + PartialOrd + TryFrom<u64> {}
impl<T: Copy + Display + PartialOrd + TryFrom<u64>> Whole for T {}

/// A value of the file with its place.
pub struct Value<'a> {
    pub(super) reader: &'a ReaderContext,
    pub(super) key: Prefix,
    /// `None` only while learning which keys there are, or when a finding is about an absent value.
    pub(super) found: Option<&'a ast::Value<'a>>,
    pub(super) place: Range<usize>,
}

/// How the keys of a section begin.
#[derive(Clone, Default)]
pub(super) struct Prefix {
    /// `projects[2].`
    pub here: String,
    /// `projects[].`
    pub pattern: String,
}

impl<'a> Value<'a> {
    pub(super) fn new(
        reader: &'a ReaderContext,
        key: Prefix,
        found: Option<&'a ast::Value<'a>>,
        around: Range<usize>,
    ) -> Self {
        let place = found.map_or(around, |value| value.start()..value.end());
        Self { reader, key, found, place }
    }

    /// A text, empty or not.
    pub fn text(&self) -> Option<String> {
        self.show();
        self.text_or("a string in double quotes")
    }

    /// A text that must never be shown.
    pub fn secret(&self) -> Option<Secret> {
        self.hide();
        match self.found? {
            ast::Value::StringLit(text) => {
                self.reader.holds_secret.set(self.reader.holds_secret.get() || !text.value.is_empty());
                Some(Secret::new(text.value.as_ref()))
            }
            _ => self.wrong("a string in double quotes"),
        }
    }

    /// One of a few words.
    pub fn choice(&self, words: &[&'static str]) -> Option<&'static str> {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        let expectation = quoted.join(" or ");
        self.show();
        let text = self.text_or(&expectation)?;
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let meant = nearest(&text, words.iter().copied()).map(str::to_string);
            self.note(Severity::Problem, format!("expected {expectation}"), meant);
        }
        found
    }

    /// A whole number within a range.
    pub fn whole<T: Whole>(&self, range: RangeInclusive<T>) -> Option<T> {
        self.show();
        let number = match self.found? {
            ast::Value::NumberLit(number) => number.value.parse::<u64>().ok(),
            _ => None,
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        number
            .filter(|number| range.contains(number))
            .or_else(|| self.wrong(&format!("a whole number between {} and {}", range.start(), range.end())))
    }

    /// A number of at least zero.
    pub fn amount(&self) -> Option<f64> {
        self.show();
        let number = match self.found? {
            ast::Value::NumberLit(number) => number.value.parse::<f64>().ok(),
            _ => None,
        };
        number
            .filter(|number| number.is_finite() && *number >= 0.0)
            .or_else(|| self.wrong("a number of at least 0"))
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        self.show();
        match self.found? {
            ast::Value::BooleanLit(flag) => Some(flag.value),
            _ => self.wrong("true or false"),
        }
    }

    /// A duration such as `"48h"` within a range.
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let expectation = format!(
            "a duration such as \"48h\", \"30m\" or \"7d\", between {} and {}",
            unit::write_duration(*range.start()),
            unit::write_duration(*range.end())
        );
        self.show();
        let text = self.text_or(&expectation)?;
        unit::duration(&text).filter(|it| range.contains(it)).or_else(|| self.wrong(&expectation))
    }

    /// A number of bytes: a number, or a text such as `"512MiB"`; at most `most`.
    pub fn bytes(&self, most: u64) -> Option<u64> {
        self.show();
        let bytes = match self.found? {
            ast::Value::NumberLit(number) => number.value.parse::<u64>().ok(),
            ast::Value::StringLit(text) => unit::bytes(&text.value),
            _ => None,
        };
        bytes.filter(|bytes| *bytes <= most).or_else(|| {
            self.wrong(&format!("a size such as \"512MiB\" or a number of bytes, at most {most}"))
        })
    }

    /// A path; a relative one starts at the folder of the file. An empty text counts as nothing.
    pub fn path(&self) -> Option<PathBuf> {
        let text = self.text().filter(|text| !text.is_empty())?;
        if text == "~" || text.starts_with("~/") {
            return self.wrong("a path without ~, which only a shell understands");
        }
        Some(self.reader.folder.join(Path::new(&text)))
    }

    /// The elements of a list.
    pub fn items(&self) -> Vec<Value<'a>> {
        let element = |at: Option<usize>, found| {
            let index = at.map_or_else(String::new, |at| at.to_string());
            let here = format!("{}[{index}]", self.key.here);
            let key = Prefix { here, pattern: format!("{}[]", self.key.pattern) };
            Value::new(self.reader, key, found, self.place.clone())
        };
        match self.found {
            None => vec![element(None, None)],
            Some(ast::Value::Array(list)) => {
                let elements = list.elements.iter().enumerate();
                elements.map(|(at, found)| element(Some(at), Some(found))).collect()
            }
            Some(_) => self.wrong("a list: [ ... ]").unwrap_or_default(),
        }
    }

    /// True for a list.
    pub fn is_list(&self) -> bool {
        matches!(self.found, Some(ast::Value::Array(_)))
    }

    /// The values of an object whose keys are free names.
    pub fn entries(&self) -> Vec<(String, Value<'a>)> {
        let entry = |name: &str, found| {
            let here = format!("{}.{name}", self.key.here);
            let key = Prefix { here, pattern: format!("{}.<name>", self.key.pattern) };
            (name.to_string(), Value::new(self.reader, key, found, self.place.clone()))
        };
        match self.found {
            None => vec![entry("<name>", None)],
            Some(ast::Value::Object(object)) => {
                let mut entries: Vec<(String, Value<'a>)> = Vec::new();
                for property in &object.properties {
                    self.reader.show(&(property.name.start()..property.name.end()));
                    let (name, value) = entry(property.name.as_str(), Some(&property.value));
                    if entries.iter().any(|(known, _)| *known == name) {
                        value.note(Severity::Problem, "is given twice; keep one of them".to_string(), None);
                    }
                    entries.push((name, value));
                }
                entries
            }
            Some(_) => self.wrong("an object: { ... }").unwrap_or_default(),
        }
    }

    /// True for `""`.
    pub fn is_empty_text(&self) -> bool {
        matches!(self.found, Some(ast::Value::StringLit(text)) if text.value.is_empty())
    }

    /// True when there is something in it: not `[]`, `{}`, `""`, `0` or `false`.
    pub fn asks_for_something(&self) -> bool {
        match self.found {
            None | Some(ast::Value::NullKeyword(_)) => false,
            Some(ast::Value::StringLit(text)) => !text.value.is_empty(),
            Some(ast::Value::NumberLit(number)) => number.value.parse() != Ok(0.0),
            Some(ast::Value::BooleanLit(flag)) => flag.value,
            Some(ast::Value::Object(object)) => !object.properties.is_empty(),
            Some(ast::Value::Array(list)) => !list.elements.is_empty(),
        }
    }

    /// Keeps this value out of everything that is shown.
    pub fn hide(&self) {
        self.reader.hide(&self.place);
    }

    /// Notes a problem with this value.
    pub fn problem(&self, expectation: impl Into<String>) {
        self.note(Severity::Problem, expectation.into(), None);
    }

    /// Notes a problem with a part of this text, given as a range of its bytes, and what was probably meant there.
    pub fn problem_within(
        &self,
        part: std::ops::Range<usize>,
        expectation: impl Into<String>,
        meant: Option<String>,
    ) {
        let whole = self.place.clone();
        let is_plain = match self.found {
            // As long as it is without quotes: nothing in it is escaped.
            Some(ast::Value::StringLit(text)) => text.value.len() + 2 == whole.len(),
            _ => false,
        };
        let range = match is_plain && part.end + 2 <= whole.len() {
            true => whole.start + 1 + part.start..whole.start + 1 + part.end,
            false => whole,
        };
        let key = self.key.here.clone();
        self.reader.note(Note {
            severity: Severity::Problem,
            range: Some(range),
            key,
            value: self.shown_value(),
            expectation: expectation.into(),
            suggestion: meant,
        });
    }

    /// Notes that what this names is absent on this machine: a problem for `--validate`, a warning at run time.
    pub fn absent(&self, expectation: impl Into<String>) {
        let severity = match self.reader.purpose {
            Purpose::Validate => Severity::Problem,
            Purpose::Run => Severity::Warning,
        };
        self.note(severity, expectation.into(), None);
    }

    /// Notes a warning about this value.
    pub fn warn(&self, sentence: impl Into<String>) {
        self.note(Severity::Warning, sentence.into(), None);
    }

    fn show(&self) {
        if self.found.is_some() {
            self.reader.show(&self.place);
        }
    }

    fn text_or(&self, expectation: &str) -> Option<String> {
        match self.found? {
            ast::Value::StringLit(text) => Some(text.value.to_string()),
            _ => self.wrong(expectation),
        }
    }

    /// Another kind of value is wanted, or another one of its kind: says what is here, by its kind if need be.
    pub(super) fn wrong<T>(&self, expectation: &str) -> Option<T> {
        let value = self.found.map(|found| self.shown_value().unwrap_or_else(|| kind(found).to_string()));
        self.note_with(Severity::Problem, value, format!("expected {expectation}"), None);
        None
    }

    fn note(&self, severity: Severity, expectation: String, suggestion: Option<String>) {
        self.note_with(severity, self.shown_value(), expectation, suggestion);
    }

    fn note_with(
        &self,
        severity: Severity,
        value: Option<String>,
        expectation: String,
        suggestion: Option<String>,
    ) {
        let key = self.key.here.clone();
        self.reader.note(Note {
            severity,
            range: Some(self.place.clone()),
            key,
            value,
            expectation,
            suggestion,
        });
    }

    /// What may be shown of the value.
    fn shown_value(&self) -> Option<String> {
        if !self.reader.shown.borrow().contains_key(&self.place.start) {
            return None;
        }
        match self.found? {
            ast::Value::StringLit(text) => Some(quoted(&text.value)),
            ast::Value::NumberLit(number) => Some(shortened(number.value)),
            ast::Value::BooleanLit(flag) => Some(flag.value.to_string()),
            ast::Value::Object(_) | ast::Value::Array(_) | ast::Value::NullKeyword(_) => None,
        }
    }
}

fn kind(value: &ast::Value<'_>) -> &'static str {
    match value {
        ast::Value::Object(_) => "an object",
        ast::Value::Array(_) => "a list",
        ast::Value::NullKeyword(_) => "null",
        ast::Value::StringLit(_) => "a text",
        ast::Value::NumberLit(_) => "a number",
        ast::Value::BooleanLit(_) => "true or false",
    }
}

/// Quoted, with everything escaped that could move a terminal's cursor.
fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_string();
    }
    text.chars().take(SHOWN_CHARS - 3).chain("...".chars()).collect()
}
