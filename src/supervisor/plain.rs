//! Connections without TLS at a supervisor that speaks it: those of this machine, and of networks that may, are taken as they are, all others get the
//! greeting of the agents' door, and for everything else a sentence that says where to go.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::ApiError;
use super::shared::Shared;
use super::source::Source;
use hal_protocol::proof::PROOF_HEADER;
use hal_rules::network::MayFrom;

/// Lets a request pass whose connection nobody can read along, or that never leaves this machine.
pub async fn turn_away(
    State(shared): State<Shared>,
    Extension(source): Extension<Source>,
    request: Request,
    next: Next,
) -> Response {
    let ip = source.connection.ip().to_canonical();
    let may_be_plain = || ip.is_loopback() || shared.doors.load().networks.may(ip, MayFrom::Plain);
    let is_open = shared.certificate.is_none() || may_be_plain();
    if is_open
        || shared.entrance.is_encrypted(source.connection)
        || is_probe(request.uri(), request.headers())
    {
        return next.run(request).await;
    }
    let refused = ApiError::plain("this supervisor speaks TLS: use wss:// or https://").into_response();
    // An agent of an earlier release says where it is sent; a browser goes there.
    let (mut parts, body) = refused.into_parts();
    if let Some(there) = elsewhere(request.uri(), request.headers()) {
        parts.status = StatusCode::PERMANENT_REDIRECT;
        parts.headers.insert(header::LOCATION, there);
    }
    Response::from_parts(parts, body)
}

/// Whoever only looks whether the way is open learns that it is, and shows nothing that others could read.
fn is_probe(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_door = ["/", "/ws/agent"].contains(&uri.path()) && uri.query().is_none();
    let shows = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(PROOF_HEADER);
    is_door && headers.contains_key(header::UPGRADE) && !shows
}

/// The same address with TLS. A query is left out: it may hold a token.
fn elsewhere(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    HeaderValue::try_from(format!("https://{host}{}", uri.path())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<axum::http::HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn only_whoever_shows_nothing_is_greeted() {
        let asks = ("upgrade", "websocket");
        let is = |uri: &str, all: &[(&str, &str)]| is_probe(&uri.parse().unwrap(), &headers(all));
        assert!(is("/", &[asks]) && is("/ws/agent", &[asks, ("x-node-id", "web-1")]));
        assert!(!is("/", &[]) && !is("/api/v1/nodes", &[asks]));
        assert!(
            !is("/", &[asks, ("authorization", "Bearer t")]) && !is("/", &[asks, ("x-hal-proof", "key")])
        );
        assert!(!is("/ws/agent?token=t", &[asks]));
    }

    #[test]
    fn the_way_to_go_holds_no_token() {
        let there = elsewhere(&"/ws/agent?token=t".parse().unwrap(), &headers(&[("host", "hub:8420")]));
        assert_eq!(there.unwrap(), "https://hub:8420/ws/agent");
        assert_eq!(elsewhere(&"/".parse().unwrap(), &HeaderMap::new()), None);
    }
}
