//! A bundle: one `.tar.gz` of which every file went through the scrubber, with a manifest of sizes and checksums.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::scrub::Scrubber;
use hal_base::clock::now;
use hal_base::daemon::version;
use hal_base::exit::Failure;
use hal_base::hex;

/// Bytes of one file; of longer ones the end is kept, where the newest lines are.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// A bundle holds what only operators should read.
const OWNER_ONLY: u32 = 0o600;

/// What will be written.
pub struct Bundle {
    incident: String,
    scrub: Scrubber,
    files: Vec<BundleFile>,
    missing: Vec<String>,
}

/// A file in it.
struct BundleFile {
    name: String,
    source: String,
    bytes: Vec<u8>,
    is_cut: bool,
}

/// A bundle that was written.
#[derive(Debug, Serialize)]
pub struct Made {
    /// Path of the bundle.
    pub path: PathBuf,
    /// How many files are in it, without the manifest.
    pub files: usize,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: String,
    /// What could not be collected, and why.
    pub missing: Vec<String>,
}

impl Bundle {
    /// An empty one for an incident.
    pub fn new(incident: &str, scrub: Scrubber) -> Self {
        Self { incident: incident.to_owned(), scrub, files: Vec::new(), missing: Vec::new() }
    }

    /// Adds a file: what `source` gave. An error is written down as missing.
    pub fn add(&mut self, name: &str, source: &str, content: Result<String, String>) {
        match content {
            Ok(text) => {
                let from = text.len().saturating_sub(MOST_BYTES);
                // A line that was cut may have lost the word by which a secret in it is known.
                let from = text.as_bytes()[from..]
                    .iter()
                    .position(|byte| *byte == b'\n' && from > 0)
                    .map_or(from, |at| from + at + 1);
                let bytes = self.scrub.bytes(text.as_bytes()[from..].to_vec());
                let source = self.scrub.text(source);
                self.files.push(BundleFile { name: name.to_owned(), source, bytes, is_cut: from > 0 });
            }
            Err(why) => self.missing.push(self.scrub.text(&format!("{name}: {why}"))),
        }
    }

    /// Adds JSON, of which the values under telling names are taken out first.
    pub fn add_tree(&mut self, name: &str, source: &str, content: Result<serde_json::Value, String>) {
        let text = content.and_then(|mut tree| {
            self.scrub.tree(&mut tree);
            serde_json::to_string_pretty(&tree).map_err(|error| error.to_string())
        });
        self.add(name, source, text);
    }

    /// Writes it; nothing that is there already is overwritten.
    pub fn write(mut self, path: &Path) -> Result<Made, Failure> {
        // A secret may have been learned after a file was added that holds it, too.
        for part in &mut self.files {
            part.bytes = self.scrub.bytes(std::mem::take(&mut part.bytes));
        }
        let doing = || format!("cannot write the bundle {}", path.display());
        let written = self.pack(path);
        if let Err(error) = written {
            return Err(Failure::from(error.context(doing())));
        }
        let (bytes, sha256) = checksum(path).with_context(doing)?;
        Ok(Made { path: path.to_owned(), files: self.files.len(), bytes, sha256, missing: self.missing })
    }

    fn pack(&self, path: &Path) -> anyhow::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
        let mut archive = tar::Builder::new(GzEncoder::new(&file, Compression::default()));
        self.put(&mut archive, "manifest.json", self.manifest()?.as_bytes())?;
        for part in &self.files {
            self.put(&mut archive, &part.name, &part.bytes)?;
        }
        archive.into_inner()?.finish()?.flush()?;
        Ok(file.sync_all()?)
    }

    fn put(&self, archive: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(OWNER_ONLY);
        header.set_mtime(u64::try_from(now().seconds()).unwrap_or_default());
        Ok(archive.append_data(&mut header, format!("{}/{name}", self.incident), bytes)?)
    }

    fn manifest(&self) -> anyhow::Result<String> {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|part| {
                json!({"name": part.name, "source": part.source, "bytes": part.bytes.len(),
                    "sha256": hex::write(&Sha256::digest(&part.bytes)), "only_the_end": part.is_cut})
            })
            .collect();
        let manifest = json!({"incident": self.incident, "made_at": now().to_string(), "halctl": version(),
            "files": files, "missing": self.missing});
        Ok(serde_json::to_string_pretty(&manifest)? + "\n")
    }
}

fn checksum(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = fs::File::open(path)?;
    let (mut sha, mut buffer, mut size) = (Sha256::new(), vec![0; 64 * 1024], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hex::write(&sha.finalize()))),
            many => {
                sha.update(&buffer[..many]);
                size += many as u64;
            }
        }
    }
}
