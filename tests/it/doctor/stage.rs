//! A machine for doctor: a world with stand-ins for systemctl, journalctl and the firewalls in front of its PATH.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::patience::{PATIENCE, wait_until};
use crate::world::{HAL, TOKEN, World, text};

/// Units are files with properties; `restart` starts the true program, and each call is written down.
const SYSTEMCTL: &str = r#"
echo "systemctl $*" >> "$S/calls"
case "$1" in
show)
    [ "$2" = -p ] && { echo Version=257; exit 0; }
    cat "$S/$2.unit" 2>/dev/null || echo LoadState=not-found ;;
restart)
    "$HAL" supervisor --config "$CONFIG" >> "$S/restarted.log" 2>&1 &
    echo $! > "$S/pid"
    printf 'LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nMainPID=%s\n' $! > "$S/$2.unit" ;;
cat) cat "$S/$2.service" 2>/dev/null ;;
esac
"#;

const JOURNALCTL: &str = r#"
case "$1" in
-u) cat "$S/$2.log" 2>/dev/null ;;
-k) cat "$S/kernel.log" 2>/dev/null ;;
esac
exit 0
"#;

/// The same for each firewall.
const FIREWALL: &str = r#"cat "$S/$(basename "$0").rules" 2>/dev/null"#;

/// A machine.
pub struct Machine {
    /// What runs on it.
    pub world: World,
    folder: PathBuf,
    /// What of it belongs to the machine: `supervisor.json`, `web-1.json`.
    pub configs: Vec<&'static str>,
}

/// What doctor said.
#[derive(Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Its report.
    pub report: Value,
    /// Everything it printed.
    pub all: String,
}

impl Said {
    /// The finding of this name.
    pub fn finding(&self, name: &str) -> &Value {
        let mut all = self.report["findings"].as_array().unwrap().iter();
        all.find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("no {name} in\n{}", self.all))
    }

    /// Asserts a finding with this severity and this incident.
    pub fn found(&self, name: &str, severity: &str, incident: &str) -> &Value {
        let finding = self.finding(name);
        assert_eq!(
            (&finding["severity"], &finding["incident"]),
            (&severity.into(), &incident.into()),
            "{finding:#}"
        );
        assert!(finding["commands"].as_array().is_some_and(|commands| !commands.is_empty()), "{finding:#}");
        finding
    }

    /// True when there is such a finding.
    pub fn has(&self, name: &str) -> bool {
        self.report["findings"].as_array().unwrap().iter().any(|finding| finding["name"] == name)
    }
}

impl Machine {
    /// With systemd, around this world. Its supervisor has a port of its own from here on.
    pub fn around(mut world: World) -> Self {
        let folder = world.path().join("stand-ins");
        fs::create_dir_all(&folder).unwrap();
        let path = std::env::var("PATH").unwrap();
        world.environment.push(("PATH".to_owned(), format!("{}:{path}", folder.display())));
        // Writes the configuration with the port that the supervisor has got.
        drop(world.supervisor_command());
        let machine = Self { world, folder, configs: vec!["supervisor.json"] };
        let config = machine.config("supervisor.json");
        let head = format!(
            "#!/bin/sh\nS='{}'\nHAL='{HAL}'\nCONFIG='{}'\n",
            machine.folder.display(),
            config.display()
        );
        for (name, body) in [
            ("systemctl", SYSTEMCTL),
            ("journalctl", JOURNALCTL),
            ("ufw", FIREWALL),
            ("iptables", FIREWALL),
            ("nft", FIREWALL),
        ] {
            machine.put(name, &format!("{head}{body}"));
            fs::set_permissions(machine.folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::copy(&config, format!("{}.backup", config.display())).unwrap();
        machine
    }

    /// A machine with a running supervisor and its unit.
    pub fn supervised() -> Self {
        let machine = Self::around(World::supervised());
        machine.unit(
            "hal-supervisor",
            "active",
            "running",
            &format!("MainPID={}\n", machine.world.supervisor().pid()),
        );
        machine
    }

    /// Writes a file beside the stand-ins.
    pub fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }

    /// Says how a unit is.
    pub fn unit(&self, name: &str, active: &str, sub: &str, more: &str) {
        let text = format!(
            "LoadState=loaded\nActiveState={active}\nSubState={sub}\nResult=success\nNRestarts=0\n{more}"
        );
        self.put(&format!("{name}.unit"), &text);
    }

    /// Calls of systemctl that changed something.
    pub fn orders(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let asks = |line: &&str| {
            ["show", "cat", "status", "list-units"].contains(&line.split(' ').nth(1).unwrap_or_default())
        };
        calls.lines().filter(|line| !asks(line)).map(str::to_owned).collect()
    }

    /// A configuration in the world's folder.
    pub fn config(&self, name: &str) -> PathBuf {
        self.world.path().join(name)
    }

    /// Changes the supervisor's configuration, and the copy beside it.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.world.supervisor_config(self.world.port());
        change(&mut config);
        self.world.write("supervisor.json", &config.to_string());
        self.world.write("supervisor.json.backup", &config.to_string());
    }

    /// Runs halctl with what names this machine's files, and nothing that names a supervisor.
    pub fn halctl(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `halctl` on a terminal, where somebody types this: its exit code and what the terminal shows.
    pub fn typing(&self, words: &[&str], typed: &str) -> (i32, String) {
        let halctl = self.command(words);
        let line: Vec<_> = [halctl.get_program()].into_iter().chain(halctl.get_args()).collect();
        let line = line.join(OsStr::new(" "));
        let mut script = Command::new("script");
        script.arg("-qec").arg(line).arg("/dev/null").env_clear().current_dir(self.world.path());
        script.envs(halctl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        script.stdin.as_mut().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout))
    }

    fn command(&self, words: &[&str]) -> Command {
        let path = |name: &'static str| match self.configs.contains(&name) {
            true => self.config(name),
            false => PathBuf::from("/nowhere/config.json"),
        };
        let (supervisor, agent) = (path("supervisor.json"), path("web-1.json"));
        let mut command = self.world.hal(&["ctl"]);
        command.args(words).arg("--supervisor-config").arg(supervisor).arg("--agent-config").arg(agent);
        command
    }

    /// What doctor says.
    pub fn doctor(&self, words: &[&str]) -> Said {
        let output = self.halctl(&[&["doctor", "-o", "json"], words].concat());
        let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!all.contains(TOKEN), "a token was printed:\n{all}");
        println!("doctor {}: {}\n{all}", words.join(" "), output.status);
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}:\n{all}"));
        Said { code: output.status.code().unwrap(), report, all }
    }

    /// Ends the supervisor as a power cut would, and says so of its unit.
    pub fn crash(&mut self, more: &str) {
        self.world.kill_supervisor();
        assert!(
            std::net::TcpStream::connect(("127.0.0.1", self.world.port())).is_err(),
            "the supervisor still listens"
        );
        self.unit("hal-supervisor", "failed", "failed", more);
    }

    /// Asserts that the supervisor serves again, seen from outside.
    pub fn serves(&self) {
        wait_until("the supervisor serves", PATIENCE, || {
            let answer = self.world.try_request(reqwest::Method::GET, "/readyz", None, &[], None);
            match answer {
                Ok(reply) if reply.status == reqwest::StatusCode::OK => Ok(()),
                other => Err(format!(
                    "{other:?}\n{}",
                    fs::read_to_string(self.folder.join("restarted.log")).unwrap_or_default()
                )),
            }
        });
    }

    /// Ends what the stand-in has started.
    fn end_restarted(&self) {
        let Ok(pid) = fs::read_to_string(self.folder.join("pid")) else { return };
        let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) else { return };
        let _ = kill_process(pid, Signal::KILL);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end_restarted();
    }
}

/// Writes garbage over a part of a file.
pub fn harm(path: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xA5; 9_000], at).unwrap();
}
