//! What was used, as each program tells it in its own way.
//!
//! The count of all tokens is the same thing everywhere; whether tokens of the cache are in those that were read, and what
//! was thought in those that were written, is not, and is found out from that count.

use serde_json::Value;

use super::words::UsageSaid;
use hal_protocol::session::Tokens;

/// Reads one, in any of the shapes that are in use.
pub fn read(said: &Value) -> Option<UsageSaid> {
    let count = |names: &[&str]| names.iter().find_map(|name| said[*name].as_u64());
    let input = count(&["inputTokens", "input_tokens"])?;
    let output = count(&["outputTokens", "output_tokens"])?;
    let cached = count(&["cachedReadTokens", "cachedInputTokens", "cached_input_tokens"]).unwrap_or_default();
    let written = count(&["cachedWriteTokens"]).unwrap_or_default();
    let thought = count(&["thoughtTokens", "reasoningOutputTokens", "thought_tokens"]).unwrap_or_default();
    let total = count(&["totalTokens", "total_tokens"]).unwrap_or(input + output);
    // A program that has run out of room gives its size as what it has used.
    let is_real = input > 0 || output > 0 || total == 0;
    is_real.then_some(UsageSaid { input, cached, written, output, thought, total })
}

/// What a whole turn has used, as the answer to its prompt tells it.
pub fn of_turn(answer: &Value) -> Option<UsageSaid> {
    let places = ["/usage", "/_meta/usage", "/_meta/quota/token_count"];
    places.iter().find_map(|place| answer.pointer(place).and_then(read)).filter(|used| used.total > 0)
}

impl UsageSaid {
    /// In our kinds, no token in two of them.
    pub fn tokens(&self) -> Tokens {
        let apart = self.input + self.cached + self.written;
        let holds_cache = self.total < apart + self.output;
        let input = match holds_cache {
            true => self.input.saturating_sub(self.cached).saturating_sub(self.written),
            false => self.input,
        };
        let read = if holds_cache { self.input } else { apart };
        let is_thought_apart = self.total >= read + self.output + self.thought;
        Tokens {
            input,
            output: if is_thought_apart { self.output } else { self.output.saturating_sub(self.thought) },
            reasoning: self.thought,
            cache_read: self.cached,
            cache_write: self.written,
        }
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            input: self.input + other.input,
            cached: self.cached + other.cached,
            written: self.written + other.written,
            output: self.output + other.output,
            thought: self.thought + other.thought,
            total: self.total + other.total,
        }
    }
}

/// What a session has cost, out of sums that may begin anew: with a decrease, and after a process that was killed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Costs {
    /// The last sum that was told.
    last: Option<f64>,
    /// All of it, in US dollars; `None`: it was never told.
    pub sum: Option<f64>,
}

impl Costs {
    /// Of a session that has cost this so far, whose last process told this sum last and has ended in order.
    pub fn new(sum: Option<f64>, last: Option<f64>) -> Self {
        Self { last, sum }
    }

    /// A process was killed: the next one may know nothing of it.
    pub fn forget_last(&mut self) {
        self.last = None;
    }

    /// The last sum that was told.
    pub fn last(&self) -> Option<f64> {
        self.last
    }

    /// Takes a sum, and gives what is new.
    pub fn take(&mut self, told: f64) -> f64 {
        let before = self.last.filter(|last| *last <= told).unwrap_or_default();
        let new = (told - before).max(0.0);
        self.last = Some(told);
        self.sum = Some(self.sum.unwrap_or_default() + new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_token_is_of_two_kinds_whoever_counts() {
        // Claude's adapter: neither the cache read nor the one written is in what was read.
        let claude = json!({"inputTokens": 1000, "cachedReadTokens": 300, "cachedWriteTokens": 200, "outputTokens": 42,
            "totalTokens": 1542});
        let tokens = read(&claude).unwrap().tokens();
        assert_eq!(
            (tokens.input, tokens.cache_read, tokens.cache_write, tokens.output),
            (1000, 300, 200, 42)
        );
        // qwen: the cache is in it, and what was thought in what was written.
        let qwen = json!({"inputTokens": 1000, "cachedReadTokens": 300, "outputTokens": 42, "thoughtTokens": 12,
            "totalTokens": 1042});
        let tokens = read(&qwen).unwrap().tokens();
        assert_eq!((tokens.input, tokens.cache_read, tokens.output, tokens.reasoning), (700, 300, 30, 12));
        assert_eq!(tokens.total(), 1042);
        // opencode: what was thought stands apart.
        let apart = json!({"inputTokens": 100, "outputTokens": 30, "thoughtTokens": 12, "totalTokens": 142});
        assert_eq!(read(&apart).unwrap().tokens().total(), 142);
        let window = json!({"inputTokens": 0, "outputTokens": 0, "totalTokens": 258_400});
        assert_eq!(read(&window), None, "that is no use");
        let quota = json!({"_meta": {"quota": {"token_count": {"input_tokens": 7, "output_tokens": 3}}}});
        assert_eq!(of_turn(&quota).unwrap().total, 10);
    }

    #[test]
    fn a_sum_of_money_grows_and_begins_anew() {
        let mut costs = Costs::default();
        assert_eq!(costs.sum, None, "nobody has told it");
        assert!((costs.take(0.25) - 0.25).abs() < 1e-9);
        assert!((costs.take(0.75) - 0.5).abs() < 1e-9);
        assert!((costs.take(0.125) - 0.125).abs() < 1e-9, "it has begun anew");
        costs.forget_last();
        assert!((costs.take(0.5) - 0.5).abs() < 1e-9, "so it may after a kill");
        assert!((costs.sum.unwrap() - 1.375).abs() < 1e-9);
        let mut resumed = Costs::new(Some(1.0), Some(1.0));
        assert!((resumed.take(1.25) - 0.25).abs() < 1e-9);
    }
}
