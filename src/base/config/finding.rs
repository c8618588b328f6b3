//! One thing to say about a configuration file, and all of them together.

use std::fmt;
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::excerpt::Excerpt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The program cannot run with this file.
    Problem,
    /// It can, but a person should know.
    Warning,
}

/// Where in the file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePosition {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// One thing to say about a configuration file. `Display` is one line without the excerpt, fit for a log.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// Where; `None`: it is about the file as a whole.
    pub place: Option<FilePosition>,
    /// The full path of the key, such as `server.port` or `projects[2].name`; empty when no key is meant.
    pub key: String,
    /// What the file says there, shortened; `None` when nothing is there or it may be secret.
    pub value: Option<String>,
    /// What is wrong, or what was expected.
    pub expectation: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
    pub(super) excerpt: Option<Excerpt>,
}

impl Finding {
    fn at(&self) -> String {
        match self.place {
            Some(place) => format!("{}:{}:{}:", self.file, place.line, place.column),
            None => format!("{}:", self.file),
        }
    }

    fn sentence(&self) -> String {
        let parts = [Some(self.key.as_str()).filter(|key| !key.is_empty()), self.value.as_deref()];
        let mut sentence = String::new();
        for part in parts.into_iter().flatten() {
            sentence.push_str(part);
            sentence.push_str(": ");
        }
        sentence.push_str(&self.expectation);
        if let Some(suggestion) = &self.suggestion {
            sentence.push_str(&format!(", did you mean \"{suggestion}\"?"));
        }
        sentence
    }

    /// Writes the finding with its source line and a caret beneath, coloured with ANSI sequences when asked.
    fn write(&self, out: &mut impl fmt::Write, colour: bool) -> fmt::Result {
        let paint = |style: Style| if colour { style } else { Style::new() };
        let bold = paint(Style::new().bold());
        let (tone, word) = match self.severity {
            Severity::Problem => (paint(AnsiColor::Red.on_default().bold()), ""),
            Severity::Warning => (paint(AnsiColor::Yellow.on_default().bold()), "warning: "),
        };
        writeln!(out, "{bold}{}{bold:#} {tone}{word}{tone:#}{}", self.at(), self.sentence())?;
        let Some((excerpt, place)) = self.excerpt.as_ref().zip(self.place) else { return Ok(()) };
        let margin = " ".repeat(place.line.to_string().len());
        writeln!(out, "  {} | {}", place.line, excerpt.text)?;
        let indent = " ".repeat(excerpt.caret);
        writeln!(out, "  {margin} | {indent}{tone}{}{tone:#}", "^".repeat(excerpt.length))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.at(), self.sentence())
    }
}

/// Everything there is to say about one file, in the order of the file.
#[derive(Clone, Debug)]
pub struct ConfigReport {
    /// The file, as it was named.
    pub file: String,
    /// What was found; empty: all is well.
    pub findings: Vec<Finding>,
    /// The SHA-256 of what was read; empty when nothing was.
    pub fingerprint: String,
}

impl ConfigReport {
    /// A report that says one problem of the file as a whole.
    pub fn about_file(path: &Path, expectation: impl Into<String>) -> Self {
        let file = path.display().to_string();
        let finding = Finding {
            severity: Severity::Problem,
            file: file.clone(),
            place: None,
            key: String::new(),
            value: None,
            expectation: expectation.into(),
            suggestion: None,
            excerpt: None,
        };
        Self { file, findings: vec![finding], fingerprint: String::new() }
    }

    /// True when something keeps the program from running.
    pub fn has_problems(&self) -> bool {
        self.count(Severity::Problem) > 0
    }

    /// How many findings of one severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// `3 problems, 1 warning`; names only what there is; empty when all is well.
    pub fn summary(&self) -> String {
        let count = |severity, word: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        };
        let counts = [count(Severity::Problem, "problem"), count(Severity::Warning, "warning")];
        counts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// All findings with source lines and carets.
    pub fn text(&self) -> String {
        self.render(false)
    }

    /// The same with ANSI colours, for a terminal.
    pub fn coloured(&self) -> String {
        self.render(true)
    }

    fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            // Writing to a String cannot fail.
            let _ = finding.write(&mut text, colour);
        }
        text
    }
}

impl fmt::Display for ConfigReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.text(), self.summary())
    }
}

impl std::error::Error for ConfigReport {}
