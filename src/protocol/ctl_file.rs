//! The small files by which halctl finds a supervisor and its token, and where they lie.
//!
//! Three files, one shape, looked at in this order:
//!
//! | file | written by | for |
//! |---|---|---|
//! | [`user_file`] | a person, `halctl config set` | that person's usual supervisor |
//! | [`up_file`] | a running `hal up` | its user, while it runs |
//! | [`MACHINE_FILE`] | the supervisor (mode 0640, group `hal-o-swarm`) | operators on the supervisor's machine |

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use hal_base::secret::Secret;

/// The file that a supervisor leaves for the operators of its machine.
pub const MACHINE_FILE: &str = "/var/lib/hal-o-swarm/ctl.json";

/// The group whose members may read [`MACHINE_FILE`].
pub const MACHINE_GROUP: &str = "hal-o-swarm";

/// The name of the supervisor's socket.
pub const SOCKET: &str = "ctl.sock";

/// The header in which root says at that socket whom it acts for.
pub const LOGIN_HEADER: &str = "x-hal-login";

/// Where a supervisor is and how to be let in. Unknown keys are tolerated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CtlFile {
    /// The supervisor's URL: `http`, `https`, `ws` or `wss`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The token itself. Only read: whoever writes such a file names a `token_file`.
    #[serde(skip_serializing)]
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else. A relative path starts at this file's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A PEM file with the authority that signed the supervisor's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The key by which the supervisor is known, as `sha256:DIGITS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// A socket of the supervisor on this machine, where no token has to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// The process that wrote the file; the file means nothing once that process is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The folder with the data of that process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The folders that its coding agents work in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub projects: Vec<PathBuf>,
}

/// `$XDG_CONFIG_HOME/hal-o-swarm/ctl.json`, else below `~/.config`. `env` gives the value of an environment variable.
/// `None`: there is no home folder.
pub fn user_file(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(folder(env, "XDG_CONFIG_HOME", ".config")?.join("ctl.json"))
}

/// `$XDG_STATE_HOME/hal-o-swarm/up.json`, else below `~/.local/state`. `env` gives the value of an environment
/// variable. `None`: there is no home folder.
pub fn up_file(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(folder(env, "XDG_STATE_HOME", ".local/state")?.join("up.json"))
}

/// Our folder below an XDG base folder; a relative base counts as unset, as the XDG rules say.
fn folder(env: impl Fn(&str) -> Option<OsString>, base: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute(base).or_else(|| absolute("HOME").map(|home| home.join(below_home)))?;
    Some(base.join(Path::new("hal-o-swarm")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_below_xdg_folders_or_home() {
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/ada"));
        assert_eq!(user_file(home), Some("/home/ada/.config/hal-o-swarm/ctl.json".into()));
        assert_eq!(up_file(home), Some("/home/ada/.local/state/hal-o-swarm/up.json".into()));
        let xdg = |name: &str| (name == "XDG_STATE_HOME").then(|| OsString::from("/state"));
        assert_eq!(up_file(xdg), Some("/state/hal-o-swarm/up.json".into()));
        assert_eq!(user_file(xdg), None);
        let relative = |name: &str| Some(OsString::from(if name == "HOME" { "/h" } else { "x" }));
        assert_eq!(user_file(relative), Some("/h/.config/hal-o-swarm/ctl.json".into()));
    }

    #[test]
    fn a_token_is_read_but_never_written() {
        let file: CtlFile = serde_json::from_str(r#"{"url":"ws://h","token":"t","later":1}"#).unwrap();
        assert_eq!(file.token.as_ref().unwrap().reveal(), "t");
        assert_eq!(serde_json::to_string(&file).unwrap(), r#"{"url":"ws://h"}"#);
    }
}
