//! `hal-supervisor tls`: the certificate that a supervisor makes for itself, and the keys by which the fleet knows it.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;

use anyhow::Context;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::cli::{TlsOptions, TlsVerb};
use crate::{config, fleet_keys, own_certificate};
use hal_base::config::Purpose;
use hal_base::config::machine::folder_of;
use hal_base::exit::{Exit, Failure};
use hal_base::file;
use hal_base::tls::Pin;

/// Bytes of a line that is typed; a recovery key has 57.
const MOST_TYPED: u64 = 1024;

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
    // In a folder of the service's user nothing is done as root: what lies there is theirs to arrange.
    file::act_as_owner_of(&data).map_err(|error| {
        Failure::say(Exit::Failed, format!("cannot act as the owner of {}: {error}", data.display()))
    })?;
    match options.verb {
        TlsVerb::Init => {
            let is_new = own_certificate::pin(&data)?.is_none();
            if is_new {
                own_certificate::set_aside_remains(&data)?;
            }
            own_certificate::make_missing(&data, &[])?;
            // A person has asked for it: where there is a store, or what one is made of, that is told.
            if is_new && (config.store_path().exists() || config.database.exists()) {
                fleet_keys::keep_from_now_on(&data)?;
            }
        }
        TlsVerb::Recover if config.tls.is_none() => {
            let sentence = "security.tls.enabled is false: nothing would ever ask for the fleet's keys";
            return Err(Failure::say(Exit::BadConfig, sentence));
        }
        TlsVerb::Recover => {
            fleet_keys::recover_by(&data, &typed()?)?;
            return Ok(
                "The next start brings the fleet's keys back: sudo systemctl restart hal-supervisor\n".into(),
            );
        }
        TlsVerb::Keep => {
            let pin = fleet_keys::keep_from_now_on(&data)?;
            return Ok(format!(
                "From the next start on the fleet is to know {pin}. Each agent that knows another one refuses this \
                 supervisor until its supervisor.pins is removed (DEPLOYMENT.md, \"The fleet's keys\").\n"
            ));
        }
        TlsVerb::Show => {}
        TlsVerb::Renew { names } => own_certificate::make(&data, &names)?,
    }
    let shown = show(&data)?;
    let off = "It is not in use: security.tls.enabled is false.\n";
    Ok(if config.tls.is_some() { shown } else { shown + off })
}

/// The recovery key, from standard input.
fn typed() -> Result<String, Failure> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprint!("Recovery key: ");
    }
    let mut line = String::new();
    let read = input.lock().take(MOST_TYPED).read_line(&mut line).context("standard input cannot be read")?;
    if read == 0 {
        return Err(Failure::say(Exit::Failed, "no recovery key was given on standard input"));
    }
    Ok(line)
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
