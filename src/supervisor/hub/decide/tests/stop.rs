//! Turns that are to stop: what is told to whom, and when it is said to be so.

use super::*;
use hal_protocol::lease::{ENDED, INTERRUPTED};

const SECOND: i64 = 1_000;

/// A node that is connected, with a session at work.
fn at_work() -> Stage {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    stage.say("n", 1, "s", "session.created", 1, &json!({"info": {"id": "s"}}));
    stage.busy(2);
    stage
}

impl Stage {
    fn busy(&mut self, seq: u64) {
        self.say("n", seq, "s", "session.status", 2, &json!({"sessionID": "s", "status": {"type": "busy"}}));
    }

    /// So many seconds pass, in which the node lives, if it is there.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now += SECOND;
            if self.view.find_node("n").unwrap().link.online {
                self.beat("n");
            }
            self.play(vec![Input::Tick]);
        }
    }

    /// What nodes were told since the last time: the verbs of commands, and `cancel`.
    fn verbs(&mut self) -> Vec<String> {
        let told = self.told.drain(..).filter_map(|(_, frame)| match frame {
            ToAgent::Command(frame) => Some(frame.verb),
            ToAgent::Cancel(_) => Some("cancel".to_owned()),
            _ => None,
        });
        told.collect()
    }

    fn halt(&mut self, release: bool) -> Command {
        let (reply, mut answer) = oneshot::channel();
        let args = json!({ "release": release });
        let request = CommandRequest {
            verb: "halt_work".into(),
            args: args.as_object().unwrap().clone(),
            ..CommandRequest::default()
        };
        self.play(vec![Input::Command(Box::new(SubmittedCommand::new(request, person("ada"), reply)))]);
        answer.try_recv().unwrap().unwrap()
    }

    fn open_text(&self, name: &str, about: &str) -> Option<String> {
        self.view.stored.open_alert(name, about).map(|alert| alert.text.clone())
    }

    /// The one command of this kind that has not ended, if there is one.
    fn is_open(&self, id: &CommandId) -> bool {
        self.view.stored.commands.contains_key(id)
    }
}

#[test]
fn a_turn_that_its_node_cannot_interrupt_is_stopped_from_here() {
    let mut stage = at_work();
    let told = json!({"lease_id": "l", "session_id": "s", "action": "pause", "why": "it is spent"});
    stage.say("n", 3, "s", INTERRUPTED, 3, &told);
    stage.verbs();
    stage.pass(19);
    assert!(stage.verbs().is_empty(), "the node is given time");
    stage.pass(2);
    assert_eq!(stage.verbs(), ["abort_session"]);
    stage.pass(10);
    assert_eq!(stage.verbs(), ["kill_session"]);
    stage.pass(31);
    let text = stage.open_text("halt.incomplete", "s").unwrap();
    assert!(text.contains("1 turn did not stop: session s on node n"), "{text}");
    stage.say("n", 4, "s", ENDED, 4, &json!({"lease_id": "l"}));
    stage.pass(1);
    assert_eq!(stage.open_text("halt.incomplete", "s"), None);
}

#[test]
fn one_that_was_interrupted_and_goes_on_later_is_left_alone() {
    let mut stage = at_work();
    stage.say("n", 3, "s", INTERRUPTED, 3, &json!({"lease_id": "l", "session_id": "s", "action": "pause"}));
    stage.say("n", 4, "s", "session.idle", 4, &json!({"sessionID": "s"}));
    stage.busy(5);
    stage.verbs();
    stage.pass(60);
    assert!(stage.verbs().is_empty());
}

#[test]
fn a_halt_names_what_a_node_that_is_away_was_running_and_stops_it_when_it_is_back() {
    let mut stage = at_work();
    let from = stage.from();
    stage.play(vec![Input::Disconnect { from, reason: "gone".into() }]);
    let halt = stage.halt(false);
    let error = halt.error.unwrap();
    assert_eq!(halt.state, CommandState::Failed, "{error}");
    assert!(error.contains("session s (node n is offline"), "{error}");
    assert!(stage.open_text("halt.incomplete", "").unwrap().contains("node n is offline"));
    stage.verbs();
    stage.connect("a", 1, 2).unwrap();
    stage.pass(1);
    assert_eq!(stage.verbs(), ["abort_session"], "it begins with an abort, however long it was away");
    stage.say("n", 3, "s", "session.idle", 3, &json!({"sessionID": "s"}));
    assert_eq!(stage.open_text("halt.incomplete", ""), None);
    let text = stage.open_text("work.halted", "").unwrap();
    assert!(text.ends_with("no turn runs or begins"), "{text}");
}

#[test]
fn a_halt_is_answered_when_what_the_node_had_before_it_has_ended() {
    let mut stage = Stage::new();
    stage.connect("a", 1, 0).unwrap();
    let begun = stage.ask(&["k"], "create_session", None).remove(0).unwrap();
    stage.verbs();
    let halt = stage.halt(false);
    assert_eq!(halt.state, CommandState::Running, "a turn may begin yet");
    assert_eq!(stage.verbs(), ["cancel"], "the node drops it unless it has begun");
    let result = CommandResult {
        command_id: Some(begun.id.clone()),
        status: "failure".into(),
        error: Some("cancelled before it began".into()),
        state: None,
        output: String::new(),
        stood: None,
    };
    let from = stage.from();
    stage.play(vec![Input::CommandResult { from, id: begun.id, result }]);
    stage.pass(1);
    assert!(!stage.is_open(&halt.id), "it is known now");
    assert_eq!(stage.halt(true).state, CommandState::Done);
    assert_eq!(stage.open_text("work.halted", ""), None);
}

#[test]
fn a_halt_that_is_released_meanwhile_is_none() {
    let mut stage = at_work();
    let halt = stage.halt(false);
    assert_eq!(halt.state, CommandState::Running);
    stage.halt(true);
    assert!(!stage.is_open(&halt.id));
    stage.verbs();
    stage.pass(30);
    assert!(stage.verbs().is_empty(), "nobody wants it to stop any more");
}
