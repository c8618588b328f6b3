//! Stand-ins for what is outside: servers on loopback that answer as those outside document it, and write down what they
//! were asked.

pub mod provider;
