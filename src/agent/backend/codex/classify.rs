//! What Codex's words mean, said in ours.

use serde_json::{Map, Value, json};

use super::words::{Asked, AskedWhat, FailureSaid, TurnEnd, TurnSaid};
use crate::backend::piped::host::Given;
use crate::backend::piped::turn::OpenCall;
use hal_protocol::event::failure::{Failure, FailureKind};
use hal_protocol::event::what::{PermissionAsked, QuestionAsked, What};

/// Why a turn failed; `None` where it did not.
pub fn failure(said: &TurnSaid) -> Option<Failure> {
    match (said.end, &said.failure) {
        (TurnEnd::Interrupted, _) => Some(Failure {
            kind: FailureKind::Aborted,
            name: "interrupted".to_owned(),
            message: "the turn was stopped".to_owned(),
            http_status: None,
        }),
        (TurnEnd::Completed, None) => None,
        (_, Some(said)) => Some(failure_of(said)),
        (TurnEnd::Failed, None) => Some(failure_of(&FailureSaid::default())),
    }
}

fn failure_of(said: &FailureSaid) -> Failure {
    let kind = match (said.word.as_str(), said.status) {
        ("contextWindowExceeded", _) => FailureKind::Overflow,
        ("usageLimitExceeded" | "rateLimitExceeded" | "serverOverloaded" | "flexUnavailable", _)
        | (_, Some(429 | 529)) => FailureKind::RateLimited,
        ("unauthorized", _) | (_, Some(401 | 403)) => FailureKind::Auth,
        ("cyberPolicy" | "misalignmentPolicyViolation", _) => FailureKind::ContentFilter,
        _ => FailureKind::Other,
    };
    let texts = [said.message.as_str(), said.details.as_str()];
    let message = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    let name = if said.word.is_empty() { "error" } else { &said.word };
    Failure { kind, name: name.to_owned(), message, http_status: said.status }
}

/// Which attempt is made now, and why, as `Reconnecting... 2/5` tells it.
pub fn retry(said: &FailureSaid) -> (u32, String) {
    let before = said.message.split('/').next().unwrap_or_default();
    let digits = before.rsplit(|one: char| !one.is_ascii_digit()).next().unwrap_or_default();
    let why = if said.details.is_empty() { &said.message } else { &said.details };
    (digits.parse().unwrap_or(1), why.clone())
}

/// What is told of a request: that, whether it asks whether it may, and what in a line.
pub fn asked(said: &Asked, call: Option<&OpenCall>) -> (What, bool, String) {
    let message_id = call.map(|call| call.message.clone()).unwrap_or_default();
    let blank = PermissionAsked {
        id: said.name.clone(),
        message_id: message_id.clone(),
        call: said.item.clone(),
        ..PermissionAsked::default()
    };
    let told = match &said.what {
        AskedWhat::Questions(questions) => {
            let questions: Vec<_> = questions.iter().map(|(_, question)| question.clone()).collect();
            let what: Vec<&str> = questions.iter().map(|one| one.question.as_str()).collect();
            let what = what.join(" / ");
            let told = QuestionAsked { id: said.name.clone(), questions, message_id };
            return (What::QuestionAsked(told), false, what);
        }
        AskedWhat::Command(command) => PermissionAsked {
            tool: "shell".to_owned(),
            patterns: vec![command.clone()],
            command: Some(command.clone()),
            ..blank
        },
        AskedWhat::Files => {
            let changes = call.map(|call| call.told.input.0["changes"].clone()).unwrap_or_default();
            let changes = changes.as_array().map(Vec::as_slice).unwrap_or_default();
            let each = |key: &str| {
                changes.iter().filter_map(|one| Some(one[key].as_str()?.to_owned())).collect::<Vec<_>>()
            };
            let (paths, diffs) = (each("path"), each("diff"));
            // Whoever decides sees each file, and which change is whose.
            let diff = match paths.as_slice() {
                [_] => diffs.join("\n"),
                _ => changes.iter().map(named_diff).collect::<Vec<_>>().join("\n"),
            };
            PermissionAsked {
                tool: "edit".to_owned(),
                file: Some(&paths).filter(|paths| paths.len() == 1).and_then(|paths| paths.first()).cloned(),
                patterns: paths,
                diff: Some(diff),
                ..blank
            }
        }
        AskedWhat::Permissions(wanted, why) => PermissionAsked {
            tool: "more permissions".to_owned(),
            // What is asked comes first: the reason is the model's, and may be long.
            patterns: vec![if why.is_empty() { wanted.to_string() } else { format!("{wanted} ({why})") }],
            ..blank
        },
    };
    let what = told.what();
    (What::PermissionAsked(told), true, what)
}

/// A change under the name of its file.
fn named_diff(change: &Value) -> String {
    let said = |key: &str| change[key].as_str().unwrap_or_default();
    format!("{}:\n{}", said("path"), said("diff"))
}

/// What it is answered, and the word for that. Nothing here lasts longer than the process: `always` writes no rule.
pub fn answer(said: &Asked, given: &Given) -> (Value, String) {
    match (&said.what, given) {
        (AskedWhat::Permissions(wanted, _), Given::Permission(reply, _)) => {
            let (granted, scope) = match reply.as_str() {
                "reject" => (json!({}), "turn"),
                "always" => (wanted.clone(), "session"),
                _ => (wanted.clone(), "turn"),
            };
            (json!({"permissions": granted, "scope": scope}), reply.clone())
        }
        (_, Given::Permission(reply, _)) => {
            let decision = match reply.as_str() {
                "reject" => "decline",
                "always" => "acceptForSession",
                _ => "accept",
            };
            (json!({"decision": decision}), reply.clone())
        }
        (AskedWhat::Questions(questions), Given::Question(answers)) => {
            let chosen = questions.iter().zip(answers).filter(|(_, labels)| !labels.is_empty());
            let chosen: Map<String, Value> =
                chosen.map(|((id, _), labels)| (id.clone(), json!({"answers": labels}))).collect();
            let word = if chosen.is_empty() { "reject" } else { "answered" };
            (json!({"answers": chosen}), word.to_owned())
        }
        (_, Given::Question(_)) => (json!({"answers": {}}), "reject".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal_protocol::approval::Question;
    use hal_protocol::event::part::ToolUse;

    fn said(word: &str, status: Option<u64>) -> TurnSaid {
        let failure =
            FailureSaid { word: word.into(), status, message: "it says so".into(), ..FailureSaid::default() };
        TurnSaid { end: TurnEnd::Failed, failure: Some(failure), ..TurnSaid::default() }
    }

    #[test]
    fn failures_are_of_a_kind_and_a_stop_is_none() {
        let kind = |word: &str, status: Option<u64>| failure(&said(word, status)).unwrap().kind;
        assert_eq!(kind("contextWindowExceeded", None), FailureKind::Overflow);
        assert_eq!(kind("usageLimitExceeded", None), FailureKind::RateLimited);
        assert_eq!(kind("responseTooManyFailedAttempts", Some(429)), FailureKind::RateLimited);
        assert_eq!(kind("httpConnectionFailed", Some(401)), FailureKind::Auth);
        assert_eq!(kind("unauthorized", None), FailureKind::Auth);
        assert_eq!(kind("cyberPolicy", None), FailureKind::ContentFilter);
        assert_eq!(kind("internalServerError", None), FailureKind::Other);
        let stopped = TurnSaid { end: TurnEnd::Interrupted, ..TurnSaid::default() };
        assert!(failure(&stopped).unwrap().is_abort());
        assert_eq!(failure(&TurnSaid { end: TurnEnd::Completed, ..TurnSaid::default() }), None);
        assert!(failure(&TurnSaid::default()).is_some(), "what cannot be read is no success");
    }

    #[test]
    fn an_attempt_is_read_from_the_sentence() {
        let told =
            |message: &str| retry(&FailureSaid { message: message.into(), ..FailureSaid::default() }).0;
        assert_eq!((told("Reconnecting... 2/5"), told("again"), told("")), (2, 1, 1));
    }

    #[test]
    fn every_file_of_a_change_is_shown_with_what_is_changed_in_it() {
        let ask = Asked {
            id: json!(0),
            name: "u.0".into(),
            item: "c".into(),
            is_secret: false,
            what: AskedWhat::Files,
        };
        let call = |changes: Value| {
            let (session, message, part) = ("s".into(), "m".into(), "p".into());
            let mut call = OpenCall { session, message, part, told: ToolUse::default(), is_refused: false };
            call.told.input.0 = json!({ "changes": changes });
            call
        };
        let two =
            json!([{"path": "README.md", "diff": "+ hello"}, {"path": ".envrc", "diff": "+ curl evil"}]);
        let (What::PermissionAsked(told), true, what) = asked(&ask, Some(&call(two))) else { panic!() };
        assert_eq!((told.file, what.as_str()), (None, "README.md .envrc"));
        assert_eq!(told.diff.unwrap(), "README.md:\n+ hello\n.envrc:\n+ curl evil");
        let one = json!([{"path": "README.md", "diff": "+ hello"}]);
        let (What::PermissionAsked(told), true, _) = asked(&ask, Some(&call(one))) else { panic!() };
        assert_eq!((told.file.unwrap().as_str(), told.diff.unwrap().as_str()), ("README.md", "+ hello"));
    }

    #[test]
    fn answers_last_no_longer_than_the_process() {
        let asked = |what: AskedWhat| Asked {
            id: json!(0),
            name: "u.0".into(),
            item: "c".into(),
            is_secret: false,
            what,
        };
        let reply = |word: &str| Given::Permission(word.into(), String::new());
        let command = asked(AskedWhat::Command("touch x".into()));
        let decisions =
            ["once", "always", "reject"].map(|word| answer(&command, &reply(word)).0["decision"].clone());
        assert_eq!(decisions, ["accept", "acceptForSession", "decline"]);
        let more = asked(AskedWhat::Permissions(json!({"network": {"enabled": true}}), String::new()));
        assert_eq!(answer(&more, &reply("reject")).0["permissions"], json!({}));
        assert_eq!(answer(&more, &reply("once")).0["scope"], "turn");
        let question = Question { question: "Which?".into(), options: Vec::new() };
        let questions = asked(AskedWhat::Questions(vec![("q1".into(), question)]));
        let (value, word) = answer(&questions, &Given::Question(vec![vec!["Red".into()]]));
        assert_eq!((value["answers"]["q1"]["answers"][0].as_str(), word.as_str()), (Some("Red"), "answered"));
        assert_eq!(answer(&questions, &Given::Question(Vec::new())).1, "reject");
    }
}
