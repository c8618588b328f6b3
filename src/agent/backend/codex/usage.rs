//! What a thread used, out of sums of its whole life.
//!
//! A sum is told again and again, also when nothing was used. After a conversation did not fit, the sums begin anew with
//! nothing, and the count of all tokens is set to what the model can hold: that count is not read.

use super::words::UsageSaid;
use hal_protocol::session::Tokens;

/// What was told of a thread so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// The last sum; `None`: none was told yet, and there may be one.
    sum: Option<UsageSaid>,
}

impl Meter {
    /// The sum of what was used before is this one.
    pub fn begin(&mut self, sum: UsageSaid) {
        self.sum = Some(sum);
    }

    /// True when no sum is known.
    pub fn is_blank(&self) -> bool {
        self.sum.is_none()
    }

    /// What was used since the last sum; `last` is what the newest call alone has used.
    pub fn take(&mut self, sum: UsageSaid, last: UsageSaid) -> UsageSaid {
        let used = match self.sum {
            None => last.least(&sum),
            Some(before) => sum.since(&before).unwrap_or_else(|| UsageSaid::of(sum.parts())),
        };
        self.sum = Some(sum);
        used
    }
}

impl UsageSaid {
    fn parts(&self) -> [u64; 5] {
        [self.input, self.cached, self.written, self.output, self.reasoning]
    }

    fn of([input, cached, written, output, reasoning]: [u64; 5]) -> Self {
        Self { input, cached, written, output, reasoning, total: 0 }
    }

    /// What is more than `before`; `None`: something is less, so that it was begun anew.
    fn since(&self, before: &Self) -> Option<Self> {
        let (now, then) = (self.parts(), before.parts());
        let mut more = [0; 5];
        for (at, more) in more.iter_mut().enumerate() {
            *more = now[at].checked_sub(then[at])?;
        }
        Some(Self::of(more))
    }

    fn least(&self, other: &Self) -> Self {
        let (one, other) = (self.parts(), other.parts());
        Self::of(std::array::from_fn(|at| one[at].min(other[at])))
    }

    /// In our kinds, no token in two of them.
    pub fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input.saturating_sub(self.cached).saturating_sub(self.written),
            output: self.output.saturating_sub(self.reasoning),
            reasoning: self.reasoning,
            cache_read: self.cached,
            cache_write: self.written,
        }
    }
}

/// What of `sum` is not in `known`; `None`: `known` holds something that `sum` does not.
pub fn beyond(sum: &Tokens, known: &Tokens) -> Option<Tokens> {
    Some(Tokens {
        input: sum.input.checked_sub(known.input)?,
        output: sum.output.checked_sub(known.output)?,
        reasoning: sum.reasoning.checked_sub(known.reasoning)?,
        cache_read: sum.cache_read.checked_sub(known.cache_read)?,
        cache_write: sum.cache_write.checked_sub(known.cache_write)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: u64, cached: u64, output: u64, reasoning: u64) -> UsageSaid {
        UsageSaid { input, cached, written: 0, output, reasoning, total: input + output }
    }

    #[test]
    fn a_sum_is_told_again_grows_and_begins_anew() {
        let mut meter = Meter::default();
        meter.begin(UsageSaid::default());
        let one = said(1000, 300, 42, 7);
        assert_eq!(meter.take(one, one).tokens().total(), 1042);
        assert_eq!(meter.take(one, one), UsageSaid::default(), "it is told again");
        assert_eq!(meter.take(said(3000, 900, 126, 21), one).input, 2000, "two calls in one step");
        let window = UsageSaid { total: 258_400, ..UsageSaid::default() };
        assert_eq!(meter.take(window, window), UsageSaid::default(), "the conversation did not fit");
        assert_eq!(meter.take(UsageSaid { total: 259_442, ..one }, one).tokens().total(), 1042);
    }

    #[test]
    fn where_no_sum_is_known_the_newest_call_counts() {
        let mut meter = Meter::default();
        assert!(meter.is_blank());
        assert_eq!(meter.take(said(9000, 0, 90, 0), said(1000, 0, 10, 0)).input, 1000);
        assert_eq!(meter.take(said(9500, 0, 95, 0), said(500, 0, 5, 0)).output, 5);
    }

    #[test]
    fn no_token_is_of_two_kinds() {
        let tokens = UsageSaid { written: 100, ..said(1000, 300, 42, 7) }.tokens();
        assert_eq!((tokens.input, tokens.cache_read, tokens.cache_write), (600, 300, 100));
        assert_eq!((tokens.output, tokens.reasoning), (35, 7));
        assert_eq!(tokens.total(), 1042);
    }
}
