//! What a session has used since its last event, by day: the ledger of costs.

use super::Work;
use crate::base::clock::Time;
use crate::protocol::session::{Session, Tokens};
use crate::store::cost::CostRecord;

impl Work {
    /// Adds to the ledger what an event has added to its session. `before` is what the session had used until then.
    /// Sums that a backend corrects downwards are not taken back: the day they were spent on is not known any more.
    pub(super) fn charge(&mut self, session: &Session, before: (Tokens, Option<u64>), at: Time) {
        if before == (session.tokens, session.cost_micros) {
            return;
        }
        let kinds = |tokens: &Tokens| {
            [tokens.input, tokens.output, tokens.reasoning, tokens.cache_read, tokens.cache_write]
        };
        let (now, then) = (kinds(&session.tokens), kinds(&before.0));
        let model = session.model.as_ref();
        let more = CostRecord {
            date: at.to_string().split('T').next().unwrap_or_default().to_owned(),
            provider: model.map(|model| model.provider.clone()).unwrap_or_default(),
            model: model.map(|model| model.id.clone()).unwrap_or_default(),
            project: session.project.to_string(),
            session_id: session.id.to_string(),
            node_id: session.node_id.to_string(),
            tokens: std::array::from_fn(|kind| now[kind].saturating_sub(then[kind])),
            micros: session.cost_micros.map(|now| now.saturating_sub(before.1.unwrap_or(0))),
        };
        let key = more.key();
        self.batch.costs.entry(key).and_modify(|sum| sum.add(&more)).or_insert(more);
    }
}
