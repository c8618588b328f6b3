//! The exit codes of all three programs. They are documented in every `--help` and never change their meaning.

use std::fmt;

/// Why a program ended. The numbers follow sysexits.h where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It could not be done; the sentence on standard error says why.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `halctl doctor` found something that is wrong.
    Unwell = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// The awaited state can no longer be reached: the session ended or is in error.
    OtherOutcome = 5,
    /// The awaited state was not reached in time.
    TimedOut = 6,
    /// The supervisor cannot be reached.
    Unreachable = 69,
    /// A running supervisor uses the files: stop it first.
    InUse = 75,
    /// The supervisor does not accept the token, or the role of whoever asks is not enough.
    NotAllowed = 77,
    /// The configuration has problems; all of them were printed.
    BadConfig = 78,
}

/// The paragraph that `--help` shows.
pub const HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong command line; 3 doctor found something wrong; 4 not found; 5 the awaited \
state can no longer be reached; 6 timed out; 69 supervisor unreachable; 75 a running supervisor uses the files; 77 \
token refused, or the role is not enough; 78 configuration has problems.";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code. Wrap any error in it on the way up to `main`.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened, with its causes.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with a code and a sentence (or a chain of causes).
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// A failure of which everything was said already: nothing but the code is left to give.
    pub fn was_said(exit: Exit) -> Self {
        Self::say(exit, "")
    }

    /// True when there is nothing to print.
    pub fn is_silent(&self) -> bool {
        self.error.to_string().is_empty()
    }

    /// A failure with a code and one sentence.
    pub fn say(exit: Exit, sentence: impl fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{sentence}") }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#}", self.error)
    }
}
