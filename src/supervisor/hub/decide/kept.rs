//! Rows of kept state that cannot be read: each is an alert that says which, why, and what holds meanwhile.

use super::Work;
use hal_base::clock::Time;
use hal_protocol::alert::Severity;
use hal_rules::alert::AlertRaised;
use hal_store::kept::holds;

/// The alert of a row that cannot be read; it is about the row's name.
const UNREADABLE: &str = "state.unreadable";

/// Rows that have an alert of their own at a time; `store check` names all of them.
const MOST_NAMED: usize = 100;

impl Work {
    /// Raises an alert for each row that cannot be read, and resolves those of rows that can be, or are gone.
    pub(super) fn look_after_kept(&mut self, at: Time) {
        let open = self.view.stored.open_alerts.keys().filter(|(name, _)| name == UNREADABLE);
        let over: Vec<String> = open
            .filter(|(_, about)| !self.view.stored.unreadable.contains(about))
            .map(|(_, about)| about.clone())
            .collect();
        for about in over {
            self.resolve(UNREADABLE, &about, at);
        }
        let new: Vec<String> = (self.view.stored.unreadable.iter().take(MOST_NAMED))
            .filter(|name| self.view.stored.open_alert(UNREADABLE, name).is_none())
            .cloned()
            .collect();
        for name in new {
            self.raise_unreadable(&name, at);
        }
    }

    fn raise_unreadable(&mut self, name: &str, at: Time) {
        let row = self.view.stored.state.get(name);
        let Some(unread) = row.and_then(|row| row.value.as_ref().err()) else { return };
        let text = format!(
            "the row {name:?} of the table state cannot be read: {}. Until it can: {}",
            unread.why,
            holds(name)
        );
        let seen = AlertRaised {
            name: UNREADABLE,
            about: name,
            severity: Severity::High,
            text: &text,
            lasting: true,
        };
        self.raise(&seen, at);
    }
}
