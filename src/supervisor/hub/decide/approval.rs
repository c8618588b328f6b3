//! Approvals: they come and go with what sessions wait for, the first answer is taken, and its way is followed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Work;
use crate::hub::effect::Effect;
use crate::hub::input::{NotAccepted, OfApprovals};
use hal_base::clock::Time;
use hal_base::id;
use hal_protocol::alert::Severity;
use hal_protocol::approval::{Approval, ApprovalId, ApprovalState, Given, Reply};
use hal_protocol::command::{Command, CommandId, CommandRequest, CommandState, Verb};
use hal_protocol::event::{EventView, raw};
use hal_protocol::notice::{Notice, NoticeKind};
use hal_protocol::session::{Activity, Ask, AskKind, Session, SessionId};
use hal_protocol::who::{Who, WhoKind};
use hal_rules::alert::AlertRaised;
use hal_rules::approval::{self, AnswerVerdict, Due};
use hal_rules::command::Refused;
use hal_store::kept::{OPEN, OVER};
use hal_store::session::SessionRecord;

/// Approvals that are over and still kept; the oldest goes first.
const KEPT: usize = 500;

/// The longest that one may be snoozed.
const LONGEST_SNOOZE: Duration = Duration::from_secs(7 * 86_400);

/// The alert of an answer that has not arrived.
const UNDELIVERED: &str = "approval.undelivered";

/// The alert of an answer that came too late: its session had moved on.
const OVERTAKEN: &str = "approval.overtaken";

/// Who answers when the time limit is over.
const CLOCK: &str = "time limit";

/// What a request that may be an answer is.
pub(super) enum Claim {
    /// No answer to anything that is known to wait.
    None,
    /// The first answer.
    First(Box<Approval>, Reply),
    /// One that was given before, by this command.
    Same(Box<Command>),
    /// One that does not count.
    Late(String),
}

impl Work {
    /// Something happens to approvals.
    pub(super) fn approval(&mut self, event: OfApprovals, at: Time) {
        match event {
            OfApprovals::Seen { ids, who, note } => {
                for id in ids {
                    let known = self.view.approval(id.as_str());
                    if let Some(seen) = known.and_then(|one| approval::seen(one, &who, &note, at)) {
                        self.put_approval(&seen, at);
                    }
                }
            }
            OfApprovals::Snooze { id, seconds, who, reply } => {
                let answer = self.snooze(&id, seconds, &who, at);
                self.effects.push(Effect::reply(reply, answer));
            }
        }
    }

    fn snooze(
        &mut self,
        id: &ApprovalId,
        seconds: u64,
        who: &Who,
        at: Time,
    ) -> Result<Approval, NotAccepted> {
        let no_such = || NotAccepted::Refused(Refused::NoSuch(format!("no approval {id}")));
        let known = self.view.approval(id.as_str()).ok_or_else(no_such)?;
        if !known.state.wants_answer() {
            return Err(NotAccepted::Late(format!(
                "approval {id} does not wait for an answer: it is {}",
                known.state.as_str()
            )));
        }
        let until = at.plus(Duration::from_secs(seconds).min(LONGEST_SNOOZE));
        let asleep = approval::snoozed(known, until, who, at);
        self.put_approval(&asleep, at);
        self.tell_approval(
            "approval.snoozed",
            &asleep,
            &json!({"by": who.name, "until": until.to_string()}),
            at,
        );
        let args = json!({"seconds": seconds, "over": who.through});
        self.write_down(who, "snooze approval", asleep.id.as_str(), &args, at);
        Ok(asleep)
    }

    /// What a request is, should it be an answer. One that does not say to which request gets its name, so that the
    /// node cannot take it for another.
    pub(super) fn claim_answer(&self, request: &mut CommandRequest) -> Claim {
        let Some(reply) = Verb::parse(&request.verb).and_then(|verb| reply_of(verb, &request.args)) else {
            return Claim::None;
        };
        let verb = Verb::parse(&request.verb);
        let kind = if verb == Some(Verb::AnswerPermission) { AskKind::Permission } else { AskKind::Question };
        let named = request.args.get("request_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(approval) = self.meant(&SessionId::new(&request.session_id), kind, &named) else {
            return Claim::None;
        };
        if named.is_empty() {
            request.args.insert("request_id".to_owned(), approval.request_id.clone().into());
        }
        match approval::judge(&approval, &reply) {
            AnswerVerdict::First => Claim::First(Box::new(approval), reply),
            AnswerVerdict::Same(given) => {
                Claim::Same(Box::new(self.command_of(&approval, &given, &request.args)))
            }
            AnswerVerdict::Late(why) => Claim::Late(format!("approval {}: {why}", approval.id)),
        }
    }

    /// The approval that an answer to this session means; its helpers' requests are asked on its behalf.
    fn meant(&self, session: &SessionId, kind: AskKind, request: &str) -> Option<Approval> {
        let mut family = vec![session.clone()];
        self.view.stored.each_helper(session, &mut |helper| family.push(helper.id.clone()));
        let is_of = |one: &Approval| one.kind == kind && family.contains(&one.session_id);
        let open = self.view.open_approvals().into_iter().filter(is_of);
        if request.is_empty() {
            let (wanting, rest): (Vec<_>, Vec<_>) = open.partition(|one| one.state.wants_answer());
            return wanting.into_iter().next().or(rest.into_iter().next_back());
        }
        let mut open = open.filter(|one| one.request_id == request);
        open.next().or_else(|| self.view.approval(request).filter(is_of))
    }

    /// The command that carries an answer: as it is, or as far as the approval tells once it has ended.
    fn command_of(&self, approval: &Approval, given: &Given, args: &Map<String, Value>) -> Command {
        self.command_now(&given.command_id).unwrap_or_else(|| Command {
            id: given.command_id.clone(),
            verb: verb_of(approval.kind),
            node_id: approval.node_id.clone(),
            project: approval.project.to_string(),
            session_id: Some(approval.session_id.clone()),
            args: args.clone(),
            actor: given.by.clone(),
            who: given.who.clone(),
            idempotency_key: None,
            state: CommandState::Done,
            output: String::new(),
            error: None,
            created_at: given.at,
            expires_at: given.at,
            changed_at: given.at,
        })
    }

    /// The first answer was taken, as this command.
    pub(super) fn give(&mut self, known: Approval, reply: Reply, command: &Command, at: Time) {
        let given = Given {
            reply,
            by: command.actor.clone(),
            over: way_of(command),
            who: command.who.clone(),
            at,
            command_id: command.id.clone(),
            has_ended: false,
        };
        let answered = approval::answered(known, given);
        self.put_approval(&answered, at);
        self.tell_approval("approval.answered", &answered, &json!({}), at);
    }

    /// What people are told of an approval.
    fn notice_of_approval(&self, kind: NoticeKind, approval: &Approval, at: Time) -> Notice {
        let last = approval.receipt.last();
        let how = match (&approval.answer, last) {
            (Some(given), _) => format!("{} by {} over {}", given.reply.words(), given.by, given.over),
            (None, Some(step)) if kind == NoticeKind::Answered => step.note.clone(),
            _ => String::new(),
        };
        let (title, text) = match kind {
            NoticeKind::Answered => (format!("session {} continues", approval.session_id), how),
            _ => {
                let word = match approval.kind {
                    AskKind::Permission => "asks for permission",
                    AskKind::Question => "asks a question",
                };
                (format!("session {} {word}", approval.session_id), approval.what.clone())
            }
        };
        Notice {
            kind,
            name: "session.waiting".to_owned(),
            severity: Severity::Medium,
            title,
            text,
            about: approval.id.to_string(),
            node: approval.node_id.to_string(),
            session: approval.session_id.to_string(),
            project: approval.project.to_string(),
            subject: self.view.subject_of("question", approval.id.as_str()),
            question: Some(approval.id.to_string()),
            by: approval.answer.as_ref().map(|given| given.by.clone()).unwrap_or_default(),
            count: 1,
            created_at: at,
            ..Notice::default()
        }
    }

    /// Follows an answer to its node.
    pub(super) fn follow_answer(&mut self, command: &Command) {
        if !matches!(command.verb, Verb::AnswerPermission | Verb::AnswerQuestion) {
            return;
        }
        let carries =
            |one: &Approval| one.answer.as_ref().is_some_and(|given| given.command_id == command.id);
        let known = self.view.open_approvals().into_iter().find(carries);
        let Some(now) = known.and_then(|known| approval::followed(known, command)) else { return };
        let at = command.changed_at;
        self.put_approval(&now, at);
        let why = command.error.as_deref().unwrap_or_default();
        match now.state {
            ApprovalState::Undelivered => {
                let text = format!(
                    "the answer of {} to session {} on node {} did not arrive, and the session is still waiting: \
                     {why}. Answer again: halctl approvals get {}",
                    command.actor, now.session_id, now.node_id, now.id
                );
                self.raise(&undelivered(&now, Severity::High, &text), at);
                self.tell_approval(UNDELIVERED, &now, &json!({"error": why}), at);
            }
            ApprovalState::Lapsed => {
                let text = format!(
                    "the answer of {} to session {} on node {} came too late, the session had moved on: {why}",
                    command.actor, now.session_id, now.node_id
                );
                let seen = AlertRaised {
                    name: OVERTAKEN,
                    about: now.id.as_str(),
                    severity: Severity::Medium,
                    text: &text,
                    lasting: false,
                };
                self.raise(&seen, at);
                self.tell_approval(UNDELIVERED, &now, &json!({"error": why}), at);
            }
            _ => {}
        }
    }

    /// Compares what sessions wait for with the approvals that are known: those sessions whose requests have changed.
    pub(super) fn follow_asks(&mut self, at: Time) {
        for id in std::mem::take(&mut self.asking) {
            let record = self.view.stored.sessions.get(&id).cloned();
            self.show_anew_above(&id);
            let session = record.as_ref().map(|record| &record.session);
            let asks = session.map(|session| session.asks.as_slice()).unwrap_or_default();
            let known = self.view.approvals_of(&id);
            let is_asked = |one: &Approval| asks.iter().any(|ask| ask.id == one.request_id);
            for gone in known.iter().filter(|one| !is_asked(one)) {
                self.move_on(gone, session, at);
            }
            for ask in asks.iter().filter(|ask| !known.iter().any(|one| one.request_id == ask.id)) {
                if let Some(session) = session {
                    self.open_approval(ask, session, at);
                }
            }
        }
    }

    /// A turn waits with its helpers: where the states of sessions are copied to, those above are copied again.
    fn show_anew_above(&mut self, id: &SessionId) {
        for above in self.view.stored.above(id) {
            if let Some(record) = self.view.stored.sessions.get(&above) {
                let record = || SessionRecord::clone(record);
                self.batch.sessions.entry(above.to_string()).or_insert_with(record);
            }
        }
    }

    fn open_approval(&mut self, ask: &Ask, session: &Session, at: Time) {
        let is_taken = |name: &str| self.view.approval(name).is_some_and(|one| one.session_id != session.id);
        let name = approval::name(ask, session, is_taken);
        let limits = self.view.settings.approvals;
        let new = approval::open(name, ask, session, limits, at);
        self.put_approval(&new, at);
        self.tell_approval("approval.asked", &new, &json!({}), at);
        self.tell_people(&self.notice_of_approval(NoticeKind::Asked, &new, at), at);
    }

    fn move_on(&mut self, known: &Approval, session: Option<&Session>, at: Time) {
        let why = match session.map(|session| &session.activity) {
            None => "the session is gone",
            Some(Activity::Ended(_)) => "the session has ended",
            Some(Activity::Idle) => "its turn is over",
            Some(Activity::Busy | Activity::Retry(_)) => "it goes on",
        };
        let now = approval::moved_on(known.clone(), why, at);
        if now == *known {
            return;
        }
        self.put_approval(&now, at);
        let kind = if now.state == ApprovalState::Settled { "approval.settled" } else { "approval.lapsed" };
        self.tell_approval(kind, &now, &json!({}), at);
    }

    /// What time does to approvals.
    pub(super) fn approvals_due(&mut self, at: Time) {
        for known in self.view.open_approvals() {
            if !self.view.stored.sessions.contains_key(&known.session_id) {
                self.move_on(&known, None, at);
                continue;
            }
            match approval::due(&known, at) {
                Due::Nothing => {}
                Due::Awake => {
                    let awake = Approval { snoozed_until: Time::default(), ..known.clone() };
                    self.put_approval(&awake, at);
                    self.tell_approval("approval.asked", &awake, &json!({"again": true}), at);
                    self.tell_people(&self.notice_of_approval(NoticeKind::Asked, &awake, at), at);
                }
                Due::TimeUp => self.time_is_up(&known, at),
            }
            if approval::is_late(&known, at) {
                let text = format!(
                    "the answer to session {} has not reached node {} after {} s: is it connected? halctl nodes get {}",
                    known.session_id,
                    known.node_id,
                    approval::LATE.as_secs(),
                    known.node_id
                );
                self.raise(&undelivered(&known, Severity::Medium, &text), at);
            }
        }
    }

    fn time_is_up(&mut self, known: &Approval, at: Time) {
        let over = Approval { deadline: Time::default(), ..known.clone() };
        self.put_approval(&over, at);
        self.tell_approval("approval.time_up", &over, &json!({}), at);
        if !self.view.settings.approvals.denies {
            return;
        }
        let reply = Reply::Reject { message: "nobody has answered in time".to_owned() };
        let request = request(&over, &reply, CLOCK);
        // One that is refused finds too many commands before it; a person sees that the time is up.
        if let Ok(command) = self.order(&request, &Who::policy(CLOCK), CommandId::from(id::fresh()), at) {
            self.give(over, reply, &command, at);
        }
    }

    /// Time limits and snoozes go with a clock that was set.
    pub(super) fn move_approvals(&mut self, moved: impl Fn(Time) -> Time, at: Time) {
        let shift = |time: Time| if time == Time::default() { time } else { moved(time) };
        for known in self.view.open_approvals() {
            let (deadline, snoozed_until) = (shift(known.deadline), shift(known.snoozed_until));
            if (deadline, snoozed_until) != (known.deadline, known.snoozed_until) {
                self.put_approval(&Approval { deadline, snoozed_until, ..known }, at);
            }
        }
    }

    pub(super) fn put_approval(&mut self, approval: &Approval, at: Time) {
        let id = approval.id.as_str();
        if approval.state != ApprovalState::Undelivered {
            self.resolve(UNDELIVERED, id, at);
        }
        if approval.is_open() {
            self.put_kept(OPEN, id, approval, at);
            return;
        }
        self.delete_kept(OPEN, id);
        self.put_kept(OVER, id, approval, at);
        self.tell_people(&self.notice_of_approval(NoticeKind::Answered, approval, at), at);
        let past: Vec<ApprovalId> = self.view.past_approvals().into_iter().map(|one| one.id).collect();
        for old in past.iter().take(past.len().saturating_sub(KEPT)) {
            self.delete_kept(OVER, old.as_str());
        }
    }

    /// An event of the session, so that routes can carry it and its log shows it.
    pub(super) fn tell_approval(&mut self, kind: &str, approval: &Approval, more: &Value, at: Time) {
        let (seq, timestamp) = self.next_place(at);
        let session = self.view.stored.sessions.get(&approval.session_id).map(Arc::clone);
        if let Some(record) = &session {
            self.view.stored.tail.push(record.no, seq);
        }
        let answer = approval.answer.as_ref();
        let mut data = json!({
            "id": approval.id, "kind": approval.kind, "state": approval.state, "what": approval.what,
            "about": approval.about, "directory": approval.directory, "requestID": approval.request_id,
            "by": answer.map(|given| &given.by), "over": answer.map(|given| &given.over),
            "answer": answer.map(|given| given.reply.words()),
        });
        if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
            data.extend(more.clone());
        }
        self.batch.events.push(EventView {
            seq,
            id: id::fresh(),
            kind: kind.to_owned(),
            session_id: session.map_or_else(String::new, |record| record.session.id.to_string()),
            node_id: approval.node_id.clone(),
            project: approval.project.to_string(),
            data: raw(&data),
            timestamp,
            occurred_at: at,
            node_seq: 0,
        });
    }
}

/// The request that carries an answer to an approval.
pub fn request(approval: &Approval, reply: &Reply, over: &str) -> CommandRequest {
    let mut args = Map::new();
    args.insert("request_id".to_owned(), approval.request_id.clone().into());
    args.insert("over".to_owned(), over.into());
    let word = match reply {
        Reply::Once => "once",
        Reply::Always => "always",
        Reply::Reject { .. } => "reject",
        Reply::Answers { .. } => "",
    };
    match (approval.kind, reply) {
        (AskKind::Question, Reply::Answers { answers }) => args.insert("answers".to_owned(), json!(answers)),
        (AskKind::Question, _) => args.insert("answers".to_owned(), json!([])),
        (AskKind::Permission, _) => args.insert("reply".to_owned(), word.into()),
    };
    if let Reply::Reject { message } = reply
        && !message.is_empty()
    {
        args.insert("message".to_owned(), message.as_str().into());
    }
    CommandRequest {
        verb: verb_of(approval.kind).as_str().to_owned(),
        session_id: approval.session_id.to_string(),
        args,
        ..CommandRequest::default()
    }
}

/// By which way an answer came. Whoever is not the supervisor itself does not choose what is said of it.
fn way_of(command: &Command) -> String {
    match command.who.as_ref().filter(|who| who.kind != WhoKind::Policy) {
        Some(who) => who.through.clone(),
        None => command.args.get("over").and_then(Value::as_str).unwrap_or("api").to_owned(),
    }
}

fn verb_of(kind: AskKind) -> Verb {
    match kind {
        AskKind::Permission => Verb::AnswerPermission,
        AskKind::Question => Verb::AnswerQuestion,
    }
}

/// The answer in a command's arguments; `None`: it is none, or none that makes sense.
fn reply_of(verb: Verb, args: &Map<String, Value>) -> Option<Reply> {
    let text = |key: &str| args.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let reject = || Reply::Reject { message: text("message") };
    match verb {
        Verb::AnswerPermission => match text("reply").as_str() {
            "once" => Some(Reply::Once),
            "always" => Some(Reply::Always),
            "reject" => Some(reject()),
            _ => None,
        },
        Verb::AnswerQuestion => {
            let answers: Vec<Vec<String>> = serde_json::from_value(args.get("answers")?.clone()).ok()?;
            Some(if answers.is_empty() { reject() } else { Reply::Answers { answers } })
        }
        _ => None,
    }
}

fn undelivered<'a>(approval: &'a Approval, severity: Severity, text: &'a str) -> AlertRaised<'a> {
    AlertRaised { name: UNDELIVERED, about: approval.id.as_str(), severity, text, lasting: true }
}
