//! Renders cards and commands in Discord's shape.

use serde_json::{Value, json};

use crate::outbound::chat::{self, ButtonStyle, Card};
use hal_protocol::alert::Severity;

/// Discord's bounds, in characters; together with those of the fields they stay within an embed's 6000.
const MOST_TITLE: usize = 256;
const MOST_TEXT: usize = 3_000;
const MOST_FIELD: usize = 900;
const MOST_CONTENT: usize = 2_000;
const MOST_LABEL: usize = 80;

/// Nobody is called by name through what an alert says.
fn nobody() -> Value {
    json!({"parse": []})
}

/// A message of plain words.
pub fn plain(text: &str) -> Value {
    json!({"content": chat::cut(text, MOST_CONTENT), "allowed_mentions": nobody()})
}

/// A message of lines that are shown as they are.
pub fn lines(text: &str) -> Value {
    plain(&code(text, MOST_CONTENT - 10))
}

/// A message that holds a card.
pub fn message(card: &Card) -> Value {
    let text = if card.is_code { code(&card.text, MOST_TEXT) } else { chat::cut(&card.text, MOST_TEXT) };
    let field =
        |(name, value): &(String, String)| json!({"name": name, "value": chat::cut(value, MOST_FIELD)});
    let shown = card.fields.iter().filter(|(_, value)| !value.is_empty());
    let embed = json!({
        "title": chat::cut(&card.title, MOST_TITLE), "description": text, "color": colour(card.severity),
        "fields": shown.map(field).collect::<Vec<_>>(),
    });
    let buttons: Vec<Value> = card.buttons.iter().map(button).collect();
    let rows: Vec<Value> =
        if buttons.is_empty() { Vec::new() } else { vec![json!({"type": 1, "components": buttons})] };
    json!({"content": "", "embeds": [embed], "components": rows, "allowed_mentions": nobody()})
}

fn button((id, label, look): &(String, String, ButtonStyle)) -> Value {
    let style = match look {
        ButtonStyle::Good => 3,
        ButtonStyle::Bad => 4,
        ButtonStyle::Plain => 2,
    };
    json!({"type": 2, "style": style, "label": chat::cut(label, MOST_LABEL), "custom_id": id})
}

fn colour(severity: Option<Severity>) -> u32 {
    match severity {
        None => 0x2E_A0_43,
        Some(Severity::Low) => 0x8B_94_9E,
        Some(Severity::Medium) => 0xD2_99_22,
        Some(Severity::High) => 0xDB_6D_28,
        Some(Severity::Critical) => 0xDA_36_33,
    }
}

/// A block that shows every letter; what would end it is broken up.
fn code(text: &str, most: usize) -> String {
    let harmless = text.replace("```", "`\u{200b}`\u{200b}`");
    format!("```\n{}\n```", chat::cut(&harmless, most - 8))
}

/// The commands that are registered with the server.
pub fn commands() -> Value {
    let option = |(name, description, required): &chat::Parameter| json!({"type": 3, "name": name, "description": description, "required": required});
    let command = |(name, description, parameters): &(&str, &str, &[chat::Parameter])| json!({"type": 1, "name": name, "description": description, "options": parameters.iter().map(option).collect::<Vec<_>>()});
    chat::WORDS.iter().map(command).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_break_out_of_its_block_and_nobody_is_called() {
        let card = Card { text: "echo ``` @everyone".into(), is_code: true, ..Card::default() };
        let body = message(&card);
        let shown = body["embeds"][0]["description"].as_str().unwrap();
        assert_eq!(shown.matches("```").count(), 2, "{shown}");
        assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    }

    #[test]
    fn what_is_too_long_is_cut_to_discords_bounds() {
        let long = "ä".repeat(9_000);
        let fields = vec![("Why".to_owned(), long.clone()); 3];
        let card = Card { title: long.clone(), text: long.clone(), is_code: true, fields, ..Card::default() };
        let embed = &message(&card)["embeds"][0];
        let all = [
            &embed["title"],
            &embed["description"],
            &embed["fields"][0]["value"],
            &embed["fields"][1]["value"],
            &embed["fields"][2]["value"],
        ];
        let sum: usize = all.iter().map(|text| text.as_str().unwrap().chars().count()).sum();
        assert!(sum <= 6_000, "{sum}");
        assert!(plain(&long)["content"].as_str().unwrap().chars().count() <= 2_000);
        assert!(lines(&long)["content"].as_str().unwrap().chars().count() <= 2_000);
    }

    #[test]
    fn commands_are_as_discord_takes_them() {
        for command in commands().as_array().unwrap() {
            let (name, told) = (command["name"].as_str().unwrap(), command["description"].as_str().unwrap());
            assert!(name.len() <= 32 && name.chars().all(|c| c.is_ascii_lowercase()), "{name}");
            assert!((1..=100).contains(&told.len()), "{told}");
            let needed: Vec<bool> =
                command["options"].as_array().unwrap().iter().map(|one| one["required"] == true).collect();
            assert!(needed.is_sorted_by(|one, next| one >= next), "what is needed comes first: {command}");
        }
    }
}
