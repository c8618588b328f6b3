//! P12: the hub at realistic events. A thousand sessions at work, all policies on, three budgets, five routes and two
//! hundred approvals open; what its thread uses for an event. Beside it the same events without any rule.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use hal_o_swarm::base::clock::Time;
use hal_o_swarm::protocol::event::Event;
use hal_o_swarm::protocol::frame::{Events, FromAgent};

use crate::Plan;
use crate::fleet::Fleet;
use crate::kernel::{processor_seconds, thread_seconds};
use crate::report::{Line, Verdict, median, spread};
use crate::world::World;

const AGENTS: usize = 10;

/// Sessions of one agent.
const SESSIONS: u64 = 100;

/// Of each hundred events one asks for permission until so many sessions wait; nobody answers.
const ASKING: u64 = 20;

/// Events in one turn.
const EVENTS: u64 = 30_000;
const ROUNDS: usize = 3;

/// The time on events, and what passes between two of a node, in milliseconds.
const NOW: i64 = 1_795_451_095_000;

/// Measures it.
pub fn measure(plan: &Plan) -> Vec<Line> {
    let mut with = Stand::start(plan, true);
    let mut without = Stand::start(plan, false);
    let (mut ruled, mut free) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ruled.push(with.turn());
        free.extend([without.turn(), without.turn()]);
        ruled.push(with.turn());
    }
    let list = |turns: &[Turn], of: fn(&Turn) -> f64| turns.iter().map(of).collect::<Vec<_>>();
    let (mut rate, mut hub, mut all) =
        (list(&ruled, |it| it.rate), list(&ruled, |it| it.hub_us), list(&ruled, |it| it.all_us));
    let (mut free_rate, mut free_hub) = (list(&free, |it| it.rate), list(&free, |it| it.hub_us));
    let ratio = median(&mut hub) / median(&mut free_hub);
    let (low, high) = spread(&rate);
    let middle = median(&mut rate);
    vec![Line {
        number: "P12",
        what: format!(
            "realistic events, {} sessions, 7 policies, 3 budgets, 5 routes, 200 approvals",
            SESSIONS * AGENTS as u64
        ),
        goal: "20,000/s".to_owned(),
        dream: "50,000/s".to_owned(),
        measured: format!(
            "{middle:.0}/s ({low:.0}..{high:.0}); the hub's thread {:.0} us an event, the supervisor {:.0} us; without rules {:.0}/s, {:.0} us",
            median(&mut hub),
            median(&mut all),
            median(&mut free_rate),
            median(&mut free_hub),
        ),
        ratio: format!("{ratio:.1}x the hub's time without rules"),
        verdict: Verdict::of(middle >= 50_000.0, middle >= 20_000.0),
        numbers: json!({"events_per_second": rate, "hub_us": hub, "supervisor_us": all,
            "without": {"events_per_second": free_rate, "hub_us": free_hub}}),
    }]
}

/// One turn: events a second, and microseconds of processor time an event.
struct Turn {
    rate: f64,
    hub_us: f64,
    all_us: f64,
}

struct Stand {
    world: World,
    fleet: Fleet,
}

impl Stand {
    fn start(plan: &Plan, with_rules: bool) -> Self {
        let mut world = World::empty_in(&plan.folder);
        world.heartbeat_sec = 60;
        let mut config = world.supervisor_config(world.port());
        if with_rules {
            add_rules(&mut config);
        }
        let file = world.write("supervisor.json", &config.to_string());
        let command = world.hal(&["supervisor", "--config", &file.to_string_lossy()]);
        world.start_supervisor_by(command);
        world.wait_for_supervisor();
        let mut fleet = Fleet::join(&world, "rules", AGENTS).with_script(frame);
        fleet.say(&world, 2 * EVENTS);
        Self { world, fleet }
    }

    fn turn(&mut self) -> Turn {
        let pid = self.world.supervisor().pid();
        let used = || (thread_seconds(pid, "hub"), processor_seconds(pid));
        let before = used();
        let rate = self.fleet.say(&self.world, EVENTS);
        let after = used();
        let each = |seconds: f64| seconds * 1e6 / EVENTS as f64;
        Turn { rate, hub_us: each(after.0 - before.0), all_us: each(after.1 - before.1) }
    }
}

fn add_rules(config: &mut Value) {
    config["policies"] = json!({
        "kill_on_cost": {"enabled": true, "cost_threshold_usd": 1_000_000},
        "session_timeout": {"enabled": true, "idle_seconds": 360_000},
        "error_loop": {"enabled": true},
        "restart_on_compaction": {"enabled": true, "compaction_count": 1_000},
        "stuck": {"enabled": true},
        "rate_limited": {"enabled": true},
        "resume_on_idle": {"enabled": true, "idle_threshold_seconds": 36_000},
    });
    config["budgets"] = json!({"limits": [
        {"name": "month", "scope": "fleet", "limit_usd": 1_000_000, "period": "month"},
        {"name": "shop", "scope": "project shop", "limit_usd": 1_000_000, "period": "day"},
        {"name": "each", "scope": "session", "limit_usd": 100_000},
    ]});
    config["routes"] = json!([
        {"name": "errors", "match": "session.error"},
        {"name": "limits", "match": "event.type == \"session.error\" && event.data.error.name == \"ProviderLimitError\""},
        {"name": "tools", "match": "event.type == \"message.part.updated\" && event.data.part.state.status == \"error\""},
        {"name": "stuck", "match": "session.running && stuck > 2h"},
        {"name": "dear", "match": "cost.daily > 1000000.0"},
    ]);
}

/// A frame of what sessions say while they work: a turn of ten events each, one after the other.
fn frame(incarnation: &str, session: &str, from: u64, to: u64) -> String {
    let event = |seq: u64| {
        let (turn, step) = (seq / 10, seq % 10);
        let id = format!("{session}-{}", turn % SESSIONS);
        let (kind, data) = said(&id, turn, step);
        let data = RawValue::from_string(data.to_string()).expect("it is JSON");
        Event {
            seq,
            id: format!("{incarnation}-{seq}"),
            kind: kind.to_owned(),
            session_id: Some(id.into()),
            project: Some("shop".into()),
            occurred_at: Time(NOW + i64::try_from(seq).expect("it is small")),
            data,
        }
    };
    let batch = Events { incarnation: incarnation.to_owned(), events: (from..=to).map(event).collect() };
    FromAgent::Events(batch).encode(Time(NOW))
}

/// What a session says at this step of a turn.
fn said(id: &str, turn: u64, step: u64) -> (&'static str, Value) {
    let message = format!("msg_{turn}");
    let tool = |status: &str, output: &str| {
        json!({"sessionID": id, "part": {"id": format!("prt_{turn}_{step}"), "messageID": message, "type": "tool",
            "tool": "bash", "callID": format!("call_{turn}_{step}"), "state": {"status": status,
            "input": {"command": "cargo test --all", "description": "Run the tests"}, "output": output}}})
    };
    let info = |completed: Option<i64>| {
        json!({"sessionID": id, "info": {"id": message, "role": "assistant", "parentID": format!("msg_u{turn}"),
            "cost": 0.0001, "tokens": {"input": 1200, "output": 340, "reasoning": 60, "cache": {"read": 800, "write": 20}},
            "modelID": "claude-sonnet", "providerID": "anthropic", "time": {"created": NOW, "completed": completed}}})
    };
    match step {
        0 if turn % SESSIONS < ASKING => (
            "permission.asked",
            json!({"id": format!("per_{id}"), "sessionID": id, "permission": "bash",
                "patterns": ["cargo test *"], "metadata": {"command": "cargo test --all"}}),
        ),
        0 => ("session.status", json!({"sessionID": id, "status": {"type": "busy"}})),
        1 => ("message.updated", info(None)),
        2 | 5 => ("message.part.updated", tool("running", "")),
        3 | 6 => ("message.part.updated", tool("completed", &"test result: ok. 1 passed\n".repeat(30))),
        4 => (
            "message.part.updated",
            json!({"sessionID": id, "part": {"id": format!("prt_{turn}_r"), "messageID": message,
                "type": "reasoning", "text": "The checkout rounds twice. ".repeat(10)}}),
        ),
        7 => (
            "message.part.updated",
            json!({"sessionID": id, "part": {"id": format!("prt_{turn}_t"), "messageID": message,
                "type": "text", "text": "I have mended the rounding, and the tests pass now. ".repeat(8)}}),
        ),
        8 => (
            "todo.updated",
            json!({"sessionID": id, "todos": [{"content": "mend the rounding", "status": "completed"},
                {"content": "look at the tax", "status": "in_progress"}]}),
        ),
        _ => ("message.updated", info(Some(NOW))),
    }
}
