//! True turns of a true opencode against the fake model: the ledger is what the model billed, and what nobody tells us
//! is counted as unknown.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use serde_json::json;

use crate::patience::{PATIENCE, wait_until};
use crate::whole::Whole;

/// What a row of the ledger counts in one tenth of a millionth of a dollar, as the fake model does.
const TENTH: u64 = 100_000;

/// Sums of money in tenths of a millionth of a dollar, of tokens (read, written, reasoned, from the cache), and of calls
/// of which nobody tells what they have used.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    tenths: u64,
    tokens: [u64; 4],
    unknown: u64,
}

/// What the fake model's book says of the calls that opencode tells of. Which are `untold` is known by their place in it.
fn billed(whole: &Whole, untold: &[usize]) -> Sums {
    let mut sums = Sums { unknown: untold.len() as u64, ..Sums::default() };
    for (at, line) in whole.model.book().iter().enumerate().filter(|(at, _)| !untold.contains(at)) {
        assert!(
            line["cut"] == false && line["title"] == false,
            "line {at} is no call that anybody tells: {line}"
        );
        sums.tenths += line["tenths"].as_u64().unwrap();
        for (kind, sum) in sums.tokens.iter_mut().enumerate() {
            *sum += line["tokens"][kind].as_u64().unwrap();
        }
    }
    sums
}

/// The sums of the ledger, read with `sqlite3`.
fn ledger(whole: &Whole) -> Sums {
    let sum = |field: &str| format!("coalesce(sum(json_extract(extra, '$.{field}')), 0)");
    let fields = ["picos", "unreported", "tokens[0]", "tokens[1]", "tokens[2]", "tokens[3]"].map(sum);
    let sums = whole.world.sql(&format!("SELECT {} FROM costs", fields.join(", ")));
    let sums: Vec<u64> = sums.split('|').map(|sum| sum.parse().unwrap()).collect();
    assert_eq!(sums[0] % TENTH, 0, "money that the model cannot have billed");
    Sums { tenths: sums[0] / TENTH, unknown: sums[1], tokens: [sums[2], sums[3], sums[4], sums[5]] }
}

/// Waits until the ledger holds what the model has billed.
fn agrees(whole: &Whole, untold: &[usize]) {
    wait_until("the ledger is the model's bill", PATIENCE, || {
        let (billed, ledger) = (billed(whole, untold), ledger(whole));
        if billed == ledger { Ok(()) } else { Err(format!("billed {billed:?}\nledger {ledger:?}")) }
    });
}

fn turn(whole: &Whole, id: &str, prompt: &str) {
    whole.world.ctl_says(&["sessions", "prompt", id, prompt]);
    whole.wait(id, "idle,error");
}

/// Begins a session whose answer takes a while, and waits until words of it come.
fn begin_slow(whole: &Whole) -> String {
    let id = whole.start("slow 100 60");
    whole.wait(&id, "running");
    let parts = format!("session_id={id}&type=message.part.updated");
    wait_until("words come", PATIENCE, || match whole.world.count_events(&parts) {
        0..3 => Err("not yet".into()),
        _ => Ok(()),
    });
    id
}

fn count(whole: &Whole, kind: &str) -> u64 {
    whole.world.count_events(&format!("type={kind}"))
}

#[test]
fn twenty_true_turns_come_to_what_the_model_billed_whoever_dies_in_between() {
    let mut whole = Whole::begin(json!({"*": "allow"}));
    let first = whole.start("say hello");
    whole.wait(&first, "idle");
    let prompts = [
        "think about it",
        "bash echo one",
        "write made.txt text",
        "todo",
        "usage 1001 203 407 51",
        "usage 7 1 3 0",
        "bash echo a\nbash echo b\nsay done",
        "slow 20 20",
        "error 500 1",
        "error 400",
        "task usage 333 22 11 0",
        "task bash echo deep",
        "say and on",
    ];
    for prompt in prompts {
        turn(&whole, &first, prompt);
    }
    agrees(&whole, &[]);
    let second = whole.start("usage 95000 100 0 0");
    whole.wait(&second, "idle");
    turn(&whole, &second, "say after it was too long");
    let third = whole.start("say short");
    whole.wait(&third, "idle");
    turn(&whole, &third, "overflow");
    assert_eq!(
        whole.world.count_events("type=session.compacted"),
        2,
        "one by size, one by the provider's word"
    );
    agrees(&whole, &[]);
    let slow = begin_slow(&whole);
    whole.world.kill_supervisor();
    whole.world.start_supervisor();
    whole.world.wait_for_node("web-1", "online");
    whole.wait(&slow, "idle");
    agrees(&whole, &[]);

    let cut = begin_slow(&whole);
    let (status, _) = whole.world.take_agent("web-1").end_with(Signal::KILL);
    assert_eq!(status.signal(), Some(9));
    whole.world.wait_for_node("web-1", "offline");
    whole.world.start_agent_again("web-1");
    whole.world.wait_for_node("web-1", "online");
    whole.wait(&cut, "idle,error");
    turn(&whole, &cut, "say again");
    agrees(&whole, &[]);

    // An agent that has lost its journal tells everything again.
    let (told, made) = (count(&whole, "message.updated"), count(&whole, "session.created"));
    whole.world.take_agent("web-1").end_with(Signal::TERM);
    std::fs::remove_file(whole.world.path().join("web-1/data/agent.redb")).unwrap();
    whole.world.start_agent_again("web-1");
    whole.world.wait_for_node("web-1", "online");
    wait_until("the sessions are told again", PATIENCE, || match count(&whole, "session.created") {
        now if now > made => Ok(()),
        now => Err(format!("{now}")),
    });
    turn(&whole, &first, "say the last");
    assert!(count(&whole, "message.updated") > told);
    agrees(&whole, &[]);
}

#[test]
fn calls_of_which_opencode_tells_nothing_are_counted_as_unknown() {
    let whole = Whole::begin(json!({"*": "allow"}));
    let slow = begin_slow(&whole);
    whole.world.ctl_says(&["sessions", "abort", &slow]);
    whole.wait(&slow, "idle");
    agrees(&whole, &[0]);
    // The model has answered and billed that it wants the tool, but usage is told only after the tool has ended.
    let tool = whole.start("bash sleep 1000");
    wait_until("the tool runs", PATIENCE, || {
        let running = whole.home.processes(|command| command == "sleep 1000");
        if running.is_empty() { Err("no process yet".into()) } else { Ok(()) }
    });
    whole.world.ctl_says(&["sessions", "abort", &tool]);
    whole.wait(&tool, "idle");
    agrees(&whole, &[0, 1]);
    // A model that wants a tool instead of writing the summary was asked in vain, and opencode does not say for how much.
    let long = whole.start("bash echo a\nbash echo b\nsay done");
    whole.wait(&long, "idle");
    agrees(&whole, &[0, 1]);
    let calls = whole.model.book().len();
    turn(&whole, &long, "overflow");
    agrees(&whole, &[0, 1, calls]);
    // A session that a person begins beside us has no title, so opencode has a model find one.
    whole.world.run(begin_untitled(&whole));
    wait_until("a title was asked for", PATIENCE, || {
        match whole.model.book().iter().position(|line| line["title"] == true) {
            None => Err("not yet".into()),
            Some(title) => Ok(title),
        }
    });
    let title = whole.model.book().iter().position(|line| line["title"] == true).unwrap();
    agrees(&whole, &[0, 1, calls, title]);
}

async fn begin_untitled(whole: &Whole) {
    let place = whole.home.path("projects/shop").canonicalize().unwrap();
    let made = whole.ask_opencode(&format!("/session?directory={}", place.display()), &json!({})).await;
    let said = format!("/session/{}/prompt_async", made["id"].as_str().unwrap());
    whole.ask_opencode(&said, &json!({"parts": [{"type": "text", "text": "say hello"}]})).await;
}
