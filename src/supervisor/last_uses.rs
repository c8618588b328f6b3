//! Last uses: when each token was shown last, and from where.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use hal_base::clock::{self, Time};

/// The last use of each token since the start. Not stored: reading changes nothing that is recorded. Only tokens that are
/// good come in, so there are no more than these.
#[derive(Debug, Default)]
pub struct LastUses(Mutex<HashMap<String, (Time, IpAddr)>>);

impl LastUses {
    /// A good token was shown.
    pub fn note(&self, id: &str, from: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(id) {
            Some(known) => *known = (clock::now(), from),
            None => drop(all.insert(id.to_owned(), (clock::now(), from))),
        }
    }

    /// The last use of a token since the start.
    pub fn of(&self, id: &str) -> Option<(Time, IpAddr)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// Forgets those that are not there any more.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| is_there(id));
    }
}
