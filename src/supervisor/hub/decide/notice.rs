//! What people are told: a notice goes into the queue of each channel that a route names, and leaves it when it is
//! delivered or given up.

use serde_json::json;

use super::Work;
use crate::base::clock::Time;
use crate::base::id;
use crate::protocol::node::NodeId;
use crate::protocol::notice::{Notice, NoticeKind, NoticeState, Queued};
use crate::rules::route::Hold;
use crate::supervisor::hub::effect::Effect;
use crate::supervisor::hub::notice::{Delivery, Happening, QUEUED, TOLD, Ticket, Told, key};

/// Notices in one queue, undelivered ones included; beyond it the oldest undelivered one is forgotten, or else the newcomer
/// is undelivered at once.
const MOST_QUEUED: usize = 1_000;

impl Work {
    /// Tells people, through the channels that the routes name.
    pub(super) fn tell_people(&mut self, notice: &Notice, at: Time) {
        let routing = self.view.routing.clone();
        match notice.kind {
            NoticeKind::Raised | NoticeKind::Asked | NoticeKind::Digest | NoticeKind::Test => {
                for (channel, hold) in routing.places(notice, at) {
                    self.queue(&channel, notice.clone(), hold, at);
                }
            }
            NoticeKind::Acknowledged | NoticeKind::Resolved | NoticeKind::Answered => {
                let channels: Vec<String> = routing.channels.iter().map(|way| way.name.clone()).collect();
                for channel in channels {
                    self.tell_the_end(&channel, notice, at);
                }
            }
        }
    }

    /// What belongs together at a far side that many supervisors may tell things.
    pub(super) fn subject(&self, kind: &str, id: &str) -> String {
        format!("{}-{kind}-{id}", self.view.store_id)
    }

    /// Whoever was told that it began is told how it went on; whoever was not yet is not told at all.
    fn tell_the_end(&mut self, channel: &str, notice: &Notice, at: Time) {
        let mut begun = self.view.told(channel, &notice.subject).is_some();
        let same: Vec<Queued> = self
            .view
            .queue(channel)
            .filter(|queued| queued.state == NoticeState::Waiting && queued.notice.subject == notice.subject)
            .collect();
        for queued in same {
            match queued.tries {
                0 => self.forget(QUEUED, &key(channel, queued.no)),
                _ => begun = true,
            }
        }
        if begun {
            self.queue(channel, notice.clone(), Hold::default(), at);
        }
    }

    fn queue(&mut self, channel: &str, notice: Notice, hold: Hold, at: Time) {
        let last = self.view.queue(channel).last().map_or(0, |queued| queued.no);
        let row = Queued {
            no: last + 1,
            channel: channel.to_owned(),
            notice: Notice { id: id::fresh(), ..notice },
            not_before: hold.until,
            why: hold.why,
            ..Queued::default()
        };
        self.make_room(channel);
        self.keep(QUEUED, &key(channel, row.no), &row, at);
        self.effects.push(Effect::Queued);
    }

    fn make_room(&mut self, channel: &str) {
        let rows: Vec<(u64, NoticeState)> = self.view.queue(channel).map(|row| (row.no, row.state)).collect();
        if rows.len() < MOST_QUEUED {
            return;
        }
        let undelivered = rows.iter().find(|(_, state)| *state == NoticeState::Undelivered);
        if let Some((no, _)) = undelivered.or(rows.first()) {
            self.forget(QUEUED, &key(channel, *no));
        }
    }

    /// Something happens to a notice on its way out.
    pub(super) fn notice(&mut self, happening: Happening, at: Time) {
        let (reply, is_right) = match happening {
            Happening::Claim(ticket, reply) => (reply, self.claim(&ticket, at)),
            Happening::Report(ticket, delivery, reply) => (reply, self.report(&ticket, delivery, at)),
            Happening::Retry(channel, reply) => (reply, self.retry(&channel, at)),
        };
        self.effects.push(Effect::Settled(reply, is_right));
    }

    fn retry(&mut self, channel: &str, at: Time) -> bool {
        let given_up = |row: &Queued| row.state == NoticeState::Undelivered;
        let rows: Vec<Queued> = self.view.queue(channel).filter(given_up).collect();
        for mut row in rows {
            row.state = NoticeState::Waiting;
            row.not_before = at;
            self.keep(QUEUED, &key(channel, row.no), &row, at);
        }
        self.effects.push(Effect::Queued);
        self.view.routing.channels.iter().any(|way| way.name == channel)
    }

    fn queued(&self, ticket: &Ticket) -> Option<Queued> {
        let row: Queued = self.view.kept(QUEUED, &key(&ticket.channel, ticket.no))?;
        (row.notice.id == ticket.id && row.state == NoticeState::Waiting).then_some(row)
    }

    fn claim(&mut self, ticket: &Ticket, at: Time) -> bool {
        let Some(mut row) = self.queued(ticket) else { return false };
        row.tries = row.tries.saturating_add(1);
        self.keep(QUEUED, &key(&ticket.channel, ticket.no), &row, at);
        true
    }

    fn report(&mut self, ticket: &Ticket, delivery: Delivery, at: Time) -> bool {
        let Some(mut row) = self.queued(ticket) else { return false };
        let place = key(&ticket.channel, ticket.no);
        match delivery {
            Delivery::Delivered { reference } => {
                self.forget(QUEUED, &place);
                self.remember_told(&row, reference, at);
            }
            Delivery::Later { why, .. } => {
                row.why = why;
                self.keep(QUEUED, &place, &row, at);
            }
            Delivery::Refused { why } => {
                row.state = NoticeState::Undelivered;
                row.why = why;
                let data = json!({
                    "channel": row.channel, "id": row.notice.id, "name": row.notice.name, "alert": row.notice.alert,
                    "why": row.why,
                });
                self.note(&NodeId::new(""), "notice.undelivered", &data, at);
                self.keep(QUEUED, &place, &row, at);
            }
        }
        true
    }

    fn remember_told(&mut self, row: &Queued, reference: String, at: Time) {
        let place = format!("{}/{}", row.channel, row.notice.subject);
        match row.notice.kind {
            NoticeKind::Raised | NoticeKind::Asked => self.keep(TOLD, &place, &Told { reference, at }, at),
            NoticeKind::Resolved | NoticeKind::Answered => self.forget(TOLD, &place),
            NoticeKind::Acknowledged | NoticeKind::Digest | NoticeKind::Test => {}
        }
    }
}
