//! OpenCode 2: another protocol of the same program, and a database of its own.
//!
//! ```text
//!   /api/event --> listen --> fold (per session: inputs, steps, tools, asks, helpers, shells) --> our events
//!                    '-- look: what the server says after each (re)connect, and what was missed
//!   actions --> act (make, say, stop, answer), kill (the whole family)
//! ```
//! - `wire`: its answers and frames, in the shapes of 2.0.x and, where that costs nothing, of what came before it.
//! - `state`: what is known; `fold`: a pure reducer of it, with `steps` and `answers`. Its owner is the stream's reader, and
//!   actions look into it. `asks`: what waits for a person.
//!
//! Sessions and prompts are made under names of ours, so that asking for one twice does it once. Its log of events is not
//! relied on: packaged servers keep none. What was missed is read from the messages themselves.

pub mod act;
mod answers;
mod asks;
mod catch_up;
mod failure;
mod fold;
pub mod kill;
pub mod listen;
mod look;
pub mod state;
mod steps;
#[cfg(test)]
mod tests;
mod wire;

use sha2::{Digest, Sha256};

use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;

/// What it can tell and do: it has no list of things to do any more.
pub const ABILITIES: Abilities = Abilities {
    cost: true,
    tokens: UsageTold::PerTurn,
    context: true,
    compaction: true,
    todo: false,
    permission: true,
    question: true,
    steer: true,
    resume: true,
    survives: false,
};

/// How the names of sessions begin that are made here.
const SESSION_PREFIX: &str = "ses_hal";

/// The name of the session that a command makes.
pub fn session_of(command: &CommandId) -> String {
    format!("{SESSION_PREFIX}{}", tail(command))
}

/// The name of the message that carries a command's prompt.
pub fn message_of(command: &CommandId) -> String {
    format!("msg_hal{}", tail(command))
}

/// True for a session that was made under a name of ours.
pub fn is_ours(session: &str) -> bool {
    session.starts_with(SESSION_PREFIX)
}

fn tail(command: &CommandId) -> String {
    let hash = Sha256::digest(command.as_str().as_bytes());
    hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
