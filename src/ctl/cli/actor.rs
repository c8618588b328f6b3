//! Command line of `halctl users` and `halctl tokens`: what may be typed.

use std::time::Duration;

use clap::Subcommand;

use super::duration;
use hal_protocol::actor::Role;

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// List users, with their roles and how many tokens each has
    #[command(visible_alias = "ls")]
    List,
    /// Add a user, or give one another role
    #[command(
        visible_alias = "set",
        after_help = "\
Roles, each with all that those before it may:
  metrics    read counters
  viewer     read sessions, events, costs, alerts
  approver   answer permissions, acknowledge alerts, stop: halt, abort, kill, pause
  operator   start and prompt sessions, silence alerts, label
  admin      users, budgets, nodes, the store; release a halt; read the audit record
and, for a machine, agent: the node of the user's name, and nothing else.

Examples:
  halctl users create ada --role operator
  halctl users create ci --role metrics --program
  halctl users create web-1 --role agent && halctl tokens create web-1"
    )]
    Create {
        /// The name: letters, digits and . _ - @ +; for the role agent, the node's name
        name: String,
        /// What they may do: viewer, approver, operator, admin, agent or metrics
        #[arg(long, value_name = "ROLE", value_parser = role)]
        role: Role,
        /// It is a program and not a person
        #[arg(long)]
        program: bool,
    },
    /// Remove a user and revoke all their tokens
    #[command(visible_alias = "rm")]
    Remove {
        /// The user's name.
        name: String,
    },
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// List tokens: whose, what for, until when, and when each was used last
    #[command(visible_alias = "ls")]
    List,
    /// Make a token for a user, and print it: it is never shown again
    #[command(after_help = "\
Examples:
  halctl tokens create ada --label laptop --expires 90d
  halctl -o json tokens create ci | jq -r .token")]
    Create {
        /// The user's name.
        user: String,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        label: String,
        /// For how long it is good; by default until it is revoked
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<Duration>,
    },
    /// Give a token another secret, and print it; the one before is good no more
    Rotate {
        /// The token's id.
        id: String,
    },
    /// Revoke tokens: whoever came in by one is out at once
    Revoke {
        /// The tokens' ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// What can be done with tokens by which machines join.
#[derive(Debug, Subcommand)]
pub enum JoinTokenVerb {
    /// List tokens for joining: until when each is good, and which node has joined by one that is good once
    #[command(visible_alias = "ls")]
    List,
    /// Print the line by which a new machine joins: hal-agent join URL --token TOKEN
    #[command(after_help = "\
Examples:
  halctl join-token create --once
  halctl join-token create --expires 7d --label 'rack 4'")]
    Create {
        /// The first machine that joins ends it
        #[arg(long)]
        once: bool,
        /// For how long it is good
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        expires: Duration,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        label: String,
        /// The address by which the new machine reaches the supervisor, such as `https://hal.example.org:8420`; by default
        /// this machine's name
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Revoke tokens for joining; nodes that have joined stay
    Revoke {
        /// The tokens' ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| format!("expected {}", Role::ALL.map(Role::as_str).join(", ")))
}
