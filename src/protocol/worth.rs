//! What usage came to: tokens and money, and what is not known of it.

use serde::{Deserialize, Serialize};

/// What usage came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageCost {
    /// Tokens: input, output, reasoning, read from and written to the cache.
    pub tokens: [u64; 5],
    /// Money, in millionths of a millionth of a US dollar.
    #[serde(skip_serializing_if = "is_zero")]
    pub picos: u64,
    /// True when that is known of something: nothing known is not zero.
    pub is_known: bool,
    /// The part of the money that comes from a price table.
    #[serde(skip_serializing_if = "is_zero")]
    pub estimated: u64,
    /// What would have been paid without a subscription; not in the money.
    #[serde(skip_serializing_if = "is_zero")]
    pub equivalent: u64,
    /// Tokens of which nobody knows the price.
    #[serde(skip_serializing_if = "is_zero")]
    pub unpriced: u64,
    /// Calls of which the backend told nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreported: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl UsageCost {
    /// This and another.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add, self.is_known || other.is_known)
    }

    /// This without another that is in it.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub, self.is_known)
    }

    fn with(&self, other: &Self, join: fn(u64, u64) -> u64, is_known: bool) -> Self {
        Self {
            tokens: std::array::from_fn(|kind| join(self.tokens[kind], other.tokens[kind])),
            picos: join(self.picos, other.picos),
            is_known,
            estimated: join(self.estimated, other.estimated),
            equivalent: join(self.equivalent, other.equivalent),
            unpriced: join(self.unpriced, other.unpriced),
            unreported: join(self.unreported, other.unreported),
        }
    }
}
