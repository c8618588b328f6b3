//! A look at the files of a log when it is opened: which records are there, and which are not though there is one behind them.

use std::path::PathBuf;

use super::segment::{self, HEAD, Head};

/// Records that are not there, though there is one behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first position.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// What is there instead.
    pub why: String,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to {
            u64::MAX => write!(f, "all after {} ({})", self.from - 1, self.why),
            to if to == self.from => write!(f, "{to} ({})", self.why),
            to => write!(f, "{} to {to} ({})", self.from, self.why),
        }
    }
}

/// What was found in a folder when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The positions that are there, the first and the last, whatever is missing between them.
    pub bounds: Option<(u64, u64)>,
    /// What is missing between them.
    pub gaps: Vec<Gap>,
    /// A record of this position was being written when the machine stopped: it is not whole, and nothing follows.
    pub torn: Option<u64>,
    /// How far the mirror was, as the log was told: its own count of windows.
    pub mirror_epoch: u64,
}

/// What is known of the files.
#[derive(Debug, Default)]
pub struct State {
    pub segments: Vec<Segment>,
    /// Where the last reading ended: the position, its segment's first one, and the place.
    pub hint: Option<(u64, u64, usize)>,
    /// The checksum of the last record.
    pub chain: u32,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Segment {
    pub path: PathBuf,
    pub first: u64,
    /// One below `first` while it has no record.
    pub last: u64,
    /// Behind the last record.
    pub end: usize,
    pub bytes: u64,
    pub seed: u32,
}

/// Looking at every segment, oldest first.
#[derive(Default)]
pub struct Look {
    state: State,
    found: Found,
    /// The position that is to come next; `None` before the first.
    next: Option<u64>,
}

impl Look {
    /// Looks at a file with this head.
    pub fn at(&mut self, head: &Head, path: PathBuf, bytes: &[u8]) {
        self.reach(head.first, || format!("the file before {} is missing", path.display()));
        let mut segment = Segment {
            path,
            first: head.first,
            last: head.first.saturating_sub(1),
            end: HEAD,
            bytes: bytes.len() as u64,
            seed: segment::seed(bytes),
        };
        self.records(&mut segment, bytes);
        self.state.segments.push(segment);
    }

    /// A head that is damaged does not keep the records behind it from being read.
    pub fn is_damaged(&mut self, number: u64, path: PathBuf, bytes: &[u8]) {
        let seed = segment::seed(bytes);
        let Some(offset) = segment::next_after(bytes, 0, seed) else {
            tracing::warn!(path = %path.display(), "a file of the log has no head and no record");
            return;
        };
        let first = segment::at(bytes, offset, seed).map_or(number, |record| record.position);
        let head = Head { store_id: String::new(), first, chain: 0, seed };
        tracing::warn!(path = %path.display(), "the head of this file of the log is damaged; its records are read");
        self.at(&head, path, bytes);
    }

    fn records(&mut self, segment: &mut Segment, bytes: &[u8]) {
        let mut offset = HEAD;
        loop {
            let Some(record) = segment::at(bytes, offset, segment.seed) else {
                if segment::is_blank(bytes, offset) {
                    return;
                }
                let Some(next) = segment::next_after(bytes, offset, segment.seed) else {
                    self.found.torn = Some(self.next.unwrap_or(segment.first));
                    return;
                };
                offset = next;
                continue;
            };
            let path = &segment.path;
            if self.found.bounds.is_some_and(|(_, last)| record.position <= last) {
                let why = format!("{} has it, too, and which one counts is not known", path.display());
                self.found.gaps.push(Gap { from: record.position, to: record.position, why });
                offset = record.end;
                continue;
            }
            let place = || format!("{} is damaged before byte {offset}", path.display());
            self.reach(record.position, place);
            if self.found.bounds.is_some_and(|(_, last)| last + 1 == record.position)
                && record.chain != self.state.chain
            {
                let why = format!("{} does not go on from the record before it", path.display());
                self.found.gaps.push(Gap { from: record.position, to: record.position, why });
            }
            self.found.torn = None;
            let first = self.found.bounds.map_or(record.position, |(first, _)| first);
            self.found.bounds = Some((first, record.position));
            self.next = Some(record.position + 1);
            self.state.chain = record.sum;
            segment.last = record.position;
            offset = record.end;
            segment.end = offset;
        }
    }

    /// Notes what is missing before a position.
    fn reach(&mut self, position: u64, why: impl FnOnce() -> String) {
        if let Some(next) = self.next.filter(|next| *next < position) {
            self.found.gaps.push(Gap { from: next, to: position - 1, why: why() });
        }
        self.next = Some(self.next.unwrap_or(position).max(position));
    }

    /// What came of it.
    pub fn done(mut self, mirror_epoch: u64) -> (State, Found) {
        self.found.mirror_epoch = mirror_epoch;
        (self.state, self.found)
    }
}
