//! What others need to store the same single events durably, where they are installed: SQLite with a synced WAL, Redis with
//! `appendfsync always`, NATS JetStream with `sync_interval: always`. One writer, one event at a time, at a steady pace.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::kernel::{bytes_written, processor_seconds};

/// Bytes of an event: what ours has, with what is written around it.
const EVENT: usize = 400;

/// How long a server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one of them needed.
pub struct Needed {
    /// Its name and its version of the promise.
    pub name: &'static str,
    /// KiB written to the disk for an event.
    pub kib: f64,
    /// Microseconds of processor time for an event.
    pub us: f64,
    /// Microseconds from when an event was due until it was acknowledged.
    pub seen: Histogram<u64>,
}

/// All that are here, one after the other.
pub fn measure(folder: &Path, rate: u64, time: Duration) -> Vec<Needed> {
    let mut all = vec![sqlite(folder, rate, time)];
    all.extend(redis(folder, rate, time));
    all.extend(nats(folder, rate, time));
    all
}

fn paced(name: &'static str, pid: u32, rate: u64, time: Duration, mut store: impl FnMut(u64)) -> Needed {
    let mut seen = Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are in order");
    for warm in 0..100 {
        store(warm);
    }
    let before = (bytes_written(pid), processor_seconds(pid));
    let every = Duration::from_secs_f64(1.0 / rate as f64);
    let (begun, mut due) = (Instant::now(), Instant::now());
    let mut n = 100;
    while begun.elapsed() < time {
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        if Instant::now() < due {
            continue;
        }
        store(n);
        seen.saturating_record(u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX));
        due += every;
        n += 1;
    }
    // What is done a second later belongs to it.
    std::thread::park_timeout(Duration::from_secs(2));
    let events = seen.len() as f64;
    Needed {
        name,
        kib: (bytes_written(pid) - before.0) as f64 / events / 1024.0,
        us: (processor_seconds(pid) - before.1) * 1e6 / events,
        seen,
    }
}

fn sqlite(folder: &Path, rate: u64, time: Duration) -> Needed {
    let path = folder.join("peer.db");
    let file = rusqlite::Connection::open(&path).expect("the folder is ours");
    file.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE events (seq INTEGER PRIMARY KEY, data BLOB)",
    )
    .expect("SQLite makes a table");
    let event = vec![7_u8; EVENT];
    let needed = paced("SQLite, WAL, synchronous=FULL", std::process::id(), rate, time, |n| {
        file.execute("INSERT INTO events VALUES (?, ?)", rusqlite::params![n as i64, event])
            .expect("it stores");
    });
    drop(file);
    let _ = fs::remove_file(path);
    needed
}

/// A server that is ended with this.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

fn start(program: &str, arguments: &[&str], port: u16) -> Option<(Server, TcpStream)> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Server(command.spawn().ok()?);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_nodelay(true).ok()?;
            return Some((server, stream));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    None
}

fn redis(folder: &Path, rate: u64, time: Duration) -> Option<Needed> {
    let (port, folder) = (free_port(), folder.join("redis"));
    fs::create_dir_all(&folder).ok()?;
    let (number, place) = (port.to_string(), folder.display().to_string());
    let arguments =
        ["--port", &number, "--bind", "127.0.0.1", "--dir", &place, "--save", "", "--appendonly", "yes"];
    let arguments = [&arguments[..], &["--appendfsync", "always"]].concat();
    let (server, mut stream) = start("redis-server", &arguments, port)?;
    let event = "x".repeat(EVENT);
    let request =
        format!("*5\r\n$4\r\nXADD\r\n$6\r\nevents\r\n$1\r\n*\r\n$4\r\ndata\r\n${EVENT}\r\n{event}\r\n");
    let mut answers = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    let needed = paced("Redis, appendfsync always", server.0.id(), rate, time, |_| {
        stream.write_all(request.as_bytes()).expect("redis takes it");
        // A bulk string: its length, then its text.
        for _ in 0..2 {
            line.clear();
            answers.read_line(&mut line).expect("redis answers");
            assert!(!line.starts_with('-'), "{line}");
        }
    });
    drop(server);
    let _ = fs::remove_dir_all(folder);
    Some(needed)
}

fn nats(folder: &Path, rate: u64, time: Duration) -> Option<Needed> {
    let (port, folder) = (free_port(), folder.join("nats"));
    fs::create_dir_all(&folder).ok()?;
    let config = folder.join("nats.conf");
    let text = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?}, sync_interval: always }}\n",
        folder.join("js").display().to_string()
    );
    fs::write(&config, text).ok()?;
    let (server, mut stream) = start("nats-server", &["-c", &config.display().to_string()], port)?;
    let mut answers = BufReader::new(stream.try_clone().ok()?);
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB answer 1\r\n").ok()?;
    let stream_config = r#"{"name":"EVENTS","subjects":["events"],"storage":"file"}"#;
    let mut ask = |subject: &str, body: &str| {
        let request = format!("PUB {subject} answer {}\r\n{body}\r\n", body.len());
        stream.write_all(request.as_bytes()).expect("nats takes it");
        loop {
            let mut line = String::new();
            answers.read_line(&mut line).expect("nats answers");
            let Some(length) =
                line.strip_prefix("MSG ").and_then(|rest| rest.trim().rsplit(' ').next()?.parse().ok())
            else {
                continue;
            };
            let mut body = vec![0_u8; length];
            answers.read_exact(&mut body).expect("nats answers");
            let body = String::from_utf8_lossy(&body).into_owned();
            assert!(!body.contains("\"error\""), "{body}");
            return;
        }
    };
    ask("$JS.API.STREAM.CREATE.EVENTS", stream_config);
    let event = "x".repeat(EVENT);
    let needed =
        paced("NATS JetStream, sync_interval always", server.0.id(), rate, time, |_| ask("events", &event));
    drop(server);
    let _ = fs::remove_dir_all(folder);
    Some(needed)
}
