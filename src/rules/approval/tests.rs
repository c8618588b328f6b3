//! Tests of the life of an approval.

use serde_json::Map;

use super::*;
use hal_protocol::command::{CommandId, Verb};
use hal_protocol::session::AskKind;

fn session() -> Session {
    Session::new("ses_1".into(), "web-1".into(), "shop".into(), Time(1))
}

fn ask(id: &str) -> Ask {
    Ask {
        id: id.into(),
        kind: AskKind::Permission,
        what: "rm -rf build".into(),
        about: "bash".into(),
        since: Time(5),
    }
}

fn fresh(limits: ApprovalLimits) -> Approval {
    open("per_1".into(), &ask("per_1"), &session(), limits, Time(10))
}

/// Somebody by this way.
fn by(name: &str, over: &str) -> Who {
    Who::channel(name, over)
}

fn given(by: &str, reply: Reply) -> Given {
    Given {
        reply,
        by: by.into(),
        over: "halctl".into(),
        who: Some(Who::with_token("halctl", "10.0.0.7")),
        at: Time(20),
        command_id: "c1".into(),
        has_ended: false,
    }
}

fn command(state: CommandState, error: Option<&str>) -> Command {
    Command {
        id: CommandId::new("c1"),
        verb: Verb::AnswerPermission,
        node_id: "web-1".into(),
        project: "shop".into(),
        session_id: Some("ses_1".into()),
        args: Map::new(),
        actor: "ada".into(),
        who: None,
        idempotency_key: None,
        state,
        output: String::new(),
        error: error.map(str::to_owned),
        created_at: Time(20),
        expires_at: Time(99),
        changed_at: Time(30),
    }
}

fn stages(approval: &Approval) -> Vec<Stage> {
    approval.receipt.iter().map(|step| step.stage).collect()
}

#[test]
fn an_answer_from_outside_is_on_the_receipt_whatever_was_on_its_way() {
    let outside = answered_outside(fresh(ApprovalLimits::default()), "always", Time(50));
    assert_eq!((outside.state, outside.answer.is_none()), (ApprovalState::Lapsed, true));
    let last = outside.receipt.last().unwrap();
    assert!(last.stage == Stage::MovedOn && last.note.starts_with("answered outside"), "{last:?}");
    assert!(last.note.contains("always"), "{last:?}");
    assert_eq!(moved_on(outside.clone(), "it goes on", Time(51)), outside, "told once");
    let overtaken = answered_outside(
        answered(fresh(ApprovalLimits::default()), given("ada", Reply::Once)),
        "once",
        Time(50),
    );
    assert_eq!(overtaken.state, ApprovalState::Settled, "what comes of ada's answer is followed still");
}

#[test]
fn the_first_answer_counts_the_same_again_is_fine_and_another_is_told_who_was_first() {
    let waiting = fresh(ApprovalLimits::default());
    assert_eq!(judge(&waiting, &Reply::Once), AnswerVerdict::First);
    let answered = answered(waiting, given("ada", Reply::Once));
    assert!(matches!(judge(&answered, &Reply::Once), AnswerVerdict::Same(first) if first.by == "ada"));
    let AnswerVerdict::Late(why) = judge(&answered, &Reply::Reject { message: String::new() }) else {
        panic!("the second one must not count")
    };
    assert_eq!(why, "already answered by ada at 1970-01-01T00:00:00.020Z over halctl: allowed");
}

#[test]
fn the_receipt_tells_each_step_once_whichever_word_of_the_node_comes_first() {
    let sent = answered(
        seen(fresh(ApprovalLimits::default()), &by("ada", "halctl"), "", Time(12)).unwrap(),
        given("ada", Reply::Once),
    );
    assert_eq!(seen(sent.clone(), &by("ada", "halctl"), "", Time(13)), None, "that is known");
    let running = followed(sent.clone(), &command(CommandState::Running, None)).unwrap();
    assert_eq!(running.state, ApprovalState::Reached);
    let settled = moved_on(running, "", Time(40));
    assert!(settled.state == ApprovalState::Settled && settled.is_open(), "its command has not ended");
    let over = followed(settled, &command(CommandState::Done, None)).unwrap();
    assert!(!over.is_open());
    assert_eq!(stages(&over), [Stage::Asked, Stage::Seen, Stage::Answered, Stage::Reached, Stage::MovedOn]);
    let other_way = followed(moved_on(sent, "", Time(25)), &command(CommandState::Done, None)).unwrap();
    assert!(other_way.state == ApprovalState::Settled && !other_way.is_open());
    assert_eq!(followed(other_way, &command(CommandState::Done, None)), None);
}

#[test]
fn an_answer_that_did_not_arrive_is_on_the_receipt_and_can_be_given_again() {
    let sent = answered(fresh(ApprovalLimits::default()), given("ada", Reply::Once));
    let lost =
        followed(sent.clone(), &command(CommandState::Expired, Some("node web-1 did not take it"))).unwrap();
    assert_eq!((lost.state, &lost.answer), (ApprovalState::Undelivered, &None));
    assert!(lost.receipt.last().unwrap().note.contains("did not take it"), "{lost:?}");
    assert_eq!(judge(&lost, &Reply::Reject { message: String::new() }), AnswerVerdict::First);
    let elsewhere = followed(
        moved_on(sent, "", Time(25)),
        &command(CommandState::Failed, Some("waits for no permission")),
    );
    assert_eq!(elsewhere.unwrap().state, ApprovalState::Lapsed);
    let nobody = moved_on(fresh(ApprovalLimits::default()), "", Time(25));
    assert!(nobody.state == ApprovalState::Lapsed && !nobody.is_open());
    assert!(matches!(judge(&nobody, &Reply::Once), AnswerVerdict::Late(_)));
}

#[test]
fn time_is_up_once_and_snoozing_puts_it_off() {
    let limits = ApprovalLimits { time_limit: Some(Duration::from_millis(100)), denies: true };
    let waiting = fresh(limits);
    assert_eq!((due(&waiting, Time(109)), due(&waiting, Time(110))), (Due::Nothing, Due::TimeUp));
    let asleep = snoozed(waiting, Time(500), &by("ada", "slack"), Time(20));
    assert_eq!((due(&asleep, Time(499)), due(&asleep, Time(500))), (Due::Nothing, Due::TimeUp));
    let asleep = snoozed(fresh(ApprovalLimits::default()), Time(500), &by("ada", "slack"), Time(20));
    assert_eq!(due(&asleep, Time(500)), Due::Awake);
    assert_eq!(due(&answered(asleep, given("ada", Reply::Once)), Time(900)), Due::Nothing);
}

#[test]
fn a_name_is_short_and_nobody_elses() {
    let named =
        |id: &str, taken: &[&str]| name(&ask(id), &session(), |name| taken.contains(&name)).to_string();
    assert_eq!(named("per_1", &[]), "per_1");
    assert_eq!(named("per_1", &["per_1"]), "per_1@web-1");
    let third = named("per_1", &["per_1", "per_1@web-1"]);
    assert!(third.len() == 24 && third != named("per_2", &["per_2", "per_2@web-1"]), "{third}");
    assert_eq!(named(&"x".repeat(2_000), &[]).len(), 24);
}

#[test]
fn a_receipt_is_bounded() {
    let mut one = fresh(ApprovalLimits::default());
    for round in 0..200 {
        one = seen(one.clone(), &by(&format!("person {round}"), "api"), "", Time(round)).unwrap_or(one);
        one = followed(answered(one, given("ada", Reply::Once)), &command(CommandState::Expired, None))
            .unwrap();
    }
    assert_eq!(one.receipt.len(), MOST_STEPS);
    assert_eq!(one.receipt[0].stage, Stage::Asked);
}
