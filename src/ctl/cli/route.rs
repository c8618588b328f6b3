//! Command line of `halctl routes`: what may be typed.

use clap::Subcommand;

/// What can be done with routes.
#[derive(Debug, Subcommand)]
pub enum RouteVerb {
    /// List notification routes
    #[command(visible_alias = "ls")]
    List,
    /// Show which routes an event or an alert matches, and why it does not match the others
    #[command(after_help = "Examples:\n  halctl routes test 1042\n  halctl routes test alert:7")]
    Test {
        /// The number or the id of an event (halctl events list -o wide), or `alert:` and the number of an alert.
        id: String,
    },
}
