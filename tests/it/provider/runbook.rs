//! The runbook's "cost data discrepancy": a difference made on purpose is found, explained, and told until it is over.

use serde_json::{Value, json};

use super::{Scene, ago};
use crate::patience::{PATIENCE, wait_until};
use crate::stand_in::provider::{KEY, Line};

/// Rows of costs as sessions of the fleet would have left them.
fn used(scene: &Scene, rows: &[(&str, i64, u64, Option<f64>)]) {
    for (model, days, tokens, usd) in rows {
        let usd = usd.map_or_else(|| "NULL".to_owned(), |usd| usd.to_string());
        scene.world.sql(&format!(
            "INSERT INTO costs (provider, model, date, tokens, cost_usd) VALUES ('{}', '{model}', '{}', {tokens}, {usd})",
            scene.provider,
            ago(*days)
        ));
    }
    wait_until("the rows are in the store", PATIENCE, || {
        let all = scene.world.data("/api/v1/cost/reconcile");
        let lines = all["lines"].as_array().unwrap();
        let ours: u64 = lines.iter().filter_map(|line| line["our_tokens"].as_u64()).sum();
        let wanted: u64 = rows.iter().map(|row| row.2).sum();
        if ours == wanted { Ok(()) } else { Err(format!("{ours} of {wanted} tokens")) }
    });
}

fn line_of(scene: &Scene, model: &str) -> Value {
    let path = format!("/api/v1/cost/reconcile?from={0}&to={0}", ago(2));
    let all = scene.world.data(&path);
    let lines = all["lines"].as_array().unwrap();
    lines.iter().find(|line| line["model"] == model).unwrap_or_else(|| panic!("{model}: {all}")).clone()
}

fn only(scene: &Scene, lines: Vec<Line>) {
    let mut facts = scene.stand.facts();
    facts.days.clear();
    facts.days.insert(ago(2), lines);
}

#[test]
fn a_seeded_discrepancy_is_found_and_explained_and_over_when_the_bill_is_corrected() {
    let scene = Scene::with_key("anthropic", KEY, 0);
    let line = |name, dollars: i64, tokens: u64| Line {
        name,
        nanos: dollars * 1_000_000_000,
        tokens: [tokens, 0, 0, 0],
    };
    only(
        &scene,
        vec![
            line("claude-opus-5-20260301", 10, 1000),
            line("claude-haiku-4-5", 6, 600),
            line("claude-sonnet-5", 4, 400),
            line("Code Execution", 2, 0),
        ],
    );
    assert_eq!(scene.update()["status"], "ok");
    // Of opus: 400 tokens were not ours, and what is left is $3 too much. Of haiku: 300 tokens have no price. Sonnet agrees.
    used(
        &scene,
        &[
            ("claude-opus-5", 2, 600, Some(3.0)),
            ("claude-haiku-4-5", 2, 300, Some(3.0)),
            ("claude-haiku-4-5-20251001", 2, 300, None),
            ("claude-sonnet-5", 2, 400, Some(4.0)),
        ],
    );
    assert_eq!(scene.update()["status"], "ok");
    let opus = line_of(&scene, "claude-opus-5");
    assert_eq!(
        (&opus["difference_micros"], &opus["unexplained_micros"]),
        (&json!(7_000_000), &json!(3_000_000)),
        "{opus}"
    );
    assert_eq!(opus["explained"], json!([{"reason": "outside_the_fleet", "micros": 4_000_000}]));
    let haiku = line_of(&scene, "claude-haiku-4-5");
    assert_eq!(haiku["explained"], json!([{"reason": "unknown_price", "micros": 3_000_000}]), "{haiku}");
    let (sonnet, other) = (line_of(&scene, "claude-sonnet-5"), line_of(&scene, ""));
    assert_eq!(
        (&sonnet["difference_micros"], &other["unexplained_micros"]),
        (&json!(0), &json!(0)),
        "{sonnet} {other}"
    );
    let judged = [&opus, &haiku, &sonnet, &other].map(|line| line["is_discrepancy"].as_bool().unwrap());
    assert_eq!(judged, [true, false, false, false]);
    let alert = wait_until("three dollars too much are told", PATIENCE, || {
        scene.open_alert("cost.discrepancy").ok_or_else(|| "nobody is told".to_owned())
    });
    let text = alert["text"].as_str().unwrap();
    assert!(text.contains("claude-opus-5 it bills $10.00, counted were $3.00"), "{alert}");

    the_operator_sees_it(&scene, text);

    // The provider corrects its bill, for which it is asked again: no difference, no alert.
    only(
        &scene,
        vec![
            line("claude-opus-5", 3, 600),
            line("claude-haiku-4-5", 3, 600),
            line("claude-sonnet-5", 4, 400),
        ],
    );
    assert_eq!(scene.update()["status"], "ok");
    assert_eq!(line_of(&scene, "claude-opus-5")["difference_micros"], 0);
    until_over(&scene);
    let said = crate::world::text(&scene.world.ctl(&["cost", "reconcile"]).stderr);
    assert!(said.contains("agree") && said.contains("halctl cost status"), "{said}");
}

fn until_over(scene: &Scene) {
    wait_until("nobody is told any more", PATIENCE, || match scene.open_alert("cost.discrepancy") {
        None => Ok(()),
        Some(open) => Err(open.to_string()),
    });
}

/// What is shown, and that what of it is to be typed can be typed as it stands.
fn the_operator_sees_it(scene: &Scene, text: &str) {
    let output = scene.world.ctl(&["cost", "reconcile"]);
    let (said, steps) = (crate::world::text(&output.stdout), crate::world::text(&output.stderr));
    assert!(said.contains("verdict: discrepancy") && said.contains("verdict: equal"), "{said}");
    assert!(
        steps.contains("difference $7.00: $4.00 used outside of this fleet, $3.00 nothing explains"),
        "{steps}"
    );
    let again = text.rsplit("halctl ").next().unwrap().split(' ').collect::<Vec<_>>();
    assert!(scene.world.ctl_says(&again).contains("model: claude-opus-5"), "{again:?}");
}

/// The commands of the runbook's section, each in one line, word for word.
fn lines() -> Vec<String> {
    let play = include_str!("../../fixtures/runbook/costs.txt").replace("\\\n", "");
    let typed = play.lines().filter_map(|line| line.strip_prefix("$ "));
    typed.map(str::to_owned).collect()
}

/// Types a line in this world, which has other paths and another port than a machine.
fn types(scene: &mut Scene, line: &str) -> String {
    let world = &scene.world;
    let here = |text: &str| text.replace("8420", &world.port().to_string());
    match line.trim_start_matches("sudo ").split(' ').next().unwrap() {
        "journalctl" => world.supervisor().said(),
        "halctl" => {
            let words: Vec<String> = line.split(' ').skip(1).map(here).collect();
            world.ctl_says(&words.iter().map(String::as_str).collect::<Vec<_>>())
        }
        "nano" => {
            scene.write_config(KEY);
            String::new()
        }
        "systemctl" => {
            scene.world.end_supervisor();
            let path = scene.world.path().join("supervisor.json");
            let command = scene.world.hal(&["supervisor", "--config", &path.to_string_lossy()]);
            scene.world.start_supervisor_by(command);
            scene.world.wait_for_supervisor();
            String::new()
        }
        _ => {
            let folder = world.path().join("supervisor").to_string_lossy().into_owned();
            let config = world.path().join("supervisor.json").to_string_lossy().into_owned();
            let line = line.replace("/var/lib/hal-o-swarm", &folder);
            let line = line.replace("/etc/hal-o-swarm/supervisor.config.json", &config);
            let done = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert!(done.status.success(), "{line}: {}", crate::world::text(&done.stderr));
            crate::world::text(&done.stdout)
        }
    }
}

#[test]
fn the_runbooks_lines_show_a_wrong_key_and_bring_the_bills_when_it_is_right() {
    let mut scene = Scene::with_key("anthropic", "sk-ant-api03-wrong", 7);
    // As much as the provider bills: only the key is wrong.
    used(&scene, &[("claude-opus-5", 2, 600, Some(1.237_891_5))]);
    assert_eq!(scene.update()["status"], "failing");
    let mut said = Vec::new();
    // What curl says is said by the machine of the runbook; here is no way to the outside.
    for line in lines().iter().filter(|line| !line.starts_with("curl")) {
        let shown = types(&mut scene, line);
        said.push(shown);
    }
    assert_eq!(said.len(), 8, "{said:?}");
    let told = said[0].lines().filter(|line| line.to_lowercase().contains("cost"));
    assert!(told.filter(|line| line.contains("answered 401")).count() >= 1, "{}", said[0]);
    assert!(said[1].contains("|anthropic|claude-opus-5|"), "{}", said[1]);
    assert!(said[2].contains("sk-ant-api03-wrong"), "{}", said[2]);
    assert!(said[5].contains("total_cost: "), "{}", said[5]);
    assert!(!said[6].contains("ERROR"), "{}", said[6]);
    assert_eq!((&scene.status()["status"], super::sums(&scene.bills())), (&json!("ok"), scene.expected()));
    assert_eq!(scene.open_alert("cost.update_failed"), None);
}
