//! Processes, sockets and disks, as /proc and the file system show them.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::doctor::facts::{DaemonKind, Disk};
use hal_base::clock::Time;
use hal_base::config::MAX_FILE_BYTES;
use hal_base::file;
use hal_protocol::default;

/// A socket that listens, in the words of /proc/net/tcp.
const LISTENS: &str = "0A";

/// Descriptors of one process that are looked at.
const MOST_DESCRIPTORS: usize = 20_000;

/// A small text file. A daemon's user may have put anything in its place.
pub fn read(path: &Path) -> Result<String, String> {
    text(path, file::open_regular(path))
}

/// The same of a file that another one names: what is in it is used for whoever wrote that.
pub fn read_named(path: &Path, by: &Path) -> Result<String, String> {
    text(path, fs::metadata(by).and_then(|by| file::open_named(path, by.uid())))
}

fn text(path: &Path, opened: std::io::Result<fs::File>) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = opened.map_err(cannot)?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(cannot)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// True for a file that is there for others.
pub fn is_closed(path: &Path) -> bool {
    file::open_regular(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// All processes, by number.
fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The processes of a daemon that run on this configuration.
pub fn processes(kind: DaemonKind, config: &Path) -> Vec<u32> {
    all().filter(|pid| runs_on(*pid, kind, config)).collect()
}

fn runs_on(pid: u32, kind: DaemonKind, config: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let name = words.first().map(|word| Path::new(word.as_ref()).file_name().unwrap_or_default().to_owned());
    let is_ours = name.is_some_and(|name| name == kind.program())
        || words.get(1).is_some_and(|word| word == kind.word());
    let is_asked = words.iter().any(|word| word == "--validate" || word == "store");
    let named = words.iter().position(|word| word == "--config").and_then(|at| words.get(at + 1));
    let otherwise = match kind {
        DaemonKind::Supervisor => default::SUPERVISOR_CONFIG,
        DaemonKind::Agent => default::AGENT_CONFIG,
    };
    let named = named.map_or(otherwise, AsRef::as_ref);
    is_ours && !is_asked && Path::new(named) == config
}

/// True when the file of a running process was replaced or removed since.
pub fn is_replaced(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"))
}

/// How long a process has been there.
pub fn up(pid: u32, now: Time) -> Option<Duration> {
    let since = fs::metadata(format!("/proc/{pid}")).ok()?.modified().ok()?;
    let since = since.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(now.since(Time(i64::try_from(since.as_millis()).ok()?)))
}

/// A variable in the environment of a process.
pub fn variable(pid: u32, name: &str) -> Option<String> {
    environment(pid).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The environment of a process, as it was started.
pub fn environment(pid: u32) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let pairs = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    pairs
        .filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// A program in one of the folders of a PATH.
pub fn on_path(path: &str, program: &str) -> Option<String> {
    let files = path.split(':').map(|folder| Path::new(folder).join(program));
    files.into_iter().find(|file| file.is_file()).map(|file| file.to_string_lossy().into_owned())
}

/// Who listens on a port: the process, when it may be seen, and its name.
pub fn listener(port: u16) -> Option<(Option<u32>, String)> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listening(&fs::read_to_string(table).unwrap_or_default(), port))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let owner = all().find(|pid| has_socket(*pid, &sockets));
    let name = owner.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
    Some((owner, name.map_or_else(|| "unknown".to_owned(), |name| name.trim().to_owned())))
}

/// The inodes of sockets that listen on a port.
fn listening(table: &str, port: u16) -> Vec<String> {
    let wanted = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&wanted) && row[3] == LISTENS)
        .map(|row| format!("socket:[{}]", row[9]))
        .collect()
}

fn has_socket(pid: u32, sockets: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.take(MOST_DESCRIPTORS).any(|descriptor| {
        fs::read_link(descriptor.path())
            .is_ok_and(|to| sockets.iter().any(|socket| to.as_os_str() == socket.as_str()))
    })
}

/// The disk that a folder lies on, or will lie on.
pub fn disk(folder: &Path) -> Option<Disk> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(Disk {
        folder: there.to_owned(),
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        size: disk.f_blocks.saturating_mul(disk.f_frsize),
        files_free: disk.f_favail,
        files: disk.f_files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_without_any_tool() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let (pid, name) = listener(port).unwrap();
        assert_eq!(pid, Some(std::process::id()), "{name}");
        drop(socket);
        assert_eq!(listener(port), None);
    }

    #[test]
    fn a_table_of_sockets_is_read_by_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:20E4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
            1: 0100007F:20E4 0100007F:1234 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(listening(table, 8420), ["socket:[4711]"]);
        assert!(listening(table, 8421).is_empty());
    }
}
