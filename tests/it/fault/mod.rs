//! Faults: the true programs are killed in the middle of things, and a ledger outside of them says what must be left.
//!
//! - `kills`: at random moments under load. `syncs`: at every sync, write or rename of a fixed scenario.
//! - `load`: what goes on meanwhile: people who ask, and a node that speaks. `ledger`: what they were told, synced.
//! - `oracle`: the comparison afterwards. `report`: how many trials, and what they show.
//!
//! `HAL_SOAK` makes them long: `HAL_SOAK=kills=1000,syncs=1,power=5000` (see `just soak`).

mod kills;
mod ledger;
mod load;
mod moment;
mod oracle;
mod report;
mod strace;
mod syncs;

#[path = "../../../src/store/dice.rs"]
mod dice;
