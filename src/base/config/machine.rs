//! What the values of a configuration name on this machine. Each check ends in what is wrong, as half a sentence.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};

use super::service;

/// A folder that exists and can be written to.
pub fn writable_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("its folder {shown} does not exist; make it with: mkdir -p {shown}"))
        }
        // The service goes where this user may not; what it finds there cannot be told.
        Err(_) if service::judged_for().is_some() && service::is_shut(folder, Access::EXISTS) => Ok(()),
        Err(error) => Err(format!("its folder {shown} cannot be read: {error}")),
        Ok(found) if !found.is_dir() => Err(format!("{shown} is not a folder")),
        Ok(_) => may_write_into(folder),
    }
}

/// Whether whoever it is judged for may make files in a folder.
fn may_write_into(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    match service::judged_for() {
        Some(user) => user
            .may(folder, service::WRITE_INTO)
            .map_err(|why| format!("its folder {shown} cannot be written to by the service: {why}")),
        None => access(folder, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| format!("its folder {shown} cannot be written to: {error}")),
    }
}

/// A folder that exists and can be written to, or one that could be made.
pub fn makeable_folder(folder: &Path) -> Result<(), String> {
    if !folder.exists() && service::is_made_at_start(folder) {
        return Ok(());
    }
    // The last ancestor of a relative path is empty: it means the current folder.
    let named = |ancestor| if ancestor == Path::new("") { Path::new(".") } else { ancestor };
    let existing = folder.ancestors().map(named).find(|ancestor| ancestor.exists());
    writable_folder(existing.unwrap_or(folder))
}

/// The folder a file lies in; the current one when the path has none.
pub fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// The certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, Error> =
        CertificateDer::pem_file_iter(path).and_then(|certificates| certificates.collect());
    match certificates {
        Ok(found) if found.is_empty() => Err(no_pem("certificate", "CERTIFICATE")),
        Ok(found) => Ok(found),
        Err(error) => Err(pem_sentence(error, "certificate", "CERTIFICATE")),
    }
}

/// Why a PEM file is of no use.
pub fn pem_sentence(error: Error, what: &str, label: &str) -> String {
    match error {
        Error::Io(error) => format!("cannot be read: {error}"),
        Error::NoItemsFound => no_pem(what, label),
        other => format!("is damaged PEM: {other}"),
    }
}

fn no_pem(what: &str, label: &str) -> String {
    format!("holds no {what} in PEM form (-----BEGIN {label}-----)")
}
