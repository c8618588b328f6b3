//! `halctl doctor`: faults made on purpose, named from their symptoms alone, and mended where that is safe.

mod files;
pub mod stage;
mod way;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use serde_json::json;

use crate::world::World;
use stage::Machine;

const CRASHED: &str = "Supervisor Process Crashed";

#[test]
fn a_machine_that_is_well_is_found_well() {
    let mut machine = Machine::around(World::with_node());
    machine.configs.push("web-1.json");
    machine.unit(
        "hal-supervisor",
        "active",
        "running",
        &format!("MainPID={}\n", machine.world.supervisor().pid()),
    );
    machine.unit(
        "hal-agent",
        "active",
        "running",
        &format!("MainPID={}\n", machine.world.agent("web-1").pid()),
    );
    let said = machine.doctor(&["--fleet"]);
    assert_eq!((said.code, &said.report["healthy"]), (0, &json!(true)), "{}", said.all);
    assert_eq!(said.report["machine"], json!(["supervisor", "agent"]));
    assert!(said.report["checked"].as_array().unwrap().len() > 20);
    assert!(machine.orders().is_empty(), "looking changes nothing");
}

#[test]
fn a_supervisor_that_is_down_is_restarted_only_when_somebody_says_so() {
    let mut machine = Machine::supervised();
    machine.put("hal-supervisor.log", "09:00 hal-supervisor: error: something with xoxb-1234567890-secret\n");
    machine.crash("ExecMainStatus=101\n");
    let begun = Instant::now();
    let said = machine.doctor(&[]);
    assert_eq!(said.code, 3);
    let down = said.found("supervisor.down", "critical", CRASHED);
    let shown = down["evidence"].to_string();
    assert!(
        shown.contains("failed (failed)")
            && shown.contains("exit code 101")
            && shown.contains("something with"),
        "{shown}"
    );
    assert!(!shown.contains("1234567890-secret"), "{shown}");
    assert!(down["commands"].to_string().contains("sudo systemctl restart hal-supervisor"), "{down:#}");

    // Nobody is there to say yes.
    let asked = machine.doctor(&["--fix"]);
    assert_eq!((asked.code, machine.orders().len()), (3, 0), "{}", asked.all);
    assert_eq!(asked.report["fixes"][0]["outcome"], "not done");

    let mended = machine.doctor(&["--fix", "--yes"]);
    assert!(
        machine.orders().iter().any(|order| order == "systemctl restart hal-supervisor"),
        "{:?}",
        machine.orders()
    );
    assert_eq!(mended.report["fixes"][0], json!({"what": "restart hal-supervisor", "outcome": "helped"}));
    assert_eq!((mended.code, mended.has("supervisor.down")), (0, false), "{}", mended.all);
    machine.serves();
    println!("from fault to healthy: {:?}", begun.elapsed());
}

#[test]
fn before_each_step_a_person_is_asked_and_only_a_yes_counts() {
    let mut machine = Machine::supervised();
    machine.crash("");
    for typed in ["\n", "n\n", "yes, perhaps\n"] {
        let (code, said) = machine.typing(&["doctor", "--fix"], typed);
        assert!(said.contains("Shall halctl restart hal-supervisor? [y/N]"), "{said}");
        assert!(said.contains("fix: restart hal-supervisor: not done"), "{said}");
        assert_eq!((code, machine.orders()), (3, Vec::new()), "{said}");
    }
    let (code, said) = machine.typing(&["doctor", "--fix"], "y\n");
    let asked = said.find("Shall halctl restart").unwrap();
    assert!(
        said.find("SUPERVISOR PROCESS").or(said.find("Supervisor Process Crashed")).unwrap() < asked,
        "{said}"
    );
    assert!(said.contains("fix: restart hal-supervisor: helped"), "{said}");
    assert_eq!(code, 0, "{said}");
    machine.serves();
}

#[test]
fn a_fix_that_does_not_help_is_a_failure() {
    let mut machine = Machine::supervised();
    machine.crash("");
    // A systemctl that promises and does nothing.
    let lie = "#!/bin/sh\ncase \"$1\" in show) [ \"$2\" = -p ] || cat \"$(dirname \"$0\")/$2.unit\";; esac\nexit 0\n";
    machine.put("systemctl", lie);
    let said = machine.doctor(&["--fix", "--yes"]);
    assert_eq!((said.code, &said.report["fixes"][0]["outcome"]), (1, &json!("did not help")), "{}", said.all);
    assert!(said.has("supervisor.down"));
}

#[test]
fn a_refused_configuration_is_replaced_by_its_good_copy() {
    let mut machine = Machine::supervised();
    machine.crash("ExecMainStatus=78\n");
    let config = machine.config("supervisor.json");
    let broken = r#"{ "server": { "auth_token": "hunter2hunter2", "prot": 1 } "#;
    fs::write(&config, broken).unwrap();
    let said = machine.doctor(&[]);
    let finding = said.found("supervisor.config", "critical", CRASHED);
    assert!(finding["evidence"].to_string().contains("supervisor.json:1:"), "{finding:#}");
    assert!(finding["commands"].to_string().contains("sudo cp "), "{finding:#}");
    let evidence = finding["evidence"].to_string();
    assert!(evidence.contains("would remove (-) and bring back (+)"), "the difference is shown: {finding:#}");
    assert!(evidence.contains(r#"- { \"server\""#) && evidence.contains("+ {"), "{finding:#}");
    assert!(!said.all.contains("hunter2"), "{}", said.all);

    let copy = machine.config("supervisor.json.backup");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    let mended = machine.doctor(&["--fix", "--yes"]);
    assert_eq!(mended.code, 0, "{}", mended.all);
    assert!(mended.all.contains("would remove (-) and bring back (+)"), "{}", mended.all);
    machine.serves();
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o640, "nobody else may read it");
    let copy = fs::read_to_string(machine.config("supervisor.json.backup")).unwrap();
    assert_eq!(fs::read_to_string(&config).unwrap(), copy);
    let names = fs::read_dir(machine.world.path()).unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> =
        names.filter(|path| path.to_string_lossy().contains("supervisor.json.refused.")).collect();
    assert_eq!((kept.len(), fs::read_to_string(&kept[0]).unwrap().as_str()), (1, broken));
}

#[test]
fn a_copy_that_would_be_refused_too_is_left_alone() {
    let mut machine = Machine::supervised();
    machine.crash("ExecMainStatus=78\n");
    for name in ["supervisor.json", "supervisor.json.backup"] {
        fs::write(machine.config(name), "{").unwrap();
    }
    let said = machine.doctor(&["--fix", "--yes"]);
    assert_eq!((said.code, said.report["fixes"].as_array().unwrap().len()), (3, 0), "{}", said.all);
    assert!(said.finding("supervisor.config")["fix"].is_null());
    assert!(machine.orders().is_empty(), "a start with a bad configuration helps nobody");
}

#[test]
fn memory_restarts_and_the_kernel_are_seen() {
    let machine = Machine::supervised();
    let gib = 1u64 << 30;
    let more = format!(
        "NRestarts=7\nMemoryCurrent={}\nMemoryMax={}\nMainPID={}\n",
        gib * 193 / 100,
        gib * 2,
        machine.world.supervisor().pid()
    );
    machine.unit("hal-supervisor", "active", "running", &more);
    machine
        .put("kernel.log", "09:01 kernel: Out of memory: Killed process 77 (hal-supervisor) total-vm:9kB\n");
    let said = machine.doctor(&[]);
    let memory = said.found("supervisor.memory", "critical", "Supervisor High Memory Usage");
    assert!(memory["what"].to_string().contains("96 % of its limit of 2048 MiB"), "{memory:#}");
    assert!(memory["commands"].to_string().contains("systemctl edit hal-supervisor"), "{memory:#}");
    said.found("supervisor.restarts", "medium", CRASHED);
    said.found("oom", "high", "Supervisor High Memory Usage");
    assert_eq!(said.code, 3);
}

#[test]
fn without_systemd_doctor_looks_at_processes_and_says_so() {
    let mut machine = Machine::supervised();
    machine.put("systemctl", "#!/bin/sh\necho 'System has not been booted with systemd' >&2\nexit 1\n");
    let said = machine.doctor(&[]);
    assert_eq!(said.code, 0, "{}", said.all);
    assert!(said.report["notes"].to_string().contains("not been booted with systemd"), "{}", said.all);
    machine.world.kill_supervisor();
    let said = machine.doctor(&[]);
    assert!(
        said.found("supervisor.down", "critical", CRASHED)["fix"].is_null(),
        "nobody is there to start it"
    );
}

#[test]
fn a_pipe_gets_a_line_for_each_finding_and_a_person_a_page() {
    let mut machine = Machine::supervised();
    machine.crash("");
    let lines = machine.halctl(&["doctor"]);
    let lines = crate::world::text(&lines.stdout);
    let critical: Vec<&str> = lines.lines().filter(|line| line.contains("severity: critical")).collect();
    assert!(critical.len() == 1 && critical[0].starts_with("finding: supervisor.down  "), "{lines}");
    let shown = machine.halctl(&["doctor", "-o", "table", "--color", "always"]);
    let page = crate::world::text(&shown.stdout);
    let all = format!("{page}{}", crate::world::text(&shown.stderr));
    assert_eq!(shown.status.code(), Some(3), "{all}");
    assert_eq!(all.matches(", the worst critical").count(), 1, "the summary comes once:\n{all}");
    assert!(page.contains("\x1b[31mCRITICAL\x1b[0m  Supervisor Process Crashed"), "{page}");
    assert!(page.contains("    $ sudo systemctl restart hal-supervisor\n"), "{page}");
}
