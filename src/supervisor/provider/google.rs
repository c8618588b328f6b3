//! The way to Google's billing export: a token for the service account, and a query of BigQuery.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

use super::fetch::Fetcher;
use hal_base::clock::Time;
use hal_base::secret::Secret;
use hal_rules::provider::google::{self, Account, Answered};
use hal_rules::provider::trouble::RequestFailure;
use hal_rules::provider::{Days, Page};

/// Looks at a query that runs, each of which waits ten seconds at Google.
const MOST_LOOKS: u32 = 30;

/// Pages of a query at most.
const MOST_PAGES: usize = 500;

/// The key in a service account's file.
#[derive(Deserialize)]
struct Key {
    private_key: Secret,
}

/// All rows of these days.
pub async fn rows(fetcher: &Fetcher<'_>, days: (Time, Time), now: Time) -> Result<Days, RequestFailure> {
    let access = fetcher.access;
    let token = token(fetcher, now).await?;
    let account: serde_json::Value = serde_json::from_str(access.secret.reveal()).unwrap_or_default();
    let project =
        account["project_id"].as_str().or_else(|| access.table.split('.').next()).unwrap_or_default();
    let queries = format!("{}/projects/{project}/queries", access.base);
    let body = google::query(&access.table, days, access.location.as_deref());
    let with_token = |request: RequestBuilder| request.header(AUTHORIZATION, token.clone());
    let text = fetcher.ask(|| with_token(fetcher.http.post(&queries).json(&body)), false).await?;
    let mut answer = google::answer(&text).map_err(RequestFailure::unreadable)?;
    let (mut sum, mut looks, mut pages) = (Days::default(), 0, 0);
    loop {
        let Answered { page, job, location, is_complete } = answer;
        let next = page.next.clone();
        if is_complete {
            pages += 1;
            sum.add(page);
        } else {
            looks += 1;
            drop::<Page>(page);
        }
        if is_complete && next.is_none() {
            return Ok(sum);
        }
        if looks > MOST_LOOKS || pages >= MOST_PAGES {
            return Err(fetcher.endless());
        }
        let mut query = vec![("timeoutMs", "10000".to_owned())];
        query.extend(location.map(|location| ("location", location)));
        query.extend(next.map(|page| ("pageToken", page)));
        let look = || with_token(fetcher.http.get(format!("{queries}/{job}")).query(&query));
        answer = google::answer(&fetcher.ask(look, true).await?).map_err(RequestFailure::unreadable)?;
    }
}

/// A token for the service account, as a header that is not shown.
async fn token(fetcher: &Fetcher<'_>, now: Time) -> Result<HeaderValue, RequestFailure> {
    const NO_KEY: &str =
        "the key in google's credentials_file cannot be used: expected an RSA key in Google's format";
    let unusable = || RequestFailure::unreadable(NO_KEY.to_owned());
    let text = fetcher.access.secret.reveal();
    let account: Account = serde_json::from_str(text).map_err(|_| unusable())?;
    let key: Key = serde_json::from_str(text).map_err(|_| unusable())?;
    let audience = account.token_uri.clone().unwrap_or_else(|| google::TOKEN.to_owned());
    let (header, claims) = google::claims(&account, &audience, now);
    let encode = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let said = format!("{}.{}", encode(&header), encode(&claims));
    let signature = sign(&key.private_key, said.as_bytes()).ok_or_else(unusable)?;
    let assertion = format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature));
    let body =
        format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
    let request = || {
        let request = fetcher.http.post(&audience);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.clone())
    };
    let token = google::token(&fetcher.ask(request, false).await?).map_err(RequestFailure::unreadable)?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        RequestFailure::unreadable("Google's token service gives an invalid token".to_owned())
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Signs as RS256, with what signs for TLS.
fn sign(key: &Secret, said: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).ok()?;
    let key: Arc<dyn rustls::sign::SigningKey> =
        rustls::crypto::ring::default_provider().key_provider.load_private_key(key).ok()?;
    key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?.sign(said).ok()
}
