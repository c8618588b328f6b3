//! What may be typed of projects, and of the coding agents that work in them.

use clap::Subcommand;

use super::list::ListArgs;

/// What can be done with projects.
#[derive(Debug, Subcommand)]
pub enum ProjectVerb {
    /// List the projects of all nodes
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this node
        #[arg(long, visible_alias = "node", value_name = "NODE")]
        node_id: Option<String>,
        /// In which order, once or on and on.
        #[command(flatten)]
        how: ListArgs,
    },
}

/// What can be done with backends.
#[derive(Debug, Subcommand)]
pub enum BackendVerb {
    /// List the kinds of coding agents of all nodes
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this node
        #[arg(long, visible_alias = "node", value_name = "NODE")]
        node_id: Option<String>,
        /// Only those of this kind, such as `claude`
        #[arg(long)]
        kind: Option<String>,
    },
}
