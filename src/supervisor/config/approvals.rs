//! `approvals`: how long a session waits for a person's answer, and what happens then.

use std::time::Duration;

use super::MOST_AGE;
use hal_base::config::Section;
use hal_rules::approval::ApprovalLimits;

/// What happens when the time limit is over.
const ENDS: [&str; 2] = ["deny", "nothing"];

pub(super) fn read(section: &Section<'_>) -> ApprovalLimits {
    let limit =
        section.value("time_limit").and_then(|value| value.duration(Duration::from_secs(1)..=MOST_AGE));
    let end = section.text("on_time_limit");
    if let Some(word) = end.as_deref().filter(|word| !ENDS.contains(word)) {
        section.problem("on_time_limit", format!("is {word:?}; expected deny or nothing"));
    }
    ApprovalLimits { time_limit: limit, denies: end.as_deref() != Some("nothing") }
}
