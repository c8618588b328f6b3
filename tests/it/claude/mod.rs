//! A true Claude Code behind the backend, with the fake model behind it.

mod life;
mod money;
pub mod stage;
mod steer;
mod trust;
mod turn;
mod whole;
