//! The part of the command line about what sessions wait with for a person.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::list::ListArgs;
use super::{duration, plain};

/// What can be done with approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalVerb {
    /// List what sessions wait with, oldest first
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  halctl approvals list
  halctl approvals list --status all --session ses_1234"
    )]
    List {
        /// Only those `wanted` (an answer is), `open` (something may still become of it), `waiting`, `answered`,
        /// `reached`, `settled`, `undelivered`, `lapsed`, or `all`
        #[arg(long, default_value = "open", value_name = "STATUS", hide_default_value = true)]
        status: String,
        /// Only those of this session
        #[arg(long, visible_alias = "session-id", value_name = "ID")]
        session: Option<String>,
        /// Only those of this node
        #[arg(long, visible_alias = "node", value_name = "NODE")]
        node_id: Option<String>,
        /// How many at most; 0: all of them
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
    /// Show one: the whole command, the folder, what the session thought, and the receipt
    #[command(alias = "show")]
    Get {
        /// The approval's id.
        id: String,
    },
    /// Allow it
    #[command(alias = "approve", after_help = "Example:\n  halctl approvals allow per_1234")]
    Allow {
        /// The approval's id.
        id: String,
        /// And the same again, without asking
        #[arg(long)]
        always: bool,
        /// How to ask.
        #[command(flatten)]
        wait: AnswerArgs,
    },
    /// Do not allow it; a question is left without an answer
    #[command(
        after_help = "Example:\n  halctl approvals deny per_1234 --message \"use the staging database\""
    )]
    Deny {
        /// The approval's id.
        id: String,
        /// What the session is told
        #[arg(short, long, allow_hyphen_values = true)]
        message: Option<String>,
        /// How to ask.
        #[command(flatten)]
        wait: AnswerArgs,
    },
    /// Answer a question: a text for each question
    #[command(after_help = "Example:\n  halctl approvals answer que_1234 Red")]
    Answer {
        /// The approval's id.
        id: String,
        /// The answers; one of the choices, or own words
        #[arg(required = true, value_parser = plain)]
        answers: Vec<String>,
        /// How to ask.
        #[command(flatten)]
        wait: AnswerArgs,
    },
    /// Put it off: it is told again after this time, and its time limit is not over before
    #[command(after_help = "Example:\n  halctl approvals snooze per_1234 --for 30m")]
    Snooze {
        /// The approval's id.
        id: String,
        /// For how long
        #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "15m")]
        time: Duration,
    },
}

/// How to ask.
#[derive(Clone, Copy, Debug, Args)]
pub struct AnswerArgs {
    /// How long to wait for the node's word at most
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}
