//! Folds the stream's frames into our events: what is known of each session, and what a frame adds to it.
//!
//! A session is idle when its execution has ended, no helper and no background command of its family runs, and nothing
//! waits to be taken in: each of them would wake it by itself. A family that has become quiet is idle a moment later, as
//! what woke it may be on its way.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::{failure, stopped};
use super::state::{Fold, Known, Told, tell_busy, tell_idle};
use super::wire::{self, Frame, first, model_of, text};
use hal_base::clock::Time;
use hal_protocol::event::what::{SessionTold, TurnTold, What};
use hal_protocol::session::{Retry, SessionId, Tokens};

/// How long a family must be quiet before it is idle, when its last execution ended while something still ran.
const QUIET: Duration = Duration::from_secs(3);

/// How long what waits to be taken in holds a session that has ended its execution.
const WAITING_MAX: Duration = Duration::from_secs(30);

/// Frames that are remembered, so that one that comes twice is told once.
const SEEN: usize = 4096;

/// How far up helpers of helpers are followed; further is a loop.
const MAX_DEPTH: usize = 16;

impl Fold {
    /// The server was started anew: nothing of what ran is there any more.
    pub fn restarted(&mut self) {
        let limits = std::mem::take(&mut self.limits);
        *self = Self { limits, ..Self::default() };
    }

    /// What a frame adds.
    pub fn fold(&mut self, frame: &Frame, now: Instant) -> Vec<Told> {
        if !self.is_news(&frame.id) {
            return Vec::new();
        }
        let mut out = Vec::new();
        self.on_shell(frame);
        if let Some(session) = frame.session().filter(|session| !self.deleted.contains(session)) {
            self.on_session(&session, frame, now, &mut out);
        }
        out
    }

    /// Tells the sessions idle that have been quiet for long enough.
    pub fn settle(&mut self, now: Instant) -> Vec<Told> {
        let is_owing = |(_, known): &(&SessionId, &Known)| known.is_busy && !known.is_executing;
        let owing: Vec<SessionId> = self.sessions.iter().filter(is_owing).map(|(id, _)| id.clone()).collect();
        let mut out = Vec::new();
        for id in owing {
            let is_quiet = self.is_quiet(&id);
            let Some(known) = self.sessions.get_mut(&id) else { continue };
            let waits = !known.inputs.is_empty()
                && known.ended_at.is_some_and(|at| now.saturating_duration_since(at) < WAITING_MAX);
            if !is_quiet || waits {
                known.quiet_since = None;
                continue;
            }
            let since = *known.quiet_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= QUIET {
                tell_idle(&id, known, &mut out);
            }
        }
        out
    }

    /// A session and its helpers, the session first.
    pub fn family(&self, session: &SessionId) -> Vec<SessionId> {
        let mut out = vec![session.clone()];
        let mut at = 0;
        while let Some(id) = out.get(at).cloned() {
            let children = self.sessions.iter().filter(|(_, known)| known.parent.as_ref() == Some(&id));
            let new: Vec<SessionId> =
                children.map(|(child, _)| child).filter(|child| !out.contains(child)).cloned().collect();
            out.extend(new);
            at += 1;
        }
        out
    }

    /// The session that began the work of another one.
    pub fn root(&self, session: &SessionId) -> SessionId {
        let mut at = session.clone();
        for _ in 0..MAX_DEPTH {
            match self.sessions.get(&at).and_then(|known| known.parent.clone()) {
                Some(parent) => at = parent,
                None => break,
            }
        }
        at
    }

    /// True while something of a session's family runs that may wake it.
    pub fn is_quiet(&self, session: &SessionId) -> bool {
        let family = self.family(session);
        let runs = |id: &SessionId| self.sessions.get(id).is_some_and(|known| known.is_executing);
        !family.iter().any(runs) && !self.shells.values().any(|owner| family.contains(owner))
    }

    /// What is known of a session, which may be heard of for the first time.
    pub fn known(&mut self, session: &SessionId) -> &mut Known {
        self.sessions.entry(session.clone()).or_default()
    }

    fn is_news(&mut self, id: &str) -> bool {
        if id.is_empty() {
            return true;
        }
        if !self.seen.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    fn on_shell(&mut self, frame: &Frame) {
        let info = &frame.data["info"];
        match frame.kind.as_str() {
            "shell.created" if text(info, "status") == "running" => {
                let owner = text(&info["metadata"], "sessionID");
                if !owner.is_empty() {
                    self.shells.insert(text(info, "id").to_owned(), SessionId::new(owner));
                }
            }
            "shell.exited" | "shell.deleted" => drop(self.shells.remove(text(&frame.data, "id"))),
            _ => {}
        }
    }

    fn on_session(&mut self, session: &SessionId, frame: &Frame, now: Instant, out: &mut Vec<Told>) {
        let (kind, data) = (frame.kind.as_str(), &frame.data);
        match kind {
            "session.created" => self.created(session, frame, out),
            "session.deleted" => {
                self.sessions.remove(session);
                self.asks.retain(|_, ask| ask.session != *session);
                self.deleted.insert(session.clone());
                out.push(Told::Event(session.clone(), What::SessionDeleted));
            }
            "session.usage.updated" | "session.renamed" | "session.moved" | "session.model.selected" => {
                self.updated(session, kind, frame, out);
            }
            "session.execution.started" => {
                let known = self.known(session);
                (known.is_executing, known.was_refused) = (true, false);
                known.quiet_since = None;
                tell_busy(session, known, out);
            }
            "session.execution.succeeded" | "session.execution.failed" | "session.execution.interrupted" => {
                self.ended(session, kind, data, now, out);
            }
            "session.retry.scheduled" => {
                let attempt = data["attempt"].as_u64().and_then(|it| u32::try_from(it).ok()).unwrap_or(2);
                let message = failure(&data["error"]).sentence();
                let next = Time::said(data["at"].as_i64().unwrap_or_default());
                let retry = Retry { attempt: attempt.saturating_sub(1), message, next };
                self.known(session).is_retrying = true;
                out.push(Told::Event(session.clone(), What::Status(Some(TurnTold::Retry(retry)))));
            }
            "session.compaction.ended" => out.push(Told::Event(session.clone(), What::Compacted)),
            "session.compaction.failed" => {
                out.push(Told::Event(session.clone(), What::Failed(Some(failure(&data["error"])))));
            }
            _ if kind.starts_with("permission.") || kind.starts_with("form.") => {
                self.on_ask(session, frame, out);
            }
            _ => self.on_step(session, frame, out),
        }
    }

    fn created(&mut self, session: &SessionId, frame: &Frame, out: &mut Vec<Told>) {
        let data = &frame.data;
        let info = if data["info"].is_object() { &data["info"] } else { data };
        let placed = first(info, &["directory"]).to_owned();
        let located = text(&info["location"], "directory").to_owned();
        let of_frame = frame.location.as_ref().map(|place| place.directory.clone()).unwrap_or_default();
        let directory =
            [placed, located, of_frame].into_iter().find(|one| !one.is_empty()).unwrap_or_default();
        let parent = info["parentID"].as_str().map(SessionId::new);
        let known = self.known(session);
        known.directory.clone_from(&directory);
        known.parent.clone_from(&parent);
        let told = SessionTold {
            id: Some(session.clone()),
            title: info["title"].as_str().map(str::to_owned),
            directory: Some(directory),
            parent_id: parent,
            cost: Some(info["cost"].as_f64().unwrap_or(0.0)),
            tokens: Some(wire::tokens(&info["tokens"])),
            model: model_of(&info["model"]),
            created: Some(Time::said(frame.created)),
            is_repaired: false,
        };
        out.push(Told::Event(session.clone(), What::SessionCreated(told)));
    }

    fn updated(&mut self, session: &SessionId, kind: &str, frame: &Frame, out: &mut Vec<Told>) {
        let data = &frame.data;
        let mut told = SessionTold { id: Some(session.clone()), ..SessionTold::default() };
        match kind {
            "session.usage.updated" => {
                told.cost = data["cost"].as_f64();
                told.tokens = Some(wire::tokens(&data["tokens"])).filter(|it| *it != Tokens::default());
            }
            "session.renamed" => told.title = data["title"].as_str().map(str::to_owned),
            "session.moved" => {
                let to = text(&data["location"], "directory").to_owned();
                self.known(session).directory.clone_from(&to);
                told.directory = Some(to);
            }
            _ => told.model = model_of(&data["model"]),
        }
        out.push(Told::Event(session.clone(), What::SessionUpdated(told)));
    }

    fn ended(
        &mut self,
        session: &SessionId,
        kind: &str,
        data: &serde_json::Value,
        now: Instant,
        out: &mut Vec<Told>,
    ) {
        self.asks.retain(|_, ask| ask.session != *session);
        let is_quiet_after = {
            let known = self.known(session);
            (known.is_executing, known.is_retrying) = (false, false);
            known.calls.clear();
            known.ended_at = Some(now);
            known.quiet_since = None;
            let reason = text(data, "reason");
            let told = match kind {
                "session.execution.failed" => Some(What::Failed(Some(failure(&data["error"])))),
                "session.execution.succeeded" => None,
                _ if reason == "user" || known.was_refused => Some(What::Failed(Some(stopped()))),
                // Another execution takes its place.
                _ if reason == "superseded" => None,
                _ => Some(What::Interrupted { reason: cut(reason) }),
            };
            out.extend(told.map(|what| Told::Event(session.clone(), what)));
            let goes_on = kind == "session.execution.succeeded" && !known.inputs.is_empty();
            !goes_on
        };
        if is_quiet_after && self.is_quiet(session) {
            let known = self.known(session);
            tell_idle(session, known, out);
        }
    }
}

/// Why a turn was cut off, in a few words.
fn cut(reason: &str) -> String {
    match reason {
        "" | "shutdown" => "the coding agent stopped in mid-turn".to_owned(),
        other => format!("the coding agent has ended the turn ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use hal_protocol::event::part::{Content, ToolCause};

    fn frame(kind: &str, data: Value) -> Frame {
        serde_json::from_value(json!({"type": kind, "created": 1, "data": data})).unwrap()
    }

    fn kinds(told: &[Told]) -> Vec<&'static str> {
        let kind = |one: &Told| match one {
            Told::Event(_, what) | Told::Live(_, what) => what.kind().unwrap().as_str(),
        };
        told.iter().map(kind).collect()
    }

    /// Folds frames about session `s`.
    fn hear(fold: &mut Fold, now: Instant, frames: &[(&str, Value)]) -> Vec<Told> {
        let one = |(kind, data): &(&str, Value)| {
            let mut data = data.clone();
            if data["sessionID"].is_null() && !kind.starts_with("shell.") {
                data["sessionID"] = "s".into();
            }
            fold.fold(&frame(kind, data), now)
        };
        frames.iter().flat_map(one).collect()
    }

    #[tokio::test]
    async fn the_shapes_of_both_times_tell_the_same() {
        let of_july = [
            (
                "session.input.admitted",
                json!({"inputID": "u", "input": {"type": "user", "data": {"text": "hi"}}}),
            ),
            ("session.input.promoted", json!({"inputID": "u"})),
            (
                "permission.v2.asked",
                json!({"id": "p", "action": "shell", "resources": ["ls"],
                "source": {"messageID": "m", "callID": "c"}}),
            ),
            (
                "session.tool.success",
                json!({"callID": "c", "structured": {"exit": 3}, "content": [{"text": "x"}]}),
            ),
        ];
        let of_two = [
            (
                "session.inbox.enqueued",
                json!({"inboxID": "u", "item": {"type": "user", "payload": {"text": "hi"}}}),
            ),
            ("session.inbox.delivered", json!({"inboxID": "u"})),
            (
                "permission.asked",
                json!({"id": "p", "action": "shell", "resources": ["ls"],
                "source": {"messageID": "m", "id": "c"}}),
            ),
            ("session.tool.success", json!({"id": "c", "metadata": {"exit": 3}, "content": [{"text": "x"}]})),
        ];
        let told = [of_july, of_two].map(|frames| hear(&mut Fold::default(), Instant::now(), &frames));
        assert_eq!(told[0], told[1]);
        assert_eq!(
            kinds(&told[0]),
            ["message.updated", "message.part.updated", "permission.asked", "message.part.updated"]
        );
    }

    #[tokio::test]
    async fn an_execution_ends_once_and_a_ghost_of_a_deleted_session_is_not_told() {
        let mut fold = Fold::default();
        let now = Instant::now();
        let failed = json!({"error": {"type": "provider.auth", "message": "no"}});
        let told = hear(
            &mut fold,
            now,
            &[
                ("session.execution.started", json!({})),
                ("session.step.failed", failed.clone()),
                ("session.execution.failed", failed.clone()),
            ],
        );
        assert_eq!(
            kinds(&told),
            ["session.status", "message.updated", "session.error", "session.status", "session.idle"]
        );
        let ghost = [
            ("session.deleted", json!({})),
            ("session.execution.started", json!({})),
            ("session.execution.failed", failed),
        ];
        assert_eq!(kinds(&hear(&mut fold, now, &ghost)), ["session.deleted"]);
    }

    #[tokio::test]
    async fn a_session_is_idle_once_its_family_has_been_quiet_for_a_moment() {
        let mut fold = Fold::default();
        let now = Instant::now();
        let shell = json!({"info": {"id": "sh", "status": "running", "metadata": {"sessionID": "s"}}});
        let told = hear(
            &mut fold,
            now,
            &[
                ("session.execution.started", json!({})),
                ("shell.created", shell),
                ("session.execution.succeeded", json!({})),
            ],
        );
        assert_eq!(kinds(&told), ["session.status"], "a command runs that will wake it");
        assert!(fold.settle(now + 10 * QUIET).is_empty());
        hear(&mut fold, now, &[("shell.exited", json!({"id": "sh"}))]);
        assert!(fold.settle(now).is_empty(), "what wakes it may be on its way");
        assert_eq!(kinds(&fold.settle(now + QUIET)), ["session.status", "session.idle"]);
        assert!(fold.settle(now + 2 * QUIET).is_empty());
    }

    #[tokio::test]
    async fn what_a_person_has_refused_is_no_failure_and_its_tool_says_so() {
        let mut fold = Fold::default();
        let aborted =
            json!({"callID": "c", "error": {"type": "aborted", "message": "Tool execution interrupted"}});
        let told = hear(
            &mut fold,
            Instant::now(),
            &[
                ("session.execution.started", json!({})),
                ("session.tool.called", json!({"callID": "c", "input": {"command": "ls"}})),
                ("permission.v2.asked", json!({"id": "p", "action": "shell", "source": {"callID": "c"}})),
                ("permission.v2.replied", json!({"requestID": "p", "reply": "reject"})),
                ("session.tool.failed", aborted),
                ("session.execution.interrupted", json!({"reason": "shutdown"})),
            ],
        );
        let cause = told.iter().find_map(|one| match one {
            Told::Event(_, What::Part(part)) => match &part.content {
                Content::Tool(tool) => tool.cause,
                _ => None,
            },
            _ => None,
        });
        assert_eq!(cause, Some(ToolCause::Refused));
        let is_abort =
            |one: &Told| matches!(one, Told::Event(_, What::Failed(Some(failure))) if failure.is_abort());
        assert!(told.iter().any(is_abort), "{told:?}");
    }

    #[test]
    fn not_more_frames_are_remembered_than_may_come_twice() {
        let mut fold = Fold::default();
        for number in 0..2 * SEEN {
            assert!(fold.is_news(&format!("evt_{number}")));
        }
        assert!(!fold.is_news(&format!("evt_{}", 2 * SEEN - 1)));
        assert_eq!((fold.seen.len(), fold.order.len()), (SEEN, SEEN));
    }
}
