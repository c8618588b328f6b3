//! Making an event's data small enough to be sent, while it stays readable JSON.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use hal_protocol::event::raw;

/// Bytes of each text that is kept, tried in this order until the whole is small enough.
const TEXT_BOUNDS: [usize; 4] = [64 * 1024, 8 * 1024, 1024, 128];

/// `data` as it is when it has at most `most` bytes; else with its long texts cut, `"shortened": true` and its
/// `original_bytes`. When even that is too large only the short fields of its first two levels are left.
pub(super) fn shorten(data: Box<RawValue>, most: usize) -> Box<RawValue> {
    let original = data.get().len();
    if original <= most {
        return data;
    }
    let mut value: Value = serde_json::from_str(data.get()).unwrap_or_default();
    for bound in TEXT_BOUNDS {
        cut(&mut value, bound);
        let short = raw(&noted(value.clone(), original));
        if short.get().len() <= most {
            return short;
        }
    }
    let short = raw(&noted(skeleton(&value, 2), original));
    if short.get().len() <= most { short } else { raw(&noted(json!({}), original)) }
}

fn noted(value: Value, original: usize) -> Value {
    let mut map = match value {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    map.insert("shortened".into(), json!(true));
    map.insert("original_bytes".into(), json!(original));
    Value::Object(map)
}

fn cut(value: &mut Value, bound: usize) {
    match value {
        Value::String(text) if text.len() > bound => {
            text.truncate(text.floor_char_boundary(bound));
            text.push('…');
        }
        Value::Array(list) => list.iter_mut().for_each(|one| cut(one, bound)),
        Value::Object(map) => map.values_mut().for_each(|one| cut(one, bound)),
        _ => {}
    }
}

/// Only what is neither a list nor deeper than `levels`.
fn skeleton(value: &Value, levels: u32) -> Value {
    let Value::Object(map) = value else { return Value::Null };
    let keep = |(key, one): (&String, &Value)| match one {
        Value::Array(_) => None,
        Value::Object(_) if levels <= 1 => None,
        Value::Object(_) => Some((key.clone(), skeleton(one, levels - 1))),
        plain => Some((key.clone(), plain.clone())),
    };
    Value::Object(map.iter().filter_map(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(data: &RawValue) -> Value {
        serde_json::from_str(data.get()).unwrap()
    }

    #[test]
    fn small_data_is_left_alone() {
        let data = raw(&json!({"a": 1}));
        assert_eq!(shorten(data, 100).get(), r#"{"a":1}"#);
    }

    #[test]
    fn long_texts_are_cut_and_the_rest_stays() {
        let data = raw(&json!({"part": {"id": "prt", "text": "ä".repeat(200_000)}}));
        let short = shorten(data, 100_000);
        assert!(short.get().len() <= 100_000);
        let value = value(&short);
        assert_eq!(value["part"]["id"], "prt");
        assert_eq!((&value["shortened"], value["original_bytes"].as_u64()), (&json!(true), Some(400_031)));
    }

    #[test]
    fn many_small_things_leave_the_skeleton() {
        let list: Vec<u32> = (0..100_000).collect();
        let data = raw(&json!({"id": "per", "list": list, "info": {"id": "msg", "deep": {"x": 1}}}));
        let value = value(&shorten(data, 1_000));
        assert_eq!((&value["id"], &value["info"]["id"]), (&json!("per"), &json!("msg")));
        assert!(value.get("list").is_none() && value["info"].get("deep").is_none());
    }
}
