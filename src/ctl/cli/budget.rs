//! What may be typed about budgets.

use clap::Subcommand;

use hal_protocol::budget::{AtLimit, Period, Scope, micros};

/// What can be done with budgets.
#[derive(Debug, Subcommand)]
pub enum BudgetVerb {
    /// List budgets: limit, spent, lent and free
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  halctl budgets list
  halctl budgets list | grep 'free: 0.00'"
    )]
    List,
    /// Show one budget; a budget for each session has a line for each of them
    #[command(alias = "show")]
    Get {
        /// The budget's name.
        name: String,
    },
    /// Create a budget, or change one that was created with set
    #[command(after_help = "\
Examples:
  halctl budgets set day --limit 20 --warn 50 --warn 80
  halctl budgets set shop --limit 100 --scope 'project shop' --period month --at-limit finish_turn
  halctl budgets set each --limit 2.50 --scope session --period session")]
    Set {
        /// The budget's name.
        name: String,
        /// How much, in US dollars
        #[arg(long, value_name = "USD", value_parser = dollars)]
        limit: u64,
        /// fleet, 'node NAME', 'project NAME', or session (each session on its own)
        #[arg(long, default_value = "fleet", value_parser = scope)]
        scope: Scope,
        /// session (its whole life), day, week or month, in UTC
        #[arg(long, default_value = "day", value_parser = period)]
        period: Period,
        /// Raise an alert when this percentage is spent; may be given several times
        #[arg(long = "warn", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=99))]
        warn_percent: Vec<u8>,
        /// When it is spent: notify, finish_turn, pause or stop
        #[arg(long, default_value = "pause", value_parser = at_limit)]
        at_limit: AtLimit,
    },
    /// Remove a budget that was created with set
    #[command(alias = "rm")]
    Remove {
        /// The budget's name.
        name: String,
    },
    /// Raise a budget until the end of its period
    #[command(after_help = "\
Examples:
  halctl budgets raise day --by 5
  halctl budgets raise each --by 1 --session ses_1234")]
    Raise {
        /// The budget's name.
        name: String,
        /// By how much, in US dollars
        #[arg(long, value_name = "USD", value_parser = dollars)]
        by: u64,
        /// The session, when the budget is for each session
        #[arg(long, value_name = "ID")]
        session: Option<String>,
    },
    /// Print the most that can still be spent right now, and why; the same as halctl cost exposure
    Exposure,
}

fn dollars(text: &str) -> Result<u64, String> {
    micros(text).ok_or_else(|| "expected US dollars such as 20 or 0.05, with at most six decimals".to_owned())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::try_from(text.to_owned())
}

fn period(text: &str) -> Result<Period, String> {
    Period::parse(text).ok_or_else(|| "expected session, day, week or month".to_owned())
}

fn at_limit(text: &str) -> Result<AtLimit, String> {
    AtLimit::parse(text).ok_or_else(|| "expected notify, finish_turn, pause or stop".to_owned())
}
