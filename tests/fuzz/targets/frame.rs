//! Whatever comes over a link is read or refused.

#![no_main]

#[path = "../feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::frame(bytes));
