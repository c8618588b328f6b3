//! Pure functions over words: no I/O, no clock, no locks. The supervisor and a node that is cut off from it decide
//! by the same rules.
//!
//! - `session`: what a session's events add up to, and what must be written when a look at the backend disagrees.
//! - `naming`: how long names from outside may be.
//! - `network`: what may be done from where.
//! - `node`: when a node counts as gone, and what its journal's numbers mean.
//! - `budget`: whom a budget is for and what is left of it; `lease`: what is lent, and when a turn must stop.
//! - `route`: who is told of it, and when.
//! - `address`: where a webhook may go.
//! - `escalation`: who is told next of it.
//! - `alert`: the life of what a person should see. `approval`: of what a session waits with for one.
//! - `watch`: when what is seen is worth an alert. `growth`: when there is no more room.
//! - `presence`: which nodes are missed. `slow`: which commands take too long. `stalled`: which coding agents do not run.
//! - `ledger`: what an event adds to the ledger of costs.
//! - `provider`: what providers answer, read as bills.
//! - `rehearsal`: whether a recovery would bring back what was there.
//! - `reconcile`: what we count against what they bill.
//! - `dependency`: which project waits for which, and when one is complete.
//! - `handover`: where a restart is. `policy`: what steps in by itself, when, and why.
//! - `report`: the ledger added up, and what it will come to.
//! - `price`: what tokens cost, from which day on.
//! - `stop`: how a turn is stopped that does not want to.
//! - `actor`: whose token is good; `right`: the least role of each path and command.
//! - `audit`: the chain of who did what, and what a walk along it finds.
//! - `conversation`: what was said and done in a session, folded from its events.
//! - `command`: who a command is for, and the steps of its life.

pub mod actor;
pub mod address;
pub mod alert;
pub mod approval;
pub mod audit;
pub mod budget;
pub mod command;
pub mod conversation;
pub mod dependency;
pub mod escalation;
pub mod growth;
pub mod handover;
pub mod lease;
pub mod ledger;
pub mod naming;
pub mod network;
pub mod node;
pub mod notice;
pub mod policy;
pub mod presence;
pub mod price;
pub mod provider;
pub mod reconcile;
pub mod rehearsal;
pub mod report;
pub mod right;
pub mod route;
pub mod session;
pub mod slow;
pub mod stalled;
pub mod stop;
pub mod watch;
