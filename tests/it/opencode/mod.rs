//! A true opencode behind the backend, with the fake model behind it.

mod apart;
mod cut;
pub mod desk;
mod life;
mod record;
pub mod stage;
mod steer;
mod strange;
mod trust;
mod turn;
mod version;
