//! HAL-O-SWARM: a distributed supervisor for autonomous coding agents.
//!
//! One executable, three programs. A hal-agent on each machine runs coding agents and keeps a journal of what they do;
//! it dials out to the one hal-supervisor, which stores everything, answers people (halctl, the HTTP API, the live
//! stream) and passes their commands on.
//!
//! # The map
//!
//! Imports only go down. One noun, one file per floor, same name: `session` is `protocol/session.rs`,
//! `rules/session.rs`, `store/session.rs`, `supervisor/api/session.rs`, `ctl/session.rs`.
//!
//! | floor | crate | what it is |
//! |---|---|---|
//! | 6 | `main`, [`role`], [`up`], [`manual`] | which program this process is |
//! | 5 | [`supervisor`] | the one writer (`hub`) and the edges around it |
//! | 5 | [`agent`] | link, outbox, session manager (`sessions`), backends |
//! | 5 | [`ctl`] | the operator at a terminal |
//! | 4 | [`store`] | the only place that knows bytes |
//! | 3 | [`rules`] | pure functions over words, and what they remember: no I/O, no clock |
//! | 2 | [`protocol`] | every word that crosses a process border |
//! | 1 | [`base`] | ids, clock, configuration files, exit codes: knows no noun |
//!
//! Each floor is a crate, `hal_base` in `src/base` and so on, and its `Cargo.toml` is what it may know: `supervisor`,
//! `agent` and `ctl` never one another, redb, postcard and rusqlite only `store`, axum only `supervisor`. Inside of them
//! `tests/it/tidy.rs` keeps order: tungstenite is in `agent::link` and `supervisor::outbound`, the clock in `base::clock`.
//!
//! # What flows
//!
//! ```text
//!   agent                                               supervisor                            people
//! backend -> sessions -> outbox ==(seq, ack)==> gate -> Input -> [ hub: decide -> commit ] -> ack
//!    ^           ^          |  stored first              ^            one transaction per batch
//!    |           |          '-- kept until acked         |                    |  only after the commit
//!    '-----------'<== command <=========================='<---- Tell(node) <--+--> View -> api, stream -> halctl
//! ```

pub mod manual;
pub mod role;
pub mod up;

pub use hal_agent as agent;
pub use hal_base as base;
pub use hal_ctl as ctl;
pub use hal_protocol as protocol;
pub use hal_rules as rules;
pub use hal_store as store;
pub use hal_supervisor as supervisor;
