//! Events in, a conversation out.

use serde_json::{Value, json};

use super::*;
use hal_protocol::event::raw;

fn event(at: i64, kind: &str, data: &Value) -> EventView {
    EventView {
        seq: at as u64,
        id: format!("evt_{at}"),
        kind: kind.into(),
        session_id: "s1".into(),
        node_id: "web-1".into(),
        project: "shop".into(),
        data: raw(data),
        timestamp: Time(at * 1000),
        occurred_at: Time(at * 1000),
        node_seq: at as u64,
    }
}

fn told(eager: bool, events: &[(&str, Value)]) -> String {
    let mut conversation = Conversation::new(false, eager);
    let mut text = String::new();
    for (index, (kind, data)) in events.iter().enumerate() {
        text += &conversation.hear(&event(index as i64 + 1, kind, data));
    }
    text + &conversation.finish()
}

fn user(text: &str) -> [(&'static str, Value); 2] {
    [
        ("message.updated", json!({"info": {"id": "m1", "role": "user", "time": {"created": 1}}})),
        (
            "message.part.updated",
            json!({"part": {"id": "p1", "messageID": "m1", "type": "text", "text": text}}),
        ),
    ]
}

fn assistant(cost: f64, input: u64, output: u64, done: bool) -> (&'static str, Value) {
    let mut info = json!({"id": "m2", "role": "assistant", "cost": cost, "providerID": "stub", "modelID": "stub-1",
        "tokens": {"input": input, "output": output, "reasoning": 0, "cache": {"read": 0, "write": 0}},
        "time": {"created": 1}});
    if done {
        info["time"]["completed"] = json!(2);
    }
    ("message.updated", json!({"info": info}))
}

fn says(text: &str, ended: bool) -> (&'static str, Value) {
    let time = if ended { json!({"start": 1, "end": 2}) } else { json!({"start": 1}) };
    (
        "message.part.updated",
        json!({"part": {"id": "p2", "messageID": "m2", "type": "text", "text": text, "time": time}}),
    )
}

fn busy() -> (&'static str, Value) {
    ("session.status", json!({"status": {"type": "busy"}}))
}

fn idle() -> [(&'static str, Value); 2] {
    [("session.status", json!({"status": {"type": "idle"}})), ("session.idle", json!({}))]
}

#[test]
fn a_turn_is_who_said_what_and_its_cost() {
    let [said, part] = user("hello there");
    let [status, over] = idle();
    let text = told(
        false,
        &[
            ("session.created", json!({"info": {"id": "s1", "title": "first", "directory": "/work"}})),
            said,
            part,
            busy(),
            assistant(0.0, 0, 0, false),
            busy(),
            says("", false),
            says("Hello.\nI am a stub.", true),
            assistant(0.00726, 2390, 6, false),
            assistant(0.00726, 2390, 6, true),
            status,
            over,
            ("session.diff", json!({"diff": []})),
        ],
    );
    assert_eq!(
        text,
        "\
1970-01-01 (UTC)
00:00:01  session    first in /work
00:00:03  user       hello there
00:00:08  assistant  Hello.
                     I am a stub.
00:00:11  turn       $0.0073, 2,396 tokens (2,390 in, 6 out), stub/stub-1, took 7 s
"
    );
}

#[test]
fn a_tool_shows_its_input_in_one_line_and_its_result_shortened() {
    let output: String = (1..=20).map(|n| format!("line {n}\n")).collect();
    let tool = |state: Value| {
        (
            "message.part.updated",
            json!({"part": {"id": "t1", "messageID": "m2", "type": "tool", "tool": "bash", "state": state}}),
        )
    };
    let input = json!({"command": "seq 20\nexit 3", "description": "count"});
    let events = [
        tool(json!({"status": "pending", "input": {}})),
        tool(json!({"status": "running", "input": input})),
        (
            "permission.asked",
            json!({"id": "per_1", "permission": "bash", "patterns": ["seq 20"], "metadata": {"command": "seq 20"}}),
        ),
        ("permission.replied", json!({"requestID": "per_1", "reply": "once"})),
        tool(json!({"status": "completed", "input": input, "output": output, "metadata": {"exit": 3}})),
    ];
    let text = told(false, &events);
    assert!(
        text.contains("asks       permission to use bash: seq 20 (per_1)\n00:00:04  allowed    once\n"),
        "{text}"
    );
    assert!(text.contains("00:00:05  bash       seq 20\\nexit 3\n                     line 1\n"), "{text}");
    assert!(
        text.contains("line 8\n                     … 12 more lines\n                     exit code 3\n"),
        "{text}"
    );
    assert_eq!(text.matches("bash       seq 20").count(), 1, "{text}");
    let text = told(false, &events[..2]);
    assert!(text.contains("bash       seq 20\\nexit 3\n                     … still running\n"), "{text}");
    let text = told(true, &events[..3]);
    assert!(text.contains("00:00:02  bash       seq 20"), "{text}");
}

#[test]
fn a_failed_tool_says_why() {
    let text = told(
        false,
        &[(
            "message.part.updated",
            json!({"part": {"id": "t1", "type": "tool", "tool": "bash",
            "state": {"status": "error", "input": {"command": "x"}, "error": "The user rejected permission."}}}),
        )],
    );
    assert!(
        text.contains("bash       x\n                     failed: The user rejected permission.\n"),
        "{text}"
    );
}

#[test]
fn an_error_is_told_once_though_turn_and_message_both_have_it() {
    let error = json!({"name": "APIError", "data": {"message": "stub says 400"}});
    let [status, over] = idle();
    let text = told(
        false,
        &[
            busy(),
            ("session.error", json!({"error": error})),
            over.clone(),
            (
                "message.updated",
                json!({"info": {"id": "m2", "role": "assistant", "cost": 0, "error": error,
                "tokens": {"input": 0, "output": 0}, "time": {"created": 1, "completed": 2}}}),
            ),
            status,
            over,
        ],
    );
    assert_eq!(text.matches("error      APIError: stub says 400").count(), 1, "{text}");
    assert!(text.contains("turn       no tokens used"), "{text}");
}

#[test]
fn an_unknown_cost_is_not_zero_and_no_cost_is_counted_twice() {
    let message = |id: &str, cost: Value| {
        (
            "message.updated",
            json!({"info": {"id": id, "role": "assistant", "cost": cost,
            "tokens": {"input": 10, "output": 1}, "time": {"created": 1, "completed": 2}}}),
        )
    };
    let text = told(
        false,
        &[
            busy(),
            message("a", json!(0.01)),
            ("session.idle", json!({})),
            busy(),
            message("a", json!(0.01)),
            message("b", Value::Null),
            ("session.idle", json!({})),
            ("session.idle", json!({})),
        ],
    );
    assert!(text.contains("turn       $0.01, 11 tokens"), "{text}");
    assert!(text.contains("turn       cost unknown, 11 tokens"), "{text}");
    assert_eq!(text.matches("  turn  ").count(), 2, "{text}");
}

#[test]
fn words_are_shown_as_they_are_written_and_not_again_when_complete() {
    let delta =
        |words: &str| raw(&json!({"messageID": "m2", "partID": "p2", "field": "text", "delta": words}));
    let mut conversation = Conversation::new(false, true);
    let mut text = conversation.hear(&event(1, "message.updated", &assistant(0.0, 0, 0, false).1));
    text += &conversation.hear(&event(2, "message.part.updated", &says("", false).1));
    text += &conversation.overhear("message.part.delta", &delta("Hel"), Time(3000));
    text += &conversation.overhear("message.part.delta", &delta("lo,\n"), Time(3000));
    text += &conversation.hear(&event(4, "message.part.updated", &says("Hello,\nworld", true).1));
    assert_eq!(text, "1970-01-01 (UTC)\n00:00:03  assistant  Hello,\n                     world\n");
    text = conversation.overhear("message.part.delta", &delta("lost"), Time(5000));
    text += &conversation.hear(&event(6, "message.part.updated", &says("Something else", true).1));
    assert!(text.ends_with("00:00:06  assistant  Something else\n"), "{text}");
}

#[test]
fn a_turn_cut_short_still_shows_what_was_said() {
    let [_, over] = idle();
    let text = told(
        false,
        &[
            says("half a sent", false),
            (
                "session.error",
                json!({"error": {"name": "MessageAbortedError", "data": {"message": "Aborted"}}}),
            ),
            over,
        ],
    );
    assert!(text.contains("assistant  half a sent\n"), "{text}");
    assert!(text.contains("aborted    the turn was aborted\n"), "{text}");
}

#[test]
fn questions_retries_gaps_and_lists_are_told() {
    let text = told(
        false,
        &[
            (
                "question.asked",
                json!({"id": "q1", "questions": [{"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}]}),
            ),
            ("question.replied", json!({"requestID": "q1", "answers": [["Red"]]})),
            (
                "session.status",
                json!({"status": {"type": "retry", "attempt": 1, "message": "says 500", "next": 5000}}),
            ),
            (
                "session.status",
                json!({"status": {"type": "retry", "attempt": 1, "message": "says 500", "next": 5000}}),
            ),
            ("gap", json!({"from": 1, "to": 2, "reason": "backend restarted"})),
            (
                "todo.updated",
                json!({"todos": [{"content": "first", "status": "completed"}, {"content": "second"}]}),
            ),
            ("session.ended", json!({"reason": "killed"})),
        ],
    );
    for words in [
        "asks       Which? [Red | Blue] (q1)",
        "answered   Red",
        "retry      attempt 1 failed: says 500; again at 00:00:05",
        "gap        events may be missing here: backend restarted",
        "todo       [x] first\n                     [ ] second",
        "ended      killed",
    ] {
        assert_eq!(text.matches(words).count(), 1, "{words} in {text}");
    }
}

#[test]
fn unknown_kinds_and_broken_data_say_nothing_and_foreign_text_is_harmless() {
    let text = told(
        false,
        &[("echo.tick", json!({"n": 1})), ("later.thing", json!([])), ("message.updated", json!(7)), busy()],
    );
    assert_eq!(text, "");
    let [said, part] = user("\x1b[2Jclear");
    assert!(told(false, &[said, part]).contains("user       [2Jclear\n"));
}
