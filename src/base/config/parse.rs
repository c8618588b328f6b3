//! One reading of one file: its text becomes a tree, the program asks, and what was noted becomes findings.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, ParseStringErrorKind, parse_to_ast};

use super::excerpt::excerpt;
use super::finding::{ConfigReport, FilePosition, Finding, Severity};
use super::reader::{Note, OPEN_TO_ALL, ReaderContext};
use super::section::Section;
use super::{Purpose, Reading, Source};

/// Every key that a file may hold: `server.port`, `projects[].name`, `credentials.agents.<name>.env`.
pub fn known_keys<T>(build: impl Fn(&Section<'_>) -> T) -> BTreeSet<String> {
    let reader = ReaderContext::new(Path::new(""), Purpose::Run, None);
    let root = Section::root(&reader, None);
    build(&root);
    root.end();
    reader.asked.into_inner()
}

/// See [`super::parse()`].
pub(super) fn parse<T>(file: &Source<'_>, purpose: Purpose, build: impl Fn(&Section<'_>) -> T) -> Reading<T> {
    let path = file.path;
    let source = text_of(path, file.bytes)?;
    let reader = ReaderContext::new(path, purpose, Some(known_keys(&build)));
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

fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, ConfigReport> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        ConfigReport::about_file(path, format!("line {line} is not UTF-8 text"))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// What stands in a text that has the form of a configuration, whatever is wrong with its values.
pub fn loose(text: &str) -> Option<serde_json::Value> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    jsonc_parser::parse_to_serde_value(text, &dialect()).ok()
}

/// JSON with comments and trailing commas, nothing looser: what we accept, other tools should understand too.
pub(super) fn dialect() -> ParseOptions {
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
            "expected a value: a string in double quotes, a number, true or false".to_string()
        }
        Kind::UnexpectedToken => "unexpected text here; is a double quote missing?".to_string(),
        Kind::SingleQuotedStringsNotAllowed => "strings need double quotes".to_string(),
        Kind::MultipleRootJsonValues => "expected the end of the file here".to_string(),
        Kind::String(ParseStringErrorKind::UnterminatedStringLiteral) => {
            "this string is never closed; is a double quote missing?".to_string()
        }
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
fn report(path: &Path, source: &str, reader: ReaderContext) -> ConfigReport {
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
            // A key may hold anything, also what moves a terminal's cursor.
            key: note.key.escape_debug().to_string(),
            value: note.value,
            expectation: note.expectation,
            suggestion: note.suggestion,
            excerpt: note.range.map(|range| excerpt(source, range, is_shown)),
        })
        .collect();
    ConfigReport { file, findings, fingerprint: String::new() }
}

fn place(source: &str, at: usize) -> FilePosition {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    FilePosition { line: 1 + before.matches('\n').count(), column: 1 + before[line_start..].chars().count() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build(root: &Section<'_>) {
        root.secret("token");
        root.whole("port", 0..=9u16);
        root.section("more", |more| more.flag("on"));
        for item in root.items("list") {
            item.section(|item| item.text("name"));
        }
    }

    fn say(text: &str) -> String {
        let file = Source { path: Path::new("x.json"), bytes: text.as_bytes(), is_open_to_all: false };
        match super::parse(&file, Purpose::Validate, build) {
            Ok((_, report)) | Err(report) => report.to_string(),
        }
    }

    #[test]
    fn the_place_counts_characters_and_skips_a_byte_order_mark() {
        let said = say("\u{feff}{\n  /* äöü */ \"port\": 10 }");
        assert!(
            said.starts_with("x.json:2:21: port: 10: expected a whole number between 0 and 9\n"),
            "{said}"
        );
    }

    #[test]
    fn what_could_move_a_cursor_is_escaped() {
        let said = say("{ \"list\": [{ \"name\": 1 }], \"port\": \"\\u001b[2J\", \"\u{1b}[31m\": 1 }");
        assert!(!said.contains('\u{1b}'), "{said}");
    }

    #[test]
    fn known_keys_have_patterns() {
        let keys: Vec<String> = known_keys(build).into_iter().collect();
        assert_eq!(keys, ["list", "list[].name", "more", "more.on", "port", "token"]);
    }

    proptest! {
        /// Whatever a file holds: no panic, and nothing of the token is shown.
        #[test]
        fn broken_files_never_show_the_token(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ":", ",", "\"", "\\", "\n", "\r\n", "\t", " ", "// ", "/*", "*/", "'", "ä", "\u{2028}",
                    "\"port\"", "\"token\"", "\"more\"", "\"list\"", "\"name\"", "hunter2", "\"hunter2\"", "10", "true", "null",
                    "\"token\": \"hunter2\"", "\"port\": 70", "\"list\": [", "\\u00", "-", "1e5",
                ]),
                0..30,
            )
        ) {
            let text = pieces.concat();
            // In a sound file it may also have become a key, or the value of one that is no secret.
            let is_sound = parse_to_ast(&text, &CollectOptions::default(), &dialect()).is_ok();
            let is_elsewhere = pieces.iter().any(|piece| piece.trim_matches('"') == "hunter2");
            let said = say(&text);
            prop_assert!((is_sound && is_elsewhere) || !said.contains("hunter2"), "{}", said);
        }
    }
}
