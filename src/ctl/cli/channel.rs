//! Command line of `halctl channels`: what may be typed.

use clap::Subcommand;

/// What can be done with channels.
#[derive(Debug, Subcommand)]
pub enum ChannelVerb {
    /// List notification channels, what is queued on each, and what could not be delivered
    #[command(visible_alias = "ls")]
    List,
    /// Send a test notification through a channel, and show the result
    #[command(
        after_help = "Example:\n  halctl channels test pagerduty\n\nExit codes: 0 delivered; 1 not delivered."
    )]
    Test {
        /// The channel.
        name: String,
    },
    /// Show the queue of a channel: what waits, and what could not be delivered, oldest first
    Queue {
        /// The channel.
        name: String,
    },
    /// Retry what could not be delivered
    Retry {
        /// The channel.
        name: String,
    },
}
