//! Silences: nobody is told of some alerts for a while.

use serde_json::json;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::notice::key;
use hal_base::clock::Time;
use hal_protocol::notice::{NoticeState, Queued};
use hal_protocol::silence::Silence;
use hal_protocol::who::Who;
use hal_rules::route::silence::holds;
use hal_store::kept::{QUEUED, SILENCE};

/// Silences at a time: each is asked of every alert.
const MOST: usize = 200;

/// How the reason of a notice begins that a silence holds back.
const SILENCED: &str = "silenced";

/// What is said of a notice that a silence holds back.
pub(super) fn why(silence: &Silence) -> String {
    format!("{SILENCED} by {}: {}", silence.by, silence.reason)
}

impl Work {
    pub(super) fn silences(&self) -> impl Iterator<Item = Silence> {
        self.view.all_kept(SILENCE).map(|(_, silence)| Silence::clone(silence))
    }

    /// Holds back what was not sent yet, too. False when there are too many.
    pub(super) fn silence(&mut self, (silence, who): &(Silence, Who), at: Time) -> bool {
        if self.silences().count() >= MOST {
            return false;
        }
        self.put_kept(SILENCE, &silence.id, silence, at);
        for mut row in self.unsent() {
            if holds(silence, &self.view.facts_of(&row.notice, at), at) && row.not_before < silence.until {
                row.not_before = silence.until;
                row.why = why(silence);
                self.put_kept(QUEUED, &key(&row.channel, row.no), &row, at);
            }
        }
        self.audit_silence("silence alerts", silence, who, at);
        true
    }

    /// Ends a silence before its time. False when there is none.
    pub(super) fn unsilence(&mut self, id: &str, who: &Who, at: Time) -> bool {
        let known = self.view.kept(SILENCE, id);
        let is_there = known.is_some() || self.view.is_unreadable(SILENCE, id);
        self.delete_kept(SILENCE, id);
        let unreadable = || Silence { id: id.to_owned(), ..Silence::default() };
        let Some(silence) = is_there.then(|| known.unwrap_or_else(unreadable)) else { return false };
        self.unsilenced.push((silence.clone(), at));
        let said = why(&silence);
        for mut row in self.unsent().into_iter().filter(|row| row.why == said) {
            row.not_before = at;
            row.why.clear();
            self.put_kept(QUEUED, &key(&row.channel, row.no), &row, at);
        }
        self.effects.push(Effect::Queued);
        self.audit_silence("end silence", &silence, who, at);
        true
    }

    /// Forgets silences that are over.
    pub(super) fn end_silences(&mut self, at: Time) {
        let over: Vec<Silence> = self.silences().filter(|silence| silence.until <= at).collect();
        for silence in over {
            self.delete_kept(SILENCE, &silence.id);
            let last = Time(silence.until.0.saturating_sub(1));
            self.unsilenced.push((silence, last));
        }
    }

    fn unsent(&self) -> Vec<Queued> {
        let rows = self.view.all_kept(QUEUED).map(|(_, row)| Queued::clone(row));
        rows.filter(|row| row.tries == 0 && row.state == NoticeState::Waiting && row.notice.kind.is_first())
            .collect()
    }

    fn audit_silence(&mut self, action: &str, silence: &Silence, who: &Who, at: Time) {
        let args =
            json!({"matches": silence.matches, "until": silence.until.to_string(), "reason": silence.reason});
        self.write_down(who, action, &*silence.id, &args, at);
    }
}
