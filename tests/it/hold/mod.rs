//! Coding agents that outlive hal-agent: the holder of a process alone, and true hal-agents that are killed in mid-turn.

mod holder;
mod opencode;
mod stage;
