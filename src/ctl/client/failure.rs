//! Why a supervisor could not be reached, in words a person can act on.

use std::error::Error as _;

use reqwest::Url;

use crate::discover::is_loopback;

/// Why there is no connection, and what to do about it.
pub fn diagnose(error: &reqwest::Error, url: &Url) -> (String, String) {
    let chain = causes(error);
    let said = |words: &[&str]| chain.iter().any(|cause| words.iter().any(|word| cause.contains(word)));
    let host = url.host_str().unwrap_or_default();
    if error.is_timeout() || said(&["timed out"]) {
        return (
            "timeout".into(),
            format!("Is {host} up, and does a firewall let port {} through?", port(url)),
        );
    }
    if said(&["Connection refused"]) {
        let help = if is_loopback(url) {
            "Start one with `hal up`, look at it with `systemctl status hal-supervisor`, or name another one with --supervisor-url."
        } else {
            "Is it running there? Look at it with `systemctl status hal-supervisor` on that machine."
        };
        return ("connection refused".into(), help.into());
    }
    if said(&["dns error", "failed to lookup address"]) {
        return ("its name cannot be resolved".into(), format!("Check the name {host:?}."));
    }
    if said(&["UnknownIssuer", "unknown issuer", "self-signed", "invalid peer certificate"]) {
        let why = chain.last().cloned().unwrap_or_default();
        return (
            why,
            "Let this user know its key with `halctl login`, or name the authority that signed its certificate, or the certificate \
             itself, with --ca-file FILE."
                .into(),
        );
    }
    if said(&["corrupt message", "InvalidContentType", "wrong version number"]) {
        return ("it does not speak TLS".into(), "Use ws:// or http:// if that is what it serves.".into());
    }
    if said(&["invalid HTTP version"]) {
        let help = if url.scheme() == "http" {
            "If it serves TLS, use wss:// or https://."
        } else {
            "Check the port."
        };
        return ("it does not speak HTTP".into(), help.into());
    }
    let help = if url.scheme() == "http" {
        "If it serves TLS, use wss:// or https://."
    } else {
        "Is it a HAL-O-SWARM supervisor?"
    };
    (chain.last().cloned().unwrap_or_else(|| "no answer".into()), help.into())
}

fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or_default()
}

/// The sentences of an error and its causes, without the request's URL.
pub fn causes(error: &reqwest::Error) -> Vec<String> {
    let mut chain = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push(error.to_string());
        cause = error.source();
    }
    if chain.is_empty() {
        chain.push(error.to_string());
    }
    chain
}
