//! What providers bill: fetched page by page from stand-ins that answer as documented, whatever they refuse or correct, and
//! compared with what sessions have used.

use std::time::Duration;

use hal_o_swarm::base::clock::now;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::patience::{PATIENCE, wait_until};
use crate::stand_in::provider::google::credentials;
use crate::stand_in::provider::{Fault, KEY, Line, Stand, TABLE};
use crate::world::{TOKEN, World};

mod runbook;

/// The number of a day since 1970.
pub fn number(day: &str) -> i64 {
    let day: jiff::civil::Date = day.parse().unwrap();
    day.duration_since(jiff::civil::date(1970, 1, 1)).as_hours() / 24
}

/// The day of a number.
pub fn name(number: i64) -> String {
    let first = jiff::civil::date(1970, 1, 1);
    first.checked_add(jiff::Span::new().days(number)).unwrap().to_string()
}

/// So many days ago.
fn ago(days: i64) -> String {
    name(now().seconds().div_euclid(86_400) - days)
}

/// A supervisor, and the provider whose bills it fetches.
struct Scene {
    world: World,
    stand: Stand,
    provider: &'static str,
}

impl Scene {
    /// With a week of bills.
    fn of(provider: &'static str) -> Self {
        Self::with_key(provider, KEY, 7)
    }

    /// With bills of so many days.
    fn with_key(provider: &'static str, key: &str, days: i64) -> Self {
        let world = World::empty();
        let stand = Stand::start(&world);
        let mut scene = Self { world, stand, provider };
        for day in 0..days {
            scene.stand.facts().days.insert(ago(day), scene.lines(day));
        }
        scene.write_config(key);
        let path = scene.world.path().join("supervisor.json");
        let command = scene.world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
        scene.world.start_supervisor_by(command);
        scene.world.wait_for_supervisor();
        scene
    }

    fn write_config(&self, key: &str) {
        let mut config = self.world.supervisor_config(self.world.port());
        let mut way = json!({"base_url": self.stand.url});
        match self.provider {
            "google" => {
                way["credentials_file"] = json!(credentials(&self.world, &self.stand));
                way["table"] = json!(TABLE);
            }
            _ => way["admin_api_key"] = json!(key),
        }
        let provider = self.provider;
        config["cost"] = json!({"request_timeout_seconds": 1, "max_retries": 1, "backoff_base_ms": 10,
            "providers": {provider: way}});
        self.world.write("supervisor.json", &config.to_string());
    }

    /// Two models and something else. No sum of a day is a whole number of millionths.
    fn lines(&self, day: i64) -> Vec<Line> {
        let names = match self.provider {
            "anthropic" => ["claude-opus-5-20260301", "claude-haiku-4-5", "Code Execution"],
            "openai" => ["gpt-5.5-2026-04-23", "gpt-6-luna", "web search tool calls"],
            _ => [
                "Generate content output token count gemini 2.5 flash short input text",
                "Generate content input token count gemini 2.5 pro long input text",
                "Vector Search",
            ],
        };
        let line = |(nth, name): (usize, &'static str)| Line {
            name,
            nanos: 1_237_891_200 * (nth as i64 + 1) + 100 * (day + 1),
            tokens: [1000 + day as u64, 200, 30, 4],
        };
        names.into_iter().enumerate().map(line).collect()
    }

    /// Has the bills fetched now: how the provider stands then.
    fn update(&self) -> Value {
        let reply = self.world.request(Method::POST, "/api/v1/cost/update", Some(TOKEN), &[], None);
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
        self.status()
    }

    fn status(&self) -> Value {
        let statuses = self.world.data("/api/v1/cost/status");
        let own = statuses.as_array().unwrap().iter().find(|one| one["provider"] == self.provider);
        own.unwrap().clone()
    }

    /// The bills as the API shows them, newest first.
    fn bills(&self) -> Vec<Value> {
        let path = format!("/api/v1/cost/bills?provider={}&from={}", self.provider, ago(6));
        self.world.data(&path).as_array().unwrap().clone()
    }

    /// Days and sums as the stand-in's own numbers say, newest first.
    fn expected(&self) -> Vec<(String, i64)> {
        let facts = self.stand.facts();
        let sum =
            |lines: &Vec<Line>| (lines.iter().map(|line| line.nanos).sum::<i64>() + 500).div_euclid(1000);
        facts.days.iter().rev().map(|(day, lines)| (day.clone(), sum(lines))).collect()
    }

    fn open_alert(&self, name: &str) -> Option<Value> {
        let reply = self.world.get(&format!("/api/v1/alerts?name={name}"));
        reply.body["data"].get(0).cloned()
    }

    /// Everything that anybody could read has no key in it.
    fn shows_no_key(&mut self) {
        let mut all = self.world.supervisor().said();
        for path in ["cost/status", "cost/bills", "cost/reconcile", "alerts?status=all", "events"] {
            all.push_str(&self.world.data(&format!("/api/v1/{path}")).to_string());
        }
        self.world.until_mirrored_upto_now();
        all.push_str(&self.world.sql("SELECT * FROM state; SELECT * FROM alerts; SELECT * FROM audit_log;"));
        assert!(all.contains(self.provider) && !all.contains(KEY), "{all}");
        assert!(!all.contains("PRIVATE KEY") && !all.contains("eyJ"), "{all}");
    }
}

fn sums(bills: &[Value]) -> Vec<(String, i64)> {
    let sum =
        |bill: &Value| (bill["date"].as_str().unwrap().to_owned(), bill["total_micros"].as_i64().unwrap());
    bills.iter().map(sum).collect()
}

/// The table is the sums of the payload, of all pages, through a correction and a death.
fn the_bills_are_the_payloads(provider: &'static str) {
    let mut scene = Scene::of(provider);
    let status = scene.update();
    assert_eq!((&status["status"], &status["error"]), (&json!("ok"), &json!("")), "{status}");
    assert_eq!(
        (&status["newest_day"], status["lag_seconds"].as_u64().is_some_and(|lag| lag < 60)),
        (&json!(ago(0)), true)
    );
    let bills = scene.bills();
    assert_eq!(sums(&bills), scene.expected());
    assert_eq!(
        (&bills[0]["is_partial"], &bills[6]["is_partial"]),
        (&json!(true), &json!(false)),
        "{bills:?}"
    );
    let today =
        scene.world.metric(&format!("hal_o_swarm_provider_billed_today_dollars{{provider=\"{provider}\"}}"));
    assert_eq!((today * 1e6).round() as i64, scene.expected()[0].1, "metrics");
    let asked: Vec<String> = scene.stand.facts().asked.iter().map(|(_, what)| what.clone()).collect();
    assert!(
        asked.iter().any(|what| what.contains("page=") || what.contains("pageToken=")),
        "no second page: {asked:?}"
    );
    for line in bills[3]["lines"].as_array().unwrap().iter().filter(|line| line["tokens"].is_object()) {
        let tokens = json!({"input": 1003, "output": 200, "cache_read": 30, "cache_write": 4});
        assert_eq!(line["tokens"], tokens, "each kind once: {line}");
    }
    let models = bills[3]["lines"].as_array().unwrap().iter().filter(|line| line["item"].is_null()).count();
    assert_eq!(models, if provider == "anthropic" { 4 } else { 2 }, "{}", bills[3]);

    // A complete day is corrected, today is not there yet, and yesterday has grown.
    let corrected = if provider == "google" { 5 } else { 3 };
    scene.stand.facts().days.get_mut(&ago(corrected)).unwrap()[0].nanos = -500_000_100;
    scene.stand.facts().days.get_mut(&ago(1)).unwrap()[1].nanos += 7_000_000_000;
    let today = scene.stand.facts().days.insert(ago(0), Vec::new()).unwrap();
    assert_eq!(scene.update()["status"], "ok");
    scene.stand.facts().days.insert(ago(0), today);
    let bills = scene.bills();
    assert_eq!(sums(&bills), scene.expected(), "nothing is not zero, and the last word counts");
    assert_eq!(bills[corrected as usize]["corrections"], 1, "{}", bills[corrected as usize]);

    let answered = scene.stand.facts().answered;
    scene.world.kill_supervisor();
    scene.stand.facts().broken = Some(Fault::Status(503, None));
    scene.world.start_supervisor_by({
        let path = scene.world.path().join("supervisor.json");
        scene.world.hal(&["supervisor", "--config", &path.to_string_lossy()])
    });
    scene.world.wait_for_supervisor();
    assert_eq!(sums(&scene.bills()), scene.expected(), "nobody forgets a bill");
    assert_eq!(scene.update()["status"], "failing");
    assert_eq!(scene.stand.facts().answered, answered);
    scene.shows_no_key();
    let path = format!("{provider}/{}", ago(2));
    let kept = scene
        .world
        .sql(&format!("SELECT json_extract(data, '$.is_partial') FROM state WHERE id = 'bill/{path}'"));
    assert_eq!(kept, if provider == "google" { "1" } else { "0" });
}

#[test]
fn the_bills_of_anthropic_are_its_payloads() {
    the_bills_are_the_payloads("anthropic");
}

#[test]
fn the_bills_of_openai_are_its_payloads() {
    the_bills_are_the_payloads("openai");
}

#[test]
fn the_bills_of_google_are_its_payloads() {
    the_bills_are_the_payloads("google");
}

/// Each fault, with the words of the state that it gives, and whether it is for ever.
fn each_fault_is_a_state_and_an_alert_and_heals(provider: &'static str) {
    let mut scene = Scene::of(provider);
    assert_eq!(scene.update()["status"], "ok");
    let bills = scene.bills();
    let faults = [
        (Fault::Status(401, None), "answered 401: no: <key>", "high"),
        (Fault::Status(403, None), "answered 403", "high"),
        (Fault::Status(429, Some(3600)), "answered 429", "medium"),
        (Fault::Status(429, None), "answered 429", "medium"),
        (Fault::Status(500, None), "answered 500", "medium"),
        (Fault::Status(503, Some(0)), "answered 503", "medium"),
        (Fault::Garbage("<html>no</html>"), "cannot be read", "high"),
        (Fault::Garbage("{\"data\": [{\"usage\": 1}]}"), "missing field", "high"),
        (Fault::Silence, "no answer within 1 s", "medium"),
    ];
    let circle = (Fault::Circle, "endless pages", "high");
    let all = faults.into_iter().chain((provider != "google").then_some(circle));
    for (fault, words, severity) in all {
        let fired = scene.stand.facts().fired;
        scene.stand.facts().broken = Some(fault.clone());
        let status = scene.update();
        assert!(scene.stand.facts().fired > fired, "{fault:?} was not shown");
        assert_eq!(status["status"], "failing", "{fault:?}: {status}");
        assert!(status["error"].as_str().unwrap().contains(words), "{fault:?}: {status}");
        let alert = scene.open_alert("cost.update_failed").unwrap_or_else(|| panic!("{fault:?}: no alert"));
        assert_eq!(
            (&alert["about"], &alert["severity"]),
            (&json!(provider), &json!(severity)),
            "{fault:?}: {alert}"
        );
        assert_eq!(sums(&scene.bills()), sums(&bills), "{fault:?}: what is known stays");

        scene.stand.facts().broken = None;
        let status = scene.update();
        assert_eq!(
            (&status["status"], &status["failures"]),
            (&json!("ok"), &json!(0)),
            "{fault:?}: {status}"
        );
        assert_eq!(scene.open_alert("cost.update_failed"), None, "{fault:?}");
    }
    scene.shows_no_key();
}

#[test]
fn each_fault_of_anthropic_is_a_state_and_an_alert_and_heals() {
    each_fault_is_a_state_and_an_alert_and_heals("anthropic");
}

#[test]
fn each_fault_of_openai_is_a_state_and_an_alert_and_heals() {
    each_fault_is_a_state_and_an_alert_and_heals("openai");
}

#[test]
fn each_fault_of_google_is_a_state_and_an_alert_and_heals() {
    each_fault_is_a_state_and_an_alert_and_heals("google");
}

#[test]
fn what_is_over_soon_is_tried_again_and_no_alert() {
    let scene = Scene::of("openai");
    assert_eq!(scene.update()["status"], "ok");
    let asked = scene.stand.facts().asked.len();
    let fired = scene.stand.facts().fired;
    scene.stand.facts().faults = [Fault::Status(429, Some(1))].into();
    assert_eq!(scene.update()["status"], "ok");
    let facts = scene.stand.facts();
    assert_eq!(facts.fired, fired + 1);
    let pause = facts.asked[asked + 1].0.duration_since(facts.asked[asked].0);
    assert!(pause >= Duration::from_secs(1), "{pause:?}: the provider has asked for a second");
    drop(facts);

    // It asks for more than anybody waits for: it is left alone.
    let asked = scene.stand.facts().asked.len();
    scene.stand.facts().broken = Some(Fault::Status(429, Some(3600)));
    assert_eq!(scene.update()["status"], "failing");
    assert_eq!(scene.stand.facts().asked.len(), asked + 1);
    scene.stand.facts().broken = None;

    // The provider forgets the place between two pages: the sequence is begun again, and no page counts twice.
    scene.stand.facts().asked.clear();
    assert_eq!(scene.update()["status"], "ok");
    let later = scene.stand.facts().asked.iter().position(|(_, what)| what.contains("page=")).unwrap();
    scene.stand.facts().fault_at(later, Fault::Status(400, None));
    let fired = scene.stand.facts().fired;
    let status = scene.update();
    assert_eq!((&status["status"], scene.stand.facts().fired), (&json!("ok"), fired + 1), "{status}");
    assert_eq!(sums(&scene.bills()), scene.expected());
    let alerts = scene.world.get("/api/v1/alerts?status=all&name=cost.update_failed");
    assert_eq!(
        (&alerts.body["meta"]["total"], &alerts.body["data"][0]["count"]),
        (&json!(1), &json!(1)),
        "of the hour"
    );
}

#[test]
fn a_wrong_key_is_said_until_another_one_is_reloaded() {
    let mut scene = Scene::with_key("anthropic", "sk-ant-api03-a-key-of-a-workspace", 7);
    let status = scene.update();
    assert_eq!(status["status"], "failing", "{status}");
    assert!(
        status["error"].as_str().unwrap().contains("invalid x-api-key; it requires an admin key"),
        "{status}"
    );
    assert_eq!(scene.open_alert("cost.update_failed").unwrap()["severity"], "high");
    let shown = scene.world.ctl_says(&["cost", "status"]);
    let line = shown.lines().find(|line| line.contains("provider: anthropic")).unwrap();
    assert!(line.contains("status: failing") && line.contains("401"), "{shown}");

    scene.write_config(KEY);
    scene.world.supervisor().signal(rustix::process::Signal::HUP);
    wait_until("the new key is used", PATIENCE, || match scene.status() {
        status if status["status"] == "ok" => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(scene.open_alert("cost.update_failed"), None);
    assert_eq!(sums(&scene.bills()), scene.expected());
    assert!(scene.world.ctl_says(&["cost", "update"]).contains("status: ok"));
    scene.shows_no_key();
    let (code, said) = scene.world.ctl_fails(&["cost", "reconcile", "--from", "soon"]);
    assert!(code != 0 && said.contains("expected a day such as"), "{said}");
}
