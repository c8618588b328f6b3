//! The chain of the audit record: what was changed is found, and what honest work does to it is accounted for.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::agree::full;
use crate::patience::{PATIENCE, wait_until};
use crate::world::World;

impl World {
    fn verdict(&self, more: &[&str]) -> Value {
        let args = [&["-o", "json", "audit", "verify"], more].concat();
        serde_json::from_str(&self.ctl_says(&args)).unwrap()
    }

    fn anchors(&self, node: &str) -> PathBuf {
        self.path().join(node).join("data/audit-anchors.jsonl")
    }

    /// Waits until the node keeps the head that the chain has now.
    fn until_anchored(&mut self, node: &str) -> PathBuf {
        drop(self.take_agent(node).end_with(Signal::TERM));
        self.wait_for_node(node, "offline");
        self.start_agent_again(node);
        let file = self.anchors(node);
        let head = self.verdict(&[])["head"]["hash"].as_str().unwrap().to_owned();
        wait_until("the node keeps the head", PATIENCE, || {
            let kept = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            if kept.contains(&head) { Ok(()) } else { Err(kept) }
        });
        file
    }
}

fn explained(verdict: &Value, action: &str) -> usize {
    verdict["explained"].as_array().unwrap().iter().filter(|one| one["action"] == action).count()
}

#[test]
fn it_is_whole_through_restarts_kills_and_a_restored_backup() {
    let mut world = full();
    let first = world.verdict(&[]);
    assert_eq!((&first["is_whole"], &first["found"]), (&json!(true), &json!(0)), "{first}");
    assert!(first["links"].as_u64() > first["records"].as_u64(), "ends of commands are links: {first}");
    world.end_supervisor();
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    let id = world.start_session("shop", "say more");
    world.wait_for_session(&id, "idle");
    world.kill_supervisor();
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    let anchors = world.until_anchored("web-1");
    let anchors = anchors.to_str().unwrap().to_owned();
    let verdict = world.verdict(&["--anchors", &anchors]);
    assert!(verdict["is_whole"] == true && verdict["anchors"].as_u64() > Some(0), "{verdict}");
    assert_eq!(verdict["explained"], json!([]), "{verdict}");

    world.ctl_says(&["backup", "now"]);
    let backup = world.path().join("supervisor/supervisor.db.backup");
    let id = world.start_session("shop", "say what the backup does not know");
    world.wait_for_session(&id, "idle");
    world.until_anchored("web-1");
    world.end_supervisor();
    std::fs::copy(backup, world.mirror()).unwrap();
    world.start_supervisor();
    world.wait_for_node("web-1", "online");
    let verdict = world.verdict(&["--anchors", &anchors]);
    assert_eq!(verdict["is_whole"], true, "{verdict}");
    assert!(verdict["replaced_anchors"].as_u64() > Some(0), "{verdict}");
    assert_eq!(explained(&verdict, "replace_store"), 1, "{verdict}");
    println!("{}", world.ctl_says(&["audit", "verify", "--anchors", &anchors]));
}

#[test]
fn what_an_operator_changes_is_put_back_and_is_a_record_itself() {
    let world = full();
    let before = world.sql("SELECT * FROM audit_log ORDER BY seq");
    world.sql("UPDATE audit_log SET actor = 'somebody else'");
    world.sql("INSERT INTO audit_log (actor, action, through) VALUES ('retention', 'delete audit_log', 'supervisor')");
    world.sql("DELETE FROM audit_log WHERE seq = 2");
    let refused = "SELECT group_concat(action, ',') FROM (SELECT action FROM audit_log WHERE result = 'refused' ORDER BY action DESC)";
    world.until_sql(refused, "update audit_log,insert audit_log,delete audit_log");
    let last = before.lines().count();
    world.until_sql(&format!("SELECT count(*) FROM audit_log WHERE seq <= {last}"), &last.to_string());
    assert_eq!(world.sql(&format!("SELECT * FROM audit_log WHERE seq <= {last} ORDER BY seq")), before);
    let verdict = world.verdict(&[]);
    assert!(verdict["is_whole"] == true && verdict["explained"] == json!([]), "{verdict}");
}

#[test]
fn what_retention_cuts_is_accounted_for() {
    let mut world = full();
    let all = world.verdict(&[])["records"].as_u64().unwrap();
    world.end_supervisor();
    world.start_with("retention", &json!({"audit": "2s"}));
    wait_until("old records have left", PATIENCE, || {
        let verdict = world.verdict(&[]);
        match explained(&verdict, "delete audit_log") > 0 && verdict["missing"].as_u64() >= Some(all) {
            true if verdict["is_whole"] == true => Ok(()),
            true => panic!("{verdict}"),
            false => Err(verdict.to_string()),
        }
    });
    let tables = world.data("/api/v1/archives");
    assert!(tables.as_array().unwrap().iter().any(|one| one["table"] == "audit_log"), "{tables}");
}

#[test]
fn an_export_that_was_changed_is_found_without_a_supervisor() {
    let mut world = full();
    let anchors = world.until_anchored("web-1");
    let honest = world.ctl_says(&["audit", "export"]);
    world.end_supervisor();
    let lines: Vec<&str> = honest.lines().collect();
    let verify = |lines: &[String], more: &[&str]| {
        let file = world.write("export.jsonl", &(lines.join("\n") + "\n"));
        let args = [&["audit", "verify", "--file", file.to_str().unwrap()], more].concat();
        let output = world.ctl(&args);
        (output.status.code() == Some(0), crate::world::text(&output.stderr))
    };
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let with_anchors = ["--anchors", anchors.to_str().unwrap()];
    assert!(verify(&owned(&lines), &[]).0 && verify(&owned(&lines), &with_anchors).0);

    let records = lines.len() - 1;
    for at in 0..records {
        let mut edited: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        edited[at]["actor"] = json!("somebody else");
        let edited: Vec<String> = edited.iter().map(Value::to_string).collect();
        let mut removed = owned(&lines);
        removed.remove(at);
        let mut moved = owned(&lines);
        moved.swap(at, (at + 1) % records);
        let mut twice = owned(&lines);
        twice.insert(at, lines[at].to_owned());
        let short = owned(&lines[..at]);
        for (what, changed) in
            [("edited", edited), ("removed", removed), ("moved", moved), ("twice", twice), ("cut", short)]
        {
            assert!(!verify(&changed, &[]).0, "{what} at {at}");
        }
    }
    // Whoever cuts it and knows how to end it is found by what the node knows.
    let first: Value = serde_json::from_str(lines[1]).unwrap();
    let head = json!({"link": 1, "hash": first["chain"]["asked"]["before"]});
    let short = vec![lines[0].to_owned(), json!({"head": head, "records": 1}).to_string()];
    if first["chain"]["asked"]["no"] == 2 {
        assert!(verify(&short, &[]).0, "it is a chain of its own");
    }
    let (is_whole, said) = verify(&short, &with_anchors);
    assert!(!is_whole && said.contains("findings"), "{said}");
}
