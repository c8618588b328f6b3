//! Enforces leases while turns run: asks in time, and interrupts what has no money or no time left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{First, HeldSession, Leases, Sessions, root_of};
use crate::backend::Action;
use crate::backend::BackendKind;
use crate::backends::Backends;
use crate::sessions::{OutgoingFrame, View};
use hal_base::{clock, id};
use hal_protocol::budget::AtLimit;
use hal_protocol::command::CommandId;
use hal_protocol::event::raw;
use hal_protocol::frame::FromAgent;
use hal_protocol::lease::{INTERRUPTED, Interrupted, LeaseRequest};
use hal_protocol::session::SessionId;
use hal_rules::lease::Next;
use hal_store::journal::{Change, NewEvent};

/// Nothing is due: the next change wakes us.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A turn that is to be interrupted.
struct Stop {
    session: SessionId,
    ends: bool,
    /// Written down the first time.
    told: Option<Interrupted>,
}

impl Leases {
    /// Works until told to stop.
    pub async fn enforce(
        self,
        view: watch::Receiver<View>,
        backends: Arc<Backends>,
        stop: CancellationToken,
    ) {
        let mut changed = self.0.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let (asks, stops, rest) =
                if self.is_on() { self.look() } else { (Vec::new(), Vec::new(), NEVER) };
            self.tell_first_end();
            for ask in asks {
                // The link is gone only when the agent ends.
                let _ended = self
                    .0
                    .says
                    .send(OutgoingFrame { after_seq: 0, frame: FromAgent::LeaseRequest(ask) })
                    .await;
            }
            for one in stops {
                self.interrupt(one, &view, &backends).await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
                _changed = changed.changed() => {}
            }
        }
    }

    /// What is to be done now, and how long there is nothing more to do.
    fn look(&self) -> (Vec<LeaseRequest>, Vec<Stop>, Duration) {
        let now = self.now_ms();
        let (mut asks, mut stops, mut rest) = (Vec::new(), Vec::new(), NEVER);
        for (id, entry) in &mut self.book().entries {
            let held = &mut entry.held;
            // Asking and stopping change what is next: look once more.
            for _ in 0..2 {
                match held.next(now, entry.runs) {
                    Next::Rest(until) => {
                        rest = rest.min(Duration::from_millis(until.saturating_sub(now).max(1)));
                        break;
                    }
                    Next::Ask { more } => {
                        held.ask(now);
                        let first = if held.lent == 0 { entry.first.clone() } else { First::default() };
                        asks.push(LeaseRequest {
                            lease_id: id.clone(),
                            session_id: entry.session.clone(),
                            project: entry.project.clone(),
                            lent_micros: held.lent,
                            used_micros: held.used,
                            step_micros: held.step,
                            more,
                            model: first.model,
                            first_tokens: first.tokens,
                            asked_ms: now,
                        });
                    }
                    Next::Interrupt(why) => {
                        let is_first = held.interrupted_ms.replace(now).is_none();
                        let ends = held.at_limit == AtLimit::Stop;
                        let Some(session) = entry.session.clone() else { break };
                        let told = is_first.then(|| Interrupted {
                            lease_id: id.clone(),
                            session_id: session.clone(),
                            budget: held.budget.clone(),
                            lent_micros: held.lent,
                            used_micros: held.used,
                            action: held.at_limit.as_str().to_owned(),
                            why,
                        });
                        stops.push(Stop { session, ends, told });
                    }
                }
            }
        }
        (asks, stops, rest)
    }

    async fn interrupt(&self, stop: Stop, view: &watch::Receiver<View>, backends: &Arc<Backends>) {
        let Stop { session, ends, told } = stop;
        if let Some(told) = told {
            tracing::warn!(%session, "interrupted: {}", told.why);
            let event = NewEvent::own(INTERRUPTED, clock::now(), raw(&told));
            let _closed = self.store(vec![Change::Append(event)]).await;
        }
        let of_root: Vec<(SessionId, BackendKind)> = at_work(&view.borrow().sessions, &session);
        for (session_id, kind) in of_root {
            let Some(backend) = backends.get(kind) else { continue };
            let action = if ends { Action::Kill { session_id } } else { Action::Abort { session_id } };
            tokio::spawn(async move {
                if let Err(error) = backend.carry_out(&CommandId::new(id::fresh()), action).await {
                    tracing::warn!("a turn without budget could not be interrupted, retrying: {error}");
                }
            });
        }
    }
}

/// A session and its helpers, as far as they are at work.
fn at_work(sessions: &Sessions, root: &SessionId) -> Vec<(SessionId, BackendKind)> {
    let of_root = |held: &&HeldSession| {
        let session = &held.record.session;
        session.id == *root || (session.parent_id.is_some() && root_of(sessions, session) == *root)
    };
    let kind = |held: &HeldSession| {
        let session = &held.record.session;
        Some((session.id.clone(), BackendKind::parse(&session.backend)?))
    };
    sessions.values().filter(|held| held.is_at_work()).filter(of_root).filter_map(kind).collect()
}
