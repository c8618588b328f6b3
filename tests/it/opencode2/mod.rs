//! OpenCode 2 as a stand-in plays it (`tests/stand_in_opencode2`), since npm does not carry the true one.

mod life;
mod major;
pub mod stage;
mod turn;
