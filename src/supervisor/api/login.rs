//! `POST /api/v1/login` and `/logout`: browsers. What they are logged in with is shown once; then it is a cookie.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::actor::{change, show_caller};
use super::strict::Body;
use super::{Answered, one};
use crate::auth::{FOREIGN_PAGE, did, origin_is_allowed, refuse};
use crate::browser::{BY_LOCAL, BY_TOKEN, BrowserSession, NewSession, cookie_of, set_cookie};
use crate::caller::{Caller, DASHBOARD, Pass, Shown, WrongToken, of_token};
use crate::codes::{CODE_LASTS, Issuer};
use crate::hub::actor::{ActorAnswer, ActorChange};
use crate::refusal::ApiError;
use crate::shared::Shared;
use crate::source::Source;
use hal_base::clock::{self, Stopwatch};
use hal_protocol::actor::{LoginCode, LoginRequest, Role, WhoAmI};
use hal_protocol::api::{Answer, Refusal};
use hal_protocol::who::{Who, WhoKind};

/// What is said of a code that is not good, or no more.
const WRONG_CODE: &str = "this link is not good any more: it works once, and for five minutes; print another one (halctl dashboard)";

/// Characters of what a browser says of itself that are looked at.
const MOST_LOOKED_AT: usize = 512;

/// Logs a browser in, by a token or by a code of `halctl dashboard` or `hal up`. The answer sets a cookie that no script
/// can read; with it the dashboard's pages may do what whoever logged in may. It ends after 30 days, when what it was
/// begun with ends, or when it is revoked.
#[utoipa::path(post, path = "/api/v1/login", request_body = LoginRequest, responses((status = 200, body = Answer<WhoAmI>), (status = 400, body = Refusal), (status = 401, body = Refusal), (status = 403, body = Refusal)))]
pub async fn login(
    State(shared): State<Shared>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    Body(asked): Body<LoginRequest>,
) -> Result<Response, ApiError> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let Some(origin) = origin else {
        return Err(ApiError::validation(
            "this is for browsers, which say their page's Origin; programs send a token",
        ));
    };
    if !origin_is_allowed(&shared, &headers) {
        return Err(ApiError::validation(FOREIGN_PAGE));
    }
    let issuer = issuer_of(&shared, source, &asked).await?;
    let wrong = || WrongToken { why: WRONG_CODE, id: None, was_of: None };
    let label = browser_name(&headers);
    let Some(new) = BrowserSession::begin(&shared, &issuer, label) else {
        return Err(refuse(&shared, "dashboard", source.ip(), Some(&wrong())).await);
    };
    let _place = shared.entrance.is_known(source.connection);
    let caller = begin(&shared, source, issuer, &new).await?;
    // The browser forgets who was logged in there before, so nobody could log that out any more.
    if let Some(Ok(before)) = cookie_of(&headers).map(|cookie| BrowserSession::of_cookie(&shared, cookie)) {
        let id = before.credential.id.clone();
        let who = Caller::of(Pass::Browser(before), "", &caller.who.from).who;
        change(&shared, who, ActorChange::LogOut { id }).await?;
    }
    let is_secure = origin.starts_with("https://");
    let cookie = set_cookie(&headers, is_secure, &new.cookie, new.credential.expires_at);
    Ok(with_cookie(&cookie, show_caller(caller)))
}

/// Whoever logs in, by what they show. What is wrong waits its turn, as every wrong token does.
async fn issuer_of(shared: &Shared, source: Source, asked: &LoginRequest) -> Result<Issuer, ApiError> {
    let wrong = match (asked.token.is_empty(), asked.code.is_empty()) {
        (true, false) => match shared.codes.take(asked.code.reveal()) {
            Some(issuer) => return Ok(issuer),
            None => WrongToken { why: WRONG_CODE, id: None, was_of: None },
        },
        (false, true) => match of_token(shared, asked.token.reveal().trim()) {
            Shown::Good(pass) => {
                let caller = Caller::of(pass, DASHBOARD, "");
                caller.demand(Role::Viewer)?;
                return Ok(caller.pass.issuer());
            }
            Shown::Wrong(wrong) => wrong,
            Shown::Nothing => WrongToken { why: WRONG_CODE, id: None, was_of: None },
        },
        _ => return Err(ApiError::validation("expected either token or code")),
    };
    Err(refuse(shared, "dashboard", source.ip(), Some(&wrong)).await)
}

/// Writes the new session down: whoever it lets in.
async fn begin(
    shared: &Shared,
    source: Source,
    issuer: Issuer,
    new: &NewSession,
) -> Result<Caller, ApiError> {
    let from = source.ip().to_canonical().to_string();
    let who = Who {
        kind: if issuer.by == BY_TOKEN { WhoKind::Program } else { WhoKind::Person },
        name: issuer.name,
        credential: match issuer.by.as_str() {
            BY_TOKEN => "shared token".to_owned(),
            BY_LOCAL => "a code of this machine".to_owned(),
            id => format!("token {id}"),
        },
        through: DASHBOARD.to_owned(),
        from: from.clone(),
    };
    match change(shared, who, ActorChange::LogIn(new.credential.clone())).await? {
        ActorAnswer::Token(..) => {}
        _ => return Err(ApiError::internal("this was about a browser, and something else was answered")),
    }
    match BrowserSession::of_cookie(shared, &new.cookie) {
        Ok(session) => Ok(Caller::of(Pass::Browser(session), "", &from)),
        Err(_) => Err(ApiError::unauthorized("what this browser was logged in with has ended meanwhile")),
    }
}

/// A code that logs a browser in as whoever asks, once, within five minutes. It belongs behind `#code=` in the address of
/// the dashboard: browsers do not send that part, so it stands in no log.
#[utoipa::path(post, path = "/api/v1/login/code", responses((status = 200, body = Answer<LoginCode>), (status = 401, body = Refusal), (status = 403, body = Refusal)))]
pub async fn code(State(shared): State<Shared>, Extension(caller): Extension<Caller>) -> Answered<LoginCode> {
    let took = Stopwatch::start();
    let session = match &caller.pass {
        Pass::Browser(session) => Some(session),
        _ => None,
    };
    let issuer = BrowserSession::of_code(&shared, caller.pass.issuer(), session);
    let issuer = issuer.ok_or_else(|| ApiError::forbidden("what was shown begins no browser session"))?;
    let expires_at = clock::now().plus(CODE_LASTS);
    let name = issuer.name.clone();
    let code = shared.codes.make(issuer);
    shared.hub.audit(did(&caller.who, "make login code", Ok(name), took.elapsed()));
    one(LoginCode { code, expires_at })
}

/// Logs this browser out, and takes its cookie away.
#[utoipa::path(post, path = "/api/v1/logout", responses((status = 200, body = Answer<WhoAmI>), (status = 400, body = Refusal), (status = 401, body = Refusal)))]
pub async fn logout(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Pass::Browser(session) = &caller.pass else {
        return Err(ApiError::validation(
            "no browser session was shown; a token is revoked with DELETE /api/v1/tokens/ID",
        ));
    };
    let id = session.credential.id.clone();
    change(&shared, caller.who.clone(), ActorChange::LogOut { id }).await?;
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes).unwrap_or_default();
    let cookie = set_cookie(&headers, origin.starts_with(b"https://"), "", None);
    Ok(with_cookie(&cookie, show_caller(caller)))
}

fn with_cookie(cookie: &str, who: WhoAmI) -> Response {
    let mut response = Json(Answer { data: who, meta: None }).into_response();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a browser calls itself, in two words.
fn browser_name(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let agent = &agent[..agent.floor_char_boundary(MOST_LOOKED_AT)];
    let first = |words: &[(&str, &'static str)], other| {
        words.iter().find(|(word, _)| agent.contains(word)).map_or(other, |(_, name)| *name)
    };
    // Each of them also says the names of those behind it.
    let browser = first(
        &[
            ("Firefox/", "Firefox"),
            ("Edg", "Edge"),
            ("OPR/", "Opera"),
            ("Chrome/", "Chrome"),
            ("Safari/", "Safari"),
        ],
        "A browser",
    );
    let system = first(
        &[
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        ],
        "another system",
    );
    format!("{browser} on {system}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_in_two_words() {
        let mut headers = HeaderMap::new();
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1 Version/19.0 Mobile Safari/604.1",
                "Safari on iPhone",
            ),
            ("Mozilla/5.0 (Android 16; Mobile; rv:150.0) Gecko/150.0 Firefox/150.0", "Firefox on Android"),
            ("x", "A browser on another system"),
        ] {
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(browser_name(&headers), name);
        }
    }
}
