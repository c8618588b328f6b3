//! The last lines of what a program says, for errors.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::time::timeout;

/// Bytes of a line that are read: some put a cause at the end.
const LINE_MAX: usize = 16 * 1024;

/// Lines that are kept, and characters of each.
const TAIL_LINES: usize = 20;
const TAIL_WIDTH: usize = 300;

/// The last lines of a program's output. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    /// Reads to the end; each line is given to `hear`, too.
    pub async fn read(self, pipe: impl AsyncRead + Unpin, hear: impl FnMut(&str)) {
        self.read_hiding(pipe, |_| false, hear).await;
    }

    /// The same, without keeping lines that hold a secret.
    pub async fn read_hiding(
        self,
        pipe: impl AsyncRead + Unpin,
        is_secret: impl Fn(&str) -> bool,
        mut hear: impl FnMut(&str),
    ) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        // A line longer than is shown is cut while it is read, so that no output can fill the memory.
        while let Ok(bytes) = pipe.fill_buf().await {
            if bytes.is_empty() {
                break;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = end.map_or(bytes.len(), |end| end + 1);
            pipe.consume(used);
            if end.is_some() {
                let text = String::from_utf8_lossy(&line);
                hear(&text);
                if !is_secret(&text) {
                    self.take(&text);
                }
                line.clear();
            }
        }
        let text = String::from_utf8_lossy(&line);
        if !is_secret(&text) {
            self.take(&text);
        }
    }

    fn take(&self, line: &str) {
        let line = line.trim_end();
        if !line.is_empty() {
            let mut lines = self.lines();
            if lines.len() == TAIL_LINES {
                lines.pop_front();
            }
            lines.push_back(line.chars().take(TAIL_WIDTH).collect());
        }
    }

    /// Waits until all readers have read to the end; not long, as a tool may hold the pipes open.
    pub async fn settle(&self) {
        let patience = Duration::from_millis(300);
        let all_read = async {
            while Arc::strong_count(&self.0) > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(patience, all_read).await;
    }

    /// The lines, each after a line feed.
    pub fn text(&self) -> String {
        self.lines().iter().map(|line| format!("\n{line}")).collect()
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
