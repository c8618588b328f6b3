//! What holds where no configuration says otherwise, for the programs that must agree on it.

/// The port is also said in an address.
macro_rules! port {
    () => {
        8420
    };
}

/// The port that a supervisor listens on.
pub const PORT: u16 = port!();

/// Where a supervisor is for whoever is on its machine.
pub const URL: &str = concat!("http://127.0.0.1:", port!());

/// The configuration of a supervisor.
pub const SUPERVISOR_CONFIG: &str = "/etc/hal-o-swarm/supervisor.config.json";

/// The configuration of an agent.
pub const AGENT_CONFIG: &str = "/etc/hal-o-swarm/agent.config.json";

/// `supervisor.db`; the store is beside it.
pub const DATABASE: &str = "/var/lib/hal-o-swarm/supervisor.db";

/// The folder of an agent's journal.
pub const DATA_DIR: &str = "/var/lib/hal-o-swarm";

/// Seconds between two heartbeats of a node.
pub const HEARTBEAT_SECONDS: u64 = 10;

/// Heartbeats that may be missed before a node counts as gone.
pub const HEARTBEAT_TIMEOUTS: u32 = 3;
