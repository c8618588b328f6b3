//! Faults made on purpose. Each scene asserts that its fault fired; what was said is counted by whoever said it.

mod clock;
mod clone;
mod disk;
mod garbage;
mod hungry;
mod means;
mod network;
mod order;
mod proxy;
