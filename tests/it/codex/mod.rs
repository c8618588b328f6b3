//! A true Codex behind the backend, with the fake model behind it.

mod life;
mod modes;
mod money;
mod odd;
pub mod stage;
mod steer;
mod turn;
mod whole;
