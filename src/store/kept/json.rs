//! The JSON of a kept row, as operators see it: read strictly, so that a damaged row is never taken for another one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// A value from its JSON. What was left out is not made up: a row has every field that this version would write, and
/// none that it would lose by writing the row again.
pub(super) fn parse<T: Serialize + DeserializeOwned>(data: &str) -> Result<T, String> {
    let json: Json = serde_json::from_str(data).map_err(|error| format!("it is not JSON: {error}"))?;
    if json.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err("it is empty".to_owned());
    }
    let value: T = serde_json::from_value(json.clone()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&value).map_err(|error| error.to_string())?;
    match difference(&json, &again, "") {
        Some(difference) => Err(difference),
        None => Ok(value),
    }
}

/// Fields that rows did not have in an earlier release: without one, a row says what the field's default says.
const SINCE_FIRST: &[&str] = &[];

/// The first field that one side has and the other one has not.
fn difference(stored: &Json, again: &Json, place: &str) -> Option<String> {
    match (stored, again) {
        (Json::Object(stored), Json::Object(again)) => {
            if let Some(field) = again
                .keys()
                .find(|field| !stored.contains_key(*field) && !SINCE_FIRST.contains(&field.as_str()))
            {
                return Some(format!("field {place}{field} is missing"));
            }
            stored.iter().find_map(|(field, one)| match again.get(field) {
                // What is nothing and is not written is no loss.
                None if one.is_null() => None,
                None => Some(format!("field {place}{field} is not known to this version")),
                Some(other) => difference(one, other, &format!("{place}{field}.")),
            })
        }
        (Json::Array(stored), Json::Array(again)) => {
            stored.iter().zip(again).find_map(|(one, other)| difference(one, other, place))
        }
        // A list is taken for the fields of a value in their order.
        (Json::Object(_) | Json::Array(_), _) | (_, Json::Object(_) | Json::Array(_)) => {
            let place = if place.is_empty() {
                "it".to_owned()
            } else {
                format!("field {}", place.trim_end_matches('.'))
            };
            Some(format!("{place} has another shape"))
        }
        _ => None,
    }
}
