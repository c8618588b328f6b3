//! The layout of a conversation: a time, a speaker, and text that keeps its own column.

use anstyle::{AnsiColor, Style};

use crate::print::text::{clean, clock, day};
use hal_base::clock::Time;

/// The width of the column with the speakers, without the gap after it.
const SPEAKER_WIDTH: usize = 9;

/// Where text begins: after a time, a speaker and two gaps.
const INDENT: &str = "                     ";

/// How an entry looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// What a person said.
    Person,
    /// What the agent said.
    Agent,
    /// What is read only when something is looked for.
    Aside,
    /// What a tool did.
    Tool,
    /// What needs a person.
    Attention,
    /// What went wrong.
    Wrong,
}

/// Text being laid out. It is taken away in pieces, so a page knows whether the last piece ended its line.
#[derive(Debug)]
pub struct Page {
    color: bool,
    day: String,
    mid_line: bool,
    out: String,
}

impl Page {
    /// An empty page.
    pub fn new(color: bool) -> Self {
        Self { color, day: String::new(), mid_line: false, out: String::new() }
    }

    /// What was laid out since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// A whole entry.
    pub fn entry(&mut self, at: Time, ink: Ink, speaker: &str, text: &str) {
        self.begin(at, ink, speaker);
        self.go_on(text.trim_end());
        self.end();
    }

    /// Begins an entry whose text comes in pieces.
    pub fn begin(&mut self, at: Time, ink: Ink, speaker: &str) {
        self.end();
        let day = day(at);
        if day != self.day {
            self.out.push_str(&format!("{day} (UTC)\n"));
            self.day = day;
        }
        let speaker = clean(speaker).replace(['\n', '\t'], " ");
        let style = self.style(ink);
        self.out.push_str(&format!("{}  {style}{speaker:SPEAKER_WIDTH$}{style:#}  ", clock(at)));
        self.mid_line = true;
    }

    /// More text of the entry that was begun.
    pub fn go_on(&mut self, text: &str) {
        self.out.push_str(&clean(text).replace('\n', &format!("\n{INDENT}")));
    }

    /// More lines of the entry that was ended last.
    pub fn below(&mut self, text: &str) {
        self.out.push_str(INDENT);
        self.go_on(text.trim_end());
        self.mid_line = true;
        self.end();
    }

    /// Ends the entry that was begun, if one was.
    pub fn end(&mut self) {
        if self.mid_line {
            self.out.push('\n');
            self.mid_line = false;
        }
    }

    fn style(&self, ink: Ink) -> Style {
        let style = Style::new();
        if !self.color {
            return style;
        }
        let fore = |color: AnsiColor| style.fg_color(Some(color.into()));
        match ink {
            Ink::Person => fore(AnsiColor::Green).bold(),
            Ink::Agent => style.bold(),
            Ink::Aside => style.dimmed(),
            Ink::Tool => fore(AnsiColor::Cyan),
            Ink::Attention => fore(AnsiColor::Yellow).bold(),
            Ink::Wrong => fore(AnsiColor::Red).bold(),
        }
    }
}
