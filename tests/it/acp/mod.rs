//! True programs that speak ACP behind the backend, with the fake model behind them; and programs that do not.

mod bad;
mod queue;
pub mod stage;
mod turn;
mod whole;
