//! Why there is no link to the supervisor, in words for a log.

use std::path::PathBuf;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("supervisor_url {url:?} is not an address: {why}")]
    Address { url: String, why: String },
    #[error("cannot reach the supervisor at {url}: connection refused; is it running there?")]
    Refused { url: String },
    #[error("cannot reach the supervisor at {url}: timeout")]
    Timeout { url: String },
    #[error(
        "the supervisor at {url} does not accept this agent's token: check auth_token in the configuration of \
         the agent here and server.auth_token in that of the supervisor"
    )]
    Token { url: String },
    #[error("the supervisor at {url} does not let this agent in: {why}")]
    NotAdmitted { url: String, why: String },
    #[error(
        "the supervisor at {url} cannot prove that it has this agent's auth_token: it is another one, or somebody \
         stands in between; nothing was said to it"
    )]
    Impostor { url: String },
    #[error(
        "the supervisor at {url} shows another key than {known}: if it was replaced on purpose, remove that (its files \
         belong to a backup: DEPLOYMENT.md, section TLS); else somebody stands in between"
    )]
    OtherKey { url: String, known: String },
    #[error(
        "the supervisor at {url} has shown a key before (see {known}), and speaks no TLS now: if it was replaced on \
         purpose, remove that; else somebody stands in between"
    )]
    NoKey { url: String, known: String },
    #[error(
        "nobody vouches for the certificate of the supervisor at {url} ({why}), and a token of the node's own is said to \
         nobody unknown: name the authority in ca_file, or the supervisor's key in supervisor_pin (hal-supervisor tls \
         show), or let this machine join (hal-agent join)"
    )]
    Unknown { url: String, why: String },
    #[error("cannot agree upon TLS with the server at {url}: {why}")]
    NotAgreed { url: String, why: String },
    #[error("{} cannot be used: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("the supervisor at {url} knows no keys of machines: it is of an earlier release")]
    KeyUnknown { url: String },
    #[error("the server at {url} is not a supervisor: it answered {status}")]
    Answer { url: String, status: String },
    #[error("{url} redirects to {to}: if the supervisor is there, name it in supervisor_url")]
    Elsewhere { url: String, to: String },
    #[error(
        "something between this agent and the supervisor at {url} drops the header Upgrade{between}: it must pass \
         Upgrade and Connection on (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection \"upgrade\";)"
    )]
    NoUpgrade { url: String, between: String },
    #[error("the supervisor at {url} speaks TLS: use wss:// in supervisor_url")]
    SpeaksTls { url: String },
    #[error("the server at {url} does not speak TLS: use ws:// in supervisor_url if that is what it serves")]
    SpeaksPlain { url: String },
    #[error(
        "the certificate of the supervisor at {url} is not trusted ({why}): name the authority that signed it, or \
         the certificate itself, in ca_file"
    )]
    Untrusted { url: String, why: String },
    #[error("certificates of ca_file {} cannot be read: {why}", path.display())]
    CaFile { path: PathBuf, why: String },
    #[error("cannot reach the supervisor at {url}: {why}")]
    Other { url: String, why: String },
}

impl DialError {
    /// True when the other side may be one that knows no TLS.
    pub(super) fn may_be_plain(&self) -> bool {
        matches!(self, Self::SpeaksPlain { .. } | Self::NotAgreed { .. })
    }

    /// True when nothing changes until a person does something.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::Token { .. }
                | Self::NotAdmitted { .. }
                | Self::Impostor { .. }
                | Self::OtherKey { .. }
                | Self::NoKey { .. }
                | Self::Unknown { .. }
        )
    }
}

/// What was said at the end of a chain of causes.
pub(super) fn last_words(why: &str) -> String {
    why.rsplit(": ").next().unwrap_or_default().to_owned()
}
