//! An object of the file, and what a program asks of it.

use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;

use super::finding::Severity;
use super::reader::{Note, ReaderContext};
use super::value::{Prefix, Value, Whole};
use crate::nearest::nearest;
use crate::secret::Secret;

/// An object of the file. Keys that nobody asks for are problems when it ends.
pub struct Section<'a> {
    reader: &'a ReaderContext,
    /// The object; `None`: the file has none here, and everything in it is absent.
    object: Option<&'a ast::Object<'a>>,
    /// Where to point for what is absent: at the object's brace, or at the nearest one around it.
    place: Range<usize>,
    /// The full path with its dot, as the file says it and as documentation does (`projects[].`).
    prefix: Prefix,
    /// False when something else than an object is here: that is said already, so nothing is missed.
    misses: bool,
    asked: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<(&'static str, String)>>,
}

impl<'a> Value<'a> {
    /// Reads an object.
    pub fn section<T>(&self, build: impl FnOnce(&Section<'a>) -> T) -> T {
        let object = self.found.and_then(|value| value.as_object());
        let is_wrong = self.found.is_some() && object.is_none();
        if is_wrong {
            let _: Option<()> = self.wrong("an object: { ... }");
        }
        let dot = |text: &str| format!("{text}.");
        let prefix = Prefix { here: dot(&self.key.here), pattern: dot(&self.key.pattern) };
        Section::new(self.reader, object, prefix, self.place.clone(), !is_wrong).build(build)
    }
}

impl<'a> Section<'a> {
    pub(super) fn root(reader: &'a ReaderContext, object: Option<&'a ast::Object<'a>>) -> Self {
        Self::new(reader, object, Prefix::default(), 0..0, true)
    }

    pub(super) fn new(
        reader: &'a ReaderContext,
        object: Option<&'a ast::Object<'a>>,
        prefix: Prefix,
        around: Range<usize>,
        misses: bool,
    ) -> Self {
        let place = object.map_or(around, |object| object.start()..object.start() + 1);
        Self { reader, object, place, prefix, misses, asked: RefCell::default(), missing: RefCell::default() }
    }

    /// What stands at `key`. `None`: nothing, or `null`, which counts as nothing.
    pub fn value(&self, key: &'static str) -> Option<Value<'a>> {
        self.ask(key);
        let found = self.properties().find(|property| property.name.as_str() == key);
        if found.is_some_and(|property| matches!(property.value, ast::Value::NullKeyword(_)))
            || (found.is_none() && !self.reader.is_probing)
        {
            return None;
        }
        Some(self.make_value(key, found.map(|property| &property.value)))
    }

    /// A text, empty or not.
    pub fn text(&self, key: &'static str) -> Option<String> {
        self.value(key)?.text()
    }

    /// A text that must never be shown. An empty one counts as nothing.
    pub fn secret(&self, key: &'static str) -> Option<Secret> {
        self.value(key)?.secret().filter(|secret| !secret.is_empty())
    }

    /// True when an empty text stands at `key`.
    pub fn text_is_empty(&self, key: &'static str) -> bool {
        self.value(key).is_some_and(|value| value.is_empty_text())
    }

    /// A whole number within a range.
    pub fn whole<T: Whole>(&self, key: &'static str, range: RangeInclusive<T>) -> Option<T> {
        self.value(key)?.whole(range)
    }

    /// `true` or `false`; absent means false.
    pub fn flag(&self, key: &'static str) -> bool {
        self.value(key).and_then(|value| value.flag()).unwrap_or_default()
    }

    /// A path; a relative one starts at the folder of the file. An empty text counts as nothing.
    pub fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.value(key)?.path()
    }

    /// A path, or this one when nothing is at `key`. `None`: something wrong is there, which was noted.
    pub fn path_or(&self, key: &'static str, default: &str) -> Option<PathBuf> {
        let is_free = self.misses && (self.value(key).is_none() || self.text_is_empty(key));
        if is_free { Some(PathBuf::from(default)) } else { self.path(key) }
    }

    /// The elements of a list; none when it is absent.
    pub fn items(&self, key: &'static str) -> Vec<Value<'a>> {
        self.value(key).map(|value| value.items()).unwrap_or_default()
    }

    /// Reads the object at `key`. When it is absent, `build` sees an empty one.
    pub fn section<T>(&self, key: &'static str, build: impl FnOnce(&Section<'a>) -> T) -> T {
        match self.value(key) {
            Some(value) => value.section(build),
            None => {
                let section =
                    Section::new(self.reader, None, self.below(key), self.place.clone(), self.misses);
                section.build(build)
            }
        }
    }

    pub(super) fn build<T>(self, build: impl FnOnce(&Section<'a>) -> T) -> T {
        let value = build(&self);
        self.end();
        value
    }

    /// Says that something must be at `key`, unless it is there (and then is right or was already complained of).
    pub fn require(&self, key: &'static str, expectation: &str) {
        if self.value(key).is_none() {
            self.missing.borrow_mut().push((key, format!("missing: expected {expectation}")));
        }
    }

    /// Notes a problem with the value at `key`; where there is none, with this section.
    pub fn problem(&self, key: &'static str, expectation: impl Into<String>) {
        self.value_or_place(key).problem(expectation);
    }

    /// Notes that what `key` names is absent on this machine: a problem for `--validate`, a warning at run time.
    pub fn absent(&self, key: &'static str, expectation: impl Into<String>) {
        self.value_or_place(key).absent(expectation);
    }

    /// Notes a warning about the value at `key`; where there is none, about this section.
    pub fn warn(&self, key: &'static str, sentence: impl Into<String>) {
        self.value_or_place(key).warn(sentence);
    }

    fn value_or_place(&self, key: &'static str) -> Value<'a> {
        self.value(key).unwrap_or_else(|| self.make_value(key, None))
    }

    fn make_value(&self, key: &str, found: Option<&'a ast::Value<'a>>) -> Value<'a> {
        let key = Prefix {
            here: format!("{}{key}", self.prefix.here),
            pattern: format!("{}{key}", self.prefix.pattern),
        };
        Value::new(self.reader, key, found, self.place.clone())
    }

    fn below(&self, key: &str) -> Prefix {
        Prefix {
            here: format!("{}{key}.", self.prefix.here),
            pattern: format!("{}{key}.", self.prefix.pattern),
        }
    }

    fn ask(&self, key: &'static str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
            self.reader.asked.borrow_mut().insert(format!("{}{key}", self.prefix.pattern));
        }
    }

    fn properties(&self) -> impl Iterator<Item = &'a ast::ObjectProp<'a>> {
        self.object.into_iter().flat_map(|object| object.properties.iter())
    }

    /// Notes keys that are unknown, given twice, or missing. A key that is missing because it is misspelled is
    /// only said to be misspelled.
    pub(super) fn end(self) {
        let mut missing = self.missing.take();
        let mut seen: Vec<&str> = Vec::new();
        for property in self.properties() {
            let name = property.name.as_str();
            self.reader.show(&(property.name.start()..property.name.end()));
            if seen.contains(&name) {
                self.note_key(property, "is given twice; keep one of them".to_string(), None);
            } else if !self.asked.borrow().contains(&name) {
                let meant = self.meant(name);
                missing.retain(|(key, _)| Some(*key) != meant.as_deref());
                self.note_unknown(property, meant);
            }
            seen.push(name);
        }
        if !self.misses {
            return;
        }
        for (key, expectation) in missing {
            self.make_value(key, None).problem(expectation);
        }
    }

    /// The key that was probably meant: a near one of this section, else one of another section.
    fn meant(&self, name: &str) -> Option<String> {
        let here = nearest(name, self.asked.borrow().iter().copied()).map(str::to_string);
        here.or_else(|| {
            let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
            let elsewhere = nearest(name, self.reader.known.iter().map(|key| last(key)))?;
            // The nearest to the root, where most are written.
            let same = self.reader.known.iter().filter(|key| last(key) == elsewhere);
            same.min_by_key(|key| key.matches('.').count()).cloned()
        })
    }

    fn note_unknown(&self, property: &'a ast::ObjectProp<'a>, meant: Option<String>) {
        let mut expectation = "unknown key".to_string();
        if meant.is_none() {
            let mut keys = self.asked.borrow().clone();
            keys.sort_unstable();
            expectation.push_str(&format!("; known here: {}", keys.join(", ")));
        }
        self.note_key(property, expectation, meant);
    }

    fn note_key(&self, property: &'a ast::ObjectProp<'a>, expectation: String, suggestion: Option<String>) {
        self.reader.note(Note {
            severity: Severity::Problem,
            range: Some(property.name.start()..property.name.end()),
            key: format!("{}{}", self.prefix.here, property.name.as_str()),
            value: None,
            expectation,
            suggestion,
        });
    }
}
