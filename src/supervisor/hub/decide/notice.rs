//! Notices for people: each goes into the queue of each channel that a route names, and leaves it when it is
//! delivered or given up.

use std::time::Duration;

use serde_json::json;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::notice::{AttemptOutcome, DeliveryClaim, NoticeEvent, key};
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::node::NodeId;
use hal_protocol::notice::{Notice, NoticeKind, NoticeState, Queued};
use hal_rules::notice::{SentNotice, join, leave};
use hal_rules::route::{NOTICE_UNDELIVERED, NoticeHold, silence};
use hal_store::kept::{LATELY, Lately, QUEUED, THREAD, TOLD};

/// Notices in one queue, undelivered ones included; beyond it the oldest undelivered one is forgotten, or else the oldest.
const MOST_QUEUED: usize = 1_000;

/// What was told lately is remembered for so long: no window of a route or channel is longer.
const REMEMBERED: Duration = Duration::from_secs(86_400);

/// And so much of it for each channel; the oldest goes first.
const MOST_REMEMBERED: usize = 500;

/// Threads of chats that are kept: those of sessions that nobody speaks in any more are not missed.
const MOST_THREADS: usize = 2_000;

impl Work {
    /// Keeps the thread of a session in a chat; a bounded number of them, and the oldest goes first.
    pub(super) fn keep_thread(&mut self, key: &str, thread: Option<&String>, at: Time) {
        let Some(thread) = thread else { return self.delete_kept(THREAD, key) };
        self.put_kept(THREAD, key, thread, at);
        let threads = || self.view.rows_from(THREAD, "");
        let oldest = threads().min_by_key(|(_, kept)| kept.changed_at).map(|(key, _)| key.to_owned());
        if threads().count() > MOST_THREADS
            && let Some(oldest) = oldest
        {
            self.delete_kept(THREAD, &oldest);
        }
    }

    /// Tells people, through the channels that the routes name.
    pub(super) fn tell_people(&mut self, notice: &Notice, at: Time) {
        let routing = &self.view.settings.clone().routing;
        if routing.channels.is_empty() {
            return;
        }
        match notice.kind {
            NoticeKind::Raised | NoticeKind::Asked | NoticeKind::Digest | NoticeKind::Test => {
                let facts = self.view.facts_of(notice, at);
                // What a channel knows and is told again has grown worse, unless it has happened again.
                let last = |channel: &str| {
                    let grew = notice.count < 2 && self.view.told(channel, &notice.subject).is_some();
                    if grew { None } else { self.lately(channel).get(&same(notice)).copied() }
                };
                let places = routing.places(notice, &facts, last, at);
                let silent = self.silences().find(|one| silence::holds(one, &facts, at));
                for (channel, mut hold) in places {
                    if let Some(silence) = &silent {
                        hold = hold.or_until(silence.until, &super::silence::why(silence));
                    }
                    let group = routing.channels.iter().find(|way| way.name == channel).map(|way| way.group);
                    self.queue(&channel, notice, hold, group.unwrap_or_default(), at);
                }
            }
            NoticeKind::Acknowledged | NoticeKind::Resolved | NoticeKind::Answered => {
                for way in &routing.channels {
                    self.tell_the_end(&way.name, notice, way.group, at);
                }
            }
        }
    }

    /// Whoever was told that it began is told how it went on; whoever was not yet is not told at all.
    fn tell_the_end(&mut self, channel: &str, notice: &Notice, group: Duration, at: Time) {
        let mut begun = self.view.told(channel, &notice.subject).is_some();
        begun |= self.withdraw(channel, &notice.subject, at);
        if begun {
            self.queue(channel, notice, NoticeHold::default(), group, at);
        }
    }

    /// Takes what was not sent yet about this out of a queue. True when something about it may have been sent.
    fn withdraw(&mut self, channel: &str, subject: &str, at: Time) -> bool {
        let rows: Vec<Queued> = self.view.queue(channel).filter(|row| row.is_about(subject)).collect();
        let mut sent = false;
        for row in rows.into_iter().filter(|row| row.state == NoticeState::Waiting) {
            let place = key(channel, row.no);
            match row.tries {
                0 => match leave(row, subject) {
                    Some(rest) => self.put_kept(QUEUED, &place, &rest, at),
                    None => self.delete_kept(QUEUED, &place),
                },
                _ => sent = true,
            }
        }
        sent
    }

    /// What was not sent yet about the same is said as it is now, at the time it would have been. False: there is nothing.
    fn renew(&mut self, channel: &str, notice: &Notice, hold: &NoticeHold, at: Time) -> bool {
        let is_unsent = |row: &Queued| row.state == NoticeState::Waiting && row.tries == 0;
        let known = self.view.queue(channel).find(|row| is_unsent(row) && row.is_about(&notice.subject));
        let Some(known) = known else { return false };
        let place = key(channel, known.no);
        let mut row = match leave(known.clone(), &notice.subject) {
            Some(rest) => join(rest, notice),
            None => Queued { notice: Notice { id: known.notice.id.clone(), ..notice.clone() }, ..known },
        };
        row.not_before = row.not_before.min(hold.until.max(at));
        self.put_kept(QUEUED, &place, &row, at);
        self.effects.push(Effect::Queued);
        true
    }

    /// Puts a notice into a queue, to be sent at once and by itself.
    pub(super) fn queue_now(&mut self, channel: &str, notice: &Notice, hold: NoticeHold, at: Time) {
        self.queue(channel, notice, hold, Duration::ZERO, at);
    }

    /// Puts a notice into a queue; one of the same name that waits there takes it in.
    fn queue(&mut self, channel: &str, notice: &Notice, hold: NoticeHold, group: Duration, at: Time) {
        if notice.kind.is_first() && self.renew(channel, notice, &hold, at) {
            return;
        }
        let mut lately = self.lately(channel);
        let name = format!("{} {}", notice.kind.as_str(), notice.name);
        let window = lately.get(&name).map(|last| last.plus(group)).filter(|_| !group.is_zero());
        let host = self.view.queue(channel).find(|row| {
            let is_open = row.state == NoticeState::Waiting && row.tries == 0 && row.not_before > at;
            let is_same = row.notice.kind == notice.kind && row.notice.name == notice.name;
            // Nobody waits for others longer than the window.
            is_open
                && is_same
                && !group.is_zero()
                && row.not_before >= hold.until
                && row.not_before <= hold.until.max(at).plus(group)
        });
        if let Some(host) = host {
            let place = key(channel, host.no);
            return self.put_kept(QUEUED, &place, &join(host, notice), at);
        }
        let hold = window
            .map_or(hold.clone(), |end| hold.or_until(end, "others of the same name may follow (group)"));
        let planned = hold.until.max(at);
        let last = self.view.last_place(channel);
        self.make_room(channel, at);
        let row = Queued {
            no: last + 1,
            channel: channel.to_owned(),
            notice: Notice { id: id::fresh(), ..notice.clone() },
            not_before: hold.until,
            why: hold.why,
            ..Queued::default()
        };
        self.put_kept(QUEUED, &key(channel, row.no), &row, at);
        lately.retain(|_, told| at.since(*told) < REMEMBERED);
        while lately.len() >= MOST_REMEMBERED
            && let Some(oldest) = lately.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone())
        {
            lately.remove(&oldest);
        }
        lately.insert(name, planned);
        lately.insert(same(notice), planned);
        self.put_kept(LATELY, channel, &lately, at);
        self.effects.push(Effect::Queued);
    }

    fn lately(&self, channel: &str) -> Lately {
        self.view.kept(LATELY, channel).unwrap_or_default()
    }

    fn make_room(&mut self, channel: &str, at: Time) {
        let rows: Vec<Queued> = self.view.queue(channel).collect();
        if rows.len() < MOST_QUEUED {
            return;
        }
        let undelivered = rows.iter().find(|row| row.state == NoticeState::Undelivered);
        let Some(row) = undelivered.or(rows.first()) else { return };
        self.delete_kept(QUEUED, &key(channel, row.no));
        if row.state == NoticeState::Waiting {
            self.note_undelivered(row, "the queue of the channel is full", at);
        }
    }

    fn note_undelivered(&mut self, row: &Queued, why: &str, at: Time) {
        let (notice, channel) = (&row.notice, &row.channel);
        let data = json!({"channel": channel, "id": notice.id, "name": notice.name, "alert": notice.alert, "why": why});
        self.note(&NodeId::new(""), NOTICE_UNDELIVERED, &data, at);
    }

    /// Something happens to a notice on its way out.
    pub(super) fn notice(&mut self, event: NoticeEvent, at: Time) {
        let (reply, is_right) = match event {
            NoticeEvent::Claim(claim, reply) => (reply, self.claim_notice(&claim, at)),
            NoticeEvent::Report(claim, outcome, reply) => (reply, self.settle_notice(&claim, outcome, at)),
            NoticeEvent::Retry(channel, reply) => (reply, self.retry_notices(&channel, at)),
            NoticeEvent::Silence(silence, reply) => (reply, self.silence(&silence, at)),
            NoticeEvent::Unsilence { id, who, reply } => (reply, self.unsilence(&id, &who, at)),
        };
        self.effects.push(Effect::confirm(reply, is_right));
    }

    fn retry_notices(&mut self, channel: &str, at: Time) -> bool {
        let given_up = |row: &Queued| row.state == NoticeState::Undelivered;
        let rows: Vec<Queued> = self.view.queue(channel).filter(given_up).collect();
        for mut row in rows {
            row.state = NoticeState::Waiting;
            row.not_before = at;
            self.put_kept(QUEUED, &key(channel, row.no), &row, at);
        }
        self.effects.push(Effect::Queued);
        self.view.settings.routing.channels.iter().any(|way| way.name == channel)
    }

    fn queued(&self, claim: &DeliveryClaim) -> Option<Queued> {
        let row = self.view.kept(QUEUED, &key(&claim.channel, claim.no))?;
        (row.notice.id == claim.id && row.state == NoticeState::Waiting).then_some(row)
    }

    fn claim_notice(&mut self, claim: &DeliveryClaim, at: Time) -> bool {
        let Some(mut row) = self.queued(claim) else { return false };
        row.tries = row.tries.saturating_add(1);
        self.put_kept(QUEUED, &key(&claim.channel, claim.no), &row, at);
        true
    }

    fn settle_notice(&mut self, claim: &DeliveryClaim, outcome: AttemptOutcome, at: Time) -> bool {
        let Some(mut row) = self.queued(claim) else { return false };
        let place = key(&claim.channel, claim.no);
        match outcome {
            AttemptOutcome::Delivered { reference } => {
                self.delete_kept(QUEUED, &place);
                self.remember_told(&row, reference, at);
            }
            AttemptOutcome::Later { why, .. } => {
                row.why = why;
                self.put_kept(QUEUED, &place, &row, at);
            }
            AttemptOutcome::Refused { why } => {
                row.state = NoticeState::Undelivered;
                row.why = why;
                self.put_kept(QUEUED, &place, &row, at);
                self.note_undelivered(&row, &row.why, at);
                self.alert_undelivered(&row);
            }
        }
        true
    }

    /// Whoever listens to other channels, or looks, is told that somebody was not.
    fn alert_undelivered(&mut self, row: &Queued) {
        let text = format!(
            "channel {} has not delivered {:?}: {}; see halctl channels queue {}",
            row.channel, row.notice.title, row.why, row.channel
        );
        self.undelivered.push((row.channel.clone(), text));
    }

    fn remember_told(&mut self, row: &Queued, reference: String, at: Time) {
        // What was told of many at once cannot be changed for one of them.
        let reference = if row.parts.is_empty() { reference } else { String::new() };
        for subject in row.subjects() {
            let place = format!("{}/{subject}", row.channel);
            match row.notice.kind {
                NoticeKind::Raised | NoticeKind::Asked => {
                    self.put_kept(TOLD, &place, &SentNotice { reference: reference.clone(), at }, at);
                }
                NoticeKind::Resolved | NoticeKind::Answered => self.delete_kept(TOLD, &place),
                NoticeKind::Acknowledged | NoticeKind::Digest | NoticeKind::Test => {}
            }
        }
    }

    /// Forgets that anybody was told about this, and the steps that were taken.
    pub(super) fn forget_told(&mut self, subject: &str) {
        self.forget_steps(subject);
        for way in &self.view.settings.clone().routing.channels {
            self.delete_kept(TOLD, &format!("{}/{subject}", way.name));
        }
    }

    /// The clock was set: what waits for a time waits as long as before.
    pub(super) fn move_notices(&mut self, by: i64, at: Time) {
        let rows: Vec<Queued> = self
            .view
            .all_kept(QUEUED)
            .map(|(_, row)| Queued::clone(row))
            .filter(|row| row.not_before.0 > at.0 - by)
            .collect();
        for mut row in rows {
            row.not_before = Time(row.not_before.0.saturating_add(by));
            self.put_kept(QUEUED, &key(&row.channel, row.no), &row, at);
        }
        self.effects.push(Effect::Queued);
    }
}

/// What counts as the same for a cooldown.
fn same(notice: &Notice) -> String {
    format!("{} {} | {}", notice.kind.as_str(), notice.name, notice.about)
}
