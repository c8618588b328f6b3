//! The certificate that a supervisor makes for itself: an authority of its own, and what that has signed. Both lie beside
//! the store. Agents and halctl know the supervisor by the authority's key, so that a certificate can be made anew, with
//! other names, and nobody notices.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use hal_base::file;
use hal_base::secret::Secret;
use hal_base::tls::Pin;

/// The folder beside the store.
const FOLDER: &str = "tls";

/// Files in it. Nobody but the service reads a key; certificates are no secret.
const AUTHORITY: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority.key";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const FOLDER_MODE: u32 = 0o750;
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Any address beyond this machine: to learn by which of its own this machine would go there. Nothing is sent.
const OUTSIDE: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// The certificate that a supervisor makes for itself, beside its store, and its key.
pub fn files(data: &Path) -> (PathBuf, PathBuf) {
    let folder = data.join(FOLDER);
    (folder.join(CERTIFICATE), folder.join(KEY))
}

/// The certificate by which the supervisor is known, whatever it makes anew.
pub fn authority(data: &Path) -> PathBuf {
    data.join(FOLDER).join(AUTHORITY)
}

/// The key by which the supervisor is known; `None`: the authority, or the private key that belongs to it, is not there.
pub fn pin(data: &Path) -> anyhow::Result<Option<Pin>> {
    if !is_there(&authority(data))? || !is_there(&data.join(FOLDER).join(AUTHORITY_KEY))? {
        return Ok(None);
    }
    let (_, key) = read_authority(data)?;
    let pair = KeyPair::from_pem(key.reveal()).ok();
    let own = pair.map(|pair| Pin::of_key(&pair.subject_public_key_info()));
    Ok(pin_of_last(&authority(data))?.filter(|pin| own == Some(*pin)))
}

/// Sets aside what is left of an authority whose key is not there, and what it has signed, so that another can be made.
pub fn set_aside_remains(data: &Path) -> anyhow::Result<()> {
    let (certificate, key) = files(data);
    for path in [authority(data), data.join(FOLDER).join(AUTHORITY_KEY), certificate, key] {
        if is_there(&path)? {
            file::set_aside(&path, "before").with_context(|| format!("cannot move {}", path.display()))?;
        }
    }
    Ok(())
}

/// The authority and its private key, as they are written (PEM).
pub fn read_authority(data: &Path) -> anyhow::Result<(String, Secret)> {
    let read = |path: PathBuf| {
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    Ok((read(authority(data))?, Secret::new(read(data.join(FOLDER).join(AUTHORITY_KEY))?)))
}

/// Writes both, in the place of those that are there, which are set aside.
pub fn put_authority(data: &Path, certificate: &str, key: &Secret) -> anyhow::Result<()> {
    let (path, key_path) = (authority(data), data.join(FOLDER).join(AUTHORITY_KEY));
    let place = || format!("cannot write the authority in {}", data.join(FOLDER).display());
    make_folder(&data.join(FOLDER)).with_context(place)?;
    for before in [&path, &key_path] {
        if is_there(before)? {
            file::set_aside(before, "before").with_context(place)?;
        }
    }
    // The key first: an authority without it is none.
    write(&key_path, key.reveal(), KEY_MODE).with_context(place)?;
    write(&path, certificate, CERTIFICATE_MODE).with_context(place)
}

/// Makes what is missing. An authority that is there is never replaced: everybody who knows this supervisor does so by it.
/// `names` are beside those of this machine.
pub fn make_missing(data: &Path, names: &[String]) -> anyhow::Result<()> {
    let (certificate, key) = files(data);
    let is_whole = is_there(&certificate)? && is_there(&key)? && is_there(&authority(data))?;
    if is_whole && pin_of_last(&certificate)? == pin_of_last(&authority(data))? {
        return Ok(());
    }
    make(data, names)
}

/// The key of the last certificate in a file: of our own, that of the authority.
fn pin_of_last(path: &Path) -> anyhow::Result<Option<Pin>> {
    let place = || format!("{} holds no certificate that can be read", path.display());
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    all.with_context(place)?.last().map(Pin::of).transpose().with_context(place)
}

/// Makes the certificate anew, signed by the authority, which is made when there is none.
pub fn make(data: &Path, names: &[String]) -> anyhow::Result<()> {
    let folder = data.join(FOLDER);
    let place = || format!("cannot make a certificate in {}", folder.display());
    make_folder(&folder).with_context(place)?;
    let issuer = issuer(data).with_context(place)?;
    let mut all = names_of_machine();
    all.extend(names.iter().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>());
    let mut params = CertificateParams::new(all).with_context(place)?;
    params.distinguished_name = named("HAL-O-SWARM supervisor");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().with_context(place)?;
    let made = params.signed_by(&key, &issuer).with_context(place)?;
    let chain = made.pem() + &fs::read_to_string(authority(data)).with_context(place)?;
    let (certificate, key_file) = files(data);
    // A crash in between leaves two that do not belong together; without the first of them both are made anew.
    let _not_there = fs::remove_file(&certificate);
    write(&key_file, &key.serialize_pem(), KEY_MODE).with_context(place)?;
    write(&certificate, &chain, CERTIFICATE_MODE).with_context(place)?;
    Ok(())
}

/// The authority, made when there is none. One without its key is no authority any more, and is not replaced in silence.
fn issuer(data: &Path) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let (certificate, key) = (authority(data), data.join(FOLDER).join(AUTHORITY_KEY));
    let mut params = CertificateParams::default();
    params.distinguished_name = named("HAL-O-SWARM authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    if is_there(&certificate)? {
        let text = fs::read_to_string(&key).with_context(|| {
            format!(
                "{} is here and its key {} cannot be read: bring it back from where the files were kept, or remove {} \
                 to begin anew, and let every agent join again",
                certificate.display(),
                key.display(),
                certificate.display()
            )
        })?;
        let pair = KeyPair::from_pem(&text).with_context(|| format!("{} is no key", key.display()))?;
        anyhow::ensure!(
            pin_of_last(&certificate)? == Some(Pin::of_key(&pair.subject_public_key_info())),
            "{} is not the key of {}: bring back both from one backup",
            key.display(),
            certificate.display()
        );
        return Ok(Issuer::new(params, pair));
    }
    let pair = KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    write(&key, &pair.serialize_pem(), KEY_MODE)?;
    write(&certificate, &made.pem(), CERTIFICATE_MODE)?;
    Ok(Issuer::new(params, pair))
}

fn named(name: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::CommonName, name);
    all
}

/// Names and addresses by which this machine is reached, for programs that look at them; our own look at the key.
fn names_of_machine() -> Vec<String> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_owned();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if !host.is_empty() && host.chars().all(is_name) {
        all.push(host);
    }
    all.extend(OUTSIDE.iter().filter_map(|there| way_to(there)).map(|ip| ip.to_string()));
    all.dedup();
    all
}

fn way_to(there: &str) -> Option<IpAddr> {
    let there: SocketAddr = there.parse().ok()?;
    let any = if there.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(there).ok()?;
    socket.local_addr().ok().map(|here| here.ip())
}

fn is_there(path: &Path) -> anyhow::Result<bool> {
    path.try_exists().with_context(|| format!("cannot look at {}", path.display()))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))),
    }
}

/// Writes a file whole. What root makes in the service's folder is the service's.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    file::replace(path, text.as_bytes(), mode)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let data = folder.parent().unwrap_or(folder);
    file::give_to_owner_of(data, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(data: &Path) -> Vec<Pin> {
        let all = CertificateDer::pem_file_iter(files(data).0).unwrap();
        all.map(|one| Pin::of(&one.unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_certificate_is_made_once_and_made_anew_under_the_same_authority() {
        let data = tempfile::tempdir().unwrap();
        make_missing(data.path(), &[]).unwrap();
        let first = pins(data.path());
        assert_eq!(first.len(), 2, "itself and its authority");
        make_missing(data.path(), &[]).unwrap();
        assert_eq!(pins(data.path()), first);
        make(data.path(), &["hal.example.org".into()]).unwrap();
        let anew = pins(data.path());
        assert!(anew[0] != first[0] && anew[1] == first[1]);
        let mode = |name: &str| {
            fs::metadata(data.path().join(FOLDER).join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!([mode(KEY), mode(AUTHORITY_KEY), mode(CERTIFICATE)], [0o600, 0o600, 0o644]);
    }

    #[test]
    fn a_certificate_of_another_authority_is_made_anew() {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make_missing(data.path(), &[]).unwrap();
        make_missing(other.path(), &[]).unwrap();
        let own = pins(data.path())[1];
        let (theirs, ours) = (files(other.path()), files(data.path()));
        fs::copy(theirs.0, ours.0).unwrap();
        fs::copy(theirs.1, ours.1).unwrap();
        assert_ne!(pins(data.path())[1], own, "the fault is there");
        make_missing(data.path(), &[]).unwrap();
        assert_eq!(pins(data.path())[1], own);
    }

    #[test]
    fn an_authority_whose_key_is_lost_is_not_replaced_in_silence() {
        let data = tempfile::tempdir().unwrap();
        make_missing(data.path(), &[]).unwrap();
        let key = data.path().join(FOLDER).join(AUTHORITY_KEY);
        fs::copy(files(data.path()).1, &key).unwrap();
        let said = format!("{:#}", make(data.path(), &[]).unwrap_err());
        assert!(said.contains("is not the key of"), "{said}");
        fs::remove_file(key).unwrap();
        make_missing(data.path(), &[]).unwrap();
        let said = format!("{:#}", make(data.path(), &[]).unwrap_err());
        assert!(said.contains("cannot be read: bring it back"), "{said}");
    }
}
