//! Names that come from outside are short: a longer one is cut, and ends in a digest that tells it from others.
//!
//! They are cut and not refused. Whoever sends them stands between us and its journal, and would send them for ever.

use sha2::{Digest, Sha256};

use hal_protocol::frame::FromAgent;

/// The longest name of a session, event, command or project, in bytes. Those that coding agents give have some thirty.
const LONGEST: usize = 512;

/// The longest directory, in bytes: as long as Linux lets a path be. Titles are cut there, too.
const LONGEST_PATH: usize = 4096;

/// What remains of a name that is too long, beside its digest, in bytes.
const KEPT: usize = 64;

/// A name that is too long, cut; `None`: it is not.
fn cut(name: &str, longest: usize) -> Option<String> {
    if name.len() <= longest {
        return None;
    }
    let mut end = KEPT;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let digest: String = Sha256::digest(name).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{}~{digest}", &name[..end]))
}

/// A text that names something.
trait Name {
    fn shorten(&mut self, longest: usize);
}

impl Name for String {
    fn shorten(&mut self, longest: usize) {
        if let Some(short) = cut(self, longest) {
            *self = short;
        }
    }
}

impl<T: Name> Name for Option<T> {
    fn shorten(&mut self, longest: usize) {
        self.iter_mut().for_each(|name| name.shorten(longest));
    }
}

macro_rules! names {
    ($($name:ty),+) => {$(
        impl Name for $name {
            fn shorten(&mut self, longest: usize) {
                if let Some(short) = cut(self.as_str(), longest) {
                    *self = short.into();
                }
            }
        }
    )+};
}

names!(hal_protocol::session::SessionId, hal_protocol::command::CommandId, hal_protocol::node::ProjectName);

/// Cuts all names in what an agent says. What it says of itself is refused instead: see [`super::node::fault`].
pub fn shorten(frame: &mut FromAgent) {
    match frame {
        FromAgent::Events(batch) => {
            for event in &mut batch.events {
                event.id.shorten(LONGEST);
                event.kind.shorten(LONGEST);
                event.session_id.shorten(LONGEST);
                event.project.shorten(LONGEST_PATH);
            }
        }
        FromAgent::Snapshot(snapshot) => {
            for session in &mut snapshot.sessions {
                session.id.shorten(LONGEST);
                session.parent_id.shorten(LONGEST);
                session.project.shorten(LONGEST_PATH);
                session.backend.shorten(LONGEST);
                session.directory.shorten(LONGEST_PATH);
                session.title.shorten(LONGEST_PATH);
            }
        }
        FromAgent::CommandAck(ack) => ack.command_id.shorten(LONGEST),
        FromAgent::CommandResult(result) => result.command_id.shorten(LONGEST),
        FromAgent::Live(live) => {
            live.session_id.shorten(LONGEST);
            live.kind.shorten(LONGEST);
        }
        FromAgent::LeaseRequest(ask) => {
            ask.lease_id.shorten(LONGEST);
            ask.session_id.shorten(LONGEST);
            ask.project.shorten(LONGEST_PATH);
        }
        FromAgent::Hello(_) | FromAgent::Heartbeat(_) | FromAgent::Proof(_) | FromAgent::Other(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_base::clock::Time;
    use hal_protocol::event::{Event, raw};
    use hal_protocol::frame::Events;
    use hal_protocol::session::SessionId;

    #[test]
    fn names_of_900_kb_are_cut_and_still_tell_things_apart() {
        let of = |session: &str| {
            let event = Event {
                seq: 1,
                id: format!("{session}-1"),
                kind: "k".into(),
                session_id: Some(SessionId::from(session)),
                project: None,
                occurred_at: Time(1),
                data: raw(&()),
            };
            let mut frame = FromAgent::Events(Events { incarnation: "i".into(), events: vec![event] });
            shorten(&mut frame);
            let FromAgent::Events(mut batch) = frame else { unreachable!() };
            let event = batch.events.remove(0);
            (event.id, event.session_id.unwrap())
        };
        let long = "ä".repeat(450_000);
        let (id, session) = of(&long);
        assert!(id.len() < 120 && session.as_str().len() < 120, "{id} {session}");
        assert!(session.as_str().starts_with("ää") && session == of(&long).1);
        assert_ne!(session, of(&format!("{long}x")).1);
        assert_eq!(of("ses_1"), ("ses_1-1".to_owned(), "ses_1".into()), "others stay as they are");
    }
}
