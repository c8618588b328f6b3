//! Renders cards in Slack's shape: blocks.

use serde_json::{Value, json};

use crate::outbound::chat::{self, ButtonStyle, Card};
use hal_protocol::alert::Severity;

/// Slack's bounds, in characters: 3000 for a section, 2000 for a field, 75 for a button. What is escaped is longer.
const MOST_TEXT: usize = 2_500;
const MOST_FIELD: usize = 1_500;
const MOST_LABEL: usize = 75;
const MOST_PLAIN: usize = 3_000;

/// A message that holds a card.
pub fn message(card: &Card) -> Value {
    let sign = match card.severity {
        None => ":white_check_mark:",
        Some(Severity::Low) => ":information_source:",
        Some(Severity::Medium) => ":large_yellow_circle:",
        Some(Severity::High) => ":large_orange_circle:",
        Some(Severity::Critical) => ":red_circle:",
    };
    let title = escaped(&chat::cut(&card.title, MOST_FIELD));
    let text = if card.is_code { code(&card.text) } else { cut_escaped(&card.text, MOST_TEXT) };
    let mut blocks = vec![section(&format!("{sign} *{title}*"))];
    if !card.text.is_empty() {
        blocks.push(section(&text));
    }
    let fields: Vec<Value> = card
        .fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| json!({"type": "mrkdwn", "text": format!("*{}*\n{}", escaped(name), cut_escaped(value, MOST_FIELD))}))
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let buttons: Vec<Value> = card.buttons.iter().map(button).collect();
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    json!({"text": format!("{title}: {}", cut_escaped(&card.text, 200)), "blocks": blocks})
}

/// Plain words.
pub fn plain(text: &str) -> String {
    cut_escaped(text, MOST_PLAIN)
}

/// Lines that are shown as they are.
pub fn lines(text: &str) -> String {
    code(text)
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn button((id, label, look): &(String, String, ButtonStyle)) -> Value {
    let mut button = json!({"type": "button", "action_id": id, "value": id,
        "text": {"type": "plain_text", "text": chat::cut(label, MOST_LABEL)}});
    match look {
        ButtonStyle::Good => button["style"] = json!("primary"),
        ButtonStyle::Bad => button["style"] = json!("danger"),
        ButtonStyle::Plain => {}
    }
    button
}

fn code(text: &str) -> String {
    let harmless = text.replace("```", "`\u{200b}`\u{200b}`");
    format!("```\n{}\n```", cut_escaped(&harmless, MOST_TEXT))
}

/// Cut before it is escaped, so that nothing is cut in the middle of a sign; what grows too long by it is cut more.
fn cut_escaped(text: &str, most: usize) -> String {
    let mut bound = most;
    loop {
        let out = escaped(&chat::cut(text, bound));
        if out.chars().count() <= most || bound < 2 {
            return out;
        }
        bound /= 2;
    }
}

/// Nobody is called, and no link is made, by what an alert says.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_and_nothing_breaks_out() {
        let card = Card {
            title: "<!channel>".into(),
            text: "a ``` <@U1> && b".into(),
            is_code: true,
            ..Card::default()
        };
        let text = message(&card).to_string();
        assert!(!text.contains("<!") && !text.contains("<@"), "{text}");
        assert_eq!(message(&card)["blocks"][1]["text"]["text"].as_str().unwrap().matches("```").count(), 2);
    }

    #[test]
    fn what_is_too_long_is_cut_to_slacks_bounds() {
        let long = "<".repeat(9_000);
        let fields = vec![("Why".to_owned(), long.clone())];
        let card = Card { title: long.clone(), text: long, is_code: true, fields, ..Card::default() };
        let body = message(&card);
        for text in [&body["blocks"][1]["text"]["text"], &body["blocks"][2]["fields"][0]["text"]] {
            assert!(text.as_str().unwrap().chars().count() < 3_000);
        }
    }
}
