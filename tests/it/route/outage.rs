//! A channel that is away while alerts come, and a supervisor that is killed in the middle.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{KEY, channel, fail, start, until_channel, webhook};
use crate::patience::{PATIENCE, wait_until};
use crate::stand_in::http::{Fault, HttpStandIn, Request};
use crate::world::World;

/// Alerts that come while the channel is away.
const ALERTS: usize = 50;

/// Requests that the far side takes within [`WINDOW`].
const LIMIT: usize = 15;

const WINDOW: Duration = Duration::from_secs(2);

fn subject(request: &Request) -> String {
    request.body["data"]["about"].as_str().unwrap_or_default().to_owned()
}

fn check_signature(request: &Request) {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    let (id, sent_at) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    mac.update(format!("{id}.{sent_at}.{}", request.raw).as_bytes());
    let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), right);
}

#[test]
fn after_an_outage_every_alert_is_told_once_in_order_within_the_limit_though_the_supervisor_is_killed() {
    let far = HttpStandIn::webhook();
    let config = json!({
        "channels": {"webhooks": {"ops": webhook(far.port)}},
        "routes": [{"name": "errors", "match": "session.error", "channels": ["ops"]}],
    });
    let mut world = World::empty();
    far.base.set_out(true);
    start(&mut world, &config);
    fail(&world, 1..=25);
    until_channel(&world, "ops", "the outage is noticed", |now| !now["trouble"].as_str().unwrap().is_empty());
    world.kill_supervisor();
    start(&mut world, &config);
    fail(&world, 26..=50);
    let waiting = until_channel(&world, "ops", "all wait", |now| now["waiting"] == ALERTS);
    assert_eq!(waiting["undelivered"], 0, "{waiting}");
    assert!(far.base.fired() >= 2, "the outage was met before and after the kill");
    assert!(far.taken().is_empty());

    // It is back: busy, and with faults of its own.
    far.set_limit(LIMIT, WINDOW);
    far.base.will_fail([Fault::Answer(503, None), Fault::Cut, Fault::TakenAndCut]);
    let before = far.base.fired();
    far.base.set_out(false);
    wait_until("some are told", PATIENCE * 2, || match far.kept().len() {
        some if some >= 20 => Ok(()),
        few => Err(format!("{few}")),
    });
    world.kill_supervisor();
    let told_before = far.kept().len();
    assert!(told_before < ALERTS, "the kill came too late to prove anything: {told_before}");
    start(&mut world, &config);
    until_channel(&world, "ops", "nothing waits", |now| now["waiting"] == 0);

    assert!(far.base.fired() - before >= 3, "every fault has fired");
    let kept = far.kept();
    let told: Vec<String> = kept.iter().map(subject).collect();
    let expected: Vec<String> = (1..=ALERTS).map(|nth| format!("ses_{nth:03}")).collect();
    assert_eq!(told, expected, "each once, in order");
    let repeated = far.taken().len() - kept.len();
    assert!(repeated <= 2, "only what may have been lost is said again, by the same id: {repeated}");
    kept.iter().for_each(check_signature);
    assert!(kept[0].body["data"]["text"].as_str().unwrap().contains("no credit left"), "{}", kept[0].raw);
    honoured(&far);
    assert_eq!(channel(&world, "ops")["trouble"], "");
}

/// After each `Retry-After: 1` nothing came for a second.
fn honoured(far: &HttpStandIn) {
    let heard = far.base.heard();
    let mut limited = 0;
    for pair in heard.windows(2).filter(|pair| !pair[0].taken && pair[0].body["type"] != Value::Null) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause > Duration::from_millis(700), "it was pressed again after {pause:?}");
        limited += 1;
    }
    assert!(limited >= 2, "the limit was met");
    for (nth, first) in far.taken().iter().enumerate() {
        let taken = far.taken();
        let within = taken[nth..].iter().filter(|one| one.at - first.at < WINDOW).count();
        assert!(within <= LIMIT + 1, "{within} were taken within {WINDOW:?}");
    }
}

#[test]
fn what_is_refused_is_shown_as_undelivered_and_can_be_tried_again() {
    let far = HttpStandIn::webhook();
    let config = json!({
        "channels": {"webhooks": {"ops": webhook(far.port)}},
        "routes": [{"name": "errors", "match": "session.error"}],
    });
    let mut world = World::empty();
    start(&mut world, &config);
    far.base.will_fail([Fault::Answer(410, None)]);
    fail(&world, 1..=2);
    let now = until_channel(&world, "ops", "the second is told", |now| now["waiting"] == 0);
    assert_eq!((far.base.fired(), &now["undelivered"]), (1, &json!(1)), "{now}");
    let queue = world.ctl_says(&["channels", "queue", "ops"]);
    assert!(queue.contains("status: undelivered") && queue.contains("it answered 410"), "{queue}");
    assert_eq!(world.count_events("type=notice.undelivered"), 1);
    world.ctl_says(&["channels", "retry", "ops"]);
    until_channel(&world, "ops", "all is told", |now| now["undelivered"] == 0 && now["waiting"] == 0);
    let told: Vec<String> = far.kept().iter().map(subject).collect();
    assert_eq!(told, ["ses_002", "ses_001"]);
}
