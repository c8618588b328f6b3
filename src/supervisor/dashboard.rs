//! The dashboard: the page, its parts, and the headers that bind both. Everything is in the executable.
//!
//! The page is the same for everybody: who looks is known when it asks. So a link from a chat opens logged in, although
//! its cookie is not sent along with it. All addresses in the page are relative: it works below whatever path a proxy has.

use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::refusal::ApiError;
use super::shared::Shared;
use hal_base::secret::hash_of_bytes;

/// What the page may load and do: what comes from here, and nothing else. It makes no HTML from text, which
/// `require-trusted-types-for` has the browser enforce.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'self'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The headers of everything here. There is none that says TLS for ever: it would hold for every port of this host's name.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// Asked for by its version, a part never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Else it is asked whether it has.
const ASK_AGAIN: &str = "no-cache";

/// Digits of a version.
const DIGITS: usize = 16;

/// Quality of brotli, of 11, and its window: the page is compressed once, while somebody waits for it.
const QUALITY: u32 = 9;
const WINDOW: u32 = 20;
const BUFFER: usize = 16 * 1024;

/// The page, as it was built.
const INDEX: &str = include_str!("../../assets/dashboard/dist/index.html");

/// What it was built from.
const SOURCE: &str = include_str!("../../assets/dashboard/dist/SOURCE");

/// Its parts: their names below `assets/`, what they are, and what is in them.
const PARTS: [(&str, &str, &[u8]); 5] = [
    (
        "main.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/dashboard/dist/assets/main.js"),
    ),
    ("main.css", "text/css; charset=utf-8", include_bytes!("../../assets/dashboard/dist/assets/main.css")),
    ("NOTICES", "text/plain; charset=utf-8", include_bytes!("../../assets/dashboard/dist/NOTICES")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../assets/dashboard/dist/assets/icon.svg")),
    (
        "manifest.webmanifest",
        "application/manifest+json",
        include_bytes!("../../assets/dashboard/dist/assets/manifest.webmanifest"),
    ),
];

/// Addresses that the page itself makes sense of.
const SCREENS: [&str; 13] = [
    "/login",
    "/needs-you",
    "/needs-you/{id}",
    "/fleet",
    "/sessions/{id}",
    "/nodes",
    "/nodes/{id}",
    "/alerts",
    "/alerts/{id}",
    "/money",
    "/audit",
    "/halt",
    "/me",
];

/// Something that is served, ready to be sent.
#[derive(Debug)]
struct Served {
    kind: &'static str,
    plain: Vec<u8>,
    brotli: Vec<u8>,
    version: String,
}

static SERVED: LazyLock<Vec<(&str, Served)>> =
    LazyLock::new(|| PARTS.map(|(name, kind, bytes)| (name, Served::of(kind, bytes.to_vec()))).into());

/// The page, at the top and one step below.
static PAGES: LazyLock<[Served; 2]> = LazyLock::new(|| {
    ["./", "../"].map(|base| Served::of("text/html; charset=utf-8", page(base).into_bytes()))
});

/// The page with its parts named by their versions, for an address so deep.
fn page(base: &str) -> String {
    let mut text = INDEX.replacen("<base href=\"./\"", &format!("<base href=\"{base}\""), 1);
    for (name, part) in SERVED.iter() {
        let plain = format!("assets/{name}\"");
        text = text.replace(&plain, &format!("assets/{name}?v={}\"", part.version));
    }
    text
}

impl Served {
    fn of(kind: &'static str, plain: Vec<u8>) -> Self {
        let mut version = hash_of_bytes(&plain);
        version.truncate(DIGITS);
        let brotli = squeezed(&plain).unwrap_or_default();
        Self { kind, plain, brotli, version }
    }

    /// The answer to whoever asks, by the version or not.
    fn answer(&self, headers: &HeaderMap, asked: Option<&str>) -> Response {
        let said = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let tag = format!("\"{}\"", self.version);
        let has_it = said(header::IF_NONE_MATCH)
            .is_some_and(|tags| tags.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
        let takes_brotli = said(header::ACCEPT_ENCODING).is_some_and(|all| {
            all.split(',').any(|one| one.trim().split(';').next() == Some("br")) && !self.brotli.is_empty()
        });
        let mut response = match (has_it, takes_brotli) {
            (true, _) => StatusCode::NOT_MODIFIED.into_response(),
            (false, true) => ([(header::CONTENT_ENCODING, "br")], self.brotli.clone()).into_response(),
            (false, false) => self.plain.clone().into_response(),
        };
        let caching = if asked == Some(&self.version) { FOR_EVER } else { ASK_AGAIN };
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        out.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            out.insert(header::ETAG, tag);
        }
        for (name, value) in HEADERS {
            out.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn squeezed(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), BUFFER, QUALITY, WINDOW);
    writer.write_all(plain)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

/// Which build of the page this is.
pub fn build() -> &'static str {
    let line = SOURCE.trim();
    &line[..line.floor_char_boundary(DIGITS)]
}

/// True for a browser that somebody has pointed here: it asks for a page, and agents and probes do not.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.split(',').any(|kind| kind.trim().split(';').next() == Some("text/html"))
}

/// The page at the top.
pub fn shell(headers: &HeaderMap) -> Response {
    PAGES[0].answer(headers, None)
}

/// The page's parts, and the page at every address that it makes sense of. Whatever else is missing is not found: a page
/// in place of a script would be a blank one.
pub fn routes() -> Router<Shared> {
    let mut router = Router::new().route("/assets/{*name}", get(part));
    for screen in SCREENS {
        let depth = screen.matches('/').count() - 1;
        router = router
            .route(screen, get(move |headers: HeaderMap| async move { PAGES[depth].answer(&headers, None) }));
    }
    router
}

/// The page at the top, where no agents come in.
pub fn top() -> Router<Shared> {
    Router::new().route("/", get(|headers: HeaderMap| async move { shell(&headers) }))
}

async fn part(Path(name): Path<String>, uri: axum::http::Uri, headers: HeaderMap) -> Response {
    let asked = uri.query().and_then(|query| query.strip_prefix("v="));
    match SERVED.iter().find(|(known, _)| *known == name) {
        Some((_, part)) => part.answer(&headers, asked),
        None => ApiError::not_found("no such part of the dashboard; reload the page").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_parts_by_their_versions_at_every_depth() {
        for (page, base) in PAGES.iter().zip(["./", "../"]) {
            let text = String::from_utf8(page.plain.clone()).unwrap();
            assert!(text.contains(&format!("<base href=\"{base}\"")), "{text}");
            for (name, part) in SERVED.iter().filter(|(name, _)| name.starts_with("main")) {
                assert!(text.contains(&format!("assets/{name}?v={}\"", part.version)), "{name}: {text}");
            }
        }
    }

    #[test]
    fn only_a_browser_gets_the_page() {
        let accepts = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(accepts("text/html,application/xhtml+xml,*/*;q=0.8") && accepts("text/html;q=0.9"));
        assert!(!accepts("*/*") && !accepts("application/json") && !is_wanted(&HeaderMap::new()));
    }

    #[test]
    fn what_somebody_has_is_not_sent_again() {
        let served = Served::of("text/plain", vec![b'a'; 1000]);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, "gzip, br".parse().unwrap());
        let answer = served.answer(&headers, Some(&served.version));
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "br");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], FOR_EVER);
        headers.insert(header::IF_NONE_MATCH, answer.headers()[header::ETAG].clone());
        let again = served.answer(&headers, None);
        assert_eq!(
            (again.status(), &again.headers()[header::CACHE_CONTROL]),
            (StatusCode::NOT_MODIFIED, &HeaderValue::from_static(ASK_AGAIN))
        );
    }
}
