//! Budgets that hold: many sessions on many nodes, cut off and killed, against a small budget. What was spent is read
//! from echo's own ledger, which nothing of ours reads.

mod crowd;
mod desk;
mod opencode;
mod stage;
