//! The one test binary: scenes played with the true programs, a module for each noun.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod config;
mod ctl;
#[path = "../fake_model/model/mod.rs"]
mod fake_model;
mod fixture;
mod frames;
mod opencode;
mod opencode_home;
mod session_rules;
mod source;
mod tidy;
