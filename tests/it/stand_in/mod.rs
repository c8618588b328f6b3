//! Stand-ins for the services that people are told through. They speak the services' protocols and show their faults.

pub mod discord;
pub mod served;
pub mod slack;
