//! HAL-O-SWARM: a distributed supervisor for autonomous coding agents.

pub mod agent;
pub mod base;
pub mod ctl;
pub mod protocol;
pub mod role;
pub mod rules;
pub mod store;
pub mod supervisor;
