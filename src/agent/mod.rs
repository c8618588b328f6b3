//! The agent: one per machine, dials out, runs the coding agents there.

pub mod backend;
pub mod config;
pub mod outbox;
