//! The guard of the API: who may come in, by which right, and from which web page.

use std::net::IpAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::caller::{Caller, LocalPeer, Pass, Shown, WrongToken, shown, shown_by_browser};
use super::metrics::LabelValue;
use super::refusal::ApiError;
use super::shared::Shared;
use super::source::Source;
use hal_base::clock;
use hal_protocol::who::Who;
use hal_rules::network::MayFrom;
use hal_rules::right::{self, Right};
use hal_store::audit::AuditRecord;

/// What is said to a browser on a page that has no business here.
pub const FOREIGN_PAGE: &str =
    "a web page of this origin, or under this host's name, is not allowed: list it in server.allowed_origins";

/// What is said of a cookie that comes without what every browser says beside it.
const NOT_OUR_PAGE: &str = "a browser session is for the dashboard's own pages: programs send a token";

/// What browsers say of where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What proxies add to what they pass on.
const PASSED_ON: [&str; 3] = ["x-forwarded-for", "forwarded", "via"];

/// The record of something that somebody has done, to which thing, or why it was not done.
pub fn did(who: &Who, action: &str, target: Result<String, String>, took: Duration) -> AuditRecord {
    let (target, error) = match target {
        Ok(target) => (target, None),
        Err(why) => (String::new(), Some(why)),
    };
    AuditRecord {
        result: if error.is_none() { "done" } else { "failed" }.to_owned(),
        error,
        duration_ms: u64::try_from(took.as_millis()).ok(),
        ..AuditRecord::new(who, action, target, &json!({}), clock::now())
    }
}

/// Counts a refusal, and lets a wrong token wait for its turn. `wrong`: what is wrong with the token that was shown.
pub async fn refuse(
    shared: &Shared,
    door: &'static str,
    source: IpAddr,
    wrong: Option<&WrongToken>,
) -> ApiError {
    note_refusal(shared, door, source, wrong);
    let Some(wrong) = wrong else {
        return ApiError::unauthorized("a token is required: send it as `Authorization: Bearer TOKEN`");
    };
    shared.throttle.wait(source, wrong.id.as_deref()).await;
    ApiError::unauthorized(wrong.why)
}

/// Counts a refusal and mentions its source in the log, once in a while.
fn note_refusal(shared: &Shared, door: &'static str, source: IpAddr, wrong: Option<&WrongToken>) {
    shared.metrics.refused_tokens.get_or_create(&LabelValue { word: door }).inc();
    let Some(wrong) = wrong else { return };
    let was_of = wrong.was_of.as_deref();
    if let Some(record) = shared.auth_failures.note(door, source, was_of, clock::now()) {
        shared.hub.audit(record);
    }
    if shared.mention_refusal(source) {
        tracing::warn!(%source, door, "refused a wrong token (further ones from there are only counted)");
    }
}

/// Lets requests of the API pass that show a token whose role does, and come from no foreign web page.
pub async fn require(
    State(shared): State<Shared>,
    Extension(source): Extension<Source>,
    mut request: Request,
    next: Next,
) -> Response {
    let local = request.extensions().get::<LocalPeer>().cloned();
    let token = match (shown(&shared, request.headers(), None), &local) {
        // A cookie is what a browser sends by itself: whatever else was shown goes before it.
        (Shown::Nothing, None) => shown_by_browser(&shared, request.headers()),
        (shown, _) => shown,
    };
    let pass = match (token, local) {
        (Shown::Good(pass), _) => pass,
        // Whoever shows a token wants to be known by it.
        (Shown::Nothing, Some(peer)) => Pass::Local(peer),
        (Shown::Wrong(wrong), _) => {
            return refuse(&shared, "api", source.ip(), Some(&wrong)).await.into_response();
        }
        (Shown::Nothing, None) if scrapes(&shared, &request, source) => Pass::Scraper,
        (Shown::Nothing, None) => return refuse(&shared, "api", source.ip(), None).await.into_response(),
    };
    pass.note_use(&shared, source.ip());
    // A token for joining is in many hands, and says of nobody who it is.
    let place = if matches!(pass, Pass::Join(_) | Pass::Scraper) {
        None
    } else {
        shared.entrance.is_known(source.connection)
    };
    if !origin_is_allowed(&shared, request.headers()) {
        return ApiError::validation(FOREIGN_PAGE).into_response();
    }
    if matches!(pass, Pass::Browser(_)) && !is_of_own_page(&request) {
        return ApiError::validation(NOT_OUR_PAGE).into_response();
    }
    // What anybody but a proxy that is listed says of others can be made up: the other end of the connection it is.
    let through = way(request.headers());
    let caller = Caller::of(pass, through, &source.ip().to_canonical().to_string());
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    if let Err(refused) = may(&caller, request.method().as_str(), path) {
        return refused.into_response();
    }
    request.extensions_mut().insert(caller.who.clone());
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    // What is answered here is true now, and may hold a token.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    // Its body was read, or will not be.
    place.inspect(|place| place.is_whole());
    response
}

/// True for a program that reads metrics, from where that takes no token. What somebody else passes on is not from there
/// unless a proxy that is listed says so; and a page under a name that was made to lead here is no program.
fn scrapes(shared: &Shared, request: &Request, source: Source) -> bool {
    let (headers, doors) = (request.headers(), shared.doors.load());
    let is_passed_on = PASSED_ON.iter().any(|name| headers.contains_key(*name));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    request.uri().path() == "/metrics"
        && doors.networks.may(source.ip(), MayFrom::Metrics)
        && (!is_passed_on || source.client != source.connection)
        && host_is_known(host, &doors.host, &doors.origins)
}

/// Whether a caller's role does for a path. A path that the table of rights does not know is nobody's.
fn may(caller: &Caller, method: &str, path: &str) -> Result<(), ApiError> {
    match right::of_path(method, path) {
        Right::Of(least) => caller.demand(least),
        Right::OtherMethods => Err(ApiError::method_not_allowed(format!(
            "{method} means nothing here; see /api/v1/openapi.json"
        ))),
        Right::Nobodys => {
            Err(ApiError::internal("no role is set for this path, so nobody may use it; please report it"))
        }
    }
}

/// By which way a request came.
fn way(headers: &HeaderMap) -> &'static str {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if agent.starts_with("halctl/") { "halctl" } else { "api" }
}

/// True for what a page of the supervisor itself asks for, as far as its browser says. Whatever changes something, and
/// whatever stays open, says the page's origin.
fn is_of_own_page(request: &Request) -> bool {
    let headers = request.headers();
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let only_reads =
        matches!(*request.method(), Method::GET | Method::HEAD) && !headers.contains_key(header::UPGRADE);
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let is_of_host = text(header::ORIGIN).zip(text(header::HOST)).is_some_and(|(origin, host)| {
        origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host))
    });
    // Other origins that are listed come with tokens. A proxy may have changed the host, and then the browser has to say it.
    let is_own = is_of_host || (site == Some(b"same-origin") && headers.contains_key(header::ORIGIN));
    site.is_none_or(|site| site == b"same-origin" || site == b"none") && (only_reads || is_own)
}

/// Requests that no browser has sent may come under any name. A page must be of our own host or listed; and our own host
/// is one whose name is known here, since anybody's name can be made to lead to this machine.
pub fn origin_is_allowed(shared: &Shared, headers: &HeaderMap) -> bool {
    let said = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let is_of_browser = said(header::ORIGIN).or(said(header::COOKIE)).or(said(SEC_FETCH_SITE)).is_some();
    if !is_of_browser {
        return true;
    }
    let (doors, host) = (shared.doors.load(), said(header::HOST).unwrap_or_default());
    let is_known = host_is_known(host, &doors.host, &doors.origins);
    match said(header::ORIGIN) {
        None => is_known,
        Some(origin) => {
            let own = origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
            (own && is_known) || doors.origins.iter().any(|allowed| matches_origin(allowed, origin))
        }
    }
}

/// True for an address, this machine's own names, and what `server.allowed_origins` lists.
fn host_is_known(host: &str, machine: &str, origins: &[String]) -> bool {
    let Ok(url) = url::Url::parse(&format!("http://{host}/")) else { return false };
    let is_listed = ["http", "https"]
        .iter()
        .any(|scheme| origins.iter().any(|allowed| matches_origin(allowed, &format!("{scheme}://{host}"))));
    match url.host() {
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        Some(url::Host::Domain(name)) => {
            is_listed
                || name == "localhost"
                || name.ends_with(".localhost")
                || name.eq_ignore_ascii_case(machine)
        }
        None => false,
    }
}

/// `*`, an exact origin, `https://host:*` (any port) or `https://*.example.com` (any name below).
fn matches_origin(allowed: &str, origin: &str) -> bool {
    if allowed == "*" || allowed.eq_ignore_ascii_case(origin) {
        return true;
    }
    if let Some(start) = allowed.strip_suffix(":*") {
        let rest = origin.strip_prefix(start);
        return rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        });
    }
    match allowed.split_once("://*.") {
        Some((scheme, domain)) => origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|host| host.strip_suffix(domain))
            .is_some_and(|name| name.len() > 1 && name.ends_with('.')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{host_is_known, matches_origin};

    #[test]
    fn a_name_that_somebody_else_has_made_to_lead_here_is_not_known() {
        let origins = ["https://hal.example.org".to_owned(), "https://*.corp.example".to_owned()];
        for host in [
            "localhost:8420",
            "127.0.0.1:8420",
            "[::1]:8420",
            "10.0.0.7",
            "hub-1:8420",
            "hal.example.org",
            "a.corp.example",
        ] {
            assert!(host_is_known(host, "hub-1", &origins), "{host}");
        }
        for host in [
            "evil.example:8420",
            "hub-1.evil.example",
            "localhost.evil.example",
            "",
            "hal.example.org.evil.example",
        ] {
            assert!(!host_is_known(host, "hub-1", &origins), "{host}");
        }
    }

    #[test]
    fn origins_match_exactly_by_port_or_below_a_domain() {
        assert!(matches_origin("https://a.org", "https://A.org"));
        assert!(matches_origin("http://localhost:*", "http://localhost:3000"));
        assert!(!matches_origin("http://localhost:*", "http://localhost.evil.org"));
        assert!(matches_origin("https://*.a.org", "https://x.y.a.org"));
        assert!(!matches_origin("https://*.a.org", "https://a.org"));
        assert!(!matches_origin("https://*.a.org", "https://eviла.org"));
        assert!(!matches_origin("https://*.a.org", "https://xa.org"));
    }
}
