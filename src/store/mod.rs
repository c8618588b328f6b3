//! The only place that knows bytes.
//!
//! - `journal`: the agent's own record, `agent.redb`: events until they are acknowledged and a while longer, sessions
//!   as they stand, commands and what came of them.

pub mod journal;
