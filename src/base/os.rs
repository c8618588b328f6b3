//! What the kernel offers and no safe crate wraps: leases on files, who has locked one, and giving up pages that are the
//! same as in a file. The only unsafe code of this program.
//!
//! While a process holds a write lease on a file nobody else has it open, and whoever opens it waits in `open` until
//! the lease is given back (or the kernel takes it, after 45 seconds).

#![expect(
    unsafe_code,
    reason = "neither rustix nor nix knows the lease commands of fcntl, or may know what a page holds"
)]

use std::ops::Range;
use std::os::fd::RawFd;
use std::{fs, io, ptr};

/// The signal by which the kernel says that somebody waits. By default it is SIGIO, which ends the process; this one
/// is ignored by default.
const SOMEBODY_WAITS: libc::c_int = libc::SIGURG;

/// What is 0 of a mapping in `/proc/PID/smaps` that is the same as its file. A page that the disk lacks is dirty, but the same.
const CHANGED: [&str; 2] = ["Anonymous", "Swap"];

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

/// Gives up the pages of this program's own file that were needed once, as at the start: they are mapped again from the file
/// when they are needed. Gives the bytes of the mappings.
pub fn give_up_code() -> io::Result<usize> {
    let program = fs::read_link("/proc/self/exe")?;
    let maps = fs::read_to_string("/proc/self/smaps")?;
    let mut bytes = 0;
    for range in same_as_file(&maps, &program.to_string_lossy()) {
        let begin = ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: nobody writes to this mapping, and no page of it differs from the file, so what is read there afterwards is
        // what was there before.
        if unsafe { libc::madvise(begin, range.len(), libc::MADV_DONTNEED) } != 0 {
            return Err(io::Error::last_os_error());
        }
        bytes += range.len();
    }
    Ok(bytes)
}

/// The mappings of a file in `/proc/PID/smaps` that cannot be written to and of which no page was ever changed, in memory or
/// in swap: as those are that hold addresses.
fn same_as_file(maps: &str, file: &str) -> Vec<Range<usize>> {
    let mut found: Vec<(Range<usize>, u8)> = Vec::new();
    let mut is_ours = false;
    for line in maps.lines() {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(field) = first.strip_suffix(':') {
            let is_none = rest.trim() == "0 kB";
            match found.last_mut() {
                Some((_, clean)) if is_ours && is_none && CHANGED.contains(&field) => *clean += 1,
                _ => {}
            }
            continue;
        }
        let may = rest.get(..4).unwrap_or_default();
        is_ours = rest.ends_with(&format!(" {file}")) && (may == "r-xp" || may == "r--p");
        let range = first.split_once('-').and_then(|(from, to)| Some(address(from)?..address(to)?));
        match range {
            Some(range) if is_ours => found.push((range, 0)),
            _ => is_ours = false,
        }
    }
    found.retain(|(_, clean)| usize::from(*clean) == CHANGED.len());
    found.into_iter().map(|(range, _)| range).collect()
}

fn address(text: &str) -> Option<usize> {
    usize::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
1000-3000 r--p 00000000 fe:00 1                    /usr/bin/hal
Rss:                   8 kB
Private_Dirty:         8 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
3000-9000 r-xp 00002000 fe:00 1                    /usr/bin/hal
Anonymous:             0 kB
Swap:                  0 kB
9000-a000 r--p 00008000 fe:00 1                    /usr/bin/hal
Anonymous:             0 kB
Swap:                  4 kB
a000-b000 rw-p 00009000 fe:00 1                    /usr/bin/hal
Anonymous:             0 kB
Swap:                  0 kB
b000-c000 r-xp 00000000 fe:00 2                    /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
c000-d000 r-xp 00000000 fe:00 1                    /usr/bin/hal
Anonymous:             4 kB
Swap:                  0 kB
d000-e000 r-xp 0000a000 fe:00 1                    /usr/bin/hal
Swap:                  0 kB
";

    #[test]
    fn only_what_is_the_same_as_in_the_file_is_given_up() {
        assert_eq!(same_as_file(MAPS, "/usr/bin/hal"), [0x1000..0x3000, 0x3000..0x9000]);
        assert!(same_as_file(MAPS, "/usr/bin/ha").is_empty());
    }

    #[test]
    fn a_program_that_has_given_up_its_code_goes_on() {
        for _ in 0..3 {
            assert!(give_up_code().unwrap() > 1_000_000);
        }
    }
}
