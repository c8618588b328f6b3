//! Browsers: how one is logged in and out, what it may, and what it follows. `tests/ui` plays in true ones.

mod topics;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World, text};

/// What a browser got of an answer.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

/// A request with these headers, as a browser or whoever pretends to be one makes it.
fn ask(world: &World, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Got {
    let mut request =
        reqwest::Client::new().request(method, format!("{}{path}", world.url("http"))).timeout(PATIENCE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    world.run(async {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        Got { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    })
}

/// The origin of the dashboard's own pages.
fn origin(world: &World) -> String {
    world.url("http")
}

/// Logs a browser in: the answer.
fn login(world: &World, body: Value) -> Got {
    ask(world, Method::POST, "/api/v1/login", &[("origin", &origin(world))], Some(body))
}

/// The cookie that an answer has set, as it is sent back.
fn cookie_of(got: &Got) -> String {
    assert_eq!(got.status, StatusCode::OK, "{}", got.body);
    let set = got.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

fn whoami(world: &World, cookie: &str) -> Got {
    ask(world, Method::GET, "/api/v1/whoami", &[("cookie", cookie)], None)
}

fn token_of(world: &World, name: &str, role: &str) -> (String, String) {
    world.ctl_says(&["users", "create", name, "--role", role]);
    let made = world.ctl_says(&["-o", "json", "tokens", "create", name]);
    let made: Value = serde_json::from_str(&made).unwrap();
    (made["token"].as_str().unwrap().to_owned(), made["about"]["id"].as_str().unwrap().to_owned())
}

#[test]
fn only_a_page_of_the_supervisor_itself_comes_in_by_a_cookie_and_a_token_goes_before_it() {
    let world = World::supervised();
    let right = json!({"token": TOKEN});
    let from = |origin: &str| {
        ask(&world, Method::POST, "/api/v1/login", &[("origin", origin)], Some(right.clone())).status
    };
    assert_eq!(from("https://evil.example"), StatusCode::BAD_REQUEST);
    let none = ask(&world, Method::POST, "/api/v1/login", &[], Some(right.clone()));
    assert!(
        none.status == StatusCode::BAD_REQUEST && none.body["error"].as_str().unwrap().contains("Origin")
    );
    assert_eq!(login(&world, json!({"token": "x"})).status, StatusCode::UNAUTHORIZED);
    assert_eq!(login(&world, json!({"code": "x"})).status, StatusCode::UNAUTHORIZED);
    assert_eq!(login(&world, json!({})).status, StatusCode::BAD_REQUEST);
    assert_eq!(login(&world, json!({"token": TOKEN, "code": "x"})).status, StatusCode::BAD_REQUEST);
    let got = login(&world, right);
    let set = got.headers["set-cookie"].to_str().unwrap();
    assert!(set.contains("; HttpOnly; SameSite=Strict; Max-Age=") && set.contains("; Path=/;"), "{set}");
    assert!(set.starts_with(&format!("hal-{}=", world.port())) && !set.contains("Secure"), "{set}");
    let cookie = cookie_of(&got);
    assert_eq!(whoami(&world, &cookie).body["data"]["name"], "token");
    let own = origin(&world);
    let silence = json!({"matches": "node.offline", "seconds": 60, "reason": "a test"});
    let post = |headers: &[(&str, &str)]| {
        let all: Vec<_> = headers.iter().copied().chain([("cookie", cookie.as_str())]).collect();
        ask(&world, Method::POST, "/api/v1/silences", &all, Some(silence.clone())).status
    };
    assert_eq!(
        post(&[]),
        StatusCode::BAD_REQUEST,
        "every browser says an origin beside what changes something"
    );
    assert_eq!(post(&[("origin", "https://evil.example")]), StatusCode::BAD_REQUEST);
    assert_eq!(
        post(&[("origin", "http://localhost:3000")]),
        StatusCode::BAD_REQUEST,
        "another port is another"
    );
    for site in ["cross-site", "same-site"] {
        assert_eq!(post(&[("origin", &own), ("sec-fetch-site", site)]), StatusCode::BAD_REQUEST, "{site}");
    }
    assert_eq!(post(&[("origin", &own), ("sec-fetch-site", "same-origin")]), StatusCode::OK);
    let with = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("cookie", cookie.as_str())];
        ask(&world, Method::GET, "/api/v1/whoami", &headers, None)
    };
    assert_eq!(with("x").status, StatusCode::UNAUTHORIZED, "a wrong token is wrong, whatever the cookie is");
    assert_eq!(with(TOKEN).body["data"]["credential"], "shared token");
    // By https, as its proxy has it, the cookie is for https alone.
    let secure = format!("https://localhost:{}", world.port());
    let got =
        ask(&world, Method::POST, "/api/v1/login", &[("origin", &secure)], Some(json!({"token": TOKEN})));
    assert!(got.headers["set-cookie"].to_str().unwrap().starts_with("__Host-hal"));
    assert!(got.headers["set-cookie"].to_str().unwrap().contains("; Path=/; Secure; HttpOnly"));
    assert_eq!(whoami(&world, &cookie_of(&got)).status, StatusCode::OK);
}

#[test]
fn a_browser_is_logged_out_by_whatever_ends_what_it_was_logged_in_with() {
    let mut world = World::supervised();
    let (ada, id) = token_of(&world, "ada", "operator");
    let enter = |token: &str| cookie_of(&login(&world, json!({ "token": token })));
    let (first, second, shared) = (enter(&ada), enter(&ada), enter(TOKEN));
    let is_in = |cookie: &str| whoami(&world, cookie).status == StatusCode::OK;
    let named =
        |cookie: &str| whoami(&world, cookie).body["data"]["credential_id"].as_str().unwrap().to_owned();
    let listed = world.ctl_says(&["-o", "json", "tokens", "list"]);
    assert_eq!(listed.matches("browser session").count(), 3, "{listed}");
    // Whoever is known may revoke what is theirs, and nothing else.
    let own = origin(&world);
    let revoke = |cookie: &str, id: &str| {
        let headers = [("cookie", cookie), ("origin", own.as_str())];
        ask(&world, Method::DELETE, &format!("/api/v1/tokens/{id}"), &headers, None).status
    };
    assert_eq!(revoke(&first, &named(&shared)), StatusCode::FORBIDDEN);
    assert_eq!(revoke(&first, &named(&second)), StatusCode::OK);
    assert!(is_in(&first) && !is_in(&second));
    // A change of the role is one of the browser; and there is no token to give another secret.
    world.ctl_says(&["users", "create", "ada", "--role", "viewer"]);
    assert_eq!(whoami(&world, &first).body["data"]["role"], "viewer");
    let rotated = world.request(
        Method::POST,
        &format!("/api/v1/tokens/{}/rotate", named(&first)),
        Some(TOKEN),
        &[],
        None,
    );
    assert_eq!(rotated.status, StatusCode::BAD_REQUEST, "{}", rotated.body);
    // Another secret of the token that it was begun with is the end of it.
    let third = enter(&ada);
    world.ctl_says(&["tokens", "rotate", &id]);
    assert!(!is_in(&first) && !is_in(&third));
    // A role that is for no page.
    let (counter, _) = token_of(&world, "prom", "metrics");
    assert_eq!(login(&world, json!({"token": counter})).status, StatusCode::FORBIDDEN);
    // The shared token is replaced.
    assert!(is_in(&shared));
    let mut config = world.supervisor_config(world.port());
    // It opens no page any more: whoever came in by it is out, and nobody comes in.
    config["server"]["auth_token_opens"] = json!("agents");
    world.write("supervisor.json", &config.to_string());
    world.supervisor().signal(Signal::HUP);
    wait_until("the shared token opens no page", PATIENCE, || {
        if is_in(&shared) { Err("still in".to_owned()) } else { Ok(()) }
    });
    assert_eq!(login(&world, json!({"token": TOKEN})).status, StatusCode::FORBIDDEN);
    config["server"]["auth_token_opens"] = json!("everything");
    world.write("supervisor.json", &config.to_string());
    world.supervisor().signal(Signal::HUP);
    wait_until("it does again", PATIENCE, || if is_in(&shared) { Ok(()) } else { Err("out".to_owned()) });
    config["server"]["auth_token"] = json!("another-token-for-the-tests-0123456789-abcdefgh");
    world.write("supervisor.json", &config.to_string());
    world.supervisor().signal(Signal::HUP);
    wait_until("whoever came in by the one before is out", PATIENCE, || {
        if is_in(&shared) { Err("still in".to_owned()) } else { Ok(()) }
    });
    world.end_supervisor();
}

#[test]
fn a_code_is_good_once_and_lets_in_whoever_has_asked_for_it() {
    let world = World::supervised();
    let (ada, _) = token_of(&world, "ada", "approver");
    let mut halctl = world.hal(&["ctl", "-o", "json", "dashboard"]);
    halctl.env("HALCTL_SUPERVISOR_URL", world.url("http")).env("HALCTL_AUTH_TOKEN", &ada);
    let said = text(&halctl.output().unwrap().stdout);
    let url = serde_json::from_str::<Value>(&said).unwrap()["url"].as_str().unwrap().to_owned();
    let (page, code) = url.split_once("#code=").unwrap();
    assert!(page.ends_with('/') && code.len() == 64, "{url}");
    let got = login(&world, json!({ "code": code }));
    let cookie = cookie_of(&got);
    assert_eq!(got.body["data"]["name"], "ada");
    let again = login(&world, json!({ "code": code }));
    assert!(
        again.status == StatusCode::UNAUTHORIZED && again.body["error"].as_str().unwrap().contains("once")
    );
    // What it does is hers, over the dashboard; and the secret stands nowhere.
    let audit = world.data("/api/v1/audit?limit=50").to_string();
    assert!(audit.contains("\"login\"") && audit.contains("dashboard"), "{audit}");
    let secret = cookie.rsplit('.').next().unwrap();
    let held = [audit, world.supervisor().said(), world.ctl_says(&["-o", "json", "tokens", "list"])];
    assert!(!held.iter().any(|text| text.contains(secret) || text.contains(code)));
    // A browser that logs in again leaves no session behind.
    let own = origin(&world);
    let headers = [("origin", own.as_str()), ("cookie", cookie.as_str())];
    let anew = ask(&world, Method::POST, "/api/v1/login", &headers, Some(json!({ "token": ada })));
    assert_eq!(anew.status, StatusCode::OK);
    assert_eq!(whoami(&world, &cookie).status, StatusCode::UNAUTHORIZED);
    // It stays logged in when the supervisor is started again: what it has is stored.
    let cookie = cookie_of(&anew);
    let mut world = world;
    world.end_supervisor();
    world.start_supervisor();
    assert_eq!(whoami(&world, &cookie).body["data"]["name"], "ada");
}

#[test]
fn the_page_is_for_browsers_and_everybody_else_finds_what_was_there() {
    let world = World::supervised();
    let get = |path: &str, accept: &str| ask(&world, Method::GET, path, &[("accept", accept)], None);
    assert!(get("/", "*/*").body.as_str().unwrap().contains("agents connect here"));
    for path in
        ["/", "/needs-you", "/needs-you/per_1", "/fleet", "/sessions/ses_1", "/alerts/7", "/halt", "/me"]
    {
        let got = get(path, "text/html");
        assert_eq!(
            (got.status, &got.headers["content-type"]),
            (StatusCode::OK, &HeaderValue::from_static("text/html; charset=utf-8")),
            "{path}"
        );
        let policy = got.headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("require-trusted-types-for"),
            "{policy}"
        );
        let base = if path.matches('/').count() > 1 { "<base href=\"../\"" } else { "<base href=\"./\"" };
        assert!(got.body.as_str().unwrap().contains(base), "{path}");
    }
    for path in ["/assets/nothing.js", "/nowhere", "/api/v1/nowhere"] {
        let got = get(path, "text/html");
        assert_eq!(
            got.status,
            StatusCode::NOT_FOUND,
            "a page in place of what is missing would be a blank one: {path}"
        );
        assert!(got.body["error"].is_string(), "{path}");
    }
    let script = get("/assets/main.js", "*/*");
    assert_eq!(script.headers["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(script.headers["cache-control"], "no-cache");
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A page that follows, by hand.
struct Page(Socket);

impl Page {
    async fn open(world: &World, cookie: &str, origin: &str) -> Result<Self, Error> {
        let mut request = format!("{}/api/v1/live", world.url("ws")).into_client_request()?;
        for (name, value) in
            [("cookie", cookie), ("origin", origin), ("sec-websocket-protocol", "hal.live.1")]
        {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(Self(connect_async(request).await?.0))
    }

    async fn say(&mut self, words: Value) {
        self.0.send(Message::text(words.to_string())).await.unwrap();
    }

    /// The next frame; the code of a close as a number.
    async fn next(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("it says something") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(Some(close)))) => return json!(u16::from(close.code)),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame about a topic.
    async fn about(&mut self, topic: &str) -> Value {
        loop {
            let frame = self.next().await;
            assert!(frame.is_object(), "it was closed: {frame}");
            if frame["change"] == topic || frame["picture"] == topic {
                return frame;
            }
        }
    }
}

#[test]
fn a_page_gets_a_picture_and_then_what_changes_and_what_it_has_is_not_told_again() {
    let world = World::with_node();
    let cookie = cookie_of(&login(&world, json!({"token": TOKEN})));
    let own = origin(&world);
    let refused = world.run(Page::open(&world, &cookie, "https://evil.example"));
    assert!(refused.is_err(), "a page of somebody else follows nothing");
    let session = world.start_session("shop", "say hm; ask rm -rf build; say done");
    world.wait_for_session(&session, "waiting");
    let (cursor, id, version) = world.run(async {
        let mut page = Page::open(&world, &cookie, &own).await.unwrap();
        page.say(json!({"hello": {"topics": ["chrome", "approvals", "tomorrow"]}})).await;
        let opening = page.next().await;
        assert_eq!(opening["verdict"], "ok");
        assert!(opening["server"]["build"].as_str().unwrap().len() == 16, "{opening}");
        let chrome = page.about("chrome").await;
        assert_eq!(chrome["items"][0]["view"]["needs_you"], 1, "{chrome}");
        let picture = page.about("approvals").await;
        let item = &picture["items"][0];
        assert_eq!(
            (&item["view"]["what"], &item["view"]["reasoning"]),
            (&json!("rm -rf build"), &json!("hm"))
        );
        let of = |text: &Value| text.as_str().unwrap().to_owned();
        (of(&picture["as_of"]), of(&item["id"]), of(&item["v"]))
    });
    let have = |cursor: &str, version: &str| json!({"hello": {"cursor": cursor, "topics": ["approvals"], "have": {"approvals": {&id: version, "gone": "1"}}}});
    world.run(async {
        // It comes again with what it has: only what is another, or gone, is told.
        let mut page = Page::open(&world, &cookie, &own).await.unwrap();
        page.say(have(&cursor, &version)).await;
        assert_eq!(page.next().await["verdict"], "ok");
        let change = page.about("approvals").await;
        assert_eq!((&change["upsert"], &change["gone"]), (&json!([]), &json!(["gone"])), "{change}");
        // Of another store, all of it is void.
        let mut other = Page::open(&world, &cookie, &own).await.unwrap();
        other.say(have("00000000-7", &version)).await;
        assert_eq!(other.next().await["verdict"], "gap");
        assert_eq!(other.about("approvals").await["items"][0]["id"], json!(id));
    });
    let mut page = world.run(Page::open(&world, &cookie, &own)).unwrap();
    world.run(page.say(have(&cursor, &version)));
    let answer = format!("/api/v1/approvals/{id}/answer");
    let headers = [("cookie", cookie.as_str()), ("origin", own.as_str())];
    let got = ask(&world, Method::POST, &answer, &headers, Some(json!({"reply": "once"})));
    assert_eq!(got.body["data"]["answer"]["over"], "dashboard", "{}", got.body);
    world.run(async {
        let mut states = Vec::new();
        while states.last() != Some(&json!("settled")) {
            let frame = page.about("approvals").await;
            states
                .extend(frame["upsert"].as_array().unwrap().iter().map(|item| item["view"]["state"].clone()));
        }
    });
}

#[test]
fn what_changes_often_is_told_now_and_then_and_whoever_is_logged_out_hears_no_more() {
    let world = World::with_node();
    let cookie = cookie_of(&login(&world, json!({"token": TOKEN})));
    let own = origin(&world);
    let mut page = world.run(Page::open(&world, &cookie, &own)).unwrap();
    world.run(page.say(json!({"hello": {"topics": ["chrome", "approvals"]}})));
    world.run(page.about("approvals"));
    // Fifty sessions come, ask, and go on: some hundreds of changes of the counts.
    let sessions: Vec<String> =
        (0..50).map(|_| world.start_session("shop", "ask make; burst 20; say done")).collect();
    let began = world.data("/api/v1/approvals?limit=1000");
    let asked = began.as_array().unwrap().len();
    assert!(asked > 0, "{began}");
    for session in &sessions {
        world.wait_for_session(session, "waiting");
    }
    let (frames, needs) = world.run(async {
        let (mut frames, mut needs) = (0, 0);
        while needs < 50 {
            let frame = page.about("chrome").await;
            needs = frame["upsert"][0]["view"]["needs_you"].as_u64().unwrap();
            frames += 1;
        }
        (frames, needs)
    });
    assert_eq!(needs, 50);
    let stored = world.count_events("");
    assert!(frames < stored / 4, "{frames} frames for {stored} events");
    // A page that nobody sees gets the counts, and nothing else.
    world.run(page.say(json!({"visible": false})));
    let id = whoami(&world, &cookie).body["data"]["credential_id"].as_str().unwrap().to_owned();
    let gone = world.request(Method::DELETE, &format!("/api/v1/tokens/{id}"), Some(TOKEN), &[], None);
    assert_eq!(gone.status, StatusCode::OK);
    let code = world.run(async {
        timeout(Duration::from_secs(5), async {
            loop {
                let frame = page.next().await;
                if frame.is_number() {
                    return frame;
                }
            }
        })
        .await
    });
    assert_eq!(code.unwrap(), 4401);
}
