//! Tests of the facts and of the frame around the policies.

use serde_json::{Value, json};

use super::*;
use hal_protocol::event::{form, raw};

const SECOND: i64 = 1_000;

/// A session whose events are told one by one.
struct Tale {
    session: Session,
    facts: PolicyFacts,
    now: Time,
}

impl Tale {
    fn new() -> Self {
        let session = Session::new("s".into(), "n".into(), "p".into(), Time(0));
        Self { session, facts: PolicyFacts::default(), now: Time(1_000 * SECOND) }
    }

    fn say(&mut self, kind: &str, data: &Value) -> &mut Self {
        let what = form::read(kind, &raw(data));
        crate::session::apply(&mut self.session, &what, self.now);
        self.facts.fold(&self.session, &what, self.now);
        self
    }

    fn busy(&mut self) -> &mut Self {
        self.say("session.status", &json!({"status": {"type": "busy"}}))
    }

    fn idle(&mut self) -> &mut Self {
        self.say("session.idle", &json!({}))
    }

    fn fail(&mut self, name: &str, message: &str) -> &mut Self {
        self.busy()
            .say("session.error", &json!({"error": {"name": name, "data": {"message": message}}}))
            .idle()
    }

    fn tool(&mut self, call: &str, tool: &str, state: &Value) -> &mut Self {
        let part = json!({"type": "tool", "tool": tool, "callID": call, "state": state});
        self.say("message.part.updated", &json!({ "part": part }))
    }

    fn bad(&mut self, call: &str) -> &mut Self {
        let state = json!({"status": "completed", "input": {"command": "make"}, "metadata": {"exit": 2}});
        self.tool(call, "bash", &state)
    }

    fn ask(&self, rule: &Rule, memory: Option<&PolicyMemory>, after: i64) -> Decision {
        let beside = Beside { online: Some(Time(0)), ..Beside::default() };
        let subject = Subject { session: &self.session, facts: &self.facts, beside };
        decide(rule, &subject, memory, Time(self.now.0 + after * SECOND))
    }
}

fn rule(name: Name) -> Rule {
    Rule { enabled: true, ..Rule::of(name) }
}

fn step(decision: Decision) -> PolicyAction {
    match decision {
        Decision::Act(step) => step,
        other => panic!("{other:?}"),
    }
}

fn why_not(decision: Decision) -> String {
    match decision {
        Decision::None { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn turns_that_fail_are_counted_until_one_goes_well() {
    let mut tale = Tale::new();
    tale.fail("UnknownError", "x").fail("UnknownError", "x");
    tale.busy().idle();
    assert_eq!(tale.facts.errors, 0);
    tale.fail("UnknownError", "x").fail("UnknownError", "x").fail("MessageAbortedError", "");
    assert_eq!((tale.facts.errors, tale.facts.stopped), (2, true), "a person's stop is no failure");
    tale.fail("UnknownError", "x");
    let act = step(tale.ask(&rule(Name::ErrorLoop), None, 0));
    assert_eq!((act.act, act.attempt), (Act::Pause, 1));
    tale.fail("UnknownError", "x");
    let again = tale.ask(&rule(Name::ErrorLoop), Some(&remember(&act, tale.now)), 600);
    assert!(why_not(again).contains("acted on this"), "a fourth error is the same loop");
}

#[test]
fn a_command_that_fails_is_counted_once_for_each_call_until_a_file_changes() {
    let mut tale = Tale::new();
    tale.busy().bad("1").bad("1").bad("2");
    assert_eq!(tale.facts.worst().map(|one| one.times), Some(2));
    let refused = json!({"status": "error", "input": {"command": "make"}, "error": "The user rejected it"});
    tale.tool("3", "bash", &refused);
    assert_eq!(tale.facts.worst().map(|one| one.times), Some(2), "what a person refused has not failed");
    tale.tool("4", "edit", &json!({"status": "completed", "input": {"filePath": "/p/a.rs"}}));
    assert_eq!((tale.facts.worst(), tale.facts.changed.clone()), (None, Some((tale.now, "/p/a.rs".into()))));
}

#[test]
fn stuck_needs_failures_time_and_tokens_together() {
    let mut tale = Tale::new();
    tale.busy();
    for call in ["1", "2", "3", "4", "5"] {
        tale.bad(call);
    }
    let rule = rule(Name::Stuck);
    assert!(why_not(tale.ask(&rule, None, 3600)).contains("only 0 tokens"));
    tale.say("session.updated", &json!({"info": {"tokens": {"input": 30_000}}}));
    assert!(why_not(tale.ask(&rule, None, 599)).contains("if nothing changes"));
    let act = step(tale.ask(&rule, None, 600));
    assert!(
        act.why.contains("`bash make` has failed 5 times") && act.why.contains("30000 tokens"),
        "{}",
        act.why
    );
}

#[test]
fn what_came_to_nothing_is_tried_again_after_a_while_and_not_for_ever() {
    let mut tale = Tale::new();
    tale.busy().idle();
    let rule = Rule { max_retries: 2, ..rule(Name::ResumeOnIdle) };
    let first = step(tale.ask(&rule, None, 300));
    let at = Time(tale.now.0 + 300 * SECOND);
    let memory = PolicyMemory { failed: true, ..remember(&first, at) };
    assert!(why_not(tale.ask(&rule, Some(&memory), 359)).contains("cools down"));
    let second = step(tale.ask(&rule, Some(&memory), 360));
    assert_eq!((second.attempt, &second.situation), (2, &first.situation));
    let memory = PolicyMemory { failed: true, ..remember(&second, at) };
    let Decision::Exhausted { until, .. } = tale.ask(&rule, Some(&memory), 420) else { panic!() };
    assert_eq!(until, at.plus(Duration::from_secs(3600)));
    assert_eq!(step(tale.ask(&rule, Some(&memory), 300 + 3600)).attempt, 1);
}

#[test]
fn a_provider_that_says_when_is_taken_at_its_word() {
    let mut tale = Tale::new();
    let next = tale.now.plus(Duration::from_secs(900));
    let retry = json!({"status": {"type": "retry", "attempt": 1, "message": "quota", "next": next.0}});
    tale.busy().say("session.status", &retry);
    tale.say("session.error", &json!({"error": {"name": "APIError", "data": {"message": "quota"}}})).idle();
    let rule = rule(Name::RateLimited);
    assert!(why_not(tale.ask(&rule, None, 899)).contains("takes requests again at"));
    assert_eq!(step(tale.ask(&rule, None, 900)).act, Act::Prompt);
    assert!(why_not(tale.ask(&self::rule(Name::ResumeOnIdle), None, 9_000)).contains("rate_limited"));
}

#[test]
fn nobody_touches_what_a_person_has_the_word_on() {
    let mut tale = Tale::new();
    tale.busy().idle();
    let rule = rule(Name::ResumeOnIdle);
    tale.say("session.paused", &json!({"by": "anna"}));
    assert_eq!(why_not(tale.ask(&rule, None, 900)), "anna has paused the session");
    tale.say("session.resumed", &json!({"by": "anna"}));
    assert_eq!(step(tale.ask(&rule, None, 900)).act, Act::Prompt);
    tale.say("session.handover", &json!({"step": "begun"}));
    assert_eq!(why_not(tale.ask(&rule, None, 900)), "the session is being handed over");
    tale.say("session.handover", &json!({"step": "over"}));
    tale.session.parent_id = Some("boss".into());
    assert_eq!(why_not(tale.ask(&rule, None, 900)), "it is a helper of boss");
    tale.session.parent_id = None;
    tale.session.activity = Activity::Busy;
    assert_eq!(why_not(tale.ask(&rule, None, 900)), "its state is not known yet");
}

#[test]
fn a_clock_that_is_set_makes_nothing_old() {
    let mut tale = Tale::new();
    tale.busy().idle();
    let day = 86_400;
    tale.facts.move_by(day * SECOND);
    let rule = rule(Name::ResumeOnIdle);
    assert!(why_not(tale.ask(&rule, None, day + 299)).contains("too long from"));
    assert_eq!(step(tale.ask(&rule, None, day + 300)).act, Act::Prompt);
}
