//! `hal-supervisor tls`: the certificate that a supervisor makes for itself.

use std::path::Path;

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::cli::{TlsOptions, TlsVerb};
use crate::{config, own_certificate};
use hal_base::config::Purpose;
use hal_base::config::machine::folder_of;
use hal_base::exit::{Exit, Failure};
use hal_base::tls::Pin;

/// Carries out a command line; gives what to print.
pub fn run(options: TlsOptions) -> Result<String, Failure> {
    let (config, _) = config::read(&options.config, Purpose::Run)
        .map_err(|report| Failure::say(Exit::BadConfig, report.text().trim_end()))?;
    let data = folder_of(&config.database);
    let is_own = config.tls.as_ref().is_none_or(|tls| tls.is_own);
    if !is_own {
        let sentence = "security.tls names a certificate of your own (cert_path and key_path): whoever made that renews it";
        return Err(Failure::say(Exit::BadConfig, sentence));
    }
    match options.verb {
        TlsVerb::Init => own_certificate::make_missing(&data, &[])?,
        TlsVerb::Show => {}
        TlsVerb::Renew { names } => own_certificate::make(&data, &names)?,
    }
    let shown = show(&data)?;
    let off = "It is not in use: security.tls.enabled is false.\n";
    Ok(if config.tls.is_some() { shown } else { shown + off })
}

fn show(data: &Path) -> anyhow::Result<String> {
    let authority = own_certificate::authority(data);
    let (certificate, _) = own_certificate::files(data);
    let read = CertificateDer::from_pem_file(&authority).with_context(|| {
        format!(
            "{} cannot be read; the first start makes it, or hal-supervisor tls init",
            authority.display()
        )
    })?;
    let pin = Pin::of(&read).with_context(|| format!("{} holds no key", authority.display()))?;
    Ok(format!(
        "key:         {pin}\nauthority:   {}\ncertificate: {}\n",
        authority.display(),
        certificate.display()
    ))
}
