//! The numbers.
fn main() {}
