//! Memory budget for what agents say until it is stored. Whoever wants more waits, so an agent that ignores its
//! credit holds up nobody but itself.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use hal_protocol::frame::MAX_FRAME_BYTES;

/// Bytes of frames of all agents that may wait for a commit: seconds of work for the disk.
const ALL: usize = 64 * 1024 * 1024;

/// Bytes of frames of one connection that may wait: what is being stored and what comes next.
const OWN: usize = 2 * MAX_FRAME_BYTES;

/// The memory for all connections. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Semaphore>);

/// One connection's part of it.
#[derive(Debug)]
pub struct ConnectionBudget {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// Bytes that are taken; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL)))
    }
}

impl MemoryBudget {
    /// A part for a new connection.
    pub fn for_connection(&self) -> ConnectionBudget {
        ConnectionBudget { own: Arc::new(Semaphore::new(OWN)), all: self.0.clone() }
    }
}

impl ConnectionBudget {
    /// Waits for room for a frame of so many bytes. Others who wait longer come first.
    pub async fn acquire(&self, bytes: usize) -> Permit {
        let bytes = u32::try_from(bytes.min(MAX_FRAME_BYTES)).expect("a frame is smaller than 4 GiB");
        let own = self.own.clone().acquire_many_owned(bytes).await.expect("the room is never closed");
        let all = self.all.clone().acquire_many_owned(bytes).await.expect("the room is never closed");
        Permit { _own: own, _all: all }
    }
}
