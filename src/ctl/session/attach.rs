//! `halctl sessions attach`: a session live, and lines that are typed are said to it.

use std::io::BufRead;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::act::request;
use crate::cli::session::ActArgs;
use crate::client::Client;
use crate::command::outcome;
use hal_base::exit::Failure;
use hal_protocol::command::Verb;

/// Lines that were typed and not said yet, or said and not told of.
const LINES: usize = 16;

/// What a line that was typed means.
#[derive(Debug, PartialEq)]
pub enum Typed {
    /// An empty line.
    Nothing,
    /// Somebody goes.
    Detach,
    /// Something is asked of the session.
    Ask(Verb, Map<String, Value>),
    /// A word that is none.
    Unknown(String),
}

/// Reads what was typed. A line that begins with a `/` and is no word of ours is not said: paths and slips alike begin
/// so, and what was said cannot be taken back.
pub fn read(line: &str) -> Typed {
    let line = line.trim();
    let args = |pairs: Value| match pairs {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let Some(word) = line.strip_prefix('/') else {
        return match line.is_empty() {
            true => Typed::Nothing,
            false => Typed::Ask(Verb::PromptSession, args(json!({"message": line}))),
        };
    };
    let (word, rest) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
    let rest = rest.trim();
    match (word, rest.is_empty()) {
        ("detach" | "quit" | "exit", _) => Typed::Detach,
        ("allow", _) => Typed::Ask(Verb::AnswerPermission, args(json!({"reply": "once"}))),
        ("deny", true) => Typed::Ask(Verb::AnswerPermission, args(json!({"reply": "reject"}))),
        ("deny", false) => {
            Typed::Ask(Verb::AnswerPermission, args(json!({"reply": "reject", "message": rest})))
        }
        ("answer", false) => Typed::Ask(Verb::AnswerQuestion, args(json!({"answers": [[rest]]}))),
        ("abort", _) => Typed::Ask(Verb::AbortSession, Map::new()),
        _ => Typed::Unknown(line.to_owned()),
    }
}

/// Says to the session what is typed, line by line, and tells what came of it; ends with the input, or on `/detach`.
pub fn listen(client: Client, id: String) -> mpsc::Receiver<String> {
    let (typed, mut lines) = mpsc::channel::<String>(LINES);
    // A thread of its own: one that the runtime waits for would keep a program that is done until the next line.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let (told, remarks) = mpsc::channel(LINES);
    tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            let remark = match read(&line) {
                Typed::Nothing => continue,
                Typed::Detach => return,
                Typed::Unknown(line) => {
                    format!("{line} was not sent: expected /allow, /deny, /answer TEXT, /abort or /detach")
                }
                Typed::Ask(verb, args) => match ask(&client, &id, verb, args).await {
                    Ok(()) => continue,
                    Err(failure) => failure.to_string(),
                },
            };
            if told.send(remark).await.is_err() {
                return;
            }
        }
    });
    remarks
}

async fn ask(client: &Client, id: &str, verb: Verb, args: Map<String, Value>) -> Result<(), Failure> {
    let mut request = request(verb, args, ActArgs::default())?;
    request.session_id = id.to_owned();
    outcome(client.command(&request).await?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> (Verb, Value) {
        match read(line) {
            Typed::Ask(verb, args) => (verb, Value::Object(args)),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_are_prompts_and_words_are_what_they_say() {
        assert_eq!(asked(" - make it so "), (Verb::PromptSession, json!({"message": "- make it so"})));
        assert_eq!(asked("/allow"), (Verb::AnswerPermission, json!({"reply": "once"})));
        assert_eq!(asked("/deny not that").1, json!({"reply": "reject", "message": "not that"}));
        assert_eq!(asked("/answer Red").1, json!({"answers": [["Red"]]}));
        assert_eq!((read("  "), read("/detach")), (Typed::Nothing, Typed::Detach));
        for slip in ["/alow", "/answer", "/srv/web is broken"] {
            assert_eq!(read(slip), Typed::Unknown(slip.to_owned()));
        }
    }
}
