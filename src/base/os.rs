//! What the kernel offers and no safe crate wraps: leases on files. The only unsafe code of this program.
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

fn command(fd: RawFd, command: libc::c_int, argument: libc::c_int) -> io::Result<()> {
    // SAFETY: these commands take a number and touch no memory of ours; a wrong descriptor is answered with EBADF.
    match unsafe { libc::fcntl(fd, command, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
