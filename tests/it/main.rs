//! The one test binary: scenes played with the true programs, a module for each noun.

mod agent;
