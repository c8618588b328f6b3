//! Why a frame was refused.

use super::ENVELOPE_VERSION;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not JSON, or not an envelope.
    #[error("frame is not an envelope: {0}")]
    NotAnEnvelope(String),
    /// Another envelope version.
    #[error("unsupported protocol version: got {0}, expected {ENVELOPE_VERSION}")]
    Version(u32),
    /// An empty `type`.
    #[error("missing required field: type")]
    NoType,
    /// A `timestamp` of 0.
    #[error("missing required field: timestamp")]
    NoTimestamp,
    /// The payload does not have the shape that its type promises.
    #[error("payload of {kind:?} cannot be read: {why}")]
    Payload {
        /// The frame's type.
        kind: String,
        /// What the reader said.
        why: String,
    },
    /// A batch of events with a hole or a step back in its numbers.
    #[error("events are not in order: {after} follows {before}")]
    Order {
        /// A sequence number of the batch.
        before: u64,
        /// What should have been the next one.
        after: u64,
    },
}

impl Broken {
    /// One short word for a metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotAnEnvelope(_) => "not_an_envelope",
            Self::Version(_) => "version",
            Self::NoType => "no_type",
            Self::NoTimestamp => "no_timestamp",
            Self::Payload { .. } => "payload",
            Self::Order { .. } => "order",
        }
    }
}
