//! Google: a token for whoever signs with the service account's key, and a query whose job takes a while.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use serde_json::{Value, json};

use super::{KEY, Line, Stand, TABLE, decimal, one, parameters, refusal};
use crate::world::World;

/// Rows of a page.
const ROWS: usize = 2;

/// The key file of the service account, written where only its owner reads it. Its private key is of these tests alone.
pub fn credentials(world: &World, stand: &Stand) -> std::path::PathBuf {
    let key = include_str!("../../../fixtures/provider/service-account.pem");
    let account = json!({"type": "service_account", "project_id": "p-1", "private_key_id": "k1", "private_key": key,
        "client_email": "hal@p-1.iam.gserviceaccount.com", "token_uri": format!("{}/token", stand.url)});
    world.write("google.json", &account.to_string())
}

/// `POST /token`: RS256, the audience and the times are looked at.
pub async fn token(State(stand): State<Stand>, body: String) -> Response {
    let form = parameters(&body);
    let right = one(&form, "grant_type").as_deref() == Some("urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = one(&form, "assertion").filter(|_| right).unwrap_or_default();
    match claims(&assertion) {
        Some(claims) if is_good(&claims, &stand) => {
            Json(json!({"access_token": KEY, "expires_in": 3599, "token_type": "Bearer"})).into_response()
        }
        _ => {
            let body = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
            (axum::http::StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

/// What it claims, if the key has signed it.
fn claims(assertion: &str) -> Option<Value> {
    let public = include_bytes!("../../../fixtures/provider/service-account.der");
    let (said, signature) = assertion.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, rsa) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)?;
    rsa.iter().find_map(|one| one.verify_signature(public, said.as_bytes(), &signature).ok())?;
    let (header, claims) = said.split_once('.')?;
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    (part(header)?["alg"] == "RS256").then_some(part(claims)?)
}

fn is_good(claims: &Value, stand: &Stand) -> bool {
    let seconds = |name: &str| claims[name].as_i64().unwrap_or_default();
    claims["aud"] == format!("{}/token", stand.url)
        && claims["iss"] == "hal@p-1.iam.gserviceaccount.com"
        && claims["scope"].as_str().is_some_and(|scope| scope.contains("auth/bigquery"))
        && seconds("exp") - seconds("iat") <= 3600
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == &format!("Bearer {KEY}"))
}

/// `POST /projects/p/queries`: the job is not done yet.
pub async fn query(State(stand): State<Stand>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !is_known(&headers) {
        return refusal(401, "authError", "Invalid Credentials");
    }
    assert!(body["query"].as_str().unwrap().contains(&format!("FROM `{TABLE}`")), "{body}");
    assert_eq!((&body["useLegacySql"], &body["parameterMode"]), (&json!(false), &json!("NAMED")));
    stand.facts().looks = 0;
    Json(json!({"jobReference": {"projectId": "p-1", "jobId": "job_abc", "location": "US"}, "jobComplete": false}))
        .into_response()
}

/// `GET /projects/p/queries/job`: at the second look it is done.
pub async fn look(State(stand): State<Stand>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = parameters(&query.unwrap_or_default());
    if !is_known(&headers) || one(&query, "location").as_deref() != Some("US") {
        return refusal(404, "notFound", "Not found: Job");
    }
    let mut facts = stand.facts();
    facts.looks += 1;
    let job = json!({"projectId": "p-1", "jobId": "job_abc", "location": "US"});
    if facts.looks < 2 {
        return Json(json!({"jobReference": job, "jobComplete": false})).into_response();
    }
    let cells = |(day, line): (&String, &Line)| {
        let cell = |text: String| json!({"v": text});
        json!({"f": [cell(day.clone()), {"v": null}, cell(line.name.to_owned()), cell("USD".into()), cell(decimal(line.nanos, 9))]})
    };
    let rows: Vec<Value> = facts
        .days
        .iter()
        .flat_map(|(day, lines)| lines.iter().map(move |line| (day, line)))
        .map(cells)
        .collect();
    let at: usize = one(&query, "pageToken").map_or(0, |page| page.parse().unwrap());
    let names =
        ["day", "project", "sku", "currency", "net"].map(|name| json!({"name": name, "type": "STRING"}));
    let mut answer = json!({"schema": {"fields": names}, "jobReference": job, "jobComplete": true,
        "totalRows": rows.len().to_string(), "rows": rows.iter().skip(at).take(ROWS).collect::<Vec<_>>()});
    if at + ROWS < rows.len() {
        answer["pageToken"] = json!((at + ROWS).to_string());
    }
    Json(answer).into_response()
}
