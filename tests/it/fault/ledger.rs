//! The ledger of those outside: what they were promised, each line synced before they go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The peer's events up to this number were acknowledged.
    Acknowledged(u64),
    /// The API showed this event of the node: its number at the supervisor, at the node, and its identity.
    Shown(u64, u64, String),
    /// The node's journal held this event when its agent was killed.
    Journaled(u64, String),
    /// Somebody asked for this effect and was told a command and its state.
    Told(String, String, String),
}

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

/// All of it, sorted out.
#[derive(Debug, Default)]
pub struct Told {
    /// The last acknowledged number of the peer.
    pub acknowledged: u64,
    /// Events by their number at the supervisor.
    pub shown: BTreeMap<u64, (u64, String)>,
    /// Events by their number at the node.
    pub journaled: BTreeMap<u64, String>,
    /// By effect: the command that was told last, and every state that was told of it.
    pub commands: BTreeMap<String, (String, BTreeSet<String>)>,
}

impl Ledger {
    /// An empty one.
    pub fn begin(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { path: path.to_owned(), file: Arc::new(Mutex::new(file)) }
    }

    /// Writes lines and syncs them.
    pub fn note(&self, lines: &[Line]) {
        let text: String = lines.iter().map(Line::text).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).expect("the ledger can be written");
    }

    /// Reads it back from its file.
    pub fn told(&self) -> Told {
        let text = std::fs::read_to_string(&self.path).expect("the ledger can be read");
        let mut told = Told::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["acknowledged", seq] => told.acknowledged = number(seq),
                ["shown", seq, node_seq, id] => {
                    told.shown.insert(number(seq), (number(node_seq), id.to_owned()));
                }
                ["journaled", node_seq, id] => {
                    told.journaled.insert(number(node_seq), id.to_owned());
                }
                ["told", effect, command, state] => {
                    let known = told.commands.entry(effect.to_owned()).or_default();
                    if known.0 != command {
                        *known = (command.to_owned(), BTreeSet::new());
                    }
                    known.1.insert(state.to_owned());
                }
                _ => panic!("the ledger has a line {line:?}"),
            }
        }
        told
    }
}

impl Line {
    fn text(&self) -> String {
        match self {
            Self::Acknowledged(seq) => format!("acknowledged {seq}\n"),
            Self::Shown(seq, node_seq, id) => format!("shown {seq} {node_seq} {id}\n"),
            Self::Journaled(node_seq, id) => format!("journaled {node_seq} {id}\n"),
            Self::Told(effect, command, state) => format!("told {effect} {command} {state}\n"),
        }
    }
}

fn number(word: &str) -> u64 {
    word.parse().expect("the ledger holds numbers")
}
