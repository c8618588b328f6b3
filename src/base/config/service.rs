//! The user that a service runs as: a configuration is judged for that one, whoever asks.
//!
//! Another user cannot be asked what it may open, so its rights are read from owners, groups and modes. Where an access
//! list says more than these, it is believed that the list grants what they do not.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::{Access, access};

/// What may be done with a file, as the bits of a mode's last digit say it.
pub const READ: u32 = 4;
/// Making files in a folder, and going into it.
pub const WRITE_INTO: u32 = 3;
/// Seeing what is in a folder.
pub const LOOK_INTO: u32 = 5;
/// Going into a folder.
const ENTER: u32 = 1;

/// An access list beside the mode.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// What systemd is asked of a unit: what it runs, as whom, and what it hands over.
const PROPERTIES: [&str; 8] = [
    "ExecStart",
    "StateDirectory",
    "User",
    "Group",
    "SupplementaryGroups",
    CREDENTIALS[0],
    CREDENTIALS[1],
    CREDENTIALS[2],
];

/// Where systemd makes the folders that `StateDirectory=` names.
const STATE: &str = "/var/lib";

/// The settings of a unit that hand credentials over.
const CREDENTIALS: [&str; 3] = ["LoadCredential", "LoadCredentialEncrypted", "SetCredential"];

/// For whom this process judges; nobody but itself where this is not set.
static JUDGED_FOR: OnceLock<ServiceUser> = OnceLock::new();

/// The names of the credentials that systemd hands to the unit for which this process judges.
static HANDED_OVER: OnceLock<Vec<String>> = OnceLock::new();

/// The folders that systemd makes for that unit and gives to its user.
static MADE: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// A user and its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    /// The login name.
    pub name: String,
    uid: u32,
    groups: Vec<u32>,
}

/// From now on this process judges for the user that the unit of this name runs as, when it is the unit that runs on this
/// configuration and that user is another one.
pub fn judge_for_unit(unit: &str, config: &Path) {
    let Some(shown) = shown(unit, config) else { return };
    // All are set once by the one command line of a process.
    let _ = HANDED_OVER.set(credentials(&shown));
    let _ = MADE.set(state_folders(&shown));
    if let Some(user) = ServiceUser::of_unit(&shown)
        && user.uid != rustix::process::geteuid().as_raw()
    {
        let _ = JUDGED_FOR.set(user);
    }
}

/// True when systemd hands a credential of this name to the unit for which this process judges. It reads them as root,
/// and decrypts them: what is in them is not looked at.
pub fn is_handed_over(name: &str) -> bool {
    HANDED_OVER.get().is_some_and(|all| all.iter().any(|one| one == name))
}

/// True when systemd makes this folder, or one around it, as it starts the unit for which this process judges.
pub fn is_made_at_start(folder: &Path) -> bool {
    MADE.get().is_some_and(|all| all.iter().any(|one| folder.starts_with(one)))
}

/// What `StateDirectory=` names.
fn state_folders(shown: &str) -> Vec<PathBuf> {
    property(shown, "StateDirectory").split_whitespace().map(|name| Path::new(STATE).join(name)).collect()
}

/// What systemd says of a unit that runs on this configuration. `None`: there is none that it knows.
fn shown(unit: &str, config: &Path) -> Option<String> {
    let asked = PROPERTIES.map(|name| format!("--property={name}"));
    let shown = Command::new("systemctl").arg("show").args(asked).arg(unit).output().ok()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let config = std::path::absolute(config).ok()?;
    let config = config.to_str()?;
    property(&shown, "ExecStart").split([' ', ';', '=']).any(|word| word == config).then_some(shown)
}

fn property<'s>(shown: &'s str, name: &str) -> &'s str {
    shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// The names of what `LoadCredential=NAME:FILE` and its like hand over.
fn credentials(shown: &str) -> Vec<String> {
    let lines = shown.lines().filter_map(|line| line.split_once('='));
    let handed = lines.filter(|(name, _)| CREDENTIALS.contains(name));
    let names = handed.flat_map(|(_, all)| all.split_whitespace());
    names.map(|one| one.split(':').next().unwrap_or(one).to_owned()).collect()
}

/// For whom this process judges, if not for itself.
pub fn judged_for() -> Option<&'static ServiceUser> {
    JUDGED_FOR.get()
}

/// What came of reading a file for a user.
#[derive(Debug, PartialEq, Eq)]
pub enum Looked<T> {
    /// It was read, and the user can read it.
    Read(T),
    /// The user can read it, and this process cannot: the sentence says so.
    Unseen(String),
    /// It is of no use to the user: the sentence says why.
    Wrong(String),
}

/// Reads a file for whom this process judges.
pub fn look_into<T>(path: &Path, read: impl FnOnce(&Path) -> Result<T, String>) -> Looked<T> {
    look_for(judged_for(), path, read)
}

fn look_for<T>(
    user: Option<&ServiceUser>,
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, String>,
) -> Looked<T> {
    if let Some(Err(why)) = user.map(|user| user.may(path, READ)) {
        return Looked::Wrong(format!("cannot be read by the service: {why}"));
    }
    match (read(path), user) {
        (Ok(found), _) => Looked::Read(found),
        (Err(_), Some(user)) if is_shut(path, Access::READ_OK) => Looked::Unseen(format!(
            "is for the service's user {}, and was not checked; run this as root to check it",
            user.name
        )),
        (Err(why), _) => Looked::Wrong(why),
    }
}

/// True when this process is not allowed to, or cannot even see whether it is there.
pub fn is_shut(path: &Path, wanted: Access) -> bool {
    matches!(access(path, wanted), Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM))
}

impl ServiceUser {
    /// The user of a unit, as systemd has shown that.
    fn of_unit(shown: &str) -> Option<Self> {
        let property = |name: &str| property(shown, name);
        let name = Some(property("User")).filter(|name| !name.is_empty()).unwrap_or("root");
        let uid = said("id", &["-u", name])?.parse().ok()?;
        let mut groups: Vec<u32> =
            said("id", &["-G", name])?.split(' ').filter_map(|id| id.parse().ok()).collect();
        let more = format!("{} {}", property("Group"), property("SupplementaryGroups"));
        groups.extend(
            more.split_whitespace().filter_map(|group| {
                said("getent", &["group", group])?.split(':').nth(2)?.parse::<u32>().ok()
            }),
        );
        Some(Self { name: name.to_owned(), uid, groups })
    }

    /// Whether it may do this with what lies there. What is not there, or cannot be looked at, is nothing to say no to.
    pub fn may(&self, path: &Path, wanted: u32) -> Result<(), String> {
        let Ok(path) = std::path::absolute(path) else { return Ok(()) };
        // A link leads to where the rights are.
        let path = path.canonicalize().unwrap_or(path);
        for folder in path.ancestors().skip(1) {
            let Ok(found) = folder.metadata() else { return Ok(()) };
            if !self.is_let(folder, &found, ENTER) {
                return Err(format!("{} may not go into {}", self.name, folder.display()));
            }
        }
        match path.metadata() {
            Ok(found) if !self.is_let(&path, &found, wanted) => {
                let deed = if wanted == WRITE_INTO { "write to" } else { "read" };
                Err(format!("{} may not {deed} {}", self.name, path.display()))
            }
            _ => Ok(()),
        }
    }

    fn is_let(&self, path: &Path, found: &Metadata, wanted: u32) -> bool {
        let digit = if self.uid == found.uid() {
            found.mode() >> 6
        } else if self.groups.contains(&found.gid()) {
            found.mode() >> 3
        } else {
            found.mode()
        };
        self.uid == 0 || digit & wanted == wanted || has_access_list(path)
    }
}

fn has_access_list(path: &Path) -> bool {
    let mut nothing = [0_u8; 0];
    rustix::fs::getxattr(path, ACCESS_LIST, &mut nothing[..]).is_ok_and(|size| size > 0)
}

/// The one line that a program prints.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Nobody that this machine knows, in these groups.
    fn stranger(groups: &[u32]) -> ServiceUser {
        ServiceUser { name: "stranger".into(), uid: 4_000_000_001, groups: groups.to_vec() }
    }

    /// A folder that everybody may go into, with a file of this mode, and the group that both belong to.
    fn stage(mode: u32) -> (tempfile::TempDir, PathBuf, u32) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, "key").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let group = path.metadata().unwrap().gid();
        (folder, path, group)
    }

    #[test]
    fn a_file_is_judged_by_the_rights_of_the_service() {
        let (folder, path, group) = stage(0o640);
        let denied = format!("stranger may not read {}", path.canonicalize().unwrap().display());
        assert_eq!(stranger(&[]).may(&path, READ), Err(denied));
        assert_eq!(stranger(&[group]).may(&path, READ), Ok(()));
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(stranger(&[group]).may(&path, READ).unwrap_err().contains("may not go into"));
        let root = ServiceUser { name: "root".into(), uid: 0, groups: Vec::new() };
        assert_eq!(root.may(&path, READ), Ok(()), "root may");
        assert_eq!(
            stranger(&[]).may(Path::new("/no/such/file"), READ),
            Ok(()),
            "nothing is there to say no to"
        );
    }

    #[test]
    fn what_systemd_hands_over_is_known_by_its_name() {
        let shown = "User=hal-o-swarm\nLoadCredential=auth_token:/etc/hal-o-swarm/token slack:/run/s\n\
                     LoadCredentialEncrypted=anthropic_api_key\nExecStart={ path=/usr/bin/hal ; }\n";
        assert_eq!(credentials(shown), ["auth_token", "slack", "anthropic_api_key"]);
        assert_eq!(property(shown, "User"), "hal-o-swarm");
        assert_eq!(property(shown, "Group"), "");
        assert_eq!(
            state_folders("StateDirectory=hal-o-swarm/agent\n"),
            [Path::new("/var/lib/hal-o-swarm/agent")]
        );
    }

    #[test]
    fn whoever_asks_hears_what_the_service_would() {
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|error| error.to_string());
        let (_folder, path, group) = stage(0o640);
        assert_eq!(look_for(None, &path, read), Looked::Read("key".to_owned()));
        assert_eq!(look_for(Some(&stranger(&[group])), &path, read), Looked::Read("key".to_owned()));
        let denied = look_for(Some(&stranger(&[])), &path, read);
        assert!(matches!(&denied, Looked::Wrong(why) if why.contains("by the service")), "{denied:?}");
        let none = look_for(Some(&stranger(&[])), &path.with_file_name("none"), read);
        assert!(matches!(&none, Looked::Wrong(why) if why.contains("No such file")), "{none:?}");
    }
}
