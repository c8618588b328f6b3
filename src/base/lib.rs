//! The ground floor: what any program needs and no noun of ours appears in.
//!
//! - `id`: text identities as distinct types.
//! - `cause`: an error with all its causes as one line.
//! - `clock`: the only place that reads the time. `cpu`: how much processor time this process uses.
//! - `backoff`: how long to wait before trying again.
//! - `secret`: text that never prints itself.
//! - `memory`: how much of it this process uses and may use.
//! - `money`: exact amounts of US dollars.
//! - `nearest`: the known word that a person probably meant.
//! - `config`: configuration files, read with places so that every problem can be pointed at.
//! - `daemon`: the command line that both daemons share.
//! - `child`: what a program that we start does not inherit.
//! - `file`: writing small files whole, and opening those that others may have put there.
//! - `harmless`: foreign text that commands no terminal.
//! - `os`: what the kernel offers and no safe crate wraps.
//! - `descriptors`: how many files and connections may be open.
//! - `panic`: what happens when the program finds itself wrong.
//! - `progress`: how far long work is.
//! - `notify`: what systemd is told.
//! - `starts`: how often a daemon was started lately.
//! - `signals`: what the operating system asks of a daemon.
//! - `task`: stopping what was started.
//! - `tls`: whose certificates are trusted. `proof`: proving what one has without saying it. `seal`: what nobody reads
//!   without the key. `hex`: bytes as digits.
//! - `log`: where log lines go.
//! - `exit`: the exit codes that are documented.

pub mod backoff;
pub mod cause;
pub mod child;
pub mod clock;
pub mod config;
pub mod cpu;
pub mod daemon;
pub mod descriptors;
pub mod exit;
pub mod file;
pub mod harmless;
pub mod hex;
pub mod id;
pub mod log;
pub mod memory;
pub mod money;
pub mod nearest;
pub mod notify;
pub mod os;
pub mod panic;
pub mod progress;
pub mod proof;
pub mod sabotage;
pub mod seal;
pub mod secret;
pub mod signals;
pub mod starts;
pub mod task;
pub mod tls;
