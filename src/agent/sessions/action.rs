//! Actions: reads what a command asks of a backend. Every refusal is a sentence for a person.

use serde_json::{Map, Value};

use super::View;
use crate::backend::Action;
use crate::backend::BackendKind;
use crate::project::Projects;
use hal_protocol::command::Verb;
use hal_protocol::frame::CommandFrame;
use hal_protocol::session::SessionId;

/// The backend that is to do it, and what.
pub(super) fn read(
    frame: &CommandFrame,
    verb: Verb,
    projects: &Projects,
    view: &View,
) -> Result<(BackendKind, Action), String> {
    if verb == Verb::CreateSession {
        let project = projects.find(&frame.target.project)?;
        let action = Action::Create {
            directory: project.directory.display().to_string(),
            prompt: text(&frame.args, "prompt"),
            title: text(&frame.args, "title"),
            model: text(&frame.args, "model"),
            agent: text(&frame.args, "agent"),
        };
        return Ok((project.backend, action));
    }
    let Some(session_id) = session_of(frame) else {
        return Err(format!("{} needs a session, and none was named", verb.as_str()));
    };
    let Some(held) = view.sessions.get(&session_id) else {
        return Err(format!("no session {session_id} on this node, which knows {}", view.sessions.len()));
    };
    let backend = &held.record.session.backend;
    let kind = BackendKind::parse(backend).ok_or_else(|| {
        format!("session {session_id} belongs to {backend:?}, which this agent does not know")
    })?;
    Ok((kind, of_session(frame, verb, session_id)?))
}

/// True when it stops something, or whoever asks wants to know where the session stood.
pub(super) fn steps_in(frame: &CommandFrame, verb: Verb) -> bool {
    let is_asked = frame.args.get("note_stood").and_then(Value::as_bool).unwrap_or(false);
    is_asked || matches!(verb, Verb::KillSession | Verb::AbortSession)
}

/// The words that can be asked, for whoever asks another.
pub(super) fn unknown_verb(word: &str) -> String {
    let known: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
    format!("unknown command type {word:?}; this agent knows {}", known.join(", "))
}

/// The session a command is meant for; older callers say it in `args`.
pub(super) fn session_of(frame: &CommandFrame) -> Option<SessionId> {
    let in_args = || Some(text(&frame.args, "session_id")).filter(|id| !id.is_empty()).map(SessionId::from);
    frame.target.session_id.clone().or_else(in_args)
}

fn of_session(frame: &CommandFrame, verb: Verb, session_id: SessionId) -> Result<Action, String> {
    let args = &frame.args;
    let request_id = Some(text(args, "request_id")).filter(|id| !id.is_empty());
    Ok(match verb {
        Verb::PromptSession => match text(args, "message") {
            message if message.is_empty() => {
                return Err("there is no message: args.message is empty".into());
            }
            message => Action::Prompt { session_id, message },
        },
        Verb::AbortSession => Action::Abort { session_id },
        Verb::KillSession => Action::Kill { session_id },
        Verb::AnswerPermission => match text(args, "reply") {
            reply if ["once", "always", "reject"].contains(&reply.as_str()) => {
                Action::AnswerPermission { session_id, request_id, reply, message: text(args, "message") }
            }
            other => return Err(format!("args.reply is {other:?}; it must be once, always or reject")),
        },
        Verb::AnswerQuestion => Action::AnswerQuestion { session_id, request_id, answers: answers(args)? },
        Verb::SessionStatus | Verb::CreateSession => Action::Look { session_id },
        _ => return Err(format!("{} is for the supervisor, not for a node", verb.as_str())),
    })
}

fn answers(args: &Map<String, Value>) -> Result<Vec<Vec<String>>, String> {
    let value = args.get("answers").cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|_| {
        "args.answers must be a list that holds a list of chosen labels for each question".into()
    })
}

fn text(args: &Map<String, Value>, key: &str) -> String {
    args.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(frame: Value) -> String {
        let frame: CommandFrame = serde_json::from_value(frame).unwrap();
        let verb = Verb::parse(&frame.verb).unwrap();
        read(&frame, verb, &Projects::new(Vec::new()), &View::default()).unwrap_err()
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        assert_eq!(
            refusal(json!({"command_id": "1", "type": "create_session", "target": {"project": "shop"}})),
            r#"no project "shop"; this node has none"#
        );
        assert_eq!(
            refusal(json!({"command_id": "1", "type": "abort_session"})),
            "abort_session needs a session, and none was named"
        );
        assert_eq!(
            refusal(json!({"command_id": "1", "type": "kill_session", "args": {"session_id": "ses"}})),
            "no session ses on this node, which knows 0"
        );
        assert!(
            unknown_verb("dance").starts_with(r#"unknown command type "dance"; this agent knows create"#)
        );
    }

    #[test]
    fn answers_must_fit() {
        let frame = |args| CommandFrame {
            steady_ms: None,
            args: serde_json::from_value(args).unwrap(),
            ..serde_json::from_value(json!({"command_id": "1", "type": "answer_permission"})).unwrap()
        };
        let read = |args, verb| of_session(&frame(args), verb, "ses".into());
        assert!(
            read(json!({"reply": "maybe"}), Verb::AnswerPermission).unwrap_err().contains("once, always")
        );
        assert!(read(json!({"reply": "once"}), Verb::AnswerPermission).is_ok());
        assert!(read(json!({"answers": "yes"}), Verb::AnswerQuestion).is_err());
        assert!(read(json!({"answers": [["yes"]]}), Verb::AnswerQuestion).is_ok());
        assert!(read(json!({}), Verb::PromptSession).unwrap_err().contains("no message"));
    }
}
