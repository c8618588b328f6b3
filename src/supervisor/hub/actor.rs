//! Actors: what the hub is asked to change of who is known, and what it came to.

use std::net::IpAddr;

use hal_protocol::actor::{Actor, Credential, Role};
use hal_protocol::fleet_key::FleetKeys;

/// What becomes of those who are known.
#[derive(Debug)]
pub enum ActorChange {
    /// One is added, or changed.
    Set {
        /// The name.
        name: String,
        /// What they may do from now on.
        role: Role,
        /// Whether it is a program.
        is_program: bool,
    },
    /// One is removed, with all tokens.
    Remove {
        /// The name.
        name: String,
    },
    /// One gets a token.
    NewToken(Credential),
    /// Somebody makes a token by which machines join.
    NewJoinToken(Credential),
    /// A machine becomes a node.
    Join {
        /// The token that it has shown.
        token: String,
        /// What the node is to be called.
        node: String,
        /// The public half of the machine's key.
        key: String,
        /// From which address it comes.
        address: IpAddr,
    },
    /// A node is let in no more, by whatever it has.
    ShutOut {
        /// The node.
        node: String,
    },
    /// A browser is logged in.
    LogIn(Credential),
    /// Whoever is logged in there has logged out.
    LogOut {
        /// The part of the cookie that names it.
        id: String,
    },
    /// A token gets another secret.
    Rotate {
        /// The part of the token that names it.
        id: String,
        /// The hash of the new one.
        hash: String,
    },
    /// The keys by which the fleet knows its supervisor are kept with the store.
    KeepKeys(FleetKeys),
    /// A recovery key is made for them.
    NewRecoveryKey {
        /// The keys as they are kept with it.
        keys: FleetKeys,
        /// What the recovery key before opened; another one may have been made meanwhile.
        before: String,
    },
    /// A token is good no more.
    Revoke {
        /// The part of the token that names it.
        id: String,
    },
}

/// What it came to.
#[derive(Debug)]
pub enum ActorAnswer {
    /// The actor as it is then, or was.
    Actor(Actor),
    /// The token as it is then, with the role of whose it is.
    Token(Role, Credential),
    /// The fleet's keys as they are kept then.
    Keys(FleetKeys),
}
