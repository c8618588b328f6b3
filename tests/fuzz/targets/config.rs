//! Whatever is in a configuration file is taken or explained.

#![no_main]

#[path = "../feed.rs"]
mod feed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| feed::config(bytes));
