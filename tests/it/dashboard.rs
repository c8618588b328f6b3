//! Browsers: how one is logged in and out, and what it may.

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World};

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
    assert!(got.headers["set-cookie"].to_str().unwrap().starts_with("__Host-hal="));
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
    let made = world.request(Method::POST, "/api/v1/login/code", Some(&ada), &[], None);
    let code = made.body["data"]["code"].as_str().unwrap();
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
