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
//! | floor | module | what it is |
//! |---|---|---|
//! | 6 | `main`, [`role`], [`up`], [`manual`] | which program this process is |
//! | 5 | [`supervisor`] | the one writer (`hub`) and the edges around it |
//! | 5 | [`agent`] | link, outbox, desk, backends |
//! | 5 | [`ctl`] | the operator at a terminal |
//! | 4 | [`store`] | the only place that knows bytes |
//! | 3 | [`rules`] | pure functions over words, and what they remember: no I/O, no clock |
//! | 2 | [`protocol`] | every word that crosses a process border |
//! | 1 | [`base`] | ids, clock, configuration files, exit codes: knows no noun |
//!
//! `supervisor`, `agent` and `ctl` never import one another. redb and postcard live in `store`, axum in `supervisor`,
//! tungstenite in `agent::link` and `supervisor::outbound`, the clock in `base::clock`. `tests/it/tidy.rs` keeps it so.
//!
//! # What flows
//!
//! ```text
//!   agent                                           supervisor                            people
//! backend -> desk -> outbox ==(seq, ack)==> gate -> Input -> [ hub: decide -> commit ] -> ack
//!    ^         ^        |  stored first              ^            one transaction per batch
//!    |         |        '-- kept until acked         |                    |  only after the commit
//!    '---------'<== command <========================'<---- Tell(node) <--+--> View -> api, stream -> halctl
//! ```

pub mod agent;
pub mod base;
pub mod ctl;
pub mod manual;
pub mod protocol;
pub mod role;
pub mod rules;
pub mod store;
pub mod supervisor;
pub mod up;
