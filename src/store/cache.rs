//! What the kernel holds of a file in memory.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

/// Has the kernel forget what it holds of a file and need not write. After a sync that failed it may hold pages that it
/// will never write again: only what is read from the disk after this is what is on the disk.
pub fn forget(path: &Path) {
    // Where it cannot be done, the look at every page finds what does not fit together.
    let _best_effort = File::open(path).map(|file| fadvise(&file, 0, None, Advice::DontNeed));
}
