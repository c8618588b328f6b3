//! Takes in what is asked and answered.

use serde_json::Value;

use super::asks::OpenAsk;
use super::state::{Fold, Told};
use super::wire::{Frame, first, text};
use hal_protocol::event::what::{Replied, ReplyTold, What};
use hal_protocol::session::SessionId;

/// Requests remembered at most; more than can wait at the same time.
const MOST: usize = 4096;

impl Fold {
    /// Takes in what is asked and answered.
    pub(super) fn on_ask(&mut self, session: &SessionId, frame: &Frame, out: &mut Vec<Told>) {
        let data = &frame.data;
        let asked = match frame.kind.as_str() {
            "permission.asked" | "permission.v2.asked" => OpenAsk::permission(data),
            "form.created" => OpenAsk::form(if data["form"].is_object() { &data["form"] } else { data }),
            "permission.replied" | "permission.v2.replied" => {
                return self.replied(session, data, out);
            }
            "form.replied" | "form.cancelled" => return self.filled(session, frame, out),
            _ => return,
        };
        let Some((ask, what)) = asked else { return };
        if self.asks.len() < MOST {
            self.asks.insert(ask.id.clone(), ask);
        }
        out.push(Told::Event(session.clone(), what));
    }

    fn replied(&mut self, session: &SessionId, data: &Value, out: &mut Vec<Told>) {
        let request_id = first(data, &["requestID", "id"]).to_owned();
        let word = first(data, &["reply", "decision"]).to_owned();
        let ask = self.asks.remove(&request_id);
        let known = self.known(session);
        if word == "reject" {
            known.was_refused = true;
            if let Some(call) = ask.and_then(|ask| known.calls.get_mut(&ask.call)) {
                call.is_refused = true;
            }
        }
        let reply = Some(ReplyTold::of_word(word));
        let told =
            Replied { request_id, reply, message: text(data, "message").to_owned(), ..Replied::default() };
        out.push(Told::Event(session.clone(), What::PermissionReplied(told)));
    }

    fn filled(&mut self, session: &SessionId, frame: &Frame, out: &mut Vec<Told>) {
        let request_id = first(&frame.data, &["id", "formID"]).to_owned();
        let ask = self.asks.remove(&request_id);
        let what = match frame.kind.as_str() {
            "form.replied" => {
                let answers = ask.map(|ask| ask.labels(&frame.data["answer"])).unwrap_or_default();
                What::QuestionReplied(Replied { request_id, answers, ..Replied::default() })
            }
            _ => {
                let known = self.known(session);
                known.was_refused = true;
                What::QuestionRejected(Replied { request_id, ..Replied::default() })
            }
        };
        out.push(Told::Event(session.clone(), what));
    }
}
