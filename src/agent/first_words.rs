//! What an agent tells first: what it has found out about those before it.

use serde_json::json;

use hal_base::clock;
use hal_protocol::event::kind::Kind;
use hal_protocol::event::raw;
use hal_store::journal::{Change, NewEvent, SetAside};

/// A journal that was set aside is the first thing the new one tells.
pub fn of_journal(set_aside: Option<SetAside>) -> Vec<Change> {
    let Some(SetAside { path, why }) = set_aside else { return Vec::new() };
    tracing::error!(
        "the journal was damaged ({why}); it was moved to {} and a new one was started",
        path.display()
    );
    let reason = format!("the journal was damaged: {why}");
    let data = raw(&json!({"reason": reason, "set_aside": path.display().to_string()}));
    vec![Change::Append(NewEvent::own("gap", clock::now(), data))]
}

/// Whatever ends an agent again and again is told by the one that is left.
pub fn of_restarts(reason: String) -> Change {
    tracing::error!("this agent was {reason}");
    Change::Append(NewEvent::own(
        Kind::AgentRestarted.as_str(),
        clock::now(),
        raw(&json!({"reason": reason})),
    ))
}
