//! Whatever a coding agent reports adds up to a session.

#![no_main]

#[path = "../feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::events(bytes));
