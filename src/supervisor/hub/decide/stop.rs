//! Turns that are to stop: ordered to, looked at until they have, and named when they run on. Whoever halts or pauses is
//! answered when that is known.
//!
//! What is measured is what the nodes have told of their sessions, so agents of every release are measured alike.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Work;
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::alert::Severity;
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use hal_protocol::node::NodeId;
use hal_protocol::session::{Session, SessionId};
use hal_protocol::who::Who;
use hal_rules::alert::{AlertRaised, report};
use hal_rules::stop::{Cause, Next, Stopping};
use hal_store::kept::{HALT, HALT_ALL, STOPPING};

/// Who orders what a halt or a pause needs.
pub const HALTER: &str = "halt";

/// The alert that work is halted.
pub const HALTED: &str = "work.halted";

/// The alert that turns run on which were to stop.
const INCOMPLETE: &str = "halt.incomplete";

/// Whoever halts or pauses is answered after so long, whatever is known then.
const LONGEST: Duration = Duration::from_secs(120);

/// How long a node that interrupts a turn by itself is given to do so.
const NODE_STOPS: Duration = Duration::from_secs(20);

/// Turns that are named in one sentence; the others are counted.
const MOST_NAMED: usize = 10;

impl Work {
    /// The turn of this session and those of its helpers are to stop.
    pub(super) fn stop_session(&mut self, id: &SessionId, cause: &Cause, since: Time) {
        let mut running = Vec::new();
        self.view.each_running(id, &mut |session| running.push(session.id.clone()));
        for id in running {
            self.stop_turn(&id, cause, since);
        }
    }

    fn stop_turn(&mut self, id: &SessionId, cause: &Cause, since: Time) {
        let stopping = match self.view.kept(STOPPING, id.as_str()) {
            None => Stopping::new(cause.clone(), since),
            Some(known) if cause.is_stronger_than(&known.cause) => {
                Stopping { cause: cause.clone(), since: known.since.min(since), ..known }
            }
            Some(_) => return,
        };
        self.put_kept(STOPPING, id.as_str(), &stopping, since);
    }

    /// A node interrupts the turns of a session for want of money; it is looked at whether it does.
    pub(super) fn node_interrupts(&mut self, id: &SessionId, lease: &str, at: Time) {
        self.stop_session(id, &Cause::Lease(lease.to_owned()), at.plus(NODE_STOPS));
    }

    /// That lease has ended, and the turn with it.
    pub(super) fn lease_stopped(&mut self, lease: &str) {
        let is_its = |(id, stopping): (&str, &std::sync::Arc<Stopping>)| {
            (stopping.cause == Cause::Lease(lease.to_owned())).then(|| id.to_owned())
        };
        let over: Vec<String> = self.view.all_kept(STOPPING).filter_map(is_its).collect();
        over.iter().for_each(|id| self.delete_kept(STOPPING, id));
    }

    /// What was tried once and came to nothing is tried again for whoever asks again.
    pub(super) fn try_stops_again(&mut self, is_its: impl Fn(&Session) -> bool, at: Time) {
        for (id, stopping) in self.all_stops().into_iter().filter(|(_, stopping)| stopping.gave_up) {
            if self.view.stored.sessions.get(&id).is_some_and(|record| is_its(&record.session)) {
                self.put_kept(STOPPING, id.as_str(), &stopping.again(at), at);
            }
        }
    }

    /// A command that was to stop a turn has ended.
    pub(super) fn stop_part_ended(&mut self, command: &Command, at: Time) {
        let Some(id) = command.session_id.as_ref().filter(|_| command.actor == HALTER) else { return };
        let Some(mut stopping) = self.view.kept(STOPPING, id.as_str()) else { return };
        if stopping.part.as_ref() != Some(&command.id) {
            return;
        }
        stopping.part_ended(match command.state {
            CommandState::Done => String::new(),
            state => {
                let error = command.error.as_deref().unwrap_or_default();
                format!("{} is {}: {error}", command.verb.as_str(), state.as_str())
            }
        });
        self.put_kept(STOPPING, id.as_str(), &stopping, at);
        self.stirred = true;
    }

    fn all_stops(&self) -> Vec<(SessionId, Stopping)> {
        self.view.all_kept(STOPPING).map(|(id, one)| (SessionId::new(id), Stopping::clone(one))).collect()
    }

    /// Takes the next steps of all turns that are to stop; whoever waits is answered at the end of this input.
    pub(super) fn go_on_with_stops(&mut self, at: Time) {
        self.stirred = true;
        if self.view.any_kept(HALT) {
            let running = self.view.stored.sessions.values().filter(|one| one.session.activity.runs());
            let halted = running.filter(|one| self.view.halt_of(one.session.project.as_str()).is_some());
            let ids: Vec<SessionId> = halted.map(|one| one.session.id.clone()).collect();
            ids.iter().for_each(|id| self.stop_turn(id, &Cause::Halt, at));
        }
        for (id, stopping) in self.all_stops() {
            self.go_on_with_stop(&id, stopping, at);
        }
    }

    fn go_on_with_stop(&mut self, id: &SessionId, mut stopping: Stopping, at: Time) {
        let record = self.view.stored.sessions.get(id).cloned();
        let Some(record) =
            record.filter(|one| one.session.activity.runs() && self.is_wanted(&one.session, &stopping))
        else {
            return self.delete_kept(STOPPING, id.as_str());
        };
        if !self.is_connected(&record.session.node_id) {
            // What it was asked is nothing to go by when it comes back.
            if stopping.asked_at != Time::default() {
                self.put_kept(STOPPING, id.as_str(), &stopping.again(at), at);
            }
            return;
        }
        let verb = match stopping.next(at) {
            Next::Wait => return,
            Next::Abort => Verb::AbortSession,
            Next::Kill => Verb::KillSession,
            Next::GiveUp => {
                stopping.gave_up = true;
                stopping.why = "kill_session has no outcome yet".to_owned();
                return self.put_kept(STOPPING, id.as_str(), &stopping, at);
            }
        };
        let request = CommandRequest {
            verb: verb.as_str().to_owned(),
            session_id: id.to_string(),
            idempotency_key: format!("{id}/{}@{}", verb.as_str(), at.0),
            ..CommandRequest::default()
        };
        // One that is refused finds too many before it, and is tried at the next look.
        if let Ok(command) = self.order(&request, &Who::policy(HALTER), CommandId::from(id::fresh()), at) {
            stopping.ordered(command.id, verb == Verb::KillSession, at);
            self.put_kept(STOPPING, id.as_str(), &stopping, at);
        }
    }

    /// True while somebody wants it to stop.
    fn is_wanted(&self, session: &Session, stopping: &Stopping) -> bool {
        match &stopping.cause {
            // A halt may have come to one that was paused before.
            Cause::Halt => {
                let marks = self.view.marks_of(session);
                marks.halted.is_some() || marks.paused.is_some()
            }
            Cause::Pause(root) => self.marks(root).paused.is_some(),
            Cause::Lease(_) => true,
        }
    }

    pub(super) fn is_connected(&self, node: &NodeId) -> bool {
        self.view.is_online(node)
    }

    /// Answers whoever waits for turns to stop, and has people see those that do not.
    pub(super) fn conclude_stops(&mut self, at: Time) {
        let waits = |one: &&std::sync::Arc<Command>| {
            one.state == CommandState::Running && matches!(one.verb, Verb::HaltWork | Verb::PauseSession)
        };
        let waiting: Vec<Command> =
            self.view.stored.commands.values().filter(waits).map(|one| Command::clone(one)).collect();
        for command in waiting {
            if let Some(outcome) = self.stop_outcome(&command, at) {
                self.end_here(command, outcome, at);
            }
        }
        self.tell_halts(at);
        self.tell_incomplete(at);
    }

    /// What came of a halt or a pause; `None`: that is not known yet.
    pub(super) fn stop_outcome(&self, command: &Command, at: Time) -> Option<Result<String, String>> {
        let is_over = at >= command.created_at.plus(LONGEST);
        let (what, left) = match &command.session_id {
            Some(id) => {
                if self.marks(id).paused.is_none() {
                    return Some(Err("somebody resumed it before its turn stopped".to_owned()));
                }
                let mut running = Vec::new();
                self.view.each_running(id, &mut |session| running.push(session.clone()));
                (format!("session {id} is paused"), self.left(running.iter(), is_over)?)
            }
            None => {
                let key = if command.project.is_empty() { HALT_ALL } else { &command.project };
                if !self.view.is_kept(HALT, key) {
                    return Some(Err("it was released before all turns stopped".to_owned()));
                }
                let mut left = self.left(self.running_in(&command.project), is_over)?;
                left.extend(self.beginning_in(command, is_over)?);
                (format!("{} is halted", what_is_halted(&command.project)), left)
            }
        };
        if !left.is_empty() {
            return Some(Err(format!("{what}, and nothing new begins there, but {}", run_on(&left))));
        }
        if command.session_id.is_some() {
            return Some(Ok(what));
        }
        let away = self.away_of(&command.project);
        let unseen = if away.is_empty() {
            String::new()
        } else {
            format!("; what runs on {away} is not known, and is stopped when it is online again")
        };
        Some(Ok(format!("{what}: no turn runs{unseen}")))
    }

    /// The turns of these sessions that do not stop, each with why; `None`: some may still stop.
    fn left<'a>(&self, running: impl Iterator<Item = &'a Session>, is_over: bool) -> Option<Vec<String>> {
        running.map(|session| self.why_it_runs(session, is_over)).collect()
    }

    fn why_it_runs(&self, session: &Session, is_over: bool) -> Option<String> {
        let (id, node) = (&session.id, &session.node_id);
        if !self.is_connected(node) {
            return Some(format!(
                "session {id} (node {node} is offline; it is stopped when the node is online again)"
            ));
        }
        let stopping = self.view.kept(STOPPING, id.as_str()).unwrap_or_default();
        (stopping.gave_up || is_over).then(|| match stopping.why.as_str() {
            "" => format!("session {id} on node {node}"),
            why => format!("session {id} on node {node} ({why})"),
        })
    }

    fn running_in<'a>(&'a self, project: &'a str) -> impl Iterator<Item = &'a Session> {
        let all = self.view.stored.sessions.values().map(|record| &record.session);
        all.filter(move |one| one.activity.runs() && (project.is_empty() || one.project.as_str() == project))
    }

    /// What may begin a turn in spite of a halt, since its node had it before; `None`: that is not known yet.
    fn beginning_in(&self, halt: &Command, is_over: bool) -> Option<Vec<String>> {
        let begins = self.view.stored.commands.values().filter(|one| {
            matches!(one.verb, Verb::CreateSession | Verb::PromptSession)
                && (halt.project.is_empty() || one.project == halt.project)
        });
        let why = |one: &std::sync::Arc<Command>| {
            let (verb, id, node) = (one.verb.as_str(), &one.id, &one.node_id);
            match self.is_connected(node) {
                false => Some(format!("{verb} {id} may have started on node {node}, which is offline")),
                true if is_over => Some(format!("{verb} {id} on node {node} has no outcome yet")),
                true => None,
            }
        };
        begins.map(why).collect()
    }

    /// Nodes that are away and may run something of a project.
    fn away_of(&self, project: &str) -> String {
        let away = self.view.every_node().filter(|node| !node.link.online).filter(|node| {
            project.is_empty() || node.record.projects.iter().any(|one| one.name.as_str() == project)
        });
        let names: Vec<&str> = away.map(|node| node.record.id.as_str()).collect();
        match names.as_slice() {
            [] => String::new(),
            [one] => format!("node {one}"),
            several => format!("nodes {}", several.join(", ")),
        }
    }

    /// The alert of each halt says how it stands.
    fn tell_halts(&mut self, at: Time) {
        let halts: Vec<(String, hal_protocol::mark::Attribution)> =
            self.view.halts().map(|(key, said)| (key.to_owned(), said)).collect();
        for (key, said) in halts {
            let project = if key == HALT_ALL { "" } else { key.as_str() };
            let text = self.halt_text(project, &said);
            self.retell(HALTED, project, &text, at);
        }
    }

    /// How a halt stands.
    pub(super) fn halt_text(&self, project: &str, said: &hal_protocol::mark::Attribution) -> String {
        let stands = match self.running_in(project).count() {
            0 => "no turn runs or begins".to_owned(),
            1 => "nothing new begins, and 1 turn has not stopped yet".to_owned(),
            count => format!("nothing new begins, and {count} turns have not stopped yet"),
        };
        format!("{} is halted by {} since {}: {stands}", what_is_halted(project), said.by, said.at)
    }

    /// An open alert has another text from now on; nobody is called for that.
    fn retell(&mut self, name: &str, about: &str, text: &str, at: Time) {
        let open = self.view.stored.open_alert(name, about).cloned();
        if let Some(alert) = open.and_then(|open| report(&open, open.severity, text, at)) {
            self.put_alert(alert);
        }
    }

    /// People see what runs on that was to stop: one alert for each halt, and one for each session beside.
    fn tell_incomplete(&mut self, at: Time) {
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, mut stopping) in self.all_stops() {
            let Some(record) = self.view.stored.sessions.get(&id).cloned() else { continue };
            let is_away = !self.is_connected(&record.session.node_id);
            if (stopping.gave_up || is_away) && !stopping.told {
                stopping.told = true;
                self.put_kept(STOPPING, id.as_str(), &stopping, at);
            }
            let Some(why) = self.why_it_runs(&record.session, true).filter(|_| stopping.told) else {
                continue;
            };
            let about = match &stopping.cause {
                Cause::Halt => {
                    self.view.halt_of(record.session.project.as_str()).map(|(key, _)| match key.as_str() {
                        HALT_ALL => String::new(),
                        project => project.to_owned(),
                    })
                }
                Cause::Pause(_) | Cause::Lease(_) => Some(id.to_string()),
            };
            left.entry(about.unwrap_or_default()).or_default().push(why);
        }
        let open = self.view.stored.open_alerts.keys().filter(|(name, _)| name == INCOMPLETE);
        let over: Vec<String> =
            open.map(|(_, about)| about.clone()).filter(|about| !left.contains_key(about)).collect();
        over.iter().for_each(|about| self.resolve(INCOMPLETE, about, at));
        for (about, turns) in left {
            let text = format!("{}; stopping them is retried until they do", run_on(&turns));
            let seen = AlertRaised {
                name: INCOMPLETE,
                about: &about,
                severity: Severity::High,
                text: &text,
                lasting: true,
            };
            self.raise(&seen, at);
            self.retell(INCOMPLETE, &about, &text, at);
        }
    }
}

/// What a halt is of.
pub(super) fn what_is_halted(project: &str) -> &str {
    if project.is_empty() { "everything" } else { project }
}

/// Which turns run on, with a bounded number of names.
fn run_on(left: &[String]) -> String {
    let named = left.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let others = left.len().saturating_sub(MOST_NAMED);
    let others = if others > 0 { format!(" and {others} others") } else { String::new() };
    format!(
        "{} did not stop: {named}{others}",
        if left.len() == 1 { "1 turn".to_owned() } else { format!("{} turns", left.len()) }
    )
}
