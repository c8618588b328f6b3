//! Exact amounts of US dollars: read from decimal text, added up without loss, rounded once when they are shown.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A dollar, as money is counted.
pub const DOLLAR: u64 = 1_000_000_000_000;

/// A millionth of a dollar, as money is counted. A price of one dollar for a million tokens is this for each of them.
pub const MICRO: u64 = 1_000_000;

/// Digits after the point that are kept. Providers bill tokens of 0.00000001 dollars in amounts of seven to ten
/// digits; what they write beyond twelve are zeros.
const DIGITS: i32 = 12;

/// Millionths in one unit of the twelfth digit.
const IN_A_MICRO: i128 = 1_000_000;

/// Larger than any bill, and small enough that no sum of them leaves an `i128`.
const MOST: i128 = 1_000_000_000_000_000_000_000_000_000;

/// Dollars as they are counted, rounded to the nearest; `None` for what is no amount.
pub fn picos(dollars: f64) -> Option<u64> {
    // What a row can hold: 18 million dollars.
    (dollars.is_finite() && (0.0..18e6).contains(&dollars)).then(|| (dollars * DOLLAR as f64).round() as u64)
}

/// What was counted in millionths of a dollar, rounded to the nearest.
pub fn micros(picos: u64) -> u64 {
    picos / MICRO + u64::from(picos % MICRO >= MICRO / 2)
}

/// An amount in 10^-12 US dollars; less than zero for what is given back. Written as decimal text, such as `1.2378912`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

impl Money {
    /// Reads dollars such as `0.0015`, `12`, `-3.5` or `1.5e-3`.
    pub fn dollars(text: &str) -> Option<Self> {
        Self::scaled(text, 0)
    }

    /// Reads cents, with as many digits after the point as there are: `123.45` is 1.2345 dollars.
    pub fn cents(text: &str) -> Option<Self> {
        Self::scaled(text, -2)
    }

    /// So many millionths of a dollar.
    pub fn of_micros(micros: i64) -> Self {
        Self(i128::from(micros) * IN_A_MICRO)
    }

    /// In millionths of a dollar, rounded to the nearest, halves away from zero.
    pub fn micros(self) -> i64 {
        let half = if self.0 < 0 { -IN_A_MICRO / 2 } else { IN_A_MICRO / 2 };
        i64::try_from((self.0 + half) / IN_A_MICRO).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }

    fn scaled(text: &str, shift: i32) -> Option<Self> {
        let (digits, exponent) = match text.trim().split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (text.trim(), 0),
        };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, digits),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let after_point = i32::try_from(fraction.len()).ok()?;
        let place = DIGITS.checked_add(shift)?.checked_add(exponent)?.checked_sub(after_point)?;
        let value = at_place(&all, place)?;
        (value <= MOST).then_some(Self(sign * value))
    }
}

/// The number these digits are, with so many zeros behind them; or without so many, and then rounded.
fn at_place(digits: &str, place: i32) -> Option<i128> {
    let digits = digits.trim_start_matches('0');
    let Ok(less) = usize::try_from(-place) else {
        let value = if digits.is_empty() { 0 } else { digits.parse::<i128>().ok()? };
        let power = if value == 0 { 1 } else { 10_i128.checked_pow(u32::try_from(place).ok()?)? };
        return value.checked_mul(power);
    };
    if less > digits.len() {
        return Some(0);
    }
    let (kept, cut) = digits.split_at(digits.len() - less);
    let kept = if kept.is_empty() { 0 } else { kept.parse::<i128>().ok()? };
    Some(kept + i128::from(cut.bytes().next().is_some_and(|first| first >= b'5')))
}

impl Add for Money {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u128.pow(DIGITS.unsigned_abs());
        let (whole, rest) = (self.0.unsigned_abs() / one, self.0.unsigned_abs() % one);
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = format!("{sign}{whole}.{rest:012}");
        out.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::dollars(&text).ok_or_else(|| serde::de::Error::custom("no amount of dollars"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_whatever_their_unit_and_shape() {
        let micros = |money: Option<Money>| money.unwrap().micros();
        assert_eq!(micros(Money::cents("123.45")), 1_234_500);
        assert_eq!(Money::cents("123.78912").unwrap().to_string(), "1.2378912");
        assert_eq!(micros(Money::cents("123.78912")), 1_237_891);
        assert_eq!(micros(Money::dollars("0.001589850000000000000000000000")), 1590);
        assert_eq!(Money::dollars("0.06"), Money::dollars("6E-2"));
        assert_eq!(Money::dollars("1.5e3").unwrap().to_string(), "1500");
        assert_eq!(Money::dollars("-0.0000005").unwrap().micros(), -1, "halves away from zero");
        assert_eq!(Money::of_micros(-1_500_000).to_string(), "-1.5");
        assert_eq!(Money::dollars("0.0000000000005").unwrap().to_string(), "0.000000000001");
        assert_eq!(Money::dollars("0e-99999"), Some(Money::default()));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in
            ["", "-", ".", "1,5", "12 USD", "NaN", "1e", "--1", "1e99", "1e2147483647", "1e-2147483648x"]
        {
            assert_eq!(Money::dollars(text), None, "{text}");
        }
    }

    #[test]
    fn sums_lose_nothing_that_single_rounding_would() {
        let third = Money::dollars("0.0000004").unwrap();
        let sum: Money = std::iter::repeat_n(third, 1000).sum();
        assert_eq!((third.micros(), sum.micros()), (0, 400));
        assert_eq!(serde_json::to_string(&sum).unwrap(), "\"0.0004\"");
        assert_eq!(serde_json::from_str::<Money>("\"0.0004\"").unwrap(), sum);
    }
}
