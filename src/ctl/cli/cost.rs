//! The part of the command line about costs.

use clap::Subcommand;

/// What can be done with costs.
#[derive(Debug, Subcommand)]
pub enum CostVerb {
    /// Show how fetching the bills of each provider goes: last success, lag, error
    Status,
    /// Print the most that can still be spent right now, and why: budgets and what is lent
    Exposure,
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
