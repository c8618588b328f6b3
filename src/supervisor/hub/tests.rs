//! Tests of the thread itself: what is done after a commit, and what when the disk says no.

use std::path::PathBuf;

use futures_util::FutureExt;

use super::*;
use crate::hub::input::{Closer, From, Greeted, RaisedAlert, Severity};
use crate::hub::settings::Settings;
use hal_base::clock::{Reading, Time};
use hal_protocol::command::{CommandRequest, CommandState};
use hal_protocol::event::{Event, EventView, raw};
use hal_protocol::frame::{CommandResult, Events, Heartbeat, Hello, MAX_FRAME_BYTES, PROTOCOL};
use hal_protocol::node::{CameIn, Project, Resources};
use hal_protocol::who::Who;
use hal_rules::budget::Terms;
use hal_rules::node::Liveness;
use hal_store::disk::Disk;
use hal_store::event::EventQuery;
use hal_store::hub::{Batch, Mark};
use hal_store::mirror::restore::Portion;

const LIVENESS: Liveness = Liveness { interval: Duration::from_secs(10), missed: 3 };

struct Silent;

impl Tally for Silent {
    fn committed(&self, _: Duration, _: &Batch) {}
    fn failed(&self) {}
    fn ended(&self, _: &Command) {}
}

/// Somebody of this name.
fn person(name: &str) -> Who {
    Who { name: name.into(), ..Who::with_token("api", "10.1.2.3") }
}

/// What the clocks say so much later.
fn in_time(later: Duration) -> Reading {
    let clock = clock::read();
    Reading { at: clock.at.plus(later), up: clock.up + later }
}

/// A hub whose thread is the test, on a disk that can fail.
struct Stage {
    hub: Hub,
    owner: Owner<Silent>,
    disk: Arc<Disk>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.redb");
        let disk = Disk::under(&path);
        let (store, loaded) = Store::open(&path).unwrap();
        let mut view = View::of(loaded);
        view.take_settings(Arc::new(Settings { liveness: LIVENESS, ..Settings::default() }));
        let (hub, mut owner) = Hub::with_owner(store, view, Silent);
        owner.backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        Self { hub, owner, disk, path, _dir: dir }
    }

    /// Waits until the store's file has all that was committed, so that what fails next is the next commit.
    fn settle(&self) {
        let store = self.hub.store();
        store.leave_mark(Mark { epoch: 0, position: 0 });
        while store.has_mark() {
            std::thread::yield_now();
        }
    }

    /// All in one batch.
    fn play(&mut self, inputs: Vec<Input>) {
        self.play_after(Duration::ZERO, inputs);
    }

    /// All in one batch, so much later.
    fn play_after(&mut self, later: Duration, inputs: Vec<Input>) {
        for input in inputs {
            let timed = Timed { clock: in_time(later), input };
            self.hub.inputs.try_send(Waiting { timed, room: None }).unwrap();
        }
        let first = self.owner.queue.try_recv().unwrap();
        self.owner.turn(first);
    }

    /// The node `n` says a heartbeat, so much later.
    fn beat_after(&self, later: Duration) {
        self.hub.view().find_node("n").unwrap().link.pulse.hear(None, in_time(later));
    }

    /// The node `n` comes in: what it is told, and its link.
    fn connect(&mut self) -> (Greeted, mpsc::Receiver<ToAgent>) {
        let (reply, mut greeted) = oneshot::channel();
        let (frames, told) = mpsc::channel(8);
        let project =
            Project { name: "p".into(), directory: "/p".into(), backend: "echo".into(), error: None };
        let hello = Hello {
            protocol: PROTOCOL,
            node_id: "n".into(),
            hostname: "n".into(),
            version: "1".into(),
            capabilities: Vec::new(),
            incarnation: "a".into(),
            first_seq: 0,
            last_seq: 0,
            epoch: 0,
            credit_bytes: 0,
            projects: vec![project],
            backends: Vec::new(),
        };
        let link =
            Link { frames, close: Closer::default(), pulse: Arc::default(), came_in: CameIn::default() };
        self.play(vec![Input::Connect { hello, address: "a".into(), own: None, link, reply }]);
        (greeted.try_recv().unwrap(), told)
    }

    fn ask(&mut self, key: &str) -> Result<Command, NotAccepted> {
        let (reply, mut answer) = oneshot::channel();
        let request = CommandRequest {
            verb: "create_session".into(),
            project: "p".into(),
            idempotency_key: key.into(),
            ..CommandRequest::default()
        };
        let asked = SubmittedCommand::new(request, person("me"), reply);
        self.play(vec![Input::Command(Box::new(asked))]);
        answer.try_recv().unwrap()
    }

    fn outcome(&self, command: &Command) -> Input {
        let from = From { node: "n".into(), epoch: self.hub.view().find_node("n").unwrap().record.epoch };
        let result = CommandResult {
            command_id: None,
            status: "success".into(),
            state: None,
            output: "s1".into(),
            error: None,
            stood: None,
        };
        Input::CommandResult { from, id: command.id.clone(), result }
    }

    /// An event of the node's present connection.
    fn event(&self, seq: u64) -> Input {
        let event = Event {
            seq,
            id: format!("e{seq}"),
            kind: "echo.tick".into(),
            session_id: None,
            project: None,
            occurred_at: Time(5),
            data: raw(&serde_json::json!({})),
        };
        let from = From { node: "n".into(), epoch: self.hub.view().find_node("n").unwrap().record.epoch };
        Input::Events { from, batch: Events { incarnation: "a".into(), events: vec![event] } }
    }

    fn stored(&self, id: &CommandId) -> Option<Command> {
        self.hub.store().read().unwrap().command(id).unwrap()
    }
}

/// What one who waits for a command's end finds: as the API does it, the outcome, or the store once the wait is off.
fn found(stage: &Stage, waiting: &mut oneshot::Receiver<Command>, command: &Command) -> CommandState {
    match waiting.try_recv() {
        Ok(ended) => ended.state,
        Err(oneshot::error::TryRecvError::Empty) => panic!("the wait goes on for ever"),
        Err(oneshot::error::TryRecvError::Closed) => {
            assert!(
                !stage.hub.view().stored.commands.contains_key(&command.id),
                "it is told before it is so"
            );
            stage.stored(&command.id).unwrap().state
        }
    }
}

#[test]
fn whoever_waits_learns_of_an_end_in_the_same_batch() {
    for is_first in [true, false] {
        let mut stage = Stage::new();
        let (_, _told) = stage.connect();
        let command = stage.ask("").unwrap();
        let (reply, mut waiting) = oneshot::channel();
        let wait = Input::Await { id: command.id.clone(), reply };
        let end = stage.outcome(&command);
        stage.play(if is_first { vec![wait, end] } else { vec![end, wait] });
        assert_eq!(found(&stage, &mut waiting, &command), CommandState::Done);
        assert!(stage.owner.waiters.is_empty());
    }
}

#[test]
fn nobody_is_let_go_before_the_end_is_stored() {
    let mut stage = Stage::new();
    let (_, _told) = stage.connect();
    let command = stage.ask("").unwrap();
    let (reply, mut waiting) = oneshot::channel();
    let wait = Input::Await { id: command.id.clone(), reply };
    let end = stage.outcome(&command);
    stage.disk.fill(true);
    stage.play(vec![end, wait]);
    assert_eq!(waiting.try_recv(), Err(oneshot::error::TryRecvError::Empty), "it has not ended");
    stage.disk.fill(false);
    stage.play(vec![Input::Tick]);
    let (_, mut told) = stage.connect();
    assert!(matches!(told.try_recv(), Ok(ToAgent::Welcome(_))));
    assert!(matches!(told.try_recv(), Ok(ToAgent::Command(_))), "the node is asked what came of it");
    let end = stage.outcome(&command);
    stage.play(vec![end]);
    assert_eq!(found(&stage, &mut waiting, &command), CommandState::Done);
}

#[test]
fn nothing_is_acknowledged_before_it_is_stored() {
    let mut stage = Stage::new();
    let (_, mut told) = stage.connect();
    while told.try_recv().is_ok() {}
    let said = stage.event(1);
    stage.disk.fill(true);
    stage.play(vec![said]);
    while let Ok(frame) = told.try_recv() {
        assert!(!matches!(frame, ToAgent::Ack(_)), "{frame:?}, and it is on no disk");
    }
    stage.disk.fill(false);
    stage.play(vec![Input::Tick]);
    let (greeted, mut told) = stage.connect();
    assert_eq!(greeted.unwrap().committed_seq, 0, "it is to be sent again");
    let said = stage.event(1);
    stage.play(vec![said]);
    let mut frames = std::iter::from_fn(|| told.try_recv().ok());
    assert!(frames.any(|frame| matches!(frame, ToAgent::Ack(ack) if ack.seq == 1)));
}

#[test]
fn a_full_disk_is_said_until_it_takes_a_write_and_no_longer() {
    let mut stage = Stage::new();
    stage.disk.fill(true);
    let (greeted, _) = stage.connect();
    assert!(greeted.is_err(), "{greeted:?}");
    for _ in 0..3 {
        stage.play(vec![Input::Tick]);
        assert!(stage.hub.health().store.is_some(), "it was opened, but nothing can be written");
    }
    stage.disk.fill(false);
    stage.play(vec![Input::Tick]);
    assert_eq!(stage.hub.health().store, None, "nobody has to write for it to be found well");
    stage.connect().0.unwrap();
}

#[test]
fn what_was_refused_is_not_done_even_if_it_reached_the_disk() {
    let mut reached = 0;
    for syncs in 0..4 {
        let mut stage = Stage::new();
        stage.connect().0.unwrap();
        stage.settle();
        stage.disk.fail_sync_after(syncs);
        let Err(refused) = stage.ask("k") else { continue };
        assert!(matches!(refused, NotAccepted::NotStored(_)), "{refused}");
        stage.disk.fail_sync_after(-1);
        stage.play(vec![Input::Tick]);
        assert_eq!(stage.hub.health().store, None);
        assert!(stage.hub.view().stored.commands.is_empty(), "it was said that it will not be done");
        let (greeted, mut told) = stage.connect();
        greeted.unwrap();
        assert!(matches!(told.try_recv(), Ok(ToAgent::Welcome(_))));
        assert!(told.try_recv().is_err(), "the node is asked for nothing");
        let all = stage.hub.store().read().unwrap();
        let query = hal_store::command::CommandQuery { limit: 9, ..Default::default() };
        let (left, _) = all.commands(&query).unwrap();
        drop(all);
        reached += left.len();
        assert!(left.iter().all(|command| command.state == CommandState::Failed), "{left:?}");
        assert!(stage.ask("k").is_ok(), "so it may be tried again with the same key");
        assert!(stage.path.exists());
    }
    assert!(reached > 0, "one of these syncs comes after the bytes");
}

#[test]
fn a_stored_command_is_not_said_to_be_refused_because_the_disk_is_full_now() {
    let mut stage = Stage::new();
    let (_, _told) = stage.connect();
    let command = stage.ask("k").unwrap();
    stage.disk.fill(true);
    let (other, mut answer) = oneshot::channel();
    let ask = |key: &str, reply| {
        let request = CommandRequest {
            verb: "create_session".into(),
            project: "p".into(),
            idempotency_key: key.into(),
            ..CommandRequest::default()
        };
        Input::Command(Box::new(SubmittedCommand::new(request, person("me"), reply)))
    };
    let (reply, mut new) = oneshot::channel();
    stage.play(vec![ask("", reply), ask("k", other)]);
    assert!(matches!(new.try_recv().unwrap(), Err(NotAccepted::NotStored(_))));
    assert_eq!(answer.try_recv().unwrap().unwrap().id, command.id);
}

#[tokio::test]
async fn frames_wait_for_room_until_those_before_them_are_stored() {
    let mut stage = Stage::new();
    let mut shares = Vec::new();
    for _ in 0..4 {
        let share = stage.hub.share_of_room();
        for _ in 0..2 {
            let room = share.acquire(MAX_FRAME_BYTES).await;
            stage.hub.send_said(Input::Tick, room).await.unwrap();
        }
        assert!(share.acquire(1).now_or_never().is_none(), "one connection has its share");
        shares.push(share);
    }
    let late = stage.hub.share_of_room();
    assert!(late.acquire(1).now_or_never().is_none(), "all room is taken");
    stage.play(vec![Input::Tick]);
    assert!(late.acquire(1).now_or_never().is_some());
    assert!(shares[0].acquire(MAX_FRAME_BYTES).now_or_never().is_some());
}

#[test]
fn a_full_disk_is_an_alert_and_work_goes_on_with_ballast_for_the_next_time() {
    let mut stage = Stage::new();
    let ballast = stage.path.with_extension("redb.ballast");
    assert!(ballast.exists());
    let (greeted, _told) = stage.connect();
    greeted.unwrap();
    stage.settle();
    stage.disk.fill(true);
    assert!(matches!(stage.ask(""), Err(NotAccepted::NotStored(_))));
    assert!(!ballast.exists(), "it was thrown overboard");
    assert!(stage.hub.health().store.is_some());
    assert!(stage.hub.store().read().unwrap().event_bounds().unwrap().is_some(), "reading goes on");
    stage.disk.fill(false);
    stage.play(vec![Input::Tick]);
    assert_eq!(stage.hub.health().store, None);
    assert!(ballast.exists());
    let alerts = alerts(&stage);
    assert!(alerts[0].contains("disk.full") && alerts[1].contains("resolved"), "{alerts:?}");
    assert!(stage.connect().0.is_ok(), "whoever comes is taken again");
}

#[test]
fn a_failing_disk_is_owned_up_to_once_it_works_again() {
    let mut stage = Stage::new();
    stage.disk.fail_sync_after(0);
    assert!(stage.connect().0.is_err());
    stage.play(vec![Input::Tick]);
    let alerts = alerts(&stage);
    assert!(alerts.len() == 1 && alerts[0].contains("store.failed"), "{alerts:?}");
}

/// What was raised and resolved, as text.
fn alerts(stage: &Stage) -> Vec<String> {
    use hal_store::event::{EventFilter, EventOrder, EventQuery, KindFilter};
    let filter = EventFilter { kinds: vec![KindFilter::parse("alert.*")], ..EventFilter::default() };
    let query = EventQuery { filter, order: EventOrder::Ascending, limit: 100, ..EventQuery::default() };
    let page = stage.hub.store().read().unwrap().events(&query, &stage.hub.view().stored.tail).unwrap();
    page.events.iter().map(|event| event.data.get().to_owned()).collect()
}

#[test]
fn what_comes_back_and_is_said_again_is_there_once_whichever_is_first() {
    let mut stage = Stage::new();
    let (_, _told) = stage.connect();
    let old = |seq, node_seq| EventView {
        seq,
        id: format!("e{node_seq}"),
        kind: "echo.tick".into(),
        session_id: String::new(),
        node_id: "n".into(),
        project: String::new(),
        data: raw(&serde_json::json!({})),
        timestamp: Time(7),
        occurred_at: Time(5),
        node_seq,
    };
    let back = |events: Vec<EventView>| {
        let portion = Box::new(Portion { events, ..Portion::default() });
        Input::Return {
            portion,
            file: "f".into(),
            by: Who::with_token("api", ""),
            reply: oneshot::channel().0,
        }
    };
    let all =
        vec![stage.event(1), back(vec![old(9, 1), old(10, 2), old(11, 4)]), stage.event(2), stage.event(3)];
    stage.play(all);
    let again = vec![back(vec![old(12, 1), old(13, 3)]), stage.event(4), stage.event(5)];
    stage.play(again);
    let query = hal_store::event::EventQuery { limit: 100, ..Default::default() };
    let page = stage.hub.store().read().unwrap().events(&query, &stage.hub.view().stored.tail).unwrap();
    let mut said: Vec<String> =
        page.events.into_iter().map(|event| event.id).filter(|id| id.len() == 2).collect();
    said.sort();
    assert_eq!(said, ["e1", "e2", "e3", "e4", "e5"]);
    assert_eq!(stage.hub.view().find_node("n").unwrap().record.committed, 5);
    let outlived = stage.hub.store().read().unwrap().returned_nodes().unwrap();
    assert_eq!(outlived.into_iter().collect::<Vec<_>>(), ["n"]);
}

#[test]
fn a_configuration_holds_though_the_store_fails_and_nodes_are_told_once_it_works() {
    let mut stage = Stage::new();
    let (_greeted, mut told) = stage.connect();
    while told.try_recv().is_ok() {}
    stage.disk.fill(true);
    let (reply, mut is_in_force) = oneshot::channel();
    let terms = Terms { unknown_micros: 7, ..Terms::default() };
    let settings = Settings { liveness: LIVENESS, terms, ..Settings::default() };
    // What is stored of the same batch is not.
    let alert = RaisedAlert { name: "disk.low", severity: Severity::High, text: "x".into() };
    stage.play(vec![Input::Settings(Arc::new(settings), reply), Input::Alert(alert)]);
    assert!(stage.hub.health().store.is_some(), "the store fails");
    assert_eq!(is_in_force.try_recv(), Ok(()), "it is in force");
    let view = stage.hub.view();
    assert_eq!((view.settings.terms.unknown_micros, view.stored.alerts.len()), (7, 0));
    assert!(told.try_recv().is_err(), "nodes are told after a commit only");
    stage.disk.fill(false);
    stage.play(vec![Input::Tick]);
    assert_eq!(stage.hub.view().settings.terms.unknown_micros, 7, "the store is made anew, and it holds");
}

#[test]
fn time_goes_on_while_the_store_takes_no_writes_and_what_it_told_is_written_down_afterwards() {
    let mut stage = Stage::new();
    let (_greeted, _told) = stage.connect();
    let from = From { node: "n".into(), epoch: stage.hub.view().find_node("n").unwrap().record.epoch };
    let word = |from: &From| Input::FirstWord { from: from.clone() };
    stage.play(vec![word(&from), Input::Disconnect { from: from.clone(), reason: "x".into() }]);
    let command = stage.ask("k").unwrap();
    let (_greeted, _told) = stage.connect();
    let from = From { node: "n".into(), epoch: stage.hub.view().find_node("n").unwrap().record.epoch };
    stage.play(vec![word(&from)]);
    stage.settle();
    stage.disk.fill(true);
    let alert = || Input::Alert(RaisedAlert { name: "x", severity: Severity::High, text: "x".into() });

    // Heard of meanwhile, though nothing is stored.
    stage.beat_after(Duration::from_secs(25));
    stage.play_after(Duration::from_secs(25), vec![alert()]);
    assert!(stage.hub.health().store.is_some(), "the store fails");
    stage.play_after(Duration::from_secs(50), vec![Input::Tick]);
    assert!(stage.hub.view().find_node("n").unwrap().link.online, "25 s after it was heard of");
    stage.play_after(Duration::from_secs(60), vec![Input::Tick]);
    assert!(!stage.hub.view().find_node("n").unwrap().link.online, "35 s after it was heard of");
    assert_eq!(events_of(&stage, "node.offline"), 1, "nothing can be written");

    stage.disk.fill(false);
    stage.play_after(Duration::from_secs(70), vec![Input::Tick]);
    assert_eq!(stage.hub.health().store, None);
    assert_eq!(events_of(&stage, "node.offline"), 2, "it is written down as soon as that is possible");
    assert_eq!(stage.hub.view().stored.commands.len(), 1, "{command:?} has time left");
}

#[test]
fn a_command_lapses_in_time_though_the_store_takes_no_writes() {
    let mut stage = Stage::new();
    let (_greeted, _told) = stage.connect();
    let from = From { node: "n".into(), epoch: stage.hub.view().find_node("n").unwrap().record.epoch };
    stage.play(vec![Input::Disconnect { from, reason: "x".into() }]);
    let command = stage.ask("k").unwrap();
    assert_eq!(command.state, CommandState::Queued, "its node is away");
    stage.disk.fill(true);
    let alert = Input::Alert(RaisedAlert { name: "x", severity: Severity::High, text: "x".into() });
    let over = command.expires_at.since(clock::now()) + Duration::from_secs(1);
    stage.play_after(over, vec![alert]);
    let shown = stage.hub.view().stored.commands[&command.id].clone();
    assert_eq!(shown.state, CommandState::Expired, "{shown:?}");
    stage.disk.fill(false);
    stage.play_after(over + Duration::from_secs(1), vec![Input::Tick]);
    let stored = stage.hub.store().read().unwrap().command(&command.id).unwrap().unwrap();
    assert_eq!(stored.state, CommandState::Expired, "it is written down");
    assert!(stage.hub.view().stored.commands.is_empty());
}

#[test]
fn heartbeats_are_told_to_all_and_the_hub_is_asked_once() {
    let mut stage = Stage::new();
    let (_greeted, _told) = stage.connect();
    let before = stage.hub.view();
    let node = before.find_node("n").unwrap();
    let from = From { node: "n".into(), epoch: node.record.epoch };
    let pulse = node.link.pulse.clone();
    let say = |seq: u64| {
        let resources = Resources { disk_free: 1_000 + seq, disk_total: 2_000, ..Resources::default() };
        let heartbeat = Heartbeat { resources, last_seq: seq, now_ms: None };
        stage.hub.hear(&from, &pulse, Some(&heartbeat)).now_or_never().unwrap().unwrap();
    };
    say(0);
    let first = stage.owner.queue.try_recv().expect("the first word is written down");
    assert!(matches!(first.timed.input, Input::FirstWord { .. }), "{first:?}");
    stage.owner.turn(first);
    assert!(stage.hub.view().find_node("n").unwrap().is_confirmed());
    let published = stage.hub.view();
    for seq in 1..=1_000 {
        say(seq);
    }
    assert!(stage.owner.queue.try_recv().is_err(), "the hub was told of a heartbeat");
    assert!(Arc::ptr_eq(&published, &stage.hub.view()), "nothing was published");
    for view in [before, published] {
        let shown = view.node("n").unwrap();
        assert_eq!((shown.resources.disk_free, shown.journal.held, shown.journal.lag), (2_000, 1_000, 1_000));
        assert!(shown.last_heartbeat >= shown.connected_at);
    }
}

#[test]
fn what_a_connection_that_is_over_still_says_is_not_of_its_node() {
    let mut stage = Stage::new();
    let (_greeted, _told) = stage.connect();
    let old = stage.hub.view().find_node("n").unwrap().link.pulse.clone();
    let from = From { node: "n".into(), epoch: stage.hub.view().find_node("n").unwrap().record.epoch };
    stage.play(vec![Input::Disconnect { from, reason: "x".into() }]);
    for what in ["it is offline", "another connection has come"] {
        old.hear(None, in_time(Duration::from_secs(5)));
        let view = stage.hub.view();
        let node = view.find_node("n").unwrap();
        assert_eq!(node.link.vitals().heard, node.record.last_heard, "{what}");
        let (_greeted, _told) = stage.connect();
    }
}

/// How many events of a type are stored.
fn events_of(stage: &Stage, kind: &str) -> usize {
    let query = EventQuery { limit: 1000, ..EventQuery::default() };
    let page = stage.hub.store().read().unwrap().events(&query, &stage.hub.view().stored.tail).unwrap();
    page.events.iter().filter(|event| event.kind == kind).count()
}
