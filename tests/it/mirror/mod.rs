//! `supervisor.db`: what operators do with `sqlite3`, `cp` and `mv`, and what the supervisor makes of it.
//!
//! - `stage`: the file, the true `sqlite3`, and a node that talks all the time.
//! - `agree`: both agree. `edit`: what operators change. `copies`: plain copies under load.
//! - `aside`: what a restore has set aside, and how it comes back.
//! - `archive`, `retain`: what leaves the store when it is old, or when there is too much. `audit`: who did what.
//! - `backup`: backups, and what restoring one brings. `watch`: what is wrong with them.
//! - `odd`: what nobody would expect.
//! - `kinds`: each kind of kept state, damaged both ways.
//! - `kills`: kill -9 meanwhile. `damage`: bits and pages of either file. `million`: each made anew from the other.
//! - `runbook`, `desk`: the incident runbook's lines, word for word. `steady`: a node that goes on whatever happens.
//! - `offline`: `hal-supervisor store`, while no supervisor runs.
//! - `scrub`: rows that are not what was written, while the supervisor runs.
//! - `start`: every file that may lie there when the supervisor starts.

mod agree;
mod archive;
mod aside;
mod audit;
mod backup;
mod chain;
mod copies;
mod damage;
mod desk;
mod edit;
mod kills;
mod kinds;
mod million;
mod odd;
mod offline;
mod retain;
mod runbook;
mod scrub;
pub mod stage;
mod start;
mod state;
mod steady;
mod watch;
