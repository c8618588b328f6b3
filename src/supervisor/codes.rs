//! Codes that log a browser in, once: `halctl dashboard` and `hal up` print one in a link.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hal_base::clock::{Stopwatch, Time};
use hal_base::id;
use hal_base::secret::{hash_of, is_hash_of};

/// A code is good for so long.
pub const CODE_LASTS: Duration = Duration::from_secs(300);

/// Codes that are open at once; the oldest goes first.
const MOST_CODES: usize = 256;

/// Who begins a browser session, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The actor's name, or `token` or `local`.
    pub actor: String,
    /// What it is begun with, as it stands in the cookie.
    pub by: String,
    /// The name that stands on the record.
    pub name: String,
    /// Of a code: what it was made with, as that was then. It opens nothing once that has ended.
    pub made_with: Option<MadeWith>,
}

/// What a code was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeWith {
    /// The seal of what was shown.
    pub seal: String,
    /// The browser session that asked for it, and when that ends: what it lets in lasts no longer.
    pub session: Option<(String, Time)>,
}

/// Codes that log a browser in, once. They are not stored: a supervisor that starts again knows none.
#[derive(Debug, Default)]
pub struct Codes(Mutex<VecDeque<Code>>);

#[derive(Debug)]
struct Code {
    hash: String,
    since: Stopwatch,
    issuer: Issuer,
}

impl Codes {
    /// A new one.
    pub fn make(&self, issuer: Issuer) -> String {
        let code = id::fresh_secret();
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|code| code.since.elapsed() < CODE_LASTS);
        if codes.len() >= MOST_CODES {
            codes.pop_front();
        }
        codes.push_back(Code { hash: hash_of(&code), since: Stopwatch::start(), issuer });
        code
    }

    /// Whose code this is; it is good no more.
    pub fn take(&self, code: &str) -> Option<Issuer> {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|code| code.since.elapsed() < CODE_LASTS);
        let at = codes.iter().position(|known| is_hash_of(&known.hash, code))?;
        codes.remove(at).map(|code| code.issuer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> Issuer {
        Issuer { actor: "ada".into(), by: "1".into(), name: "ada".into(), made_with: None }
    }

    #[test]
    fn a_code_is_good_once_and_their_number_is_bounded() {
        let codes = Codes::default();
        let first = codes.make(issuer());
        assert_eq!(codes.take("another"), None);
        assert_eq!(codes.take(&first), Some(issuer()));
        assert_eq!(codes.take(&first), None);
        let oldest = codes.make(issuer());
        let all: Vec<String> = (0..MOST_CODES).map(|_| codes.make(issuer())).collect();
        assert_eq!(codes.take(&oldest), None);
        assert!(codes.take(&all[0]).is_some() && codes.take(&all[MOST_CODES - 1]).is_some());
    }
}
