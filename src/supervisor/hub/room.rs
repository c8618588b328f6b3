//! Room in memory for what agents say until it is stored. Whoever wants more waits, so an agent that ignores its
//! credit holds up nobody but itself.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use hal_protocol::frame::MAX_FRAME_BYTES;

/// Bytes of frames of all agents that may wait for a commit: seconds of work for the disk.
const ALL: usize = 64 * 1024 * 1024;

/// Bytes of frames of one connection that may wait: what is being stored and what comes next.
const OWN: usize = 2 * MAX_FRAME_BYTES;

/// The room for all connections. Clones share it.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// One connection's part of the room.
#[derive(Debug)]
pub struct Share {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// A taken place; given back when dropped.
#[derive(Debug)]
pub struct Taken {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL)))
    }
}

impl Room {
    /// A part for a new connection.
    pub fn share(&self) -> Share {
        Share { own: Arc::new(Semaphore::new(OWN)), all: self.0.clone() }
    }
}

impl Share {
    /// Waits for room for a frame of so many bytes. Others who wait longer come first.
    pub async fn take(&self, bytes: usize) -> Taken {
        let bytes = u32::try_from(bytes.min(MAX_FRAME_BYTES)).expect("a frame is smaller than 4 GiB");
        let own = self.own.clone().acquire_many_owned(bytes).await.expect("the room is never closed");
        let all = self.all.clone().acquire_many_owned(bytes).await.expect("the room is never closed");
        Taken { _own: own, _all: all }
    }
}
