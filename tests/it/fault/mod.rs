//! Faults made on purpose. Each scene asserts that its fault fired, and an oracle outside of the product, what was said
//! counted by whoever said it, tells what must be left.
//!
//! - `kills`: at random moments under load. `syncs`: at every sync, write or change of a name of a fixed scenario.
//! - `network`, `proxy`, `order`: what networks do. `disk`: full and failing ones. `lease`: a mirror without leases, and one without room.
//! - `retire`: killed while old rows leave. `clock`: clocks that are set.
//! - `clone`: copied identities. `garbage`: a coding agent that talks nonsense or hangs. `hungry`: who stops reading, and
//!   a process without descriptors or memory.
//! - `hang`: a hub that hangs, and who notices.
//! - `load`: what goes on meanwhile. `ledger`: what people and nodes were told, synced. `oracle`: the comparison afterwards.
//!   `report`: how many trials, and what they show. `means`, `moment`, `strace`, `dice`: tools of the scenes.
//!
//! `HAL_SOAK` makes them long: `HAL_SOAK=kills=1000,syncs=1,power=5000` (see `just soak`).

mod clock;
mod clone;
mod disk;
mod garbage;
mod hang;
mod hungry;
mod kills;
mod lease;
mod ledger;
mod load;
pub mod means;
pub mod moment;
pub mod network;
mod oracle;
mod order;
mod proxy;
pub mod report;
mod retire;
mod strace;
mod syncs;

#[path = "../../../src/store/dice.rs"]
pub mod dice;
