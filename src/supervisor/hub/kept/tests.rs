//! Every kind's rows as released versions wrote them, and what becomes of those that are damaged.

use serde_json::json;

use super::*;

/// One row of each kind, as a released version has stored it: name and data, a row a line. They must load for ever.
const RELEASED: &str = include_str!("../../../../tests/fixtures/rows/supervisor-state.kinds.1");

fn released() -> impl Iterator<Item = (&'static str, &'static str)> {
    RELEASED.lines().map(|line| line.split_once('\t').expect("name, tab, data"))
}

#[test]
fn rows_of_every_kind_as_they_were_released_load() {
    let mut seen: Vec<&str> = Vec::new();
    for (name, data) in released() {
        assert_eq!(fault(name, data), None, "{name}");
        seen.push(name.split_once('/').unwrap().0);
    }
    let all: Vec<&str> = ALL.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(seen, all, "one row of each kind, in the order of the list");
}

#[test]
fn no_damaged_row_of_any_kind_counts_as_one_that_can_be_read() {
    let mut tried = 0;
    for (name, data) in released() {
        let mut damaged = vec![
            ("no JSON", "no JSON".to_owned()),
            ("cut short", data[..data.len() / 2].to_owned()),
            ("nothing at all", "{}".to_owned()),
            ("another type", "17".to_owned()),
            ("null", "null".to_owned()),
            ("a list", "[]".to_owned()),
        ];
        let whole: Json = serde_json::from_str(data).unwrap();
        for field in whole.as_object().into_iter().flat_map(serde_json::Map::keys) {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(field);
            // What a person says of a session may be one thing alone; a map of names has none that must be there.
            if !matches!(
                name.split_once('/').unwrap().0,
                "session.marks" | "policy.memory" | "lately" | "project.begun"
            ) && !["deadline", "snoozed_until", "answer", "parts"].contains(&field.as_str())
            {
                damaged.push(("a field left out", less.to_string()));
            }
            let mut other = whole.clone();
            other[field] = json!({"unheard": "of"});
            damaged.push(("a field of another type", other.to_string()));
        }
        for (what, data) in damaged {
            assert!(fault(name, &data).is_some(), "{name} with {what} is read: {data}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn what_a_newer_version_has_added_is_not_lost_by_reading_it_as_if_it_were_not_there() {
    let newer = r#"{"by":"ada","at":"2026-11-29T00:00:00Z","until":5}"#;
    assert_eq!(fault("halt/shop", newer).unwrap(), "field until is not known to this version");
    assert!(fault("halts/shop", newer).unwrap().contains("no kind of state"));
    assert!(fault("halt", newer).unwrap().contains("KIND/KEY"));
}
