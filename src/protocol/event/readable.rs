//! Data that everybody can read: what would spoil the page it is shown on is shown as text.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::json;
use serde_json::value::RawValue;

use super::{Event, raw};

/// How deep data may be nested: what reads a page of events allows 128 levels for all of it.
const MOST_DEEP: u8 = 100;

/// Characters kept of data that nobody can read.
const MAX_UNREADABLE: usize = 64 * 1024;

/// Events whose data everybody can read.
pub fn readable(mut events: Vec<Event>) -> Vec<Event> {
    for event in &mut events {
        if let Err(why) = read_through(&event.data) {
            event.data = unreadable(&event.data, &why);
        }
    }
    events
}

/// Data as it is where everybody can read it, else `{unreadable, text}`: a number that no reader holds, half a letter or
/// a hundred brackets would make the whole page unreadable that the event is shown on, for as long as it is kept.
pub fn readable_data(data: Box<RawValue>) -> Box<RawValue> {
    match read_through(&data) {
        Ok(()) => data,
        Err(why) => unreadable(&data, &why),
    }
}

fn unreadable(data: &RawValue, why: &serde_json::Error) -> Box<RawValue> {
    let text: String = data.get().chars().take(MAX_UNREADABLE).collect();
    raw(&json!({"unreadable": why.to_string(), "text": text}))
}

pub(super) fn read_data<'de, D: Deserializer<'de>>(input: D) -> Result<Box<RawValue>, D::Error> {
    Box::<RawValue>::deserialize(input).map(readable_data)
}

fn read_through(data: &RawValue) -> Result<(), serde_json::Error> {
    Depth(MOST_DEEP).deserialize(&mut serde_json::Deserializer::from_str(data.get()))
}

/// Reads a value as who keeps it would, and keeps nothing. So many levels may still come.
#[derive(Clone, Copy)]
struct Depth(u8);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl Depth {
    fn below<E: Error>(self) -> Result<Self, E> {
        let less = self.0.checked_sub(1).map(Self);
        less.ok_or_else(|| E::custom(format_args!("it is nested more than {MOST_DEEP} levels deep")))
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while list.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while map.next_key_seed(Depth(0))?.is_some() {
            map.next_value_seed(below)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_would_spoil_its_page_is_shown_as_text_and_all_other_as_it_is() {
        let deep = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let data = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        for text in [r#"{"a":[1,-2,3.5,null,true,"\u00e4\ud83d\ude00"]}"#, "7", &deep(100)] {
            assert_eq!(readable_data(data(text)).get(), text);
        }
        for (text, why) in [
            (r#"{"a":1e999}"#, "number out of range"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"\ud800":1}"#, "hex escape"),
            (&deep(101), "nested"),
            (&deep(100_000), "nested"),
        ] {
            let shown = readable_data(data(text));
            let value: serde_json::Value = serde_json::from_str(shown.get()).expect("everybody can read it");
            assert!(value["unreadable"].as_str().unwrap().contains(why), "{value}");
            assert!(text.starts_with(value["text"].as_str().unwrap()), "{value}");
        }
    }
}
