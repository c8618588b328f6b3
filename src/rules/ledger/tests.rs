//! What is counted, and what is not counted twice.

use serde_json::{Value, json};

use super::*;
use crate::price::{Price, per_million};
use hal_protocol::event::{form, raw};

/// A session, its bill, and the sum of the ledger by place.
struct Stage {
    session: Session,
    bill: Option<LedgerBill>,
    prices: Prices,
    rows: Vec<(LedgerKey, UsageCost)>,
    since: Time,
}

const DAY: &str = "2026-11-26T12:00:00Z";

fn at(text: &str) -> i64 {
    Time::parse(text).unwrap().0
}

impl Stage {
    fn new() -> Self {
        let mut session = Session::new("s".into(), "n".into(), "p".into(), Time(at(DAY) - 1_000_000));
        session.directory = "/p".into();
        Self { session, bill: None, prices: Prices::default(), rows: Vec::new(), since: Time(0) }
    }

    fn hear(&mut self, kind: &str, data: Value, when: &str) {
        let what = form::read(kind, &raw(&data));
        let before = Before::of(&self.session);
        crate::session::apply(&mut self.session, &what, Time(at(when)));
        let (occurred, received, since) = (Time(at(when)), Time(at(when)), self.since);
        let heard = LedgerEvent { what: &what, occurred, received, before, since };
        if !heard.matters() {
            return;
        }
        // What is remembered is what comes back from JSON.
        let mut bill = self.bill.take().unwrap_or_else(|| LedgerBill::begin(&before));
        for LedgerEntry { place, gone, now } in bill.take(&self.session, &heard, &self.prices) {
            let at = self.rows.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
                self.rows.push((place, UsageCost::default()));
                self.rows.len() - 1
            });
            self.rows[at].1 = self.rows[at].1.plus(&now).minus(&gone);
        }
        assert!(bill.recent.len() <= RECENT && bill.rests.len() <= RESTS);
        bill.show(&mut self.session);
        self.bill = Some(serde_json::from_str(&serde_json::to_string(&bill).unwrap()).unwrap());
    }

    fn message(&mut self, id: &str, cost: f64, output: u64, when: &str) {
        self.say(
            id,
            "claude",
            cost,
            output,
            json!({"finish": "stop", "time": {"completed": at(when)}}),
            when,
        );
    }

    fn say(&mut self, id: &str, model: &str, cost: f64, output: u64, more: Value, when: &str) {
        let mut info = json!({"id": id, "role": "assistant", "providerID": "a", "modelID": model, "cost": cost,
            "tokens": {"input": 0, "output": output, "cache": {"read": 0, "write": 0}}});
        info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.hear("message.updated", json!({ "info": info }), when);
    }

    fn total(&mut self, cost: f64, output: u64, when: &str) {
        let info = json!({"cost": cost, "tokens": {"output": output}});
        self.hear("session.updated", json!({ "info": info }), when);
    }

    /// Rows that hold something: day, model, micros, tokens.
    fn rows(&self) -> Vec<(&str, &str, u64, u64)> {
        let rows = self.rows.iter().filter(|(_, worth)| worth.picos > 0 || worth.tokens != [0; 5]);
        rows.map(|(place, worth)| {
            (place.day.as_str(), place.model.as_str(), worth.picos / MICRO, worth.tokens.iter().sum())
        })
        .collect()
    }

    fn worth(&self) -> UsageCost {
        self.rows.iter().fold(UsageCost::default(), |sum, (_, worth)| sum.plus(worth))
    }
}

#[test]
fn a_message_counts_once_however_often_it_is_told() {
    let mut stage = Stage::new();
    for _ in 0..3 {
        stage.message("m1", 0.25, 10, DAY);
        stage.total(0.25, 10, DAY);
    }
    stage.message("m1", 0.20, 8, DAY);
    assert_eq!(
        stage.rows(),
        [("2026-11-26", "claude", 250_000, 10)],
        "the session's sum says that more was used"
    );
    stage.message("m2", 0.50, 7, DAY);
    stage.total(0.75, 17, DAY);
    assert_eq!(stage.rows(), [("2026-11-26", "claude", 750_000, 17)]);
}

#[test]
fn a_history_that_is_told_again_adds_nothing() {
    let mut stage = Stage::new();
    let tell = |stage: &mut Stage| {
        for n in 0..40_i64 {
            let when = Time(at(DAY) + n * 1000).to_string();
            stage.message(&format!("m{n}"), 0.01, 3, &when);
        }
        stage.total(0.40, 120, "2026-11-26T13:00:00Z");
    };
    tell(&mut stage);
    let once = stage.rows.clone();
    assert_eq!(stage.rows(), [("2026-11-26", "claude", 400_000, 120)]);
    tell(&mut stage);
    assert_eq!(stage.rows, once);
}

#[test]
fn each_message_counts_on_its_day_and_for_its_model() {
    let mut stage = Stage::new();
    stage.say(
        "m1",
        "big",
        1.0,
        1,
        json!({"time": {"completed": at("2026-11-26T23:59:59.999Z")}}),
        "2026-11-27T00:00:01Z",
    );
    stage.say(
        "m2",
        "small",
        0.5,
        1,
        json!({"time": {"completed": at("2026-11-27T00:00:00Z")}}),
        "2026-11-27T00:00:01Z",
    );
    // A clock that runs ahead cannot make days that are not there yet.
    stage.say(
        "m3",
        "small",
        0.5,
        1,
        json!({"time": {"completed": at("2027-01-01T00:00:00Z")}}),
        "2026-11-27T00:00:01Z",
    );
    stage.total(2.0, 3, "2026-11-27T00:00:02Z");
    assert_eq!(stage.rows(), [("2026-11-26", "big", 1_000_000, 1), ("2026-11-27", "small", 1_000_000, 2)]);
}

#[test]
fn what_no_message_tells_counts_on_the_day_it_is_told_until_one_does() {
    let mut stage = Stage::new();
    stage.session.model = Some(hal_protocol::session::Model { provider: "a".into(), id: "claude".into() });
    stage.total(0.30, 30, "2026-11-26T12:00:00Z");
    stage.total(0.50, 50, "2026-11-27T12:00:00Z");
    // A sum that goes down is not taken back, and is not counted anew when it rises again.
    stage.total(0.10, 10, "2026-11-27T12:00:00Z");
    stage.total(0.50, 50, "2026-11-27T12:00:01Z");
    assert_eq!(stage.rows(), [("2026-11-26", "claude", 300_000, 30), ("2026-11-27", "claude", 200_000, 20)]);
    stage.message("m1", 0.20, 20, "2026-11-26T12:00:00Z");
    assert_eq!(stage.worth().picos, 500_000 * MICRO, "the message explains what was counted already");
    stage.message("m2", 0.40, 40, "2026-11-26T12:00:00Z");
    assert_eq!(stage.worth().picos, 600_000 * MICRO, "messages together are more than the sum said");
}

#[test]
fn what_was_counted_by_an_older_version_is_not_counted_again() {
    let mut stage = Stage::new();
    stage.session.cost_micros = Some(700_000);
    stage.session.tokens.output = 70;
    stage.message("m9", 0.05, 5, DAY);
    stage.total(0.75, 75, DAY);
    assert_eq!(stage.rows(), [("2026-11-26", "claude", 50_000, 5)]);
}

#[test]
fn a_forked_session_is_not_billed_for_the_messages_it_copies() {
    let mut stage = Stage::new();
    let old = Time(stage.session.started_at.0 - 1).to_string();
    stage.message("copy", 0.90, 9, &old);
    stage.message("copy", 0.90, 9, &old);
    stage.message("own", 0.10, 1, DAY);
    stage.total(1.00, 10, DAY);
    assert_eq!(stage.rows(), [("2026-11-26", "claude", 100_000, 1)]);
}

#[test]
fn tokens_without_money_have_the_tables_price_or_none_but_never_zero() {
    let mut stage = Stage::new();
    stage.prices.embedded.push(Price {
        provider: "a".into(),
        model: "claude".into(),
        from: "2026-01-01".into(),
        rates: per_million(3.0, 15.0, None, None),
        ..Price::default()
    });
    stage.message("m1", 0.0, 1000, DAY);
    let worth = stage.worth();
    assert_eq!((worth.picos, worth.estimated, worth.unpriced), (15_000 * MICRO, 15_000 * MICRO, 0));
    stage.say("m2", "nobody-knows", 0.0, 77, json!({"finish": "stop"}), DAY);
    let (_, unknown) = stage.rows.last().unwrap();
    assert_eq!((unknown.is_known, unknown.unpriced, unknown.picos), (false, 77, 0));
    stage.prices.subscriptions.push("a".into());
    stage.message("m3", 0.0, 1000, DAY);
    stage.message("m4", 0.5, 1000, DAY);
    let worth = stage.worth();
    assert_eq!((worth.picos, worth.equivalent), (15_000 * MICRO, 515_000 * MICRO));
}

#[test]
fn calls_of_which_nothing_is_told_are_unknown_and_refusals_are_not() {
    let mut stage = Stage::new();
    let unreported = |stage: &Stage| stage.worth().unreported;
    let error = |name: &str, code: Value| json!({"error": {"name": name, "data": {"statusCode": code}}});
    stage.say("refused", "claude", 0.0, 0, error("APIError", json!(400)), DAY);
    assert_eq!(unreported(&stage), 0);
    stage.say("growing", "claude", 0.0, 0, json!({}), DAY);
    assert_eq!(unreported(&stage), 0);
    stage.say("aborted", "claude", 0.0, 0, error("MessageAbortedError", Value::Null), DAY);
    stage.say("no usage", "claude", 0.0, 0, json!({"finish": "stop"}), DAY);
    assert_eq!(unreported(&stage), 2);
    stage.say("no usage", "claude", 0.1, 1, json!({"finish": "stop"}), DAY);
    assert_eq!(unreported(&stage), 1, "told after all");
    stage.hear("session.interrupted", json!({"reason": "x"}), DAY);
    assert_eq!(unreported(&stage), 1, "nothing ran");
    stage.hear("session.status", json!({"status": {"type": "busy"}}), DAY);
    stage.hear("session.interrupted", json!({"reason": "x"}), DAY);
    assert_eq!(unreported(&stage), 2);
    stage.hear("session.updated", json!({"info": {"title": "New session - 2026"}}), DAY);
    stage.hear("session.updated", json!({"info": {"title": "A title"}}), DAY);
    assert_eq!(unreported(&stage), 3, "a model has found the title");
}

#[test]
fn a_sum_that_is_heard_for_the_first_time_is_no_increment() {
    // Seen by a look, and by its first event after a long life.
    for kind in ["session.created", "session.updated"] {
        let mut stage = Stage::new();
        stage.since = Time(stage.session.started_at.0 + 1);
        let info = json!({"cost": 12.0, "tokens": {"output": 1200}});
        stage.hear(kind, json!({"info": info, "repaired": true}), DAY);
        assert_eq!(stage.rows(), [], "{kind}");
        assert_eq!((stage.session.cost_micros, stage.session.tokens.total()), (Some(0), 0), "{kind}");
        assert_eq!(stage.bill.as_ref().unwrap().before(), 12_000_000 * MICRO);
        stage.message("m1", 0.25, 10, DAY);
        stage.total(12.25, 1210, DAY);
        stage.total(12.35, 1220, DAY);
        assert_eq!(stage.worth().picos, 350_000 * MICRO, "what comes later is");
        assert_eq!(stage.session.cost_micros, Some(350_000));
    }
    // Its first message was told before its first sum.
    let mut stage = Stage::new();
    stage.since = Time(stage.session.started_at.0 + 1);
    stage.message("m1", 0.25, 10, DAY);
    stage.total(12.25, 1210, DAY);
    assert_eq!(stage.rows(), [("2026-11-26", "claude", 250_000, 10)]);
    // One that was begun under our eyes is billed for what nobody has told of it.
    let mut stage = Stage::new();
    stage.since = Time(stage.session.started_at.0 - 1);
    stage.hear("session.created", json!({"info": {"cost": 0.5}, "repaired": true}), DAY);
    assert_eq!(stage.worth().picos, 500_000 * MICRO);
}

#[test]
fn a_session_shows_what_the_ledger_holds_whatever_its_backend_says() {
    let mut stage = Stage::new();
    // A fork is made with the sum of the session it was forked from, and tells its messages after that.
    stage.hear("session.created", json!({"info": {"cost": 0.9, "tokens": {"output": 9}}}), DAY);
    assert_eq!((stage.rows(), stage.session.cost_micros), (vec![], Some(0)));
    let old = Time(stage.session.started_at.0 - 1).to_string();
    stage.message("copy", 0.90, 9, &old);
    stage.message("own", 0.10, 1, DAY);
    stage.total(1.00, 10, DAY);
    assert_eq!((stage.worth().picos, stage.session.cost_micros), (100_000 * MICRO, Some(100_000)));
    stage.total(1.05, 10, DAY);
    assert_eq!(stage.session.cost_micros, Some(150_000), "a rest is not hidden by the copies");
    // A revert takes back what was paid for nevertheless.
    stage.total(0.0, 0, DAY);
    assert_eq!((stage.session.cost_micros, stage.session.tokens.total()), (Some(150_000), 1));
    // A turn of which nothing is told is not free.
    let mut stage = Stage::new();
    stage.hear("session.created", json!({"info": {"cost": 0, "tokens": {"output": 0}}}), DAY);
    assert_eq!(stage.session.cost_micros, Some(0));
    stage.say("m", "claude", 0.0, 0, json!({"error": {"name": "MessageAbortedError"}}), DAY);
    stage.total(0.0, 0, DAY);
    assert_eq!(stage.session.cost_micros, None);
}

#[test]
fn what_was_booked_by_a_bill_that_is_lost_is_not_booked_again() {
    let mut stage = Stage::new();
    (stage.session.cost_micros, stage.session.tokens.output) = (Some(100_000), 1);
    stage.bill = Some(LedgerBill::begin_anew(&Before::of(&stage.session)));
    // Its backend has copies and reverts in its sum.
    stage.total(1.00, 10, DAY);
    assert_eq!((stage.rows(), stage.session.cost_micros), (vec![], Some(100_000)));
    stage.message("m", 0.25, 5, DAY);
    stage.total(1.25, 15, DAY);
    assert_eq!((stage.worth().picos, stage.session.cost_micros), (250_000 * MICRO, Some(350_000)));
}
