//! One reading of one file: the tree of its values, what was noted, and which keys were asked for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::excerpt::excerpt;
use super::finding::{Finding, Place, Report, Severity};
use super::section::Section;
use super::{Purpose, Source};

/// Something to say, before the places are worked out.
pub(super) struct Note {
    pub severity: Severity,
    /// Bytes of the source; `None`: about the file as a whole.
    pub range: Option<Range<usize>>,
    pub key: String,
    pub value: Option<String>,
    pub expectation: String,
    pub suggestion: Option<String>,
}

/// What all sections of one reading share.
pub(super) struct Reader {
    pub purpose: Purpose,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// True while learning which keys there are: there is no file, and lists and maps show one made-up element.
    pub is_probing: bool,
    /// Every key that may be in the file, as a path with `[]` and `<name>`; empty while probing.
    pub known: BTreeSet<String>,
    /// The keys asked for in this reading.
    pub asked: RefCell<BTreeSet<String>>,
    /// Bytes that may be shown; what is not here may be secret. Start to end.
    pub shown: RefCell<BTreeMap<usize, usize>>,
    /// True once a secret was read.
    pub holds_secret: Cell<bool>,
    pub notes: RefCell<Vec<Note>>,
}

impl Reader {
    fn new(path: &Path, purpose: Purpose, known: Option<BTreeSet<String>>) -> Self {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self {
            purpose,
            folder,
            is_probing: known.is_none(),
            known: known.unwrap_or_default(),
            asked: RefCell::default(),
            shown: RefCell::default(),
            holds_secret: Cell::default(),
            notes: RefCell::default(),
        }
    }

    pub fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    /// Allows these bytes to be shown in an excerpt.
    pub fn show(&self, range: &Range<usize>) {
        self.shown.borrow_mut().insert(range.start, range.end);
    }

    /// Takes the permission back.
    pub fn hide(&self, range: &Range<usize>) {
        self.shown.borrow_mut().remove(&range.start);
    }
}

/// Every key that a file may hold: `server.port`, `projects[].name`, `credentials.agents.<name>.env`.
pub fn known_keys<T>(build: impl Fn(&Section<'_>) -> T) -> BTreeSet<String> {
    let reader = Reader::new(Path::new(""), Purpose::Run, None);
    let root = Section::root(&reader, None);
    build(&root);
    root.end();
    reader.asked.into_inner()
}

/// See [`super::parse`].
pub(super) fn parse<T>(
    file: &Source<'_>,
    purpose: Purpose,
    build: impl Fn(&Section<'_>) -> T,
) -> Result<(T, Report), Report> {
    let path = file.path;
    let source = text_of(path, file.bytes)?;
    let reader = Reader::new(path, purpose, Some(known_keys(&build)));
    let tree = match parse_to_ast(source, &CollectOptions::default(), &dialect()) {
        Ok(tree) => tree.value,
        Err(error) => {
            reader.note(syntax(&error, source));
            return Err(report(path, source, reader));
        }
    };
    let object = match &tree {
        Some(ast::Value::Object(object)) => object,
        other => {
            let range = other.as_ref().map_or(0..0, |value| value.start()..value.start() + 1);
            reader.note(problem_at(range, "expected an object: { \"key\": value, ... }"));
            return Err(report(path, source, reader));
        }
    };
    let root = Section::root(&reader, Some(object));
    let value = build(&root);
    root.end();
    if file.is_open_to_all && reader.holds_secret.get() {
        reader.note(Note { severity: Severity::Warning, ..problem_of_file(OPEN_TO_ALL) });
    }
    let report = report(path, source, reader);
    if report.has_problems() { Err(report) } else { Ok((value, report)) }
}

fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Report> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        Report::about_file(path, format!("line {line} is not UTF-8 text"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// JSON with comments and trailing commas, nothing looser: what we accept, other tools should understand too.
fn dialect() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// What is said of a file that everybody may read and that holds a secret.
pub(super) const OPEN_TO_ALL: &str =
    "everyone on this machine can read it and it holds a secret; take that away with chmod o-r";

fn problem_at(range: Range<usize>, expectation: impl Into<String>) -> Note {
    Note { range: Some(range), ..problem_of_file(expectation) }
}

fn problem_of_file(expectation: impl Into<String>) -> Note {
    Note {
        severity: Severity::Problem,
        range: None,
        key: String::new(),
        value: None,
        expectation: expectation.into(),
        suggestion: None,
    }
}

fn syntax(error: &ParseError, source: &str) -> Note {
    use ParseErrorKind as Kind;
    let sentence = match error.kind() {
        Kind::ExpectedComma => "expected a comma here".to_string(),
        Kind::UnterminatedObject => "this { is never closed".to_string(),
        Kind::UnterminatedArray => "this [ is never closed".to_string(),
        Kind::UnterminatedCommentBlock => "this comment is never closed".to_string(),
        Kind::ExpectedStringObjectProperty | Kind::UnexpectedTokenInObject => {
            "expected a key in double quotes".to_string()
        }
        Kind::ExpectedColonAfterObjectKey => "expected a colon and a value after the key".to_string(),
        Kind::ExpectedObjectValue => "expected a value after the colon".to_string(),
        Kind::UnexpectedWord => {
            "expected a value: a text in double quotes, a number, true or false".to_string()
        }
        Kind::SingleQuotedStringsNotAllowed => "texts stand in double quotes".to_string(),
        Kind::MultipleRootJsonValues => "expected the end of the file here".to_string(),
        other => lower_first(&other.to_string()),
    };
    let start = error.range().start.min(source.len());
    let end = error.range().end.clamp(start, source.len());
    // What is never closed reaches to the end of the file; point at where it opens.
    let is_open = matches!(error.kind(), Kind::UnterminatedObject | Kind::UnterminatedArray);
    problem_at(if is_open { start..start + 1 } else { start..end }, sentence)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Works out places and excerpts, in the order of the file.
fn report(path: &Path, source: &str, reader: Reader) -> Report {
    let file = path.display().to_string();
    let (shown, known) = (reader.shown.into_inner(), reader.known);
    let words: BTreeSet<&str> =
        known.iter().flat_map(|key| key.split(['.', '[', ']'])).chain(["true", "false", "null"]).collect();
    let is_shown = |range: &Range<usize>, text: &str| {
        shown.get(&range.start).is_some_and(|end| *end >= range.end) || words.contains(text)
    };
    let mut notes = reader.notes.into_inner();
    notes.sort_by_key(|note| note.range.as_ref().map(|range| range.start));
    let findings = notes
        .into_iter()
        .map(|note| Finding {
            severity: note.severity,
            file: file.clone(),
            place: note.range.as_ref().map(|range| place(source, range.start)),
            key: note.key,
            value: note.value,
            expectation: note.expectation,
            suggestion: note.suggestion,
            excerpt: note.range.map(|range| excerpt(source, range, is_shown)),
        })
        .collect();
    Report { file, findings }
}

fn place(source: &str, at: usize) -> Place {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
}
