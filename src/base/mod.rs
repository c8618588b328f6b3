//! The ground floor: what any program needs and no noun of ours appears in.
//!
//! - `id`: text identities as distinct types.
//! - `clock`: the only place that reads the time.
//! - `backoff`: how long to wait before trying again.
//! - `secret`: text that never prints itself.
//! - `config`: configuration files, read with places so that every problem can be pointed at.
//! - `task`: stopping what was started.
//! - `log`: where log lines go.
//! - `exit`: the exit codes that are documented.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod exit;
pub mod id;
pub mod log;
pub mod secret;
pub mod task;
