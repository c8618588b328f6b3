//! Reads what Codex says: what is odd is named, and never taken for what is not there.

use serde_json::{Map, Value};

use super::items::{self, text_of};
use super::words::{Asked, AskedWhat, FailureSaid, Line, Refusal, Told, TurnEnd, TurnSaid, UsageSaid};
use crate::backend::piped::process::{Heard, Spoken};
use hal_protocol::approval::{Choice, Question};

impl Spoken for Line {
    fn heard(self) -> Option<Heard<Self>> {
        match self {
            Self::Other => None,
            Self::Unreadable(why) => Some(Heard::Garbage(why)),
            line => Some(Heard::Line(line)),
        }
    }
}

impl From<Value> for Line {
    fn from(line: Value) -> Self {
        let Value::Object(mut line) = line else {
            return Self::Unreadable("a line that is no object".to_owned());
        };
        let params = line.remove("params").unwrap_or_default();
        let id = line.remove("id").filter(|id| !id.is_null());
        match (line.get("method").and_then(Value::as_str), id) {
            (Some(method), Some(id)) => asks(method, id, &params),
            (Some(method), None) => told(method, params),
            (None, Some(id)) => answered(line, &id),
            (None, None) => Self::Unreadable("a line without a method and without a number".to_owned()),
        }
    }
}

fn answered(mut line: Map<String, Value>, id: &Value) -> Line {
    let Some(id) = id.as_u64() else {
        return Line::Unreadable(format!("an answer to {id}, which was not asked"));
    };
    let outcome = match (line.remove("result"), line.remove("error")) {
        (_, Some(error)) => {
            let said = text_of(&error["message"]);
            let message = if said.is_empty() { error.to_string() } else { said };
            Err(Refusal { message })
        }
        (Some(result), None) => Ok(result),
        (None, None) => Err(Refusal { message: "it is answered with nothing".to_owned() }),
    };
    Line::Answered { id, outcome }
}

fn told(method: &str, mut params: Value) -> Line {
    if !params.is_object() {
        return if params.is_null() { Line::Other } else { of_another_shape(method) };
    }
    let thread = text_of(&params["threadId"]);
    let turn = text_of(&params["turnId"]);
    let told = match method {
        "turn/started" => Told::TurnStarted(text_of(&params["turn"]["id"])),
        "turn/completed" => Told::TurnOver(Box::new(turn_over(&params["turn"]))),
        "thread/closed" => Told::Rests,
        "thread/status/changed" if params["status"]["type"] != "active" => Told::Rests,
        "item/started" => Told::Begun { turn, item: items::read(&mut params["item"]) },
        "item/completed" => Told::Done { turn, item: items::read(&mut params["item"]) },
        "item/agentMessage/delta" => {
            Told::Words { item: text_of(&params["itemId"]), text: text_of(&params["delta"]) }
        }
        "thread/tokenUsage/updated" => match usage(turn, &params["tokenUsage"]) {
            Some(told) => told,
            None => return of_another_shape(method),
        },
        "error" if params["willRetry"] == Value::Bool(true) => Told::Retry(failure(&params["error"])),
        "model/rerouted" => Told::Rerouted(text_of(&params["toModel"])),
        "serverRequest/resolved" => return Line::AskResolved(params["requestId"].take()),
        _ => return Line::Other,
    };
    match thread.is_empty() {
        true => Line::Unreadable(format!("a line {method:?} without a thread")),
        false => Line::Told { thread, told },
    }
}

fn of_another_shape(method: &str) -> Line {
    Line::Unreadable(format!("a line {method:?} of another shape"))
}

/// However odd it is: the turn is over, and what cannot be read is no success.
fn turn_over(turn: &Value) -> TurnSaid {
    let end = match turn["status"].as_str() {
        Some("completed") => TurnEnd::Completed,
        Some("interrupted") => TurnEnd::Interrupted,
        _ => TurnEnd::Failed,
    };
    let failure = (!turn["error"].is_null()).then(|| failure(&turn["error"]));
    TurnSaid { turn: text_of(&turn["id"]), end, failure }
}

fn failure(error: &Value) -> FailureSaid {
    let info = &error["codexErrorInfo"];
    // A word, or a word with what belongs to it.
    let named = info.as_object().and_then(|fields| fields.iter().next());
    let (word, more) = match named {
        Some((word, more)) => (word.clone(), more.clone()),
        None => (text_of(info), Value::Null),
    };
    FailureSaid {
        word,
        status: more["httpStatusCode"].as_u64(),
        message: text_of(&error["message"]),
        details: text_of(&error["additionalDetails"]),
    }
}

fn usage(turn: String, said: &Value) -> Option<Told> {
    let part = |said: &Value| {
        Some(UsageSaid {
            input: said["inputTokens"].as_u64()?,
            cached: said["cachedInputTokens"].as_u64().unwrap_or_default(),
            written: said["cacheWriteInputTokens"].as_u64().unwrap_or_default(),
            output: said["outputTokens"].as_u64()?,
            reasoning: said["reasoningOutputTokens"].as_u64().unwrap_or_default(),
            total: said["totalTokens"].as_u64().unwrap_or_default(),
        })
    };
    let window = said["modelContextWindow"].as_u64();
    Some(Told::Usage { turn, sum: part(&said["total"])?, last: part(&said["last"])?, window })
}

/// One that cannot be read is answered all the same: who has asked waits for that.
fn asks(method: &str, id: Value, params: &Value) -> Line {
    let item = text_of(&params["itemId"]);
    let name = format!("{}.{id}", text_of(&params["turnId"]));
    let what = match method {
        "item/commandExecution/requestApproval" => AskedWhat::Command(command(params)),
        "item/fileChange/requestApproval" => AskedWhat::Files,
        "item/permissions/requestApproval" => {
            AskedWhat::Permissions(params["permissions"].clone(), text_of(&params["reason"]))
        }
        "item/tool/requestUserInput" => AskedWhat::Questions(questions(params)),
        _ => return Line::AsksOther { id, why: format!("{method:?} is not supported by hal-agent") },
    };
    if matches!(&what, AskedWhat::Command(command) if command.is_empty()) {
        return Line::AsksOther {
            id,
            why: "hal-agent cannot show what would be run, so nobody is asked".to_owned(),
        };
    }
    if item.is_empty() {
        return Line::AsksOther { id, why: format!("hal-agent cannot read a {method:?} without an item") };
    }
    let asked = params.get("questions").and_then(Value::as_array);
    let is_secret = asked.is_some_and(|all| all.iter().any(|one| one["isSecret"] == Value::Bool(true)));
    Line::Asks(Box::new(Asked { id, name, item, is_secret, what }))
}

/// What it would run, or reach.
fn command(params: &Value) -> String {
    let host = text_of(&params["networkApprovalContext"]["host"]);
    // Not every one is a command of its own: what is typed into one that runs is asked for the same way.
    let kind = text_of(&params["kind"]);
    let command = items::plain_command(&text_of(&params["command"]));
    match host.is_empty() {
        true if !["", "command"].contains(&kind.as_str()) => format!("({kind}) {command}"),
        true => command,
        false => format!("{}://{host}", text_of(&params["networkApprovalContext"]["protocol"])),
    }
}

fn questions(params: &Value) -> Vec<(String, Question)> {
    let choice =
        |said: &Value| Choice { label: text_of(&said["label"]), description: text_of(&said["description"]) };
    let question = |said: &Value| {
        let options = said["options"].as_array().into_iter().flatten().map(choice).collect();
        (text_of(&said["id"]), Question { question: text_of(&said["question"]), options })
    };
    params.get("questions").and_then(Value::as_array).into_iter().flatten().map(question).collect()
}

#[cfg(test)]
mod tests {
    use super::super::words::Item;
    use super::*;

    fn line(text: &str) -> Line {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn lines_as_0_169_0_writes_them_are_read() {
        let over = r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u","items":[],"status":"failed",
            "error":{"message":"unexpected status 401","codexErrorInfo":{"httpConnectionFailed":{"httpStatusCode":401}},
            "additionalDetails":null}}},"emittedAtMs":1796088070677}"#;
        let Line::Told { thread, told: Told::TurnOver(said) } = line(over) else { panic!("{over}") };
        let failure = said.failure.unwrap();
        assert_eq!((thread.as_str(), said.end, failure.status), ("t", TurnEnd::Failed, Some(401)));
        assert_eq!(failure.word, "httpConnectionFailed");
        let retry = r#"{"method":"error","params":{"error":{"message":"Reconnecting... 1/1","codexErrorInfo":"serverOverloaded"},
            "willRetry":true,"threadId":"t","turnId":"u"}}"#;
        let Line::Told { told: Told::Retry(said), .. } = line(retry) else { panic!("{retry}") };
        assert_eq!(said.word, "serverOverloaded");
        let used = r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t","turnId":"u","tokenUsage":{
            "total":{"totalTokens":258400,"inputTokens":0,"cachedInputTokens":0,"cacheWriteInputTokens":0,"outputTokens":0,
            "reasoningOutputTokens":0},"last":{"totalTokens":1042,"inputTokens":1000,"cachedInputTokens":300,
            "outputTokens":42,"reasoningOutputTokens":7},"modelContextWindow":258400}}}"#;
        let Line::Told { told: Told::Usage { sum, last, window, .. }, .. } = line(used) else {
            panic!("{used}")
        };
        assert_eq!((sum.input, last.cached, window), (0, 300, Some(258_400)));
        let asks = r#"{"method":"item/commandExecution/requestApproval","id":0,"params":{"threadId":"t","turnId":"u",
            "itemId":"call1","command":"/bin/bash -lc 'touch made'","cwd":"/srv"}}"#;
        let Line::Asks(asked) = line(asks) else { panic!("{asks}") };
        let AskedWhat::Command(command) = asked.what else { panic!("{asks}") };
        assert_eq!((asked.name.as_str(), command.as_str()), ("u.0", "touch made"));
        let typed = asks.replace("\"cwd\"", "\"kind\":\"writeStdin\",\"cwd\"");
        let Line::Asks(asked) = line(&typed) else { panic!("{typed}") };
        assert!(matches!(asked.what, AskedWhat::Command(text) if text == "(writeStdin) touch made"));
        let nothing = asks.replace("\"command\":", "\"other\":");
        assert!(matches!(line(&nothing), Line::AsksOther { .. }), "{nothing}");
        let elsewhere = asks.replace("/bin/bash -lc", "./bash -lc");
        let Line::Asks(asked) = line(&elsewhere) else { panic!("{elsewhere}") };
        assert!(matches!(asked.what, AskedWhat::Command(text) if text.starts_with("./bash")), "{elsewhere}");
        let no = r#"{"error":{"code":-32600,"message":"no active turn to interrupt"},"id":12}"#;
        let Line::Answered { id: 12, outcome: Err(refusal) } = line(no) else { panic!("{no}") };
        assert_eq!(refusal.message, "no active turn to interrupt");
    }

    #[test]
    fn what_a_newer_one_says_is_something_else_and_who_asks_is_answered() {
        assert!(matches!(line(r#"{"method":"thread/dances","params":{"threadId":"t"}}"#), Line::Other));
        let odd = r#"{"method":"item/started","params":{"threadId":"t","item":{"type":"hologram","id":7}}}"#;
        assert!(matches!(line(odd), Line::Told { told: Told::Begun { item: Item::Other, .. }, .. }));
        let odd = r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"status":7}}}"#;
        let Line::Told { told: Told::TurnOver(said), .. } = line(odd) else { panic!("{odd}") };
        assert_eq!((said.end, said.failure), (TurnEnd::Failed, None), "an odd end is an end and no success");
        let odd = r#"{"method":"item/completed","params":{"threadId":"t","item":["x"]}}"#;
        assert!(matches!(line(odd), Line::Told { told: Told::Done { item: Item::Other, .. }, .. }));
        let odd = r#"{"id":3,"method":"mcpServer/elicitation/request","params":{}}"#;
        assert!(matches!(line(odd), Line::AsksOther { .. }));
        let odd = r#"{"id":3,"method":"item/tool/requestUserInput","params":[1]}"#;
        assert!(matches!(line(odd), Line::AsksOther { .. }));
        let odd = r#"{"id":3,"method":"item/fileChange/requestApproval","params":{"threadId":"t"}}"#;
        assert!(matches!(line(odd), Line::AsksOther { .. }));
        for odd in [
            "[1]",
            "{}",
            r#"{"id":"x","result":{}}"#,
            r#"{"method":"turn/started","params":{"turn":{"id":"u"}}}"#,
            r#"{"method":"item/started","params":[1]}"#,
            r#"{"method":"serverRequest/resolved","params":"x"}"#,
            r#"{"method":"thread/tokenUsage/updated","params":{"threadId":"t","tokenUsage":{"total":{}}}}"#,
        ] {
            assert!(matches!(line(odd), Line::Unreadable(_)), "{odd}");
        }
    }
}
