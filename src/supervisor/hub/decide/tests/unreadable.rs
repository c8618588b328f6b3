//! Rows of kept state that cannot be read: nothing opens, nothing vanishes, and a person gets out.

use super::*;
use crate::hub::budget_status::BudgetKey;
use hal_rules::lease::Loan;
use hal_store::kept::{BUDGET, Kept, LEASE, MEMORY, SPENT};
use hal_store::state::StateRecord;

/// One row of each kind, as a released version has stored it.
const RELEASED: &str = include_str!("../../../../../tests/fixtures/rows/supervisor-state.kinds.1");

/// A supervisor that starts on a store with these rows, and a node that is connected.
fn started_with(rows: &[(&str, &str)]) -> Stage {
    let row = |(name, data): &(&str, &str)| {
        let record = StateRecord { data: (*data).to_owned(), changed_at: 5 };
        ((*name).to_owned(), Kept::read(name, record))
    };
    let loaded = Loaded { store_id: "s".into(), state: rows.iter().map(row).collect(), ..Loaded::default() };
    let mut stage = Stage { view: View::of(loaded), ..Stage::new() };
    let _greeted = stage.connect("a", 0, 0);
    stage.play(vec![Input::Tick]);
    stage
}

fn alerts(stage: &Stage) -> Vec<(String, String)> {
    let open =
        stage.view.stored.alerts.values().filter(|alert| alert.is_open() && alert.name == "state.unreadable");
    open.map(|alert| (alert.about.clone(), alert.text.clone())).collect()
}

fn ask_once(stage: &mut Stage, verb: &str, args: Value) -> Result<Command, NotAccepted> {
    let (reply, mut answer) = oneshot::channel();
    let args = args.as_object().cloned().unwrap_or_default();
    let is_halt = verb == "halt_work";
    let request = CommandRequest {
        verb: verb.into(),
        project: if is_halt { String::new() } else { "p".into() },
        args,
        ..CommandRequest::default()
    };
    let asked = SubmittedCommand::new(request, person("ada"), reply);
    stage.play(vec![Input::Command(Box::new(asked))]);
    answer.try_recv().unwrap()
}

#[test]
fn a_row_of_any_kind_that_cannot_be_read_stays_and_is_an_alert_that_names_it() {
    for line in RELEASED.lines() {
        let (name, data) = line.split_once('\t').unwrap();
        let less = format!("{}\u{1}", &data[..data.len() - 1]);
        for damaged in ["{}", "no JSON", "17", less.as_str()] {
            let mut stage = started_with(&[(name, damaged)]);
            let open = alerts(&stage);
            assert_eq!(open.len(), 1, "{name} as {damaged:?}: {open:?}");
            assert_eq!(open[0].0, name);
            assert!(open[0].1.contains(name) && open[0].1.contains("Until it can: "), "{}", open[0].1);
            stage.now += 60_000;
            let batch = stage.play(vec![Input::Tick]);
            assert!(!matches!(batch.state.get(name), Some(None)), "{name} is taken away");
            assert_eq!(stage.view.stored.state[name].record().data, damaged, "{name} is left as it is");
            assert_eq!(alerts(&stage).len(), 1, "{name} is told once");
            // A person puts it right.
            let edit = Edit {
                kind: RowKind::State,
                key: name.into(),
                action: EditAction::Set(vec![("data".into(), data.to_owned().into())]),
            };
            let edits = Edits { list: vec![edit], done: 1 };
            stage.play(vec![Input::Edits { edits, reply: oneshot::channel().0 }]);
            stage.play(vec![Input::Tick]);
            assert_eq!(alerts(&stage), [], "{name} is well again");
        }
    }
}

#[test]
fn a_halt_that_cannot_be_read_holds_until_it_is_released() {
    for damaged in [r#"{"by":"ada"}"#, "{}", "no JSON", r#"{"by":7,"at":"2026-11-29T00:00:00Z"}"#] {
        let mut stage = started_with(&[("halt/*", damaged)]);
        let refused = ask_once(&mut stage, "create_session", json!({"prompt": "go"})).unwrap_err();
        assert!(format!("{refused:?}").contains("everything is halted"), "{refused:?}");
        ask_once(&mut stage, "halt_work", json!({"release": true})).unwrap();
        ask_once(&mut stage, "create_session", json!({"prompt": "go"})).unwrap();
        stage.play(vec![Input::Tick]);
        assert!(!stage.view.stored.state.contains_key("halt/*"));
        assert_eq!(alerts(&stage), []);
    }
}

#[test]
fn marks_that_cannot_be_read_are_those_of_a_paused_session() {
    let stage = started_with(&[("session.marks/n:s", r#"{"paused":{"by":"ada"}}"#)]);
    assert!(stage.view.own_marks(&"n:s".into()).paused.is_some());
}

#[test]
fn a_budget_that_cannot_be_read_lends_nothing_until_it_is_set_anew() {
    let mut stage = started_with(&[("budget/night", r#"{"name":"night"}"#)]);
    let loan = Loan { id: "l".into(), node: "n".into(), project: "p".into(), ..Loan::default() };
    assert_eq!(stage.view.rooms(&loan, Time(1)).iter().map(|room| room.free).min(), Some(0));
    let budget = hal_protocol::budget::Budget {
        name: "night".into(),
        limit_micros: 5,
        ..hal_protocol::budget::Budget::default()
    };
    let change = hal_protocol::budget::BudgetChange::Set(budget);
    let by = Who::with_token("api", "");
    stage.play(vec![Input::Budget { change, by, reply: oneshot::channel().0 }]);
    assert!(!stage.view.is_unreadable(BUDGET, "night"));
    assert_eq!(stage.view.rooms(&loan, Time(1)).iter().map(|room| room.free).min(), Some(5));
}

#[test]
fn what_is_spent_of_a_budget_is_all_of_it_when_it_cannot_be_read() {
    let night = RELEASED.lines().find_map(|line| line.strip_prefix("budget/night\t")).unwrap();
    let stage = started_with(&[("budget/night", night), ("budget-spent/night", r#"{"period":""}"#)]);
    let budget = stage.view.find_budget("night").unwrap();
    assert!(stage.view.is_unreadable(SPENT, "night"));
    let key = BudgetKey::of(&budget, None).unwrap_or_else(|| BudgetKey::named("night".into()));
    assert_eq!(stage.view.counter(&budget, &key, Time(1)).left(&budget), 0);
}

#[test]
fn nothing_is_lent_while_a_loan_cannot_be_read_until_its_node_accounts_for_it() {
    let mut budget: Value =
        serde_json::from_str(RELEASED.lines().find_map(|line| line.strip_prefix("budget/night\t")).unwrap())
            .unwrap();
    budget["scope"] = json!("fleet");
    let mut stage = started_with(&[("budget/night", &budget.to_string()), ("lease/l1", "{}")]);
    let loan = Loan { id: "l2".into(), node: "n".into(), project: "p".into(), ..Loan::default() };
    let free = |stage: &Stage| stage.view.rooms(&loan, Time(1)).iter().map(|room| room.free).min();
    assert_eq!(free(&stage), Some(0));
    let end = json!({"lease_id": "l1"});
    stage.say("n", 1, "s", "lease.ended", 1, &end);
    assert!(!stage.view.is_kept(LEASE, "l1"));
    assert!(free(&stage) > Some(0));
}

#[test]
fn policies_leave_a_session_alone_whose_memory_cannot_be_read_until_a_person_goes_on_with_it() {
    let mut stage = started_with(&[("policy.memory/n:s", "{}")]);
    let mut work = Work::on(&stage.view);
    assert!(work.view.is_unreadable(MEMORY, "n:s"));
    work.renew_unreadable(&"n:s".into());
    stage.view = work.view;
    assert!(!stage.view.is_kept(MEMORY, "n:s"));
}
