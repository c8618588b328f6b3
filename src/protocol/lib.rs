//! Every word that crosses a process border, and the rules of saying it. No I/O, no clock.
//!
//! - `node`, `session`, `event`, `command`: the nouns, as both the wire and the HTTP API say them. `backend`: what kind of
//!   coding agent a node runs, and what that can.
//! - `frame`: what an agent and its supervisor say to one another, in the order a conversation happens.
//! - `actor`: who is known, what each may do, and what each shows for it. `proof`: how an agent proves who it is;
//!   `join`: how a new machine becomes one. `fleet_key`: the keys by which a fleet knows its supervisor.
//! - `audit`: who did what, and what came of it.
//! - `budget`: how much money may be spent; `lease`: how a node is lent a little of it.
//! - `alert`: what a person should see. `notice`: how it is told, by way of a `channel`. `silence`: what nobody is told.
//! - `approval`: what a session waits with for a person.
//! - `archive`: a file of rows that have left the store. `backup`: a copy of the mirror. `store`: what a store that was set
//!   aside holds. As the HTTP API says them.
//! - `cost`: what sessions have used; `worth`: what one use came to.
//! - `provider`: what model providers bill.
//! - `name`: what there is of a kind, for whoever types the beginning of a name.
//! - `conversation`: what was said and done in a session, folded.
//! - `live`: what a page of the dashboard and its supervisor say to one another.
//! - `api`: the envelope around HTTP answers, errors and pages.
//! - `ctl_file`: the small files by which halctl finds a supervisor. `default`: what holds where no configuration says
//!   otherwise.
//!
//! Words grow by optional fields; unknown fields and unknown kinds from the future are tolerated. The fixture
//! files under `tests/fixtures/frames` are the protocol: change them first.

pub mod actor;
pub mod alert;
pub mod api;
pub mod approval;
pub mod archive;
pub mod audit;
pub mod backend;
pub mod backup;
pub mod budget;
pub mod channel;
pub mod command;
pub mod conversation;
pub mod cost;
pub mod ctl_file;
pub mod default;
pub mod event;
pub mod fleet_key;
pub mod frame;
pub mod join;
pub mod lease;
pub mod live;
pub mod mark;
pub mod name;
pub mod node;
pub mod notice;
pub mod policy;
pub mod proof;
pub mod provider;
pub mod session;
pub mod silence;
pub mod store;
pub mod who;
pub mod worth;
