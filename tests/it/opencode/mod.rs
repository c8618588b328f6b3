//! A true opencode behind the backend, with the fake model behind it.

mod apart;
mod cut;
mod desk;
mod life;
mod record;
mod stage;
mod steer;
mod strange;
mod turn;
mod version;
