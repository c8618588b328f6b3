//! Pure functions over words: no I/O, no clock, no locks. The supervisor and a node that is cut off from it decide
//! by the same rules.
//!
//! - `session`: what a session's events add up to, and what must be written when a look at the backend disagrees.
//! - `node`: when a node counts as gone, and what its journal's numbers mean.
//! - `alert`: the life of what a person should see. `approval`: of what a session waits with for one.
//! - `route`: who is told of it, and when.
//! - `address`: where a webhook may go.
//! - `watch`: when what is seen is worth an alert.
//! - `command`: who a command is for, and the steps of its life.

pub mod address;
pub mod alert;
pub mod approval;
pub mod command;
pub mod node;
pub mod route;
pub mod session;
pub mod watch;
