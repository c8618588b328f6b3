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
    /// 401: no token, or one that is not ours.
    AuthRequired,
    /// 400: the request cannot be read.
    BadRequest,
    /// 400: it can be read but makes no sense.
    ValidationError,
    /// 404: no such thing.
    NotFound,
    /// 409: the same idempotency key was used for something else.
    Conflict,
    /// 413: too much at once.
    TooLarge,
    /// 503: not now.
    ServiceUnavailable,
    /// 500: our fault.
    InternalError,
}

/// The first thing a live stream says: whether everything since the given cursor will come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// `ok`: nothing is missing. `gap`: what lies between the cursor and `cursor` below is not here any more
    /// (or the cursor is of another store): take the picture again.
    pub verdict: String,
    /// Where the stream goes on from.
    pub cursor: String,
}

/// Times in JSON as RFC 3339 in UTC; an unknown time is the predecessor's `0001-01-01T00:00:00Z`.
pub mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::base::clock::Time;

    const UNKNOWN: &str = "0001-01-01T00:00:00Z";

    /// Writes the time.
    pub fn serialize<S: Serializer>(at: &Time, out: S) -> Result<S::Ok, S::Error> {
        if *at == Time::default() { out.serialize_str(UNKNOWN) } else { out.collect_str(at) }
    }

    /// Reads the time.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Time, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(input)?;
        if text == UNKNOWN {
            return Ok(Time::default());
        }
        Time::parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }
}
