//! The supervisor's certificate: read at start, read again when its files change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use axum_server::tls_rustls::RustlsConfig;
use notify::{RecursiveMode, Watcher};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;

use super::config::TlsConfig;
use hal_base::clock::Stopwatch;
use hal_base::task::Tasks;
use hal_base::tls::Pin;

/// Whoever renews a certificate writes several files; they are read once these have been quiet for this long.
const QUIET: Duration = Duration::from_millis(500);

/// How long the key before a renewal is still taken for this supervisor's: proofs that have begun by it end sooner.
const BEFORE: Duration = Duration::from_secs(60);

/// Reads certificate and key and checks that they belong together. The certificate's own key comes with it, and the one to
/// know this supervisor by. Others' authorities sign for many: by those nobody is known.
fn read(tls: &TlsConfig) -> anyhow::Result<(rustls::ServerConfig, Pin, Pin)> {
    let place = || format!("security.tls.cert_path {}", tls.cert_path.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&tls.cert_path)
        .and_then(Iterator::collect)
        .with_context(|| format!("{}: expected a readable PEM certificate", place()))?;
    let leaf =
        chain.first().with_context(|| format!("{}: expected a PEM certificate, found none", place()))?;
    let no_key = || format!("{}: holds no key that can be read", place());
    let pin = Pin::of(leaf).with_context(no_key)?;
    let last = chain.last().filter(|_| tls.is_own).map(Pin::of).transpose().with_context(no_key)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_path).with_context(|| {
        format!("security.tls.key_path {}: expected a readable PEM private key", tls.key_path.display())
    })?;
    let mut config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).with_context(
            || format!("{} is not the key of {}", tls.key_path.display(), tls.cert_path.display()),
        )?;
    // WebSockets need HTTP/1.1, and nothing here gains from HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, pin, last.unwrap_or(pin)))
}

/// What the listeners use; replaced in place when the files change. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificate {
    acceptor: RustlsConfig,
    known: Arc<ArcSwap<KnownBy>>,
}

/// Keys by which others know this supervisor.
#[derive(Clone, Debug)]
struct KnownBy {
    /// The certificate's own.
    leaf: Pin,
    /// The one before, and since when it is not shown any more.
    before: Option<(Pin, Stopwatch)>,
    /// The one that lasts: that of its own authority, else the certificate's.
    anchor: Pin,
    is_lasting: bool,
}

impl Certificate {
    /// Reads the files.
    pub fn read(tls: &TlsConfig) -> anyhow::Result<Self> {
        let (config, leaf, anchor) = read(tls)?;
        let known = KnownBy { leaf, before: None, anchor, is_lasting: tls.is_own };
        Ok(Self {
            acceptor: RustlsConfig::from_config(Arc::new(config)),
            known: Arc::new(ArcSwap::from_pointee(known)),
        })
    }

    /// Reads the files again. The old certificate stays in use when the new one is no good.
    pub fn reload(&self, tls: &TlsConfig) -> anyhow::Result<()> {
        let (config, leaf, anchor) = read(tls)?;
        self.acceptor.reload_from_config(Arc::new(config));
        let known = self.known.load();
        let before = if known.leaf == leaf { known.before } else { Some((known.leaf, Stopwatch::start())) };
        self.known.store(Arc::new(KnownBy { leaf, before, anchor, is_lasting: tls.is_own }));
        Ok(())
    }

    /// For a listener.
    pub fn acceptor(&self) -> RustlsConfig {
        self.acceptor.clone()
    }

    /// The key to know this supervisor by.
    pub fn anchor(&self) -> Pin {
        self.known.load().anchor
    }

    /// True when that stays, whatever certificate is made anew.
    pub fn is_lasting(&self) -> bool {
        self.known.load().is_lasting
    }

    /// True for the key that this supervisor shows, or has shown until just now.
    pub fn is_own(&self, seen: &str) -> bool {
        let known = self.known.load();
        let before = known.before.as_ref().filter(|(_, since)| since.elapsed() < BEFORE).map(|(pin, _)| *pin);
        seen.parse::<Pin>().is_ok_and(|seen| seen == known.leaf || Some(seen) == before)
    }
}

/// Reloads whenever the files' folders change. Folders are watched, since renewals replace files.
pub fn watch(certificate: Certificate, tls: TlsConfig, tasks: &Tasks) {
    let (changed, changes) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_modify() || event.kind.is_create()) {
            let _ = changed.try_send(());
        }
    });
    let watcher = watcher.and_then(|mut watcher| {
        for folder in [tls.cert_path.parent(), tls.key_path.parent()].into_iter().flatten() {
            watcher.watch(
                if folder.as_os_str().is_empty() { Path::new(".") } else { folder },
                RecursiveMode::NonRecursive,
            )?;
        }
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => tasks.spawn_cuttable(follow(watcher, changes, certificate, tls)),
        Err(error) => tracing::warn!(%error, "a renewed certificate will only be noticed on SIGHUP"),
    }
}

async fn follow(
    _watcher: notify::RecommendedWatcher,
    mut changes: mpsc::Receiver<()>,
    certificate: Certificate,
    tls: TlsConfig,
) {
    let mut last = fingerprint(&tls);
    while changes.recv().await.is_some() {
        while tokio::time::timeout(QUIET, changes.recv()).await.is_ok_and(|more| more.is_some()) {}
        let now = fingerprint(&tls);
        if now == last {
            continue;
        }
        last = now;
        match certificate.reload(&tls) {
            Ok(()) => tracing::info!("the certificate was renewed"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the new certificate is not valid; the old one stays in use"
            ),
        }
    }
}

/// The bytes of both files, so that other files in their folder mean nothing.
fn fingerprint(tls: &TlsConfig) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    (std::fs::read(&tls.cert_path).ok(), std::fs::read(&tls.key_path).ok())
}
