//! What a prompt asks the echo backend to do: words, one after the other.

use std::time::Duration;

/// The longest `run`; more is a slip of the finger.
const MAX_RUN: Duration = Duration::from_secs(24 * 3600);

/// The largest `burst`, and the largest number of a `pace`.
const MAX_BURST: u64 = 10_000_000;

/// One step of a turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ScriptStep {
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
pub(super) fn parse(prompt: &str) -> Vec<ScriptStep> {
    let steps: Vec<ScriptStep> = prompt
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| word(line).unwrap_or_else(|| ScriptStep::Say(line.to_owned())))
        .collect();
    if steps.is_empty() { vec![ScriptStep::Say(String::new())] } else { steps }
}

fn word(line: &str) -> Option<ScriptStep> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let text = || (!rest.is_empty()).then(|| rest.to_owned());
    Some(match word {
        "say" => ScriptStep::Say(text()?),
        "run" => ScriptStep::Run(seconds(rest)?),
        "ask" => ScriptStep::Ask(text()?),
        "question" => ScriptStep::Question(text()?),
        "fail" => ScriptStep::Fail(text()?),
        "cost" => ScriptStep::Cost(hal_rules::session::micros(rest.trim_start_matches('$').parse().ok()?)?),
        "tokens" => {
            let (input, output) = rest.split_once(char::is_whitespace)?;
            ScriptStep::Tokens(input.parse().ok()?, output.trim().parse().ok()?)
        }
        "bad" => ScriptStep::Bad(text()?),
        "edit" => ScriptStep::Edit(text()?),
        "compact" if rest.is_empty() => ScriptStep::Compact,
        "done" => ScriptStep::Done(text()?),
        "burst" => ScriptStep::Burst(count(rest)?),
        "pace" => {
            let (ticks, per_second) = rest.split_once(char::is_whitespace)?;
            ScriptStep::Pace(count(ticks)?, count(per_second.trim()).filter(|rate| *rate > 0)?)
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
                ScriptStep::Say("hello there".into()),
                ScriptStep::Run(Duration::from_millis(500)),
                ScriptStep::Ask("rm -rf build".into()),
                ScriptStep::Cost(250_000),
                ScriptStep::Tokens(100, 20),
                ScriptStep::Burst(3),
                ScriptStep::Pace(9, 2),
                ScriptStep::Say("what now?".into()),
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
            assert_eq!(parse(line), [ScriptStep::Say(line.into())]);
        }
        assert_eq!(parse(""), [ScriptStep::Say(String::new())]);
    }
}
