//! Holders that are there from before: of an agent that was started again, or that died.

use std::fs;
use std::io;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::client::{Heard, Held};
use super::processes;
use super::{Hold, KEY};

/// How often, and with which pauses, one is tried that another agent still has: that one may be about to end.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// How long one may take to tell of an end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A holder of before.
#[derive(Debug)]
pub enum Found {
    /// It is attached.
    Held(Held),
    /// It is gone, or cannot be spoken with: what it held is to be ended.
    Lost {
        /// The mark of what it held.
        mark: String,
        /// Why.
        why: String,
    },
}

impl Hold {
    /// The marks of all holders whose marks begin like this, whether they live or not.
    pub fn marks(&self, begin: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(begin) && name != KEY).collect()
    }

    /// Attaches to the holders whose marks begin like this. What is left of those that are gone is removed.
    pub async fn find(&self, begin: &str) -> Vec<Found> {
        let mut found = Vec::new();
        for mark in self.marks(begin) {
            found.push(match self.attach_again(&mark).await {
                Ok(held) => Found::Held(held),
                Err(error) => {
                    self.end(&mark).await;
                    Found::Lost { mark, why: error.to_string() }
                }
            });
        }
        found
    }

    /// Ends what holders hold whose marks begin like this, as far as they do yet, and then the holders.
    pub async fn clear(&self, begin: &str) {
        for mark in self.marks(begin) {
            processes::end(move || processes::marked(&mark)).await;
        }
        for found in self.find(begin).await {
            if let Found::Held(mut held) = found {
                let over = async { while !matches!(held.next().await, None | Some(Heard::Exit(_))) {} };
                let _as_long_as_it_may = timeout(END_LIMIT, over).await;
                held.hand.forget();
            }
        }
    }

    async fn attach_again(&self, mark: &str) -> io::Result<Held> {
        for _ in 1..TRIES {
            match self.attach(mark).await {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => sleep(PAUSE).await,
                attached => return attached,
            }
        }
        self.attach(mark).await
    }

    /// Ends by force what cannot be spoken with, and removes what is left of it.
    pub async fn end(&self, mark: &str) {
        let wanted = mark.to_owned();
        processes::end(move || processes::marked(&wanted)).await;
        // A holder that lives has seen the end, and removes its folder itself after a while.
        let _gone = fs::remove_dir_all(self.folder.join(mark));
    }
}
