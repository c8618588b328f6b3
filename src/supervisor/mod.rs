//! The supervisor: gate, hub, views and the edges people use.

pub mod config;
pub mod hub;
