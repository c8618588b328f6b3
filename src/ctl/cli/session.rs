//! The command line of `halctl sessions`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::list::ListArgs;
use super::{duration, plain};
use hal_protocol::session::Status;

/// What can be done with sessions.
#[derive(Debug, Subcommand)]
pub enum SessionVerb {
    /// List sessions
    #[command(visible_alias = "ls")]
    List {
        /// Only those on this node
        #[arg(long, visible_alias = "node", value_name = "NODE")]
        node_id: Option<String>,
        /// Only those of this project
        #[arg(long)]
        project: Option<String>,
        /// Only those that are running, idle, waiting, retrying, error, unreachable or ended; several with commas
        #[arg(long, value_name = "STATUS", value_parser = status, value_delimiter = ',')]
        status: Vec<Status>,
        /// Only those with this label; with several, those that have all of them
        #[arg(short = 'l', long, value_name = "LABEL", value_delimiter = ',')]
        label: Vec<String>,
        /// Include archived ones
        #[arg(long)]
        all: bool,
        /// How many at most; by default all of them
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
    /// Show one session
    #[command(alias = "show")]
    Get {
        /// The session's id.
        id: String,
    },
    /// Show a session's conversation
    Logs {
        /// The session's id.
        id: String,
        /// Follow it live, until the session ends or Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// Only the last N events; by default all of them
        #[arg(long, visible_alias = "tail", value_name = "N")]
        limit: Option<usize>,
    },
    /// Watch a session live, word by word, until it ends or Ctrl-C
    Watch {
        /// The session's id.
        id: String,
    },
    /// Follow a session live and prompt it: each line that is typed is a prompt
    #[command(after_help = "\
The latest events are shown first. Each line is a prompt, except for these commands:
  /allow              allow what it asks permission for
  /deny [MESSAGE]     deny it
  /answer TEXT        answer its question
  /abort              stop the running turn
  /detach             leave it, as Ctrl-C and the end of the input do; the session continues")]
    Attach {
        /// The session's id.
        id: String,
        /// How many of the last events are shown first
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Wait until a session is idle, or something else
    #[command(after_help = "\
Exit code 0 when the state was reached, 5 when it can no longer be reached (the session ended or is in error), 6 on timeout.

Example:
  halctl sessions wait ses_1234 --until idle,waiting --timeout 10m")]
    Wait {
        /// The session's id.
        id: String,
        /// What to wait for; may be given several times or with commas
        #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status, default_value = "idle")]
        until: Vec<Status>,
        /// How long at most; by default as long as it takes
        #[arg(long, value_name = "TIME", value_parser = duration)]
        timeout: Option<Duration>,
    },
    /// The verbs that change a session.
    #[command(flatten)]
    Act(ActVerb),
    /// The verbs of its life beyond its turns.
    #[command(flatten)]
    Life(LifeVerb),
}

/// `halctl top`.
#[derive(Clone, Debug, Args)]
pub struct Top {
    /// Only those on this node
    #[arg(long, visible_alias = "node", value_name = "NODE")]
    pub node_id: Option<String>,
    /// Only those of this project
    #[arg(long)]
    pub project: Option<String>,
    /// Order by this field; with a `-` before it the largest comes first
    #[arg(long, value_name = "FIELD", default_value = "-cost", allow_hyphen_values = true)]
    pub sort: String,
    /// Show it once, also on a terminal
    #[arg(long)]
    pub once: bool,
}

/// What can be asked of a session's node.
#[derive(Debug, Subcommand)]
pub enum ActVerb {
    /// Start a session and give it its first prompt; prints its id
    #[command(
        visible_alias = "create",
        after_help = "\
Example:
  id=$(halctl sessions start --project shop --wait \"make the tests pass\") && halctl sessions logs $id"
    )]
    Start {
        /// The project to work in
        #[arg(short, long)]
        project: String,
        /// On this node; required only when several nodes have the project
        #[arg(long, visible_alias = "node", value_name = "NODE")]
        node_id: Option<String>,
        /// The session's title
        #[arg(long, allow_hyphen_values = true)]
        title: Option<String>,
        /// The model
        #[arg(long, value_name = "PROVIDER/MODEL")]
        model: Option<String>,
        /// The agent to use, as the coding agent names it
        #[arg(long)]
        agent: Option<String>,
        /// How to wait for the turn.
        #[command(flatten)]
        wait: WaitArgs,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
        /// The first prompt; `-` reads it from standard input
        #[arg(allow_hyphen_values = true)]
        prompt: String,
    },
    /// Send a prompt to a session
    Prompt {
        /// The session's id.
        id: String,
        /// How to wait for the turn.
        #[command(flatten)]
        wait: WaitArgs,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
        /// The prompt; `-` reads it from standard input
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Resume a stopped session
    Resume {
        /// The session's id.
        id: String,
        /// How to wait for the turn.
        #[command(flatten)]
        wait: WaitArgs,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
        /// The prompt
        #[arg(default_value = "continue", allow_hyphen_values = true)]
        text: String,
    },
    /// Stop the running turn
    Abort {
        /// The session's id.
        id: String,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Stop a session's work and its processes; the conversation is kept
    Kill {
        /// The session's id.
        id: String,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Allow what a session asks permission for
    Allow {
        /// The session's id.
        id: String,
        /// Which request; by default the oldest waiting one
        #[arg(long, value_name = "REQUEST")]
        request: Option<String>,
        /// Always allow commands like this one
        #[arg(long)]
        always: bool,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Refuse what a session asks permission for
    Deny {
        /// The session's id.
        id: String,
        /// Which request; by default the oldest waiting one
        #[arg(long, value_name = "REQUEST")]
        request: Option<String>,
        /// A message to the session; without one the turn may stop
        #[arg(short, long, allow_hyphen_values = true)]
        message: Option<String>,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Answer a session's question
    Answer {
        /// The session's id.
        id: String,
        /// Which request; by default the oldest waiting one
        #[arg(long, value_name = "REQUEST")]
        request: Option<String>,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
        /// One answer for each question, in order
        #[arg(required = true, value_name = "ANSWER", value_parser = plain)]
        answers: Vec<String>,
    },
}

/// What can be done with a session beyond its turns.
#[derive(Debug, Subcommand)]
pub enum LifeVerb {
    /// End a session and start another that continues its work; prints the new one's id
    #[command(after_help = "\
The session is asked to write .context/PROGRESS.md and CURRENT_TASK.md and to commit, gets a minute for it, and is ended.
A new one starts where it stopped. The old conversation is kept: see `continued_by` and `continues`.")]
    Restart {
        /// The session's id.
        id: String,
        /// Do not ask the session to write handover notes first
        #[arg(long)]
        no_handover: bool,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
        /// Additional instructions for the new session
        #[arg(allow_hyphen_values = true)]
        text: Option<String>,
    },
    /// Stop the running turn, and suspend policies until a person prompts the session, or `unpause`
    Pause {
        /// The session's id.
        id: String,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Let policies act on a paused session again, without prompting it
    Unpause {
        /// The session's id.
        id: String,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Hide a session from lists; `sessions list --all` shows it
    Archive {
        /// The session's id.
        id: String,
        /// Show it in lists again
        #[arg(long)]
        undo: bool,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Label a session, so that policies and lists can select it
    Label {
        /// The session's id.
        id: String,
        /// Labels to remove
        #[arg(long, value_name = "LABEL", value_delimiter = ',')]
        remove: Vec<String>,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
        /// Labels to add
        #[arg(value_name = "LABEL")]
        add: Vec<String>,
    },
    /// Emergency stop: stop all turns, and start none until released
    #[command(after_help = "\
Examples:
  halctl sessions halt --all
  halctl sessions halt --project shop --release")]
    Halt {
        /// Everything
        #[arg(long, required_unless_present = "project", conflicts_with = "project")]
        all: bool,
        /// Only this project
        #[arg(long)]
        project: Option<String>,
        /// Release the halt
        #[arg(long)]
        release: bool,
        /// How to ask.
        #[command(flatten)]
        act: ActArgs,
    },
}

/// How something is asked of a node.
#[derive(Clone, Debug, Default, Args)]
pub struct ActArgs {
    /// How long to wait for the outcome [default: 30s, at most 10m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// How long the command may wait for its node [default: 5m, at most 24h]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub expires: Option<Duration>,
    /// Idempotency key: the same key is the same command, however often it is sent [default: a fresh one]
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// Whether and how long to wait for what comes of a prompt.
#[derive(Clone, Debug, Default, Args)]
pub struct WaitArgs {
    /// Wait until the session is idle, or has the given state
    #[arg(long, value_name = "STATUS", value_parser = status, value_delimiter = ',', num_args = 0..=1,
        require_equals = true, default_missing_value = "idle")]
    pub wait: Vec<Status>,
    /// How long to wait for that; by default as long as it takes
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "wait")]
    pub wait_timeout: Option<Duration>,
}

fn status(word: &str) -> Result<Status, String> {
    Status::parse(word).ok_or_else(|| {
        let words: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
        format!("expected one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Noun};

    fn verb(line: &[&str]) -> SessionVerb {
        match Cli::try_parse_from([&["halctl", "sessions"], line].concat()).unwrap().noun {
            Noun::Sessions(verb) => verb,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wait_may_be_a_word_or_nothing_and_never_takes_the_prompt() {
        let SessionVerb::Act(ActVerb::Start { wait, prompt, .. }) =
            verb(&["start", "--project", "p", "--wait", "go"])
        else {
            panic!()
        };
        assert_eq!((wait.wait, prompt.as_str()), (vec![Status::Idle], "go"));
        let SessionVerb::Act(ActVerb::Start { wait, .. }) =
            verb(&["start", "--project", "p", "--wait=waiting,idle", "go"])
        else {
            panic!()
        };
        assert_eq!(wait.wait, [Status::Waiting, Status::Idle]);
        let SessionVerb::Act(ActVerb::Start { wait, .. }) = verb(&["start", "--project", "p", "go"]) else {
            panic!()
        };
        assert!(wait.wait.is_empty());
    }

    #[test]
    fn until_takes_commas_and_repeats() {
        let SessionVerb::Wait { until, .. } =
            verb(&["wait", "s", "--until", "idle,waiting", "--until", "error"])
        else {
            panic!()
        };
        assert_eq!(until, [Status::Idle, Status::Waiting, Status::Error]);
    }
}
