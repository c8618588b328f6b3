//! The part of the command line about what sessions wait with for a person.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::list::ListArgs;
use super::{duration, plain};

/// What can be done with approvals.
#[derive(Debug, Subcommand)]
pub enum ApprovalVerb {
    /// List permissions and questions that sessions wait for, oldest first
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  halctl approvals list
  halctl approvals list --status all --session ses_1234"
    )]
    List {
        /// Only those `wanted` (waiting for an answer), `open` (not finished), `waiting`, `answered`,
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
    /// Show one approval: the whole command, the folder, the session's reasoning, and the receipt
    #[command(alias = "show")]
    Get {
        /// The approval's id.
        id: String,
    },
    /// Allow what is asked
    #[command(alias = "approve", after_help = "Example:\n  halctl approvals allow per_1234")]
    Allow {
        /// The approval's id.
        id: String,
        /// Always allow commands like this one
        #[arg(long)]
        always: bool,
        /// How to ask.
        #[command(flatten)]
        wait: AnswerArgs,
    },
    /// Deny a permission, or decline to answer a question
    #[command(
        after_help = "Example:\n  halctl approvals deny per_1234 --message \"use the staging database\""
    )]
    Deny {
        /// The approval's id.
        id: String,
        /// A message to the session
        #[arg(short, long, allow_hyphen_values = true)]
        message: Option<String>,
        /// How to ask.
        #[command(flatten)]
        wait: AnswerArgs,
    },
    /// Answer a question, with one text for each part of it
    #[command(after_help = "Example:\n  halctl approvals answer que_1234 Red")]
    Answer {
        /// The approval's id.
        id: String,
        /// The answers: one of the choices, or free text
        #[arg(required = true, value_parser = plain)]
        answers: Vec<String>,
        /// How to ask.
        #[command(flatten)]
        wait: AnswerArgs,
    },
    /// Snooze it: people are notified again after this time, and its time limit does not end before
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
    /// How long to wait for the node's confirmation at most
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}
