//! What a tool was given and what it gave, in few lines.

use crate::print::text::{one_line, short};
use hal_protocol::event::part::ToolUse;

/// Characters of one line of a tool's input or result.
pub const MAX_LINE: usize = 200;

/// Lines of a tool's result.
const MAX_LINES: usize = 8;

/// A tool's input in one line.
pub fn input(tool: &ToolUse) -> String {
    let line = match (tool.input.telling(), tool.title.as_str()) {
        (Some(word), _) => word.to_owned(),
        (None, "") if tool.input.is_empty() => String::new(),
        (None, "") => tool.input.0.to_string(),
        (None, title) => title.to_owned(),
    };
    short(&one_line(&line), MAX_LINE)
}

/// A tool's result, shortened; why it failed when it did.
pub fn result(tool: &ToolUse) -> String {
    let (output, error) = (tool.output.trim_end(), tool.error.trim_end());
    let mut lines: Vec<String> = output.lines().take(MAX_LINES).map(|line| short(line, MAX_LINE)).collect();
    let left = output.lines().count().saturating_sub(MAX_LINES);
    if left > 0 {
        lines.push(format!("… {left} more lines"));
    }
    if !error.is_empty() {
        lines.push(format!("failed: {}", short(&one_line(error), MAX_LINE)));
    }
    match tool.exit {
        Some(0) | None => {}
        Some(code) => lines.push(format!("exit code {code}")),
    }
    lines.join("\n")
}
