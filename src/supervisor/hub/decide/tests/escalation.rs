//! Steps of alerts that nobody acknowledges: while they are silenced, when they fire again, and when the clock is set.

use std::time::Duration;

use super::*;
use crate::hub::notice::NoticeEvent;
use hal_protocol::alert::{Alert, Severity};
use hal_protocol::notice::Queued;
use hal_protocol::silence::Silence;
use hal_rules::alert::AlertRaised;
use hal_rules::escalation::EscalationStep;
use hal_rules::route::{Routing, Way};
use hal_store::kept::{QUEUED, SILENCE};

const MINUTE: i64 = 60_000;

/// Two steps of half an hour each to channels that no route reaches.
fn stage() -> Stage {
    let mut stage = Stage::new();
    let step = |channel: &str| EscalationStep {
        severity: Severity::Medium,
        wait: Duration::from_secs(1800),
        channels: vec![channel.to_owned()],
    };
    let way = |name: &str| Way { name: name.to_owned(), ..Way::default() };
    let routing = Routing { channels: vec![way("first"), way("second")], ..Routing::default() };
    let escalation = vec![step("first"), step("second")];
    stage.play(vec![settings(Settings { routing, escalation, ..Settings::default() })]);
    stage
}

impl Stage {
    /// Does something with the hub's state in a transaction of its own.
    fn with<T>(&mut self, change: impl FnOnce(&mut Work, Time) -> T) -> T {
        let mut work = Work::on(&self.view);
        let done = change(&mut work, Time(self.now));
        self.events.extend(work.batch.events.iter().cloned());
        self.view = work.view;
        done
    }

    fn see(&mut self, severity: Severity) {
        let seen = AlertRaised { name: "disk.low", about: "", severity, text: "5 % free", lasting: true };
        self.with(|work, at| work.raise(&seen, at));
    }

    /// Some minutes pass.
    fn wait(&mut self, minutes: i64) {
        self.now += minutes * MINUTE;
        self.play(vec![Input::Tick]);
    }

    /// Which steps were taken, in their order.
    fn steps(&self) -> Vec<Value> {
        let all = kinds(self, "alert.escalated");
        all.iter().filter(|data| data["name"] == "disk.low").map(|data| data["step"].clone()).collect()
    }

    fn of(&self, name: &str) -> Arc<Alert> {
        let alert = self.view.stored.alerts.values().find(|alert| alert.name == name);
        alert.unwrap().clone()
    }
}

#[test]
fn a_silenced_alert_goes_no_step_up_and_its_time_begins_when_the_silence_ends() {
    let mut stage = stage();
    stage.see(Severity::High);
    let until = Time(stage.now + 60 * MINUTE);
    let silence = Silence { id: "s1".into(), matches: "disk.*".into(), until, ..Silence::default() };
    stage.with(|work, at| work.put_kept(SILENCE, "s1", &silence, at));
    stage.wait(45);
    assert_eq!((stage.steps(), stage.view.all_kept(QUEUED).count()), (vec![], 0), "it holds");
    stage.wait(16);
    stage.wait(29);
    assert_eq!(stage.steps(), Vec::<Value>::new(), "they have known for half an hour only now");
    stage.wait(1);
    assert_eq!(stage.steps(), [1]);
    let silence = Silence { until: Time(stage.now + 600 * MINUTE), ..silence };
    stage.with(|work, at| work.put_kept(SILENCE, "s1", &silence, at));
    stage.wait(31);
    let (reply, _ended) = oneshot::channel();
    let end = NoticeEvent::Unsilence { id: "s1".into(), who: person("ada"), reply };
    stage.play(vec![Input::Notice(end)]);
    stage.wait(29);
    assert_eq!(stage.steps(), [1], "an end before its time is one");
    stage.wait(1);
    assert_eq!(stage.steps(), [1, 2], "and no step is taken twice");
}

#[test]
fn a_step_sends_nothing_earlier_that_is_held_back() {
    let mut stage = stage();
    stage.see(Severity::High);
    let alert = stage.of("disk.low");
    let later = Time(stage.now + 300 * MINUTE);
    stage.with(|work, at| {
        let notice = work.notice_of(&alert, NodeId::new(""), at);
        let row = Queued { no: 1, channel: "first".into(), notice, not_before: later, ..Queued::default() };
        work.put_kept(QUEUED, &crate::hub::notice::key("first", 1), &row, at);
    });
    stage.wait(31);
    let rows: Vec<Queued> = stage.view.queue("first").collect();
    assert_eq!((stage.steps(), rows.len()), (vec![json!(1)], 1));
    assert_eq!(rows[0].not_before, later);
    assert!(rows[0].notice.title.contains("(step 1)"), "{}", rows[0].notice.title);
}

#[test]
fn an_alert_that_fires_again_begins_with_its_first_step() {
    let mut stage = stage();
    stage.see(Severity::Medium);
    stage.wait(31);
    let id = stage.of("disk.low").id;
    let (reply, _answer) = oneshot::channel();
    stage.with(|work, at| work.acknowledge(id, &person("ada"), reply, at));
    stage.wait(600);
    assert_eq!(stage.steps(), [1], "somebody knows");
    stage.see(Severity::Critical);
    stage.wait(29);
    assert_eq!(stage.steps(), [1], "its beginning was long ago, and it fires since now");
    stage.wait(1);
    assert_eq!(stage.steps(), [1, 1]);
    stage.wait(30);
    assert_eq!(stage.steps(), [1, 1, 2]);
}

#[test]
fn a_clock_that_is_set_takes_no_step_early_and_stops_none() {
    for by in [10 * MINUTE, 600 * MINUTE, -60 * MINUTE] {
        let mut stage = stage();
        stage.connect("a", 1, 0).unwrap();
        stage.see(Severity::High);
        let command = stage.ask(&[""], "create_session", None).remove(0).unwrap();
        for taken in [vec![], vec![json!(1)]] {
            stage.wait(20);
            stage.beat("n");
            (stage.now, stage.jumped) = (stage.now + by, stage.jumped + by);
            stage.wait(0);
            assert_eq!(stage.steps(), taken, "by {by}");
            stage.wait(9);
            assert_eq!(stage.steps(), taken, "by {by}");
            stage.wait(1);
        }
        assert_eq!(stage.steps(), [1, 2], "by {by}");
        let open = stage.view.stored.commands.get(&command.id).map(|open| open.created_at);
        assert_eq!(open.unwrap_or(command.created_at).0 - command.created_at.0, 2 * by, "by {by}");
    }
}
