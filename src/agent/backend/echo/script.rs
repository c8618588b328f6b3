//! What a prompt asks the echo backend to do: words, one after the other.

use std::time::Duration;

/// The longest `run`; more is a slip of the finger.
const MAX_RUN: Duration = Duration::from_secs(24 * 3600);

/// The largest `burst`, and the largest number of a `pace`.
const MAX_BURST: u64 = 10_000_000;

/// One step of a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Say this.
    Say(String),
    /// Be busy this long.
    Run(Duration),
    /// Ask for leave to run this.
    Ask(String),
    /// Ask a person this.
    Question(String),
    /// Fail with this.
    Fail(String),
    /// Spend this many millionths of a dollar.
    Cost(u64),
    /// Use this many tokens in and out.
    Tokens(u64, u64),
    /// Run this, and see it fail.
    Bad(String),
    /// Change this file, by name only.
    Edit(String),
    /// Shorten the conversation.
    Compact,
    /// Have done this thing.
    Done(String),
    /// Report this many ticks.
    Burst(u64),
    /// Report this many ticks, so many a second.
    Pace(u64, u64),
}

/// Reads a prompt: lines, or words separated by `;`. What is not one of the words is said back.
pub(super) fn parse(prompt: &str) -> Vec<Step> {
    let steps: Vec<Step> = prompt
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| word(line).unwrap_or_else(|| Step::Say(line.to_owned())))
        .collect();
    if steps.is_empty() { vec![Step::Say(String::new())] } else { steps }
}

fn word(line: &str) -> Option<Step> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let text = || (!rest.is_empty()).then(|| rest.to_owned());
    Some(match word {
        "say" => Step::Say(text()?),
        "run" => Step::Run(seconds(rest)?),
        "ask" => Step::Ask(text()?),
        "question" => Step::Question(text()?),
        "fail" => Step::Fail(text()?),
        "cost" => Step::Cost(hal_rules::session::micros(rest.trim_start_matches('$').parse().ok()?)?),
        "tokens" => {
            let (input, output) = rest.split_once(char::is_whitespace)?;
            Step::Tokens(input.parse().ok()?, output.trim().parse().ok()?)
        }
        "bad" => Step::Bad(text()?),
        "edit" => Step::Edit(text()?),
        "compact" if rest.is_empty() => Step::Compact,
        "done" => Step::Done(text()?),
        "burst" => Step::Burst(count(rest)?),
        "pace" => {
            let (ticks, per_second) = rest.split_once(char::is_whitespace)?;
            Step::Pace(count(ticks)?, count(per_second.trim()).filter(|rate| *rate > 0)?)
        }
        _ => return None,
    })
}

fn count(text: &str) -> Option<u64> {
    text.parse().ok().filter(|count| *count <= MAX_BURST)
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim_end_matches('s').parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|duration| duration.min(MAX_RUN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_followed_in_order_and_the_rest_is_said() {
        let steps = parse(
            "say hello there; run 0.5\nask rm -rf build\ncost 0.25; tokens 100 20;burst 3; pace 9 2; what now?",
        );
        assert_eq!(
            steps,
            [
                Step::Say("hello there".into()),
                Step::Run(Duration::from_millis(500)),
                Step::Ask("rm -rf build".into()),
                Step::Cost(250_000),
                Step::Tokens(100, 20),
                Step::Burst(3),
                Step::Pace(9, 2),
                Step::Say("what now?".into()),
            ]
        );
    }

    #[test]
    fn a_word_with_a_bad_argument_is_text() {
        for line in [
            "run fast",
            "run -1",
            "burst many",
            "pace 5",
            "pace 5 0",
            "cost lots",
            "tokens 5",
            "say",
            "running late",
        ] {
            assert_eq!(parse(line), [Step::Say(line.into())]);
        }
        assert_eq!(parse(""), [Step::Say(String::new())]);
    }
}
