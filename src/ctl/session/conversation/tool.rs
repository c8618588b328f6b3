//! What a tool was given and what it gave, in few lines.

use serde_json::Value;

use super::text;
use crate::ctl::print::text::{one_line, short};

/// Characters of one line of a tool's input or result.
pub const MAX_LINE: usize = 200;

/// Lines of a tool's result.
const MAX_LINES: usize = 8;

/// The words that say best what a tool does, in the order they are looked for.
const TELLING: [&str; 9] =
    ["command", "filePath", "file_path", "path", "pattern", "url", "query", "description", "prompt"];

/// A tool's input in one line.
pub fn input(state: &Value) -> String {
    let input = &state["input"];
    let telling = TELLING.iter().map(|key| text(&input[*key])).find(|word| !word.is_empty());
    let line = match (telling, text(&state["title"])) {
        (Some(word), _) => word.to_owned(),
        (None, "") if input.as_object().is_none_or(|input| input.is_empty()) => String::new(),
        (None, "") => input.to_string(),
        (None, title) => title.to_owned(),
    };
    short(&one_line(&line), MAX_LINE)
}

/// A tool's result, shortened; why it failed when it did.
pub fn result(state: &Value) -> String {
    let output = text(&state["output"]).trim_end();
    let error = text(&state["error"]).trim_end();
    let mut lines: Vec<String> = output.lines().take(MAX_LINES).map(|line| short(line, MAX_LINE)).collect();
    let left = output.lines().count().saturating_sub(MAX_LINES);
    if left > 0 {
        lines.push(format!("… {left} more lines"));
    }
    if !error.is_empty() {
        lines.push(format!("failed: {}", short(&one_line(error), MAX_LINE)));
    }
    match state["metadata"]["exit"].as_i64() {
        Some(0) | None => {}
        Some(code) => lines.push(format!("exit code {code}")),
    }
    lines.join("\n")
}
