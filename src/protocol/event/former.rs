//! What events of versions up to 0.1 mean, which do not say it in our words: frozen, and read for ever.
//!
//! Those versions stored what opencode said, by opencode's own names. An agent of such a version still sends it. This
//! is the one place beside the backend itself that knows those names; whoever reads an event asks [`super::form`],
//! which asks here only where our own word is missing. `tests/fixtures/events` holds such events.

use super::failure::{Failure, FailureKind, says_limited};
use super::part::{ToolCause, ToolKind};

/// The name of an abort, by which those versions know that it is none of the failures.
const ABORTED: &str = "MessageAbortedError";

/// Tools that change files.
const CHANGING: [&str; 6] = ["edit", "write", "patch", "apply_patch", "multiedit", "notebookedit"];

/// How the reason begins for which a tool came to nothing that a person has refused.
const REFUSED: &str = "The user rejected";

/// And of one that was stopped with its turn.
const STOPPED: &str = "Tool execution aborted";

/// How a session is called until a model has found a title for it. Titles are stored as they were told, so this is
/// asked of new ones, too.
const UNTITLED: [&str; 2] = ["New session - ", "Child session - "];

/// The kind of a failure by its name and its sentence.
pub(super) fn failure_kind(name: &str, sentence: &str) -> FailureKind {
    match name {
        ABORTED => FailureKind::Aborted,
        _ if says_limited(sentence) => FailureKind::RateLimited,
        "ContextOverflowError" => FailureKind::Overflow,
        "ProviderAuthError" => FailureKind::Auth,
        "MessageOutputLengthError" => FailureKind::OutputLimit,
        "ContentFilterError" => FailureKind::ContentFilter,
        _ => FailureKind::Other,
    }
}

/// What a tool of this name does.
pub(super) fn tool_kind(tool: &str) -> ToolKind {
    match tool {
        "bash" => ToolKind::Execute,
        changing if CHANGING.contains(&changing) => ToolKind::Edit,
        _ => ToolKind::Other,
    }
}

/// Who made a tool fail with this sentence, if it did not fail by itself.
pub(super) fn tool_cause(error: &str) -> Option<ToolCause> {
    match error {
        refused if refused.starts_with(REFUSED) => Some(ToolCause::Refused),
        stopped if stopped.starts_with(STOPPED) => Some(ToolCause::Stopped),
        _ => None,
    }
}

/// The name under which a failure is written, so that a supervisor of such a version reads an abort as one.
pub(super) fn failure_name(failure: &Failure) -> &str {
    if failure.is_abort() { ABORTED } else { &failure.name }
}

/// Why a tool came to nothing, written so that a supervisor of such a version reads who is the reason.
pub(super) fn tool_error(cause: Option<ToolCause>, error: &str) -> String {
    match cause {
        Some(ToolCause::Refused) if !error.starts_with(REFUSED) => format!("{REFUSED} it: {error}"),
        Some(ToolCause::Stopped) if !error.starts_with(STOPPED) => format!("{STOPPED}: {error}"),
        _ => error.to_owned(),
    }
}

/// True while nobody has found a title for a session.
pub fn is_untitled(title: &str) -> bool {
    UNTITLED.iter().any(|begin| title.starts_with(begin))
}
