//! What the kernel offers and no safe crate wraps for a bare descriptor: leases on files, and who has locked one. The
//! only unsafe code of this program.
//!
//! While a process holds a write lease on a file nobody else has it open, and whoever opens it waits in `open` until
//! the lease is given back (or the kernel takes it, after 45 seconds).

#![expect(unsafe_code, reason = "neither rustix nor nix knows the lease commands of fcntl")]

use std::io;
use std::os::fd::RawFd;

/// The signal by which the kernel says that somebody waits. By default it is SIGIO, which ends the process; this one
/// is ignored by default.
const SOMEBODY_WAITS: libc::c_int = libc::SIGURG;

/// `F_SETSIG` of Linux, which libc does not name.
const F_SETSIG: libc::c_int = 10;

/// Takes a write lease: fails with `WouldBlock` while anybody else has the file open.
pub fn lease(fd: RawFd) -> io::Result<()> {
    command(fd, F_SETSIG, SOMEBODY_WAITS)?;
    command(fd, libc::F_SETLEASE, libc::F_WRLCK)
}

/// Gives the lease back: whoever waited goes on.
pub fn release(fd: RawFd) -> io::Result<()> {
    command(fd, libc::F_SETLEASE, libc::F_UNLCK)
}

/// True when another process holds a lock on some of these bytes of a file. Our own locks do not count.
pub fn is_locked_elsewhere(fd: RawFd, (start, bytes): (i64, i64)) -> bool {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: bytes,
        l_pid: 0,
    };
    // SAFETY: the kernel reads and writes this one structure, which lives until the call is over.
    let asked = unsafe { libc::fcntl(fd, libc::F_GETLK, &raw mut lock) };
    asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}

fn command(fd: RawFd, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: these commands take a number and touch no memory of ours; a wrong descriptor is answered with EBADF.
    match unsafe { libc::fcntl(fd, command, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
