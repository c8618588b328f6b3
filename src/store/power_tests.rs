//! Power cuts, simulated: whatever was committed is there afterwards, and nothing is half there.
//!
//! Each trial runs a store on a disk in memory, cuts the power somewhere in the middle, lets chance decide what of the
//! unsynced bytes is left, and opens the store again; the power may be cut once more while it does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::command::{CommandQuery, KeyRecord};
use super::dice::Dice;
use super::event::{EventOrder, EventQuery};
use super::hub::{Batch, Loaded, Mark, Store};
use super::journal::{Bounds, Change, Journal, NewEvent, Writer};
use super::node::NodeRecord;
use super::power::SimulatedDisk;
use super::session::SessionRecord;
use super::tail::Tail;
use hal_base::clock::Time;
use hal_protocol::command::{Command, CommandState, Verb};
use hal_protocol::event::{EventView, raw};
use hal_protocol::session::Session;

const NOW: Time = Time(1_795_450_273_000);

/// Trials for each store, unless `HAL_SOAK` names more: `HAL_SOAK=power=5000`.
const TRIALS: u64 = 200;

/// Batches that a trial wants to commit.
const BATCHES: u64 = 8;

/// Of so many starts after a cut, one is cut again, within so many writes and syncs.
const CUT_AGAIN: (u64, u64) = (2, 6);

fn trials() -> u64 {
    let asked = std::env::var("HAL_SOAK").unwrap_or_default();
    asked.split(',').find_map(|word| word.strip_prefix("power=")?.parse().ok()).unwrap_or(TRIALS)
}

/// What the trials came to.
#[derive(Default)]
struct Sum {
    trials: u64,
    cuts: u64,
    again: u64,
    torn: u64,
    unanswered: u64,
}

impl Sum {
    fn print(&self, what: &str) {
        println!(
            "power cut under the {what}: {} trials, {} cuts, {} more while opening, {} unsynced writes lost, \
             {} unanswered commits were there; lost 0, half 0: at most {:.2} % at 95 %",
            self.trials,
            self.cuts,
            self.again,
            self.torn,
            self.unanswered,
            300.0 / self.cuts as f64
        );
        assert!(
            self.cuts > self.trials / 2 && self.again > 0 && self.torn > 0,
            "too few cuts to show anything"
        );
        assert!(self.unanswered > 0, "no commit was cut after its bytes and before its answer");
    }
}

/// Opens what lies on a disk after a cut; the power may be cut while it does.
fn open_again<T>(
    power: &SimulatedDisk,
    dice: &mut Dice,
    sum: &mut Sum,
    open: impl Fn() -> Result<T, String>,
) -> T {
    loop {
        sum.torn += power.on(dice) as u64;
        if dice.below(CUT_AGAIN.0) == 0 {
            power.cut_after(dice.below(CUT_AGAIN.1), dice);
        }
        match open() {
            Ok(opened) if !power.is_off() => {
                power.stay();
                return opened;
            }
            Err(error) if !power.is_off() => panic!("it does not open any more: {error}"),
            _ => sum.again += 1,
        }
    }
}

/// Everything the supervisor writes, as it stands after batch `n`, so that half of it would show.
fn batch(n: u64) -> Batch {
    let mut batch = Batch::default();
    let first = first_of(n);
    for seq in first..first_of(n + 1) {
        batch.events.push(EventView {
            seq,
            id: format!("e{seq}"),
            kind: "echo.tick".into(),
            session_id: "s".into(),
            node_id: "n".into(),
            project: "p".into(),
            data: raw(&json!({"n": seq, "filler": "x".repeat(200)})),
            timestamp: NOW,
            occurred_at: NOW,
            node_seq: seq,
        });
    }
    let node = NodeRecord { committed: first_of(n + 1) - 1, ..NodeRecord::new("n".into()) };
    batch.nodes.insert("n".into(), node);
    let mut session = Session::new("s".into(), "n".into(), "p".into(), NOW);
    session.events = first_of(n + 1) - 1;
    batch.sessions.insert("s".into(), SessionRecord { no: 1, session });
    let id = format!("c{n:03}");
    batch.keys.push((format!("me\0{n}"), KeyRecord { command: id.clone(), meaning: [0; 32] }));
    batch.commands.insert(id.clone(), command(&id, CommandState::Queued));
    if let Some(before) = n.checked_sub(1) {
        let id = format!("c{before:03}");
        batch.commands.insert(id.clone(), command(&id, CommandState::Done));
    }
    if n % 3 == 2 {
        batch.index = (first_of(n - 2)..first_of(n + 1)).map(|seq| (1, seq)).collect();
    }
    batch
}

/// The first event of batch `n`: batches grow, so that pages split.
fn first_of(n: u64) -> u64 {
    1 + n * (n + 7) / 2
}

fn command(id: &str, state: CommandState) -> Command {
    Command {
        id: id.into(),
        verb: Verb::AbortSession,
        node_id: "n".into(),
        project: String::new(),
        session_id: None,
        args: serde_json::Map::new(),
        actor: "me".into(),
        who: None,
        idempotency_key: None,
        state,
        output: String::new(),
        error: None,
        created_at: NOW,
        expires_at: NOW,
        changed_at: NOW,
    }
}

/// How many batches a store holds; every row must say the same number.
fn batches_in(store: &Store, loaded: &Loaded) -> u64 {
    let held = (0..).find(|n| first_of(*n) > loaded.last_seq).expect("the numbers end");
    let reader = store.read().unwrap();
    let query = EventQuery { order: EventOrder::Ascending, limit: 100_000, ..EventQuery::default() };
    let page = reader.events(&query, &Tail::default()).unwrap();
    assert!(page.events.iter().map(|event| event.seq).eq(1..first_of(held)), "events of half a batch");
    let last = loaded.last_seq;
    assert!(loaded.nodes.iter().all(|node| node.committed == last), "a node is not where its events are");
    assert!(loaded.sessions.iter().all(|one| one.session.events == last), "a session is not at its events");
    let (commands, _) = reader.commands(&CommandQuery { limit: 1000, ..CommandQuery::default() }).unwrap();
    assert_eq!(commands.len() as u64, held, "a command without its batch");
    for n in 0..held {
        let id = reader.key(&format!("me\0{n}")).unwrap().expect("the key was committed").command;
        let state = reader.command(&id.as_str().into()).unwrap().expect("the command was committed").state;
        assert_eq!(state, if n + 1 == held { CommandState::Queued } else { CommandState::Done });
    }
    assert_eq!(loaded.open_commands.len(), usize::from(held > 0));
    let merged = if held < 3 { 0 } else { first_of(held / 3 * 3) - 1 };
    assert_eq!(loaded.tail.len() as u64, last - merged, "the index is not where its mark is");
    held
}

#[test]
fn the_supervisors_store_keeps_what_it_committed_through_power_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut sum, mut work) = (Sum::default(), 0);
    for seed in 0..trials() {
        let mut dice = Dice::new(seed);
        // Gone after each trial: a store has ballast.
        let place = tempfile::tempdir_in(folder.path()).unwrap();
        let path = place.path().join(format!("{seed}.redb"));
        let power = SimulatedDisk::under(&path);
        let open = || Store::open(&path).map_err(|error| format!("seed {seed}: {error:?}"));
        let (mut store, _) = open().unwrap();
        if seed > 0 {
            power.cut_after(dice.below(work), &mut dice);
        }
        let mut answered = 0;
        while answered < BATCHES {
            if store.commit(&batch(answered)).is_ok() {
                answered += 1;
                // Has redb make durable what it has, as a mirror's window does.
                if dice.below(2) == 0 {
                    store.leave_mark(Mark { epoch: answered, position: answered });
                }
                continue;
            }
            drop(store);
            sum.cuts += 1;
            let loaded;
            (store, loaded) = open_again(&power, &mut dice, &mut sum, open);
            let held = batches_in(&store, &loaded);
            assert!(held >= answered, "seed {seed}: {answered} batches were committed, {held} are there");
            assert!(held <= answered + 1, "seed {seed}: a batch that nobody wrote");
            sum.unanswered += held - answered;
            answered = held;
        }
        drop(store);
        if power.is_off() {
            // It was cut under redb, where nobody waited for it.
            sum.cuts += 1;
            drop(open_again(&power, &mut dice, &mut sum, open));
        }
        power.stay();
        let (store, loaded) = open().unwrap();
        assert_eq!(batches_in(&store, &loaded), BATCHES, "seed {seed}");
        // The first trial is whole, and shows how much work there is to be cut.
        work = if seed == 0 { power.work() } else { work };
        sum.trials += 1;
    }
    sum.print("supervisor's store");
}

/// What the session manager writes together: events, the session they add up to, a command.
fn changes(n: u64) -> Vec<Change> {
    let tick = |seq| {
        let data = raw(&json!({"n": seq, "filler": "x".repeat(200)}));
        Change::Append(NewEvent::own("echo.tick", NOW, data))
    };
    let mut changes: Vec<Change> = (first_of(n)..first_of(n + 1)).map(tick).collect();
    let mut session = Session::new("s".into(), "n".into(), "p".into(), NOW);
    session.events = first_of(n + 1) - 1;
    changes.push(Change::Session(Box::new(super::journal::SessionRecord { session, mark: Some(n) })));
    changes.push(Change::Command(Box::new(super::journal::CommandRecord {
        frame: serde_json::from_value(json!({"command_id": format!("c{n:03}"), "type": "abort_session"}))
            .unwrap(),
        received_at: NOW,
        changed_at: NOW,
        state: CommandState::Running,
        output: String::new(),
        error: None,
    })));
    changes
}

/// How many batches a journal holds; every row must say the same number.
fn batches_of(journal: &Journal) -> u64 {
    let last = journal.span().unwrap().last;
    let held = (0..).find(|n| first_of(*n) > last).expect("the numbers end");
    let events = journal.batch_after(0, 100_000, 1 << 30).unwrap();
    assert!(events.iter().map(|event| event.seq).eq(1..first_of(held)), "events of half a batch");
    let sessions = journal.sessions().unwrap();
    assert!(sessions.iter().all(|one| one.session.events == last && one.mark == held.checked_sub(1)));
    assert_eq!(journal.open_commands().unwrap().len() as u64, held);
    held
}

#[test]
fn the_journal_keeps_what_it_committed_through_power_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { keep: Duration::from_secs(3600), keep_bytes: 1 << 30, hard_bytes: 1 << 31 };
    let (mut sum, mut work) = (Sum::default(), 0);
    for seed in 0..trials() {
        let mut dice = Dice::new(seed);
        let place = tempfile::tempdir_in(folder.path()).unwrap();
        let home = place.path().to_owned();
        let power = SimulatedDisk::under(&home.join("agent.redb"));
        let open = || open_journal(&home, bounds);
        let (mut journal, mut writer) = open().unwrap();
        let incarnation = journal.span().unwrap().incarnation;
        if seed > 0 {
            power.cut_after(dice.below(work), &mut dice);
        }
        let mut answered = 0;
        while answered < BATCHES {
            if writer.commit(&changes(answered), 0, NOW).is_ok() {
                answered += 1;
                continue;
            }
            drop((journal, writer));
            sum.cuts += 1;
            (journal, writer) = open_again(&power, &mut dice, &mut sum, open);
            assert_eq!(
                journal.span().unwrap().incarnation,
                incarnation,
                "seed {seed}: a new journal was begun"
            );
            let held = batches_of(&journal);
            assert!(held >= answered, "seed {seed}: {answered} batches were committed, {held} are there");
            assert!(held <= answered + 1, "seed {seed}: a batch that nobody wrote");
            sum.unanswered += held - answered;
            answered = held;
        }
        power.stay();
        drop((journal, writer));
        assert_eq!(batches_of(&open().unwrap().0), BATCHES, "seed {seed}");
        work = if seed == 0 { power.work() } else { work };
        sum.trials += 1;
    }
    sum.print("agent's journal");
}

fn open_journal(home: &Path, bounds: Bounds) -> Result<(Arc<Journal>, Writer), String> {
    match Journal::open(home, bounds, NOW) {
        Ok((journal, writer, None)) => Ok((journal, writer)),
        Ok((_, _, Some(aside))) => Err(format!("it was set aside: {}", aside.why)),
        Err(error) => Err(format!("{error:?}")),
    }
}
