//! Google Cloud's billing export: rows of a BigQuery query, every value a text.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Page, read};
use hal_base::clock::Time;
use hal_base::money::Money;
use hal_protocol::provider::BillLine;

/// Where a service account gets a token from, unless its file names another place.
pub const TOKEN: &str = "https://oauth2.googleapis.com/token";

/// What the token is for: reading with queries.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// Seconds for which a token is asked: the most that is allowed.
const TOKEN_SECONDS: i64 = 3600;

/// Rows of a page.
const PAGE: u32 = 1000;

/// A query that would read more than this is refused by Google: 10 GB, some cents.
const MOST_BYTES: &str = "10000000000";

/// The Gemini API and Vertex AI.
const SERVICES: &str = "'AEFD-7695-64FA','C7E2-9256-1C43'";

/// The columns of the query, in order.
const COLUMNS: [&str; 5] = ["day", "project", "sku", "currency", "net"];

/// What a service account's file holds, as far as it is needed.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// The account's e-mail address, which Google uses as its name.
    pub client_email: String,
    /// The name of its key.
    #[serde(default)]
    pub private_key_id: String,
    /// Where it gets a token from.
    #[serde(default)]
    pub token_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    job_complete: bool,
    job_reference: Job,
    schema: Option<Schema>,
    #[serde(default)]
    rows: Vec<Row>,
    page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    job_id: String,
    location: Option<String>,
}

#[derive(Deserialize)]
struct Schema {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
}

#[derive(Deserialize)]
struct Row {
    f: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    v: Option<String>,
}

/// A query's answer: its rows, and the job that has more of them or is not done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The rows of this answer.
    pub page: Page,
    /// Id of the query's job, by which further pages are fetched.
    pub job: String,
    /// Where it runs.
    pub location: Option<String>,
    /// False while it runs.
    pub is_complete: bool,
}

/// The first two parts of a token request, before they are encoded and signed.
pub fn claims(account: &Account, audience: &str, now: Time) -> (Value, Value) {
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if !account.private_key_id.is_empty() {
        header["kid"] = json!(account.private_key_id);
    }
    let issued = now.seconds();
    let claims = json!({"iss": account.client_email, "scope": SCOPE, "aud": audience,
        "iat": issued, "exp": issued + TOKEN_SECONDS});
    (header, claims)
}

/// The token of an answer.
pub fn token(text: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Token {
        access_token: String,
    }
    Ok(read::<Token>("Google's token service", text)?.access_token)
}

/// True for the name of a table, such as `project.dataset.gcp_billing_export_v1_0123AB_CDEF45_678901`. It stands in a
/// query, so nothing else may be in it.
pub fn is_table(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let is_part = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte))
    };
    parts.len() == 3 && parts.iter().all(is_part)
}

/// The query for the days from this one on. The export lies in partitions by the day of loading, which is never before
/// the day of use.
pub fn query(table: &str, (from, until): (Time, Time), location: Option<&str>) -> Value {
    let query = format!(
        "SELECT CAST(DATE(usage_start_time) AS STRING) AS day, project.id AS project, sku.description AS sku, currency, \
         CAST(SUM(CAST(cost AS NUMERIC)) + SUM(IFNULL((SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(credits) c), 0)) \
         AS STRING) AS net FROM `{table}` WHERE _PARTITIONTIME >= TIMESTAMP(@from) AND usage_start_time >= TIMESTAMP(@from) \
         AND usage_start_time < TIMESTAMP(@until) AND service.id IN ({SERVICES}) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    );
    let day = |name: &str, at: Time| json!({"name": name, "parameterType": {"type": "STRING"}, "parameterValue": {"value": super::day_of(at)}});
    let mut body = json!({"query": query, "useLegacySql": false, "parameterMode": "NAMED",
        "queryParameters": [day("from", from), day("until", until)],
        "maxResults": PAGE, "timeoutMs": 10_000, "maximumBytesBilled": MOST_BYTES});
    if let Some(location) = location {
        body["location"] = json!(location);
    }
    body
}

/// Reads what a query, or a look at its job, has answered.
pub fn answer(text: &str) -> Result<Answered, String> {
    const WHAT: &str = "BigQuery";
    let answer: Answer = read(WHAT, text)?;
    let mut page = Page { next: answer.page_token, ..Page::default() };
    if answer.job_complete {
        let names = answer.schema.map(|schema| schema.fields).unwrap_or_default();
        let place = |column: &str| {
            let at = names.iter().position(|field| field.name == column);
            at.ok_or_else(|| format!("the answer of {WHAT} has no column {column}"))
        };
        let places: Vec<usize> = COLUMNS.iter().map(|column| place(column)).collect::<Result<_, _>>()?;
        for row in answer.rows {
            let cells =
                places.iter().map(|at| row.f.get(*at).and_then(|cell| cell.v.clone()).unwrap_or_default());
            let cells: Vec<String> = cells.collect();
            let [day, project, sku, currency, net] = cells.as_slice() else { continue };
            if super::start_of(day).is_none() {
                return Err(format!("BigQuery's answer has an invalid day: {day:?}"));
            }
            page.days.entry(day.clone()).or_default().push(line(project, sku, currency, net)?);
        }
    }
    let Job { job_id, location } = answer.job_reference;
    Ok(Answered { page, job: job_id, location, is_complete: answer.job_complete })
}

fn line(project: &str, sku: &str, currency: &str, net: &str) -> Result<BillLine, String> {
    if !currency.eq_ignore_ascii_case("usd") {
        return Err(format!("Google bills in {currency}; only US dollars are supported"));
    }
    let usd = Money::dollars(net)
        .ok_or_else(|| format!("the answer of BigQuery has an amount that is not a number: {net:?}"))?;
    let model = model_of(sku).unwrap_or_default();
    let item = if model.is_empty() { sku.to_owned() } else { String::new() };
    Ok(BillLine { model, item, project: project.to_owned(), usd: Some(usd), ..BillLine::default() })
}

/// The model in a text such as `Generate content output token count gemini 2.5 flash short input text`.
fn model_of(sku: &str) -> Option<String> {
    const PARTS: [&str; 7] = ["flash", "pro", "lite", "ultra", "nano", "image", "preview"];
    let lower = sku.to_lowercase();
    let mut words = lower.split([' ', '-']).skip_while(|word| *word != "gemini").skip(1);
    let version = words.next().filter(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let parts = words.take_while(|word| PARTS.contains(word));
    let name = ["gemini", version].into_iter().chain(parts);
    Some(name.collect::<Vec<_>>().join("-"))
}
