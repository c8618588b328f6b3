//! Names of programs that speak ACP: each that the configuration gives is a kind of its own.
//!
//! A kind is a word that lives as long as the process. Names come from the configuration of this agent alone, and more than
//! a handful are never there: each is kept once, and never given back.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backend::program::ProgramSpec;

/// What stands before a name wherever a kind is named.
const PREFIX: &str = "acp:";

/// Names of one process, those of every reload counted in.
const MOST_NAMES: usize = 64;

/// Bytes of a name.
pub const MOST_NAME: usize = 32;

static KNOWN: Mutex<Vec<&'static Entry>> = Mutex::new(Vec::new());

#[derive(Debug, PartialEq, Eq, Hash)]
struct Entry {
    word: String,
    title: String,
    key: String,
}

/// The name of a program that speaks ACP, as the configuration gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AcpName(&'static Entry);

impl AcpName {
    /// Makes one known. `None`: there are too many already.
    pub fn register(name: &str) -> Option<Self> {
        let word = format!("{PREFIX}{name}");
        if let Some(known) = Self::parse(&word) {
            return Some(known);
        }
        let mut all = entries();
        if all.len() >= MOST_NAMES {
            return None;
        }
        let (title, key) = (name.to_owned(), format!("backends.acp.{name}.command"));
        let entry: &'static Entry = Box::leak(Box::new(Entry { word, title, key }));
        all.push(entry);
        Some(Self(entry))
    }

    /// The one of a kind's word, when it is known.
    pub fn parse(word: &str) -> Option<Self> {
        entries().iter().find(|entry| entry.word == word).map(|entry| Self(entry))
    }

    /// All that are known.
    pub fn all() -> Vec<Self> {
        entries().iter().map(|entry| Self(entry)).collect()
    }

    /// The kind's word.
    pub fn as_str(self) -> &'static str {
        &self.0.word
    }

    /// The program.
    pub fn spec(self) -> ProgramSpec {
        ProgramSpec {
            name: &self.0.word,
            title: &self.0.title,
            key: &self.0.key,
            majors: &[0],
            tested: "",
            quiet: &[],
            marks: &[],
            install: "install it, or mend its command",
            other: |version: &str, program: &Path| format!("{} is {version}", program.display()),
            login: || None,
        }
    }
}

fn entries() -> MutexGuard<'static, Vec<&'static Entry>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// True for what may be a name.
pub fn is_name(text: &str) -> bool {
    let is_plain = |one: u8| one.is_ascii_lowercase() || one.is_ascii_digit() || one == b'-';
    !text.is_empty() && text.len() <= MOST_NAME && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_kind_however_often_it_is_given() {
        let one = AcpName::register("name-of-a-test").unwrap();
        assert_eq!(AcpName::register("name-of-a-test"), Some(one));
        assert_eq!(AcpName::parse("acp:name-of-a-test"), Some(one));
        assert_eq!(AcpName::parse("acp:never-given"), None);
        assert_eq!(one.spec().key, "backends.acp.name-of-a-test.command");
        assert!(is_name("qwen-2") && !is_name("Qwen") && !is_name("") && !is_name(&"a".repeat(33)));
    }
}
