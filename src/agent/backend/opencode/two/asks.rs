//! What waits for a person: permissions, and forms, which are questions with fields of several types.

use serde_json::{Map, Value, json};

use super::wire::{first, text};
use hal_protocol::approval::{Choice, Question};
use hal_protocol::event::what::{PermissionAsked, QuestionAsked, What};
use hal_protocol::session::{AskKind, SessionId};

/// Tools whose permission names files.
const OF_FILES: [&str; 4] = ["edit", "write", "patch", "read"];

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub struct OpenAsk {
    /// Its name.
    pub id: String,
    /// Who asks: an answer goes there.
    pub session: SessionId,
    /// What kind of request.
    pub kind: AskKind,
    /// What is asked, in a line.
    pub what: String,
    /// What it is about.
    pub about: String,
    /// The call of a tool that asks.
    pub(super) call: String,
    /// The fields of a form, as they were told.
    fields: Vec<Value>,
}

impl OpenAsk {
    /// A permission as it is listed or told.
    pub fn permission(data: &Value) -> Option<(Self, What)> {
        let (id, session) = (text(data, "id").to_owned(), data["sessionID"].as_str()?);
        let resources = texts(&data["resources"]);
        let action = text(data, "action").to_owned();
        let joined = resources.join(" ");
        let source = &data["source"];
        let is_file = OF_FILES.contains(&action.as_str());
        let asked = PermissionAsked {
            id: id.clone(),
            tool: action.clone(),
            patterns: Some(texts(&data["save"])).filter(|save| !save.is_empty()).unwrap_or(resources),
            command: (!is_file).then(|| joined.clone()),
            file: is_file.then(|| joined.clone()),
            diff: None,
            message_id: text(source, "messageID").to_owned(),
            call: first(source, &["id", "callID"]).to_owned(),
        };
        let ask = Self {
            id,
            session: SessionId::new(session),
            kind: AskKind::Permission,
            what: joined,
            about: action,
            call: asked.call.clone(),
            fields: Vec::new(),
        };
        Some((ask, What::PermissionAsked(asked)))
    }

    /// A form as it is listed or told.
    pub fn form(data: &Value) -> Option<(Self, What)> {
        let session = data["sessionID"].as_str()?;
        let fields: Vec<Value> = data["fields"].as_array().cloned().unwrap_or_default();
        let questions: Vec<Question> = fields.iter().map(question).collect();
        let what = questions.iter().map(|one| one.question.as_str()).collect::<Vec<_>>().join(" / ");
        let id = text(data, "id").to_owned();
        let message_id = text(&data["metadata"]["tool"], "messageID").to_owned();
        let ask = Self {
            id: id.clone(),
            session: SessionId::new(session),
            kind: AskKind::Question,
            what,
            about: "question".into(),
            call: first(&data["metadata"]["tool"], &["id", "callID"]).to_owned(),
            fields,
        };
        Some((ask, What::QuestionAsked(QuestionAsked { id, questions, message_id })))
    }

    /// What a person has chosen, as the form takes it.
    pub fn answer(&self, chosen: &[Vec<String>]) -> Value {
        let filled = self.fields.iter().zip(chosen).map(|(field, chosen)| {
            let value = match text(field, "type") {
                "multiselect" => json!(chosen.iter().map(|one| value_of(field, one)).collect::<Vec<_>>()),
                "number" | "integer" => {
                    let word = chosen.first().map(String::as_str).unwrap_or_default();
                    word.parse::<i64>()
                        .map(Value::from)
                        .or_else(|_| word.parse::<f64>().map(Value::from))
                        .unwrap_or_else(|_| word.into())
                }
                "boolean" => {
                    let word = chosen.first().map(|word| word.to_lowercase()).unwrap_or_default();
                    json!(matches!(word.as_str(), "yes" | "true" | "on" | "1"))
                }
                _ => chosen.first().map_or(Value::Null, |one| value_of(field, one)),
            };
            (text(field, "key").to_owned(), value)
        });
        Value::Object(filled.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
    }

    /// The labels of what was answered, field by field.
    pub fn labels(&self, answer: &Value) -> Vec<Vec<String>> {
        let label = |field: &Value, value: &Value| {
            let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let option =
                field["options"].as_array().into_iter().flatten().find(|one| text(one, "value") == word);
            option.map(|one| first(one, &["label", "value"]).to_owned()).unwrap_or(word)
        };
        let of_field = |field: &Value| match &answer[text(field, "key")] {
            Value::Null => Vec::new(),
            Value::Array(values) => values.iter().map(|value| label(field, value)).collect(),
            value => vec![label(field, value)],
        };
        self.fields.iter().map(of_field).collect()
    }
}

fn question(field: &Value) -> Question {
    let options = field["options"].as_array().into_iter().flatten();
    let choice = |option: &Value| Choice {
        label: first(option, &["label", "value"]).to_owned(),
        description: text(option, "description").to_owned(),
    };
    let mut options: Vec<Choice> = options.map(choice).collect();
    if options.is_empty() && text(field, "type") == "boolean" {
        options = ["yes", "no"].map(|label| Choice { label: label.into(), ..Choice::default() }).into();
    }
    Question { question: first(field, &["description", "title", "key"]).to_owned(), options }
}

/// The value behind a label; what is no label is meant as it was written.
fn value_of(field: &Value, label: &str) -> Value {
    let options = field["options"].as_array().into_iter().flatten();
    let found = options.into_iter().find(|option| first(option, &["label", "value"]) == label);
    found.map_or_else(|| label.into(), |option| option["value"].clone())
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
