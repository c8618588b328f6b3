//! What is being written in a session that a page watches: gathered, and told a few times a second.

use crate::live::{Listener, LiveView};
use crate::shared::Shared;
use hal_base::clock;
use hal_protocol::conversation::Entry;
use hal_protocol::event::form;
use hal_protocol::event::what::What;
use hal_protocol::live::{GrowingPart, LiveWords};
use hal_protocol::node::NodeId;
use hal_protocol::session::SessionId;
use hal_rules::conversation::of_part;

/// Bytes that are gathered between two frames, and pieces; what is beyond is dropped, and said to be.
const MOST_BYTES: usize = 64 * 1024;
const MOST_PIECES: usize = 64;

/// What a page watches, and what was heard of it since it was told.
#[derive(Debug)]
pub struct Watching {
    listener: Listener,
    session: SessionId,
    node: NodeId,
    words: Vec<GrowingPart>,
    entries: Vec<Entry>,
    bytes: usize,
    dropped: u64,
}

impl Watching {
    /// Listens to a session; `None` where there is none of this name.
    pub fn begin(shared: &Shared, session: &SessionId) -> Option<Self> {
        let view = shared.hub.view();
        let node = view.stored.sessions.get(session)?.session.node_id.clone();
        let listener = shared.live.listen(Some(session), Some(&node));
        let (words, entries, session) = (Vec::new(), Vec::new(), session.clone());
        Some(Self { listener, session, node, words, entries, bytes: 0, dropped: 0 })
    }

    /// The session.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Waits for the next that is heard, and gathers it.
    pub async fn hear(&mut self) {
        let (event, dropped) = self.listener.next().await;
        self.dropped += dropped;
        if let Some(event) =
            event.filter(|event| event.session_id == self.session && event.node_id == self.node)
        {
            self.gather(&event);
        }
    }

    /// True when there is something to tell.
    pub fn has_news(&self) -> bool {
        self.dropped > 0 || !self.words.is_empty() || !self.entries.is_empty()
    }

    /// What was gathered; it begins anew then.
    pub fn take(&mut self) -> LiveWords<'_> {
        self.bytes = 0;
        LiveWords {
            live: self.session.as_str(),
            words: std::mem::take(&mut self.words),
            entries: std::mem::take(&mut self.entries),
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    fn gather(&mut self, event: &LiveView) {
        let bytes = event.data.get().len();
        if self.bytes + bytes > MOST_BYTES || self.words.len() + self.entries.len() >= MOST_PIECES {
            self.dropped += 1;
            return;
        }
        self.bytes += bytes;
        match form::read(&event.kind, &event.data) {
            What::Delta(delta) if !delta.text.is_empty() => {
                match self.words.last_mut().filter(|last| last.part == delta.part_id) {
                    Some(last) => last.text.push_str(&delta.text),
                    None => self.words.push(GrowingPart {
                        part: delta.part_id,
                        message: delta.message_id,
                        text: delta.text,
                    }),
                }
            }
            What::Part(part) => {
                let Some(entry) = of_part(&part) else { return };
                let entry = Entry { at: clock::now(), ..entry };
                self.entries.retain(|known| known.id != entry.id);
                self.entries.push(entry);
            }
            _ => {}
        }
    }
}
