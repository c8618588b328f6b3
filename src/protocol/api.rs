//! The envelope around HTTP answers, errors and pages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A successful answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Answer<T> {
    /// What was asked for.
    pub data: T,
    /// About the list, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

/// About a page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// How many match in all, not only on this page.
    pub total: u64,
    /// The page's size as asked for or as bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Give it back as `cursor` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// One sentence a person can act on.
    pub error: String,
    /// One word a program can act on.
    pub code: Code,
}

/// The words a program can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// 401: no token, or a wrong one.
    AuthRequired,
    /// 403: the role does not do.
    Forbidden,
    /// 400: the request cannot be read.
    BadRequest,
    /// 400: it can be read but is not valid.
    ValidationError,
    /// 404: not found.
    NotFound,
    /// 409: the same idempotency key was used for something else.
    Conflict,
    /// 413: the body is too large.
    TooLarge,
    /// 503: stopping, or the store takes no writes.
    ServiceUnavailable,
    /// 500: a fault of the supervisor; its log says more.
    InternalError,
}

/// The first thing a live stream says: whether everything since the given cursor will come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Verdict)]
pub struct StreamOpening {
    /// `ok`: nothing is missing. `gap`: events between the cursor and `cursor` below are no longer available
    /// (or the cursor is of another store): fetch the state again.
    pub verdict: String,
    /// Where the stream continues from.
    pub cursor: String,
}

/// Times in JSON as RFC 3339 in UTC; an unknown time is the predecessor's `0001-01-01T00:00:00Z`. So is one that no
/// calendar holds, and a text that is none: a time is never the reason why the rest cannot be read.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use hal_base::clock::Time;

    const UNKNOWN: &str = "0001-01-01T00:00:00Z";

    /// Writes the time.
    pub fn serialize<S: Serializer>(at: &Time, out: S) -> Result<S::Ok, S::Error> {
        let is_known = *at != Time::default() && at.is_in_calendar();
        if is_known { out.collect_str(at) } else { out.serialize_str(UNKNOWN) }
    }

    /// Reads the time.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Time, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(input)?;
        if text == UNKNOWN {
            return Ok(Time::default());
        }
        Ok(Time::parse(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use hal_base::clock::Time;

    #[derive(Serialize, Deserialize)]
    struct Row(#[serde(with = "super::rfc3339")] Time);

    #[test]
    fn whatever_time_is_written_can_be_read() {
        for at in [Time(i64::MAX), Time(1_795_450_273_123_000), Time(i64::MIN), Time(0), Time(1), Time::LAST]
        {
            let said = serde_json::to_value(Row(at)).unwrap();
            let again: Row =
                serde_json::from_value(said.clone()).unwrap_or_else(|why| panic!("{at:?}: {why}"));
            let meant = if at.is_in_calendar() { at } else { Time::default() };
            assert_eq!(again.0, meant, "{said}");
        }
        // As older supervisors and agents write it.
        let old: Row = serde_json::from_value(json!("out of range")).unwrap();
        assert_eq!(old.0, Time::default());
    }
}
