//! What Claude Code's words mean, said in ours.

use serde_json::{Value, json};

use super::words::{CanUseTool, Decided, ResultSaid, ToolResult};
use hal_protocol::approval::{Choice, Question};
use hal_protocol::event::failure::{Failure, FailureKind};
use hal_protocol::event::part::{ToolCause, ToolKind, ToolState, ToolUse};
use hal_protocol::event::what::{PermissionAsked, QuestionAsked};

/// The tool by which it asks a person something.
const ASK: &str = "AskUserQuestion";

/// How the words begin of a command that ended badly.
const EXIT: &str = "Exit code ";

/// What went wrong lately, as an answer without a model tells it.
#[derive(Clone, Debug, Default)]
pub struct LastError {
    /// The word for it.
    pub word: String,
    /// The provider's HTTP status.
    pub status: Option<u64>,
}

/// Why a turn failed; `None` where it did not.
pub fn failure(said: &ResultSaid, last: &LastError) -> Option<Failure> {
    if !said.is_error {
        return None;
    }
    let http_status = said.api_error_status.or(last.status);
    let is_aborted = said.terminal_reason.starts_with("aborted");
    let kind = match (said.terminal_reason.as_str(), last.word.as_str(), http_status) {
        _ if is_aborted => FailureKind::Aborted,
        ("prompt_too_long", ..) => FailureKind::Overflow,
        (_, "rate_limit" | "overloaded" | "billing_error", _) | (_, _, Some(429 | 529)) => {
            FailureKind::RateLimited
        }
        (_, "authentication_failed" | "oauth_org_not_allowed", _) | (_, _, Some(401 | 403)) => {
            FailureKind::Auth
        }
        (_, "max_output_tokens", _) => FailureKind::OutputLimit,
        _ if last.word.is_empty() && said.result.contains("Prompt is too long") => FailureKind::Overflow,
        _ => FailureKind::Other,
    };
    let message = match (is_aborted, said.result.is_empty()) {
        (true, _) => "the turn was stopped".to_owned(),
        (false, false) => said.result.clone(),
        (false, true) => said.errors.join("; "),
    };
    let name = [last.word.as_str(), said.terminal_reason.as_str(), "error"];
    let name = name.into_iter().find(|word| !word.is_empty()).unwrap_or_default().to_owned();
    Some(Failure { kind, name, message, http_status })
}

/// What a tool does.
pub fn tool_kind(name: &str) -> ToolKind {
    match name {
        "Bash" => ToolKind::Execute,
        "Edit" | "Write" | "NotebookEdit" => ToolKind::Edit,
        _ => ToolKind::Other,
    }
}

/// The file that a tool changes.
pub fn changed_file(tool: &str, input: &Value) -> Option<String> {
    let key = match tool {
        "Edit" | "Write" => "file_path",
        "NotebookEdit" => "notebook_path",
        _ => return None,
    };
    input[key].as_str().map(str::to_owned)
}

/// A call as it stands when it has given something. `refused`: a person has said no to it.
pub fn ended(call: ToolUse, result: &ToolResult, decided: Option<&Decided>, refused: bool) -> ToolUse {
    let text = result.text();
    let exit = match (call.kind, result.is_error) {
        (ToolKind::Execute, false) => Some(0),
        (ToolKind::Execute, true) => exit_of(&text),
        _ => None,
    };
    if !result.is_error || exit.is_some() {
        return ToolUse { state: ToolState::Completed, output: text, exit, ..call };
    }
    let not_carried_out = decided.map_or("", |decided| decided.non_execution_kind.as_str());
    let cause = match not_carried_out {
        _ if refused => Some(ToolCause::Refused),
        "user-rejected" => Some(ToolCause::Stopped),
        _ => None,
    };
    ToolUse { state: ToolState::Error, error: text, cause, ..call }
}

fn exit_of(text: &str) -> Option<i64> {
    text.strip_prefix(EXIT)?.split_whitespace().next()?.parse().ok()
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Whether it may.
    Permission(PermissionAsked),
    /// Something else.
    Question(QuestionAsked),
}

/// What a request asks.
pub fn asked(request: &str, said: &CanUseTool, message: &str) -> Asked {
    if said.tool_name == ASK {
        let questions = questions(&said.input);
        let message_id = message.to_owned();
        return Asked::Question(QuestionAsked { id: request.to_owned(), questions, message_id });
    }
    let text = |key: &str| said.input[key].as_str().map(str::to_owned);
    let (command, file) =
        (text("command"), changed_file(&said.tool_name, &said.input).or_else(|| text("path")));
    let url = text("url");
    let patterns = match lasting(said) {
        Some(rule) => rules_of(&rule),
        None => command.iter().chain(&file).chain(&url).take(1).cloned().collect(),
    };
    Asked::Permission(PermissionAsked {
        id: request.to_owned(),
        tool: said.tool_name.clone(),
        patterns,
        command: command.or(url),
        file,
        diff: None,
        message_id: message.to_owned(),
        call: said.tool_use_id.clone(),
    })
}

/// Its questions.
fn questions(input: &Value) -> Vec<Question> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let choice =
        |value: &Value| Choice { label: text(value, "label"), description: text(value, "description") };
    let all = input.get("questions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let question = |value: &Value| Question {
        question: text(value, "question"),
        options: value["options"].as_array().into_iter().flatten().map(choice).collect(),
    };
    all.iter().map(question).collect()
}

/// The suggestion by which the same is allowed from now on, and only as long as the session's process lives: nobody
/// here writes into a project's settings.
fn lasting(said: &CanUseTool) -> Option<Value> {
    let is_rule = |one: &&Value| one["type"] == "addRules" && one["behavior"] == "allow";
    let mut rule = said.permission_suggestions.iter().find(is_rule)?.clone();
    rule["destination"] = json!("session");
    Some(rule)
}

fn rules_of(rule: &Value) -> Vec<String> {
    let rules = rule["rules"].as_array().into_iter().flatten();
    let told = rules.map(|one| match (one["toolName"].as_str(), one["ruleContent"].as_str()) {
        (Some(tool), Some(content)) => format!("{tool}({content})"),
        (Some(tool), None) => tool.to_owned(),
        _ => String::new(),
    });
    told.collect()
}

/// What it is answered to a permission.
pub fn permission_answer(said: &CanUseTool, reply: &str, message: &str) -> Value {
    match reply {
        "reject" => {
            let why = if message.is_empty() { "The user said no to this." } else { message };
            json!({"behavior": "deny", "message": why})
        }
        "always" => {
            let lasting: Vec<Value> = lasting(said).into_iter().collect();
            json!({"behavior": "allow", "updatedInput": said.input, "updatedPermissions": lasting})
        }
        _ => json!({"behavior": "allow", "updatedInput": said.input}),
    }
}

/// What it is answered to its questions; nothing chosen: that nobody answers them.
pub fn question_answer(said: &CanUseTool, answers: &[Vec<String>]) -> Value {
    if answers.iter().all(Vec::is_empty) {
        return json!({"behavior": "deny", "message": "The user does not want to answer that."});
    }
    let questions = questions(&said.input);
    let chosen: serde_json::Map<String, Value> = questions
        .into_iter()
        .zip(answers)
        .filter(|(_, labels)| !labels.is_empty())
        .map(|(question, labels)| (question.question, json!(labels.join(", "))))
        .collect();
    let mut input = said.input.clone();
    if let Some(fields) = input.as_object_mut() {
        fields.insert("answers".into(), Value::Object(chosen));
    }
    json!({"behavior": "allow", "updatedInput": input})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tool: &str, input: Value) -> CanUseTool {
        let rule = json!({"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "touch x *"}],
            "behavior": "allow", "destination": "localSettings"});
        CanUseTool {
            tool_name: tool.into(),
            input,
            permission_suggestions: vec![json!({"type": "setMode"}), rule],
            ..CanUseTool::default()
        }
    }

    #[test]
    fn an_answer_for_good_holds_for_the_session_and_is_written_nowhere() {
        let said = said("Bash", json!({"command": "touch x"}));
        let answer = permission_answer(&said, "always", "");
        assert_eq!(answer["updatedPermissions"][0]["destination"], "session");
        assert!(permission_answer(&said, "once", "").get("updatedPermissions").is_none());
        assert_eq!(permission_answer(&said, "reject", "not this")["message"], "not this");
        let Asked::Permission(asked) = asked("r", &said, "m") else { panic!("it is a permission") };
        assert_eq!((asked.what().as_str(), asked.patterns), ("touch x", vec!["Bash(touch x *)".to_owned()]));
    }

    #[test]
    fn a_question_is_answered_by_its_own_words() {
        let input = json!({"questions": [{"question": "Which?", "options": [{"label": "Red", "description": "warm"}]}]});
        let said = said(ASK, input);
        let Asked::Question(asked) = asked("r", &said, "m") else { panic!("it is a question") };
        assert_eq!(
            (asked.questions[0].question.as_str(), asked.questions[0].options[0].label.as_str()),
            ("Which?", "Red")
        );
        let answer = question_answer(&said, &[vec!["Red".into(), "Blue".into()]]);
        assert_eq!(answer["updatedInput"]["answers"]["Which?"], "Red, Blue");
        assert_eq!(question_answer(&said, &[])["behavior"], "deny");
    }

    #[test]
    fn failures_are_of_a_kind_and_a_stop_is_none() {
        let result = |reason: &str, status: Option<u64>| ResultSaid {
            is_error: true,
            terminal_reason: reason.into(),
            api_error_status: status,
            result: "it says so".into(),
            ..ResultSaid::default()
        };
        let kind = |result: &ResultSaid, word: &str| {
            failure(result, &LastError { word: word.into(), status: None }).map(|failure| failure.kind)
        };
        assert_eq!(kind(&result("aborted_streaming", None), ""), Some(FailureKind::Aborted));
        assert_eq!(kind(&result("api_error", Some(429)), "rate_limit"), Some(FailureKind::RateLimited));
        assert_eq!(kind(&result("api_error", None), "authentication_failed"), Some(FailureKind::Auth));
        assert_eq!(
            kind(&result("prompt_too_long", Some(400)), "invalid_request"),
            Some(FailureKind::Overflow)
        );
        assert_eq!(kind(&result("api_error", Some(500)), "server_error"), Some(FailureKind::Other));
        assert_eq!(kind(&ResultSaid::default(), ""), None);
    }

    #[test]
    fn a_command_that_ended_badly_has_run_and_one_that_was_refused_has_not() {
        let call = || ToolUse { kind: ToolKind::Execute, ..ToolUse::default() };
        let result =
            |text: &str| ToolResult { content: json!(text), is_error: true, ..ToolResult::default() };
        let bad = ended(call(), &result("Exit code 3\nno such file"), None, false);
        assert_eq!((bad.state, bad.exit), (ToolState::Completed, Some(3)));
        let refused = ended(call(), &result("not this one"), None, true);
        assert_eq!((refused.state, refused.cause), (ToolState::Error, Some(ToolCause::Refused)));
        let stopped = Decided { non_execution_kind: "user-rejected".into(), ..Decided::default() };
        assert_eq!(ended(call(), &result("no"), Some(&stopped), false).cause, Some(ToolCause::Stopped));
    }
}
