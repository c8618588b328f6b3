//! Reads the pieces of a turn.

use serde_json::{Value, json};

use super::words::Item;
use hal_protocol::event::part::{ToolCause, ToolInput, ToolKind, ToolState, ToolUse};

/// Shells that a command is given to: one of another name or place may do anything with it.
const SHELLS: [&str; 10] = [
    "bash",
    "sh",
    "zsh",
    "dash",
    "/bin/bash",
    "/bin/sh",
    "/bin/zsh",
    "/usr/bin/bash",
    "/usr/bin/sh",
    "/usr/bin/zsh",
];

/// What a shell is told by before its command.
const BY_SHELL: [&str; 2] = [" -lc ", " -c "];

/// A text, or nothing.
pub fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Reads a piece.
pub fn read(item: &mut Value) -> Item {
    let id = text_of(&item["id"]);
    match item["type"].as_str().unwrap_or_default() {
        "userMessage" => {
            Item::User { id, client: text_of(&item["clientId"]), text: texts(&item["content"], "\n") }
        }
        "agentMessage" | "plan" => Item::Text { id, text: text_of(&item["text"]) },
        "reasoning" => {
            let parts = [&item["summary"], &item["content"]];
            let told = parts.into_iter().map(|part| texts(part, "\n\n")).find(|text| !text.is_empty());
            Item::Thought { id, text: told.unwrap_or_default() }
        }
        "contextCompaction" => Item::Compaction,
        "commandExecution" => tool(
            id,
            item,
            "shell",
            ToolKind::Execute,
            |item| json!({"command": plain_command(&text_of(&item["command"])), "cwd": item["cwd"]}),
        ),
        "fileChange" => {
            tool(id, item, "edit", ToolKind::Edit, |item| json!({"changes": item["changes"].take()}))
        }
        "mcpToolCall" => {
            let name = format!("{}.{}", text_of(&item["server"]), text_of(&item["tool"]));
            tool(id, item, &name, ToolKind::Other, |item| item["arguments"].take())
        }
        "dynamicToolCall" => {
            let name = text_of(&item["tool"]);
            tool(id, item, &name, ToolKind::Other, |item| item["arguments"].take())
        }
        "collabAgentToolCall" => {
            let name = text_of(&item["tool"]);
            tool(id, item, &name, ToolKind::Other, |item| json!({"prompt": item["prompt"].take()}))
        }
        // It tells that a helper was started, heard something, or is at its end.
        "subAgentActivity" => {
            item["status"] = json!("completed");
            tool(
                id,
                item,
                "helper",
                ToolKind::Other,
                |item| json!({"activity": item["kind"], "helper": item["agentPath"]}),
            )
        }
        "webSearch" => {
            tool(id, item, "web search", ToolKind::Other, |item| json!({"query": item["query"].take()}))
        }
        _ => Item::Other,
    }
}

/// Texts, or pieces with a text, put together.
fn texts(value: &Value, between: &str) -> String {
    let parts = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |part: &Value| part.as_str().or_else(|| part["text"].as_str()).map(str::to_owned);
    parts.iter().filter_map(text).collect::<Vec<_>>().join(between)
}

fn tool(
    id: String,
    item: &mut Value,
    name: &str,
    kind: ToolKind,
    input: impl FnOnce(&mut Value) -> Value,
) -> Item {
    let status = text_of(&item["status"]);
    let exit = item["exitCode"].as_i64();
    let output = output(item);
    let error = text_of(&item["error"]["message"]);
    let changes = item["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let files = changes.iter().map(|change| text_of(&change["path"])).collect();
    let is_declined = status == "declined";
    let state = match status.as_str() {
        // A command that ended badly has run.
        "failed" if exit.is_some() => ToolState::Completed,
        "failed" | "declined" => ToolState::Error,
        "completed" => ToolState::Completed,
        "inProgress" => ToolState::Running,
        _ => ToolState::Unknown,
    };
    let error = match (state, error.is_empty()) {
        (ToolState::Error, true) if is_declined => "it was not allowed".to_owned(),
        (ToolState::Error, true) => output.clone(),
        _ => error,
    };
    let told = ToolUse {
        tool: name.to_owned(),
        kind,
        call: id,
        state,
        input: ToolInput(input(item)),
        output,
        error,
        exit,
        cause: is_declined.then_some(ToolCause::Refused),
        ..ToolUse::default()
    };
    Item::Tool { told: Box::new(told), files, is_declined }
}

fn output(item: &Value) -> String {
    let said = text_of(&item["aggregatedOutput"]);
    let pieces = [&item["result"]["content"], &item["contentItems"]];
    match said.is_empty() {
        false => said,
        true => pieces
            .into_iter()
            .map(|piece| texts(piece, "\n"))
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
    }
}

/// A command without the shell that it is given to: `/bin/bash -lc 'touch made'` is `touch made`.
pub fn plain_command(command: &str) -> String {
    let by_shell = BY_SHELL.iter().find_map(|by| command.split_once(by));
    let Some((_, said)) = by_shell.filter(|(shell, _)| SHELLS.contains(shell)) else {
        return command.to_owned();
    };
    let within = |quote: char| said.strip_prefix(quote)?.strip_suffix(quote);
    match (within('\''), within('"')) {
        (Some(inner), _) if !inner.contains('\'') => inner.to_owned(),
        (_, Some(inner)) => unescaped(inner),
        _ if !said.contains(['\'', '"', '\\']) => said.to_owned(),
        _ => command.to_owned(),
    }
}

/// Within double quotes a backslash stands before what would mean something else.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut all = text.chars().peekable();
    while let Some(one) = all.next() {
        let next = (one == '\\').then(|| all.next_if(|next| "\\\"$`!".contains(*next))).flatten();
        out.push(next.unwrap_or(one));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_without_its_shell() {
        for (said, plain) in [
            ("/bin/bash -lc 'touch made'", "touch made"),
            ("bash -c ls", "ls"),
            (r#"/bin/zsh -lc "echo \"it's\" \$HOME""#, r#"echo "it's" $HOME"#),
            ("/bin/bash -lc 'a'\\''b'", "/bin/bash -lc 'a'\\''b'"),
            ("python3 -c 'print(1)'", "python3 -c 'print(1)'"),
            ("touch made", "touch made"),
        ] {
            assert_eq!(plain_command(said), plain);
        }
    }

    #[test]
    fn a_command_that_ended_badly_has_run_and_one_that_was_declined_has_not() {
        let mut item = json!({"type": "commandExecution", "id": "c", "command": "/bin/bash -lc 'exit 3'",
            "status": "failed", "exitCode": 3, "aggregatedOutput": "oh\n"});
        let Item::Tool { told, is_declined, .. } = read(&mut item) else { panic!("a tool") };
        assert_eq!((told.state, told.exit, told.output.as_str()), (ToolState::Completed, Some(3), "oh\n"));
        assert_eq!((told.input.0["command"].as_str(), is_declined), (Some("exit 3"), false));
        let mut item = json!({"type": "fileChange", "id": "f", "status": "declined",
            "changes": [{"path": "/srv/a", "kind": {"type": "add"}, "diff": "x"}]});
        let Item::Tool { told, files, is_declined } = read(&mut item) else { panic!("a tool") };
        assert_eq!((told.state, told.cause, is_declined), (ToolState::Error, Some(ToolCause::Refused), true));
        assert_eq!(files, ["/srv/a"]);
    }
}
