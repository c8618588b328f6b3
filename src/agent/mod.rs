//! The agent: one per machine, dials out, runs the coding agents there.

pub mod backend;
pub mod cli;
pub mod config;
