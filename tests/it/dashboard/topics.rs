//! What a page follows beside approvals: a window of the fleet, a session with its words, and a conversation by pages.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Page, cookie_of, login, origin};
use crate::patience::{PATIENCE, wait_until};
use crate::world::{TOKEN, World};

#[test]
fn a_page_follows_a_window_of_the_fleet_and_another_one_shares_its_rows() {
    let world = World::with_node();
    let cookie = cookie_of(&login(&world, json!({"token": TOKEN})));
    let asks = world.start_session("shop", "ask rm -rf build");
    world.wait_for_session(&asks, "waiting");
    let fails = world.start_session("shop", "fail hm");
    world.wait_for_session(&fails, "error");
    let since = world.data(&format!("/api/v1/sessions/{asks}"))["asks"][0]["since"].clone();
    let mut page = world.run(Page::open(&world, &cookie, &origin(&world))).unwrap();
    world.run(async {
        page.say(json!({"hello": {"topics": ["fleet?q=&rows=1"]}})).await;
        let picture = page.about("fleet").await;
        assert_eq!(picture["total"], 2);
        let head = &picture["items"][0]["view"];
        assert_eq!((&head["counts"], &head["order"]), (&json!({"waiting": 1, "error": 1}), &json!([asks])));
        assert_eq!(picture["items"][1]["view"], json!({"projects": ["shop"], "nodes": ["web-1"]}));
        let row = &picture["items"][2]["view"];
        assert_eq!((&row["why"], &row["since"]), (&json!("rm -rf build"), &since), "{row}");
        // The window grows: only what is new is told.
        page.say(json!({"topics": ["fleet?rows=2"]})).await;
        let change = page.about("fleet").await;
        let ids: Vec<_> =
            change["upsert"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
        assert_eq!(ids, [json!("head"), json!(format!("row/{fails}"))], "{change}");
        page.say(json!({"topics": ["fleet?status=error"]})).await;
        let change = page.about("fleet").await;
        assert_eq!((&change["gone"], &change["total"]), (&json!([format!("row/{asks}")]), &json!(1)));
    });
}

#[test]
fn a_page_that_watches_a_session_gets_its_words_and_its_conversation_comes_by_pages() {
    let world = World::with_node();
    let cookie = cookie_of(&login(&world, json!({"token": TOKEN})));
    let session = world.start_session("shop", "say one; ask make; say two words");
    world.wait_for_session(&session, "waiting");
    let mut page = world.run(Page::open(&world, &cookie, &origin(&world))).unwrap();
    let topic = format!("session?id={session}");
    world.run(async {
        page.say(json!({"hello": {"topics": [topic], "watch": session}})).await;
        let picture = page.about("session").await;
        assert_eq!(picture["items"][0]["view"]["id"], json!(session));
        assert_eq!(picture["items"][1]["view"], json!([]), "no command is under way");
    });
    let ask = world.data(&format!("/api/v1/approvals?session_id={session}"))[0]["id"].clone();
    let path = format!("/api/v1/approvals/{}/answer", ask.as_str().unwrap());
    world.request(Method::POST, &path, Some(TOKEN), &[], Some(&json!({"reply": "once"})));
    let words = world.run(async {
        let mut words = String::new();
        while !words.contains("words") {
            let frame = page.next().await;
            assert!(frame.is_object(), "{frame}");
            for word in frame["words"].as_array().into_iter().flatten() {
                words.push_str(word["text"].as_str().unwrap());
            }
        }
        words
    });
    assert!(words.ends_with("two words"), "{words}");
    world.wait_for_session(&session, "idle");
    let path = format!("/api/v1/sessions/{session}/conversation");
    let whole = world.data(&path);
    let kinds: Vec<&str> =
        whole["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"asked") && kinds.contains(&"answered"), "{kinds:?}");
    let texts = |page: &Value| -> Vec<String> {
        let all = page["entries"].as_array().unwrap().iter();
        all.filter(|one| one["kind"] == "text").map(|one| one["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&whole), ["say one; ask make; say two words", "one", "two words"]);
    // Backwards by single events it is the same conversation.
    let (mut all, mut first) = (Vec::new(), whole["last"].as_u64().unwrap() + 1);
    loop {
        let page = world.data(&format!("{path}?before={first}&limit=1"));
        all.extend(texts(&page).into_iter().rev());
        first = page["first"].as_u64().unwrap();
        if page["more"] == false {
            break;
        }
    }
    all.dedup();
    all.reverse();
    assert_eq!(all, texts(&whole));
    let both = world.get(&format!("{path}?before=3&after=3"));
    assert_eq!(both.status, StatusCode::BAD_REQUEST);
    let none = world.get("/api/v1/sessions/nothing/conversation");
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}

#[test]
fn an_approval_whose_asking_event_is_gone_says_that_it_may_not_be_whole() {
    let world = World::with_node();
    let session = world.start_session("shop", "ask rm -rf build");
    world.wait_for_session(&session, "waiting");
    let id = world.data(&format!("/api/v1/approvals?session_id={session}"))[0]["id"].clone();
    let path = format!("/api/v1/approvals/{}", id.as_str().unwrap());
    assert!(world.data(&path).get("is_partial").is_none());
    world.until_mirrored();
    world.sql("DELETE FROM events WHERE type = 'permission.asked'");
    wait_until("the event is gone", PATIENCE, || match world.count_events("type=permission.asked") {
        0 => Ok(()),
        count => Err(format!("{count} are there")),
    });
    assert_eq!(world.data(&path)["is_partial"], true);
}
