//! The one test binary: scenes played with the true programs, a module for each noun.

#[path = "../fake_model/model/mod.rs"]
mod fake_model;
mod opencode;
mod opencode_home;
