//! Rows that come back from a store that was set aside: each once, as it was, and under its own number where that is free.

use tokio::sync::oneshot;

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::live::NodeState;
use hal_base::clock::Time;
use hal_protocol::event::EventView;
use hal_protocol::session::SessionId;
use hal_protocol::who::Who;
use hal_store::audit::AuditRecord;
use hal_store::change::RowKind;
use hal_store::cost::CostChange;
use hal_store::mirror::restore::Portion;
use hal_store::returned;
use hal_store::session::SessionRecord;
use hal_store::sqlite::edit::{Edit, EditAction};
use hal_store::sqlite::schema::Table;
use hal_store::sqlite::sql_row;

/// What the audit log calls it.
const ACTION: &str = "store merge";

impl Work {
    pub(super) fn bring_back(
        &mut self,
        portion: Portion,
        file: &str,
        who: &Who,
        reply: oneshot::Sender<Result<(), String>>,
        at: Time,
    ) {
        let counts = portion.counts().map(|(kind, rows)| (Table::of(kind).name, rows));
        let counts: serde_json::Map<_, _> = counts
            .into_iter()
            .filter(|(_, rows)| *rows > 0)
            .map(|(name, rows)| (name.to_owned(), rows.into()))
            .collect();
        for node in portion.nodes {
            if !self.view.stored.nodes.contains_key(&node.id) {
                self.view.stored.gone_nodes.remove(&node.id);
                self.put_node(NodeState::offline(node));
            }
        }
        for record in portion.sessions {
            self.bring_session(record);
        }
        for event in portion.events {
            self.bring_event(event, at);
        }
        for command in portion.commands {
            self.put_command(command);
        }
        for more in portion.costs {
            self.enter(CostChange::of(more));
        }
        self.batch.keys.extend(portion.keys);
        // What the other store has said of its own chain does not speak for this one.
        let credential = format!("store merge {file}");
        let marked = |record: AuditRecord| match record.credential.is_empty() {
            true => AuditRecord { credential: credential.clone(), ..record },
            false => record,
        };
        self.batch.audit.extend(portion.audit.into_iter().map(marked));
        if counts.is_empty() {
            // All of it came by itself meanwhile.
            return self.effects.push(Effect::reply(reply, Ok(())));
        }
        self.write_down(who, ACTION, file, &serde_json::Value::Object(counts), at);
        self.effects.push(Effect::reply(reply, Ok(())));
    }

    /// A session that has gone on since keeps what it is.
    fn bring_session(&mut self, record: SessionRecord) {
        let known = self.view.stored.sessions.get(&record.session.id);
        if known.is_some_and(|known| known.session.active_at >= record.session.active_at) {
            return;
        }
        let no = known.map(|known| known.no).unwrap_or_else(|| self.session_no(&record.session.id));
        self.put_session(SessionRecord { no, ..record });
    }

    fn bring_event(&mut self, event: EventView, at: Time) {
        self.note_billed(&event);
        if let Some(name) = returned::name(&event) {
            self.view.stored.returned_nodes.insert(event.node_id.clone());
            self.batch.returned.push(name);
        }
        if self.free.remove(&event.seq) {
            let action = EditAction::Put(Table::of(RowKind::Event).named_row(sql_row::of_event(&event)));
            self.batch.moved.list.push(Edit { kind: RowKind::Event, key: event.seq.to_string(), action });
            (self.batch.moved.by, self.batch.moved.at) = (Some(ACTION), at);
            return;
        }
        // As an old event that an operator inserts: it keeps its time.
        self.view.stored.last_seq += 1;
        let event = EventView { seq: self.view.stored.last_seq, ..event };
        if let Some(record) = self.view.stored.sessions.get(&SessionId::new(&event.session_id)) {
            self.view.stored.tail.push(record.no, event.seq);
        }
        self.view.stored.last_time = self.view.stored.last_time.max(event.timestamp);
        self.batch.events.push(event);
    }
}
