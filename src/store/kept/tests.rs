//! Every kind's rows as released versions wrote them, and what becomes of those that are damaged.

use serde_json::{Value as Json, json};

use super::*;

/// One row of each kind, as a released version has stored it: name and data, a row a line. They must load for ever.
const RELEASED: &str = include_str!("../../../tests/fixtures/rows/supervisor-state.kinds.1");

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
    assert!(fault("halts/shop", newer).unwrap().contains("not a kind of state"));
    assert!(fault("halt", newer).unwrap().contains("KIND/KEY"));
}

/// The same rows as this version stores them: name and bytes in hexadecimal, a row a line. They must load for ever.
const STORED: &str = "../../tests/fixtures/rows/supervisor-kept.1";

/// Rows of the kinds that have a second version, as JSON and as they are stored.
const RELEASED_2: &str = include_str!("../../../tests/fixtures/rows/supervisor-state.kinds.2");
const STORED_2: &str = "../../tests/fixtures/rows/supervisor-kept.2";

fn read_as_json(name: &str, data: &str) -> Kept {
    Kept::read(name, StateRecord { data: data.to_owned(), changed_at: 1_795_450_273_000 })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn the_stored_bytes_of_every_kind_are_those_that_were_released_and_say_what_its_json_says() {
    let second: Vec<(&str, &str)> =
        RELEASED_2.lines().map(|line| line.split_once('\t').expect("name, tab, data")).collect();
    let has_second = |name: &str| second.iter().any(|(other, _)| kind_of(other) == kind_of(name));
    let first = released().filter(|(name, _)| !has_second(name)).collect();
    are_stored(STORED, first);
    are_stored(STORED_2, second.clone());
    // What a former version has stored is read for ever.
    for (name, data) in released().filter(|(name, _)| has_second(name)) {
        says(name, data, &stored_line(STORED, name));
    }
}

fn kind_of(name: &str) -> &str {
    name.split_once('/').unwrap().0
}

fn path_of(fixture: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture)
}

fn stored_line(fixture: &str, name: &str) -> String {
    let stored = std::fs::read_to_string(path_of(fixture)).unwrap();
    let line = stored.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t').map(str::to_owned));
    line.unwrap_or_else(|| panic!("{fixture} has no {name}"))
}

/// These rows are stored as the fixture has them, byte for byte, and say the same.
fn are_stored(fixture: &str, rows: Vec<(&str, &str)>) {
    let bytes = |name: &str, data: &str| hex(&read_as_json(name, data).seal(name));
    if std::env::var_os("UPDATE_EXPECTED").is_some() && !path_of(fixture).exists() {
        let written: String =
            rows.iter().map(|(name, data)| format!("{name}\t{}\n", bytes(name, data))).collect();
        std::fs::write(path_of(fixture), written).unwrap();
    }
    for (name, data) in rows {
        let stored = stored_line(fixture, name);
        assert!(
            stored == bytes(name, data),
            "{name}: a released shape never changes; give the kind a new version"
        );
        says(name, data, &stored);
    }
}

fn says(name: &str, data: &str, stored: &str) {
    let kept = Kept::open(&bytes(stored), name).unwrap();
    assert_eq!(kept.changed_at, Time(1_795_450_273_000));
    let said: Json = serde_json::from_str(&kept.record().data).unwrap();
    assert_eq!(said, serde_json::from_str::<Json>(&read_as_json(name, data).record().data).unwrap());
    assert!(kept.value.is_ok(), "{name}: {:?}", kept.value);
}

#[test]
fn stored_bytes_of_another_shape_or_version_are_kept_as_they_are_and_wait_in_json_for_a_release_that_knows_them()
 {
    for (name, data) in released() {
        let Ok(whole) = read_as_json(name, data).value.map(|value| value.bytes()) else { panic!("{name}") };
        let (mut newer, mut short, mut long) = (whole.clone(), whole.clone(), whole.clone());
        newer.version += 1;
        short.body.pop();
        long.body.push(0);
        for spoilt in [newer, short, long] {
            let sealed = row::seal(&Sealed { changed_at: 7, bytes: spoilt.clone() }, name);
            let kept = Kept::open(&sealed, name).unwrap();
            assert!(kept.value.is_err(), "{name}: {spoilt:?} is read as {:?}", kept.value);
            assert_eq!(kept.seal(name), sealed, "{name} is written as it was");
            let again = Kept::read(name, kept.record());
            assert!(again.value.is_err(), "{name}");
            assert_eq!(again.seal(name), sealed, "{name} has come back from supervisor.db as it was");
        }
        let waiting = serde_json::to_string(&Waiting { unread: whole }).unwrap();
        assert!(read_as_json(name, &waiting).value.is_ok(), "{name} is read by who knows it");
    }
}

#[test]
fn a_row_under_another_name_or_with_a_flipped_bit_is_damaged() {
    let (name, data) = released().next().unwrap();
    let sealed = read_as_json(name, data).seal(name);
    assert!(matches!(Kept::open(&sealed, "halt/other"), Err(StoreError::Damaged { .. })));
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Kept::open(&flipped, name).is_err(), "bit {bit}");
    }
}
