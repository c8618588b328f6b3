//! A machine as the runbook knows it: the literal paths, a service user, `systemctl`, and an operator who types lines.
//! Its root is a folder of its own in a mount namespace for each command, so nothing on the true machine is touched.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::fault::means::{can, can_give_away, skip};
use crate::world::{HAL, World, text};

/// A user who owns nothing on this machine.
pub const SERVICE: u32 = 64_207;

/// Makes the root: the machine's own folders, and in place of `/var/lib` one with the supervisor's folder alone.
/// Words: the world's folder, who the command is run as, the folder of sqlite3, the command.
const ENTER: &str = r#"
world=$1 user=$2 sqlite=$3; shift 3
root=$world/root
mount -t tmpfs none "$root"
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" "$root$entry"
    elif [ -d "$entry" ]; then mkdir "$root$entry"; mount --bind "$entry" "$root$entry"; fi
done
mkdir -p "$root/backup" "$root/place/sqlite3"
mount -t tmpfs -o mode=755 none "$root/var/lib"
mkdir "$root/var/lib/hal-o-swarm"
mount --bind "$world/supervisor" "$root/var/lib/hal-o-swarm"
mount --bind "$world/backup" "$root/backup"
mount --bind "$sqlite" "$root/place/sqlite3"
for file in hal supervisor.json; do : >"$root/place/$file"; done
mount --bind "$HAL" "$root/place/hal"
mount --bind "$world/supervisor.json" "$root/place/supervisor.json"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
"#;

/// The machine, its supervisor, and its operator.
pub struct Desk {
    /// What the supervisor and its nodes are.
    pub world: World,
    /// Whom the supervisor runs as.
    service: u32,
    /// Who types what does not begin with `sudo`.
    operator: u32,
    /// Where the operator's `sqlite3` lies.
    sqlite: PathBuf,
}

impl Desk {
    /// A supervisor that runs as one user, and an operator who is another or the same; `None` where there is no such
    /// thing on this machine, which is said.
    pub fn start(scene: &str, service: u32, operator: u32, sqlite: &Path) -> Option<Self> {
        if !can(scene, &["unshare", "chroot", "setpriv", "mount", "sqlite3"]) {
            return None;
        }
        if service != 0 && !can_give_away(scene) {
            return None;
        }
        let world = World::empty();
        for folder in ["root", "backup", "supervisor"] {
            std::fs::create_dir(world.path().join(folder)).unwrap();
        }
        for folder in ["backup", "supervisor"] {
            chown(world.path().join(folder), Some(service), Some(service)).unwrap();
        }
        let sqlite = std::fs::canonicalize(sqlite).unwrap();
        let mut desk = Self { world, service, operator, sqlite };
        desk.write_config();
        let tried = desk.command(0, &["true"]).output().unwrap();
        if !tried.status.success() {
            skip(scene, &format!("no namespace to be had: {}", text(&tried.stderr)));
            return None;
        }
        desk.systemctl("start");
        Some(desk)
    }

    fn write_config(&self) {
        let mut config = self.world.supervisor_config(self.world.port());
        config["database"] = json!({"path": "/var/lib/hal-o-swarm/supervisor.db"});
        let path = self.world.write("supervisor.json", &config.to_string());
        chown(path, Some(self.service), Some(self.service)).unwrap();
    }

    /// A command on that machine.
    fn command(&self, user: u32, words: &[&str]) -> Command {
        let (world, user) = (self.world.path().to_string_lossy(), user.to_string());
        let sqlite = self.sqlite.parent().unwrap().parent().unwrap().to_string_lossy();
        let bin = self.sqlite.parent().unwrap().file_name().unwrap().to_string_lossy();
        let path =
            format!("/place/sqlite3/{bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", ENTER, "enter", &world, &user, &sqlite]).args(words);
        command.env_clear().env("PATH", path).env("HOME", "/var/lib/hal-o-swarm").env("HAL", HAL);
        command.env("NO_COLOR", "1").current_dir("/");
        command
    }

    fn systemctl(&mut self, word: &str) {
        if word != "start" {
            self.world.end_supervisor();
        }
        if word != "stop" {
            self.write_config();
            let hal = ["/place/hal", "supervisor", "--config", "/place/supervisor.json"];
            self.world.start_supervisor_by(self.command(self.service, &hal));
            self.world.wait_for_supervisor();
        }
    }

    /// Types a line as it stands in the runbook: what it printed.
    pub fn types(&mut self, line: &str) -> String {
        let (user, line) = match line.strip_prefix("sudo ") {
            Some(line) => (0, line.to_owned()),
            // A line of a crontab: when, and what, with its own way to write a percent sign.
            None if line.starts_with("0 2 * * * ") => (self.operator, line[10..].replace("\\%", "%")),
            None => (self.operator, line.to_owned()),
        };
        if let Some(word) =
            line.strip_prefix("systemctl ").and_then(|rest| rest.strip_suffix(" hal-supervisor"))
        {
            self.systemctl(word);
            return String::new();
        }
        let done = self.command(user, &["sh", "-c", &line]).output().unwrap();
        let (said, complained) = (text(&done.stdout), text(&done.stderr));
        println!("  {user} $ {line}\n    {} {said}{complained}", done.status);
        // A sqlite3 that cannot `.recover` says so; the runbook has an answer to that.
        assert!(
            done.status.success() || line.contains(".recover"),
            "{line}: {} {said} {complained}",
            done.status
        );
        said.trim_end().to_owned()
    }
}

/// The commands of one of the runbook's plays, with the part each belongs to; what goes on in the next line is one.
pub fn commands(play: &str) -> Vec<(String, String)> {
    let path = crate::source::root().join("tests/fixtures/runbook").join(play).with_extension("txt");
    let whole = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut part = String::new();
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in whole.lines() {
        match (commands.last_mut(), line.strip_prefix("$ "), line.strip_prefix("part ")) {
            (_, Some(command), _) => commands.push((part.clone(), command.to_owned())),
            (_, _, Some(name)) => part = name.to_owned(),
            (Some((_, last)), ..) if last.ends_with('\\') => *last = format!("{last}\n{line}"),
            _ => {}
        }
    }
    commands
}

/// What a play's block, or its list of prevention, asks of the database.
pub fn block(play: &str, is_prevention: bool) -> Vec<String> {
    let is_ours = |line: &str| {
        line.contains("supervisor.db")
            || ["stop", "start", "restart"]
                .iter()
                .any(|word| line == format!("sudo systemctl {word} hal-supervisor"))
    };
    let wanted = commands(play)
        .into_iter()
        .filter(|(part, line)| (part == "prevention") == is_prevention && is_ours(line));
    wanted.map(|(_, line)| line).collect()
}
