//! What PagerDuty, a mail server and a web address are told of the life of an alert, and what nobody is told.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{channel, configure, fail, start, until_channel, webhook};
use crate::patience::{PATIENCE, wait_until};
use crate::stand_in::http::{Fault, HttpStandIn};
use crate::stand_in::smtp::{self, SmtpStandIn};
use crate::world::{TOKEN, World};

fn pager(far: &HttpStandIn) -> Value {
    json!({"routing_key": "0123456789abcdef0123456789abcdef", "base_url": format!("http://127.0.0.1:{}", far.port)})
}

fn email(far: &SmtpStandIn) -> Value {
    json!({
        "host": "127.0.0.1", "port": far.port, "encryption": "none", "from": "HAL <hal@example.org>",
        "to": ["ops@example.org"], "group": "0s",
    })
}

fn until<T>(what: &str, count: usize, look: impl Fn() -> Vec<T>) -> Vec<T> {
    wait_until(what, PATIENCE * 2, || {
        let found = look();
        if found.len() >= count { Ok(found) } else { Err(format!("{} of {count}", found.len())) }
    })
}

#[test]
fn the_pager_and_the_mail_tell_the_whole_life_of_an_alert() {
    let (pd, mail) = (HttpStandIn::pagerduty(), SmtpStandIn::start());
    let config = |percent: u64| {
        json!({
            "alerts": {"disk_free_percent": percent, "memory_percent": 100},
            "channels": {"pagerduty": pager(&pd), "email": email(&mail)},
            "routes": [{"match": "alert.severity >= high"}],
        })
    };
    pd.base.will_fail([Fault::Answer(429, None), Fault::Cut]);
    mail.base.will_fail([smtp::Fault::Answer("451 greylisted, come back"), smtp::Fault::Cut]);
    let mut world = World::empty();
    start(&mut world, &config(99));
    let events = until("it is triggered", 1, || pd.taken());
    let trigger = &events[0].body;
    assert_eq!(
        (&trigger["event_action"], &trigger["payload"]["class"]),
        (&json!("trigger"), &json!("disk.low"))
    );
    let mails = until("it is mailed", 1, || mail.base.heard());
    assert!(mails[0].header("Subject").starts_with("[high] disk.low"), "{}", mails[0].text);
    assert!(mails[0].to[0].contains("ops@example.org") && mails[0].text.contains("halctl alerts ack"));
    assert_eq!((pd.base.fired(), mail.base.fired()), (2, 2), "every fault has fired");

    world.ctl_says(&["alerts", "ack", &world.data("/api/v1/alerts?name=disk.low")[0]["id"].to_string()]);
    until("somebody knows", 2, || pd.taken());
    configure(&world, &config(0));
    world.supervisor().signal(Signal::HUP);
    let events = until("it is over", 3, || pd.taken());
    let actions: Vec<&str> =
        events.iter().map(|event| event.body["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert!(events.iter().all(|event| event.body["dedup_key"] == trigger["dedup_key"]));
    let mails = until("all is mailed", 3, || mail.base.heard());
    let first = mails[0].header("Message-ID");
    assert!(
        !first.is_empty()
            && mails[1].header("In-Reply-To") == first
            && mails[2].header("References") == first
    );
    let shown = world.ctl_says(&["channels", "list"]);
    assert!(
        shown.contains("name: email") && shown.contains("waiting: 0") && !shown.contains("abcdef"),
        "{shown}"
    );
}

#[test]
fn a_silence_holds_back_and_its_end_lets_go() {
    let far = HttpStandIn::webhook();
    let config = json!({
        "channels": {"webhooks": {"ops": webhook(far.port)}},
        "routes": [{"name": "errors", "match": "session.error"}],
    });
    let mut world = World::empty();
    start(&mut world, &config);
    let said =
        world.ctl_says(&["alerts", "silence", "add", "route.*", "--for", "1h", "--reason", "a rehearsal"]);
    let id = said.split("id: ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    fail(&world, 1..=1);
    until_channel(&world, "ops", "it waits", |now| now["waiting"] == 1);
    let queue = world.ctl_says(&["channels", "queue", "ops"]);
    assert!(queue.contains("silenced by token: a rehearsal"), "{queue}");
    // A restart changes nothing.
    world.kill_supervisor();
    start(&mut world, &config);
    assert!(world.ctl_says(&["alerts", "silence"]).contains("a rehearsal"));
    assert_eq!((channel(&world, "ops")["waiting"].clone(), far.base.connections()), (json!(1), 0));
    world.ctl_says(&["alerts", "silence", "expire", &id]);
    assert_eq!(until("it is told", 1, || far.kept()).len(), 1);
    world.until_sql("SELECT count(*) FROM audit_log WHERE action IN ('silence alerts', 'end silence')", "2");
    let (_, said) = world.ctl_fails(&["alerts", "silence", "add", "alert.severty < high"]);
    assert!(said.contains("did you mean severity?"), "{said}");
}

#[test]
fn many_of_the_same_name_are_one_notice_with_a_count() {
    let far = HttpStandIn::webhook();
    let mut ops = webhook(far.port);
    ops["group"] = json!("3s");
    let config = json!({
        "channels": {"webhooks": {"ops": ops}},
        "routes": [{"name": "errors", "match": "session.error"}],
    });
    let mut world = World::empty();
    start(&mut world, &config);
    fail(&world, 1..=10);
    let told = until("both are told", 2, || far.kept());
    let counts: Vec<u64> = told.iter().map(|one| one.body["data"]["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 9], "the first at once, the others together");
    assert_eq!(told[1].body["data"]["title"], "route.errors (9 times)");
    // What came together is answered one by one.
    let alerts = world.data("/api/v1/alerts?name=route.errors");
    assert_eq!(alerts.as_array().unwrap().len(), 10);
    let id = alerts[0]["id"].to_string();
    world.request(Method::POST, &format!("/api/v1/alerts/{id}/ack"), Some(TOKEN), &[], None);
    let told = until("the end of one is told", 3, || far.kept());
    assert_eq!(told[2].body["type"], "alert.resolved");
}

#[test]
fn routes_test_tells_which_route_fits_and_why_others_do_not() {
    let far = HttpStandIn::webhook();
    let config = json!({
        "alerts": {"disk_free_percent": 0, "memory_percent": 100},
        "channels": {"webhooks": {"ops": webhook(far.port)}},
        "routes": [
            {"name": "shop", "match": "event.type == 'session.error' && event.project == 'shop'", "channels": ["ops"]},
            {"name": "other", "match": "event.type == 'session.error' && event.project == 'other'"},
            {"name": "idle", "match": "session.unreachable && stuck > 1s", "dedupe": "project", "severity": "critical"},
            {"name": "severe", "match": "alert.severity >= critical"},
        ],
    });
    let mut world = World::empty();
    start(&mut world, &config);
    fail(&world, 1..=1);
    let seq = world.events("type=session.error")[0]["seq"].to_string();
    let said = world.ctl_says(&["routes", "test", &seq]);
    let line =
        |name: &str| said.lines().find(|line| line.contains(&format!("name: {name} "))).unwrap().to_owned();
    assert!(line("shop").contains("fits: yes"), "{said}");
    assert!(line("other").contains("fits: no") && line("other").contains("does not match "), "{said}");
    assert!(line("severe").contains("it is for alerts; this is an event"), "{said}");
    // How things stand is asked of, too, and is over by itself.
    let stuck = wait_until("the session is stuck", PATIENCE, || {
        let alerts = world.data("/api/v1/alerts?name=route.idle");
        alerts.get(0).cloned().ok_or_else(|| alerts.to_string())
    });
    assert_eq!((&stuck["about"], &stuck["severity"]), (&json!("shop"), &json!("critical")), "{stuck}");
    let said = world.ctl_says(&["routes", "test", &format!("alert:{}", stuck["id"])]);
    assert!(said.lines().any(|line| line.contains("name: severe ") && line.contains("fits: yes")), "{said}");
    until("both are told", 2, || far.kept());
    assert!(world.ctl_says(&["routes", "list"]).contains("asked_of: session"));
}
