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
    /// Group by provider, model, project, session or node
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
    /// Show today's usage, after fetching the latest bills, and how fresh each number is
    #[command(after_help = "\
Examples:
  halctl cost today
  halctl cost today --by session
  halctl cost today -o json")]
    Today {
        /// Group by provider, model, project, session or node
        #[arg(long, value_name = "WHAT", hide_possible_values = true)]
        by: Option<By>,
    },
    /// Show the usage of the last 7 days
    Week {
        /// Group by provider, model, project, session or node
        #[arg(long, value_name = "WHAT", hide_possible_values = true)]
        by: Option<By>,
    },
    /// Show the usage of the last 30 days
    Month {
        /// Group by provider, model, project, session or node
        #[arg(long, value_name = "WHAT", hide_possible_values = true)]
        by: Option<By>,
    },
    /// Show prices in US dollars per million tokens, from which day on, and their source
    Prices {
        /// Only models whose name contains this
        model: Option<String>,
    },
    /// Show the status of fetching each provider's bills: last success, lag, error
    Status,
    /// Print the most that can still be spent right now, and why: budgets and what is lent
    Exposure,
    /// Fetch the bills of all providers now
    Update,
    /// Compare what providers bill with what sessions have used, and suggest what to check next
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
