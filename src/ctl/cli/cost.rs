//! The part of the command line about costs.

use clap::{Args, Subcommand, ValueEnum};

/// `halctl cost`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Cost {
    /// A verb, or any days.
    #[command(subcommand)]
    pub verb: Option<CostVerb>,
    /// Which days.
    #[command(flatten)]
    pub days: Days,
}

/// Any days.
#[derive(Debug, Args)]
pub struct Days {
    /// The first day in UTC, such as 2026-11-01
    #[arg(long, value_name = "DAY")]
    pub from: Option<String>,
    /// The last day; by default today
    #[arg(long, value_name = "DAY", requires = "from")]
    pub to: Option<String>,
    /// Who has used it: provider, model, project, session or node
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub by: Option<By>,
}

/// By what usage is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Who serves the models.
    Provider,
    /// The models.
    Model,
    /// The projects.
    Project,
    /// The sessions.
    Session,
    /// The machines.
    Node,
}

/// What can be done with costs.
#[derive(Debug, Subcommand)]
pub enum CostVerb {
    /// Show what was used today, brought up to date first, and how fresh each number is
    #[command(after_help = "\
Examples:
  halctl cost today
  halctl cost today --by session
  halctl cost today -o json")]
    Today {
        /// Who has used it: provider, model, project, session or node
        #[arg(long, value_name = "WHAT", hide_possible_values = true)]
        by: Option<By>,
    },
    /// Show what was used in 7 days
    Week {
        /// Who has used it: provider, model, project, session or node
        #[arg(long, value_name = "WHAT", hide_possible_values = true)]
        by: Option<By>,
    },
    /// Show what was used in 30 days
    Month {
        /// Who has used it: provider, model, project, session or node
        #[arg(long, value_name = "WHAT", hide_possible_values = true)]
        by: Option<By>,
    },
    /// Show what tokens cost, in US dollars for a million, from which day on, and who said so
    Prices {
        /// Only models whose name holds this
        model: Option<String>,
    },
    /// Show how fetching the bills of each provider goes: last success, lag, error
    Status,
    /// Have the bills of all providers fetched now
    Update,
    /// Compare what providers bill with what sessions have used, and say what to look at next
    #[command(after_help = "\
Examples:
  halctl cost reconcile
  halctl cost reconcile --from 2026-11-20 --to 2026-11-25 --provider openai")]
    Reconcile {
        /// The first day in UTC; by default a week before the last
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// The last day; by default today
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// Only this provider: anthropic, openai or google
        #[arg(long)]
        provider: Option<String>,
    },
}
