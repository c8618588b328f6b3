//! The one test binary: scenes played with the true programs, a module for each noun.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod config;
mod ctl;
mod fixture;
mod frames;
mod session_rules;
mod source;
mod tidy;
