//! Command line of `halctl nodes`: what may be typed.

use clap::Subcommand;

use super::list::ListArgs;
use hal_protocol::node::NodeStatus;

/// What can be done with nodes.
#[derive(Debug, Subcommand)]
pub enum NodeVerb {
    /// List all nodes
    #[command(visible_alias = "ls")]
    List {
        /// Only those `online` or `offline`
        #[arg(long, value_parser = node_status)]
        status: Option<NodeStatus>,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
    /// Show one node with its projects
    #[command(alias = "show")]
    Get {
        /// The node's name.
        id: String,
    },
    /// Reset a node's epochs when its agent is refused as a copy or as outdated: the next agent that
    /// connects under its name becomes the node
    ForgetEpoch {
        /// The node's name.
        id: String,
    },
    /// Let a node in no more, by whatever key or token it has: it is out at once, and may join again by another key
    Revoke {
        /// The node's name.
        id: String,
    },
    /// Remove a node that is offline and will not come back
    #[command(
        visible_alias = "rm",
        after_help = "\
Its sessions leave the lists (`halctl sessions list --all` shows them), its open commands end, and
what was lent to it counts as spent. If an agent connects under this name again, it is a node again."
    )]
    Remove {
        /// The node's name.
        id: String,
    },
}

fn node_status(text: &str) -> Result<NodeStatus, String> {
    [NodeStatus::Online, NodeStatus::Offline]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| "expected online or offline".to_owned())
}
