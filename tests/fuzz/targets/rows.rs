//! Whatever is in a row of the store is read or called damaged.

#![no_main]

#[path = "../feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::rows(bytes));
