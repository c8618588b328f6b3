//! The local socket: people of this machine come in as who the kernel says they are, and show no token.
//!
//! Whoever may connect at all is let in as an administrator: the file's permissions leave that to root, to the service
//! itself and to its group, who can read the store besides. What they do stands on the record under their login name;
//! root's word is taken for who it acts for, as sudo says it.

use std::collections::HashMap;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::caller::LocalPeer;
use super::server;
use super::shared::Shared;
use hal_base::clock::Stopwatch;
use hal_base::task::Tasks;
use hal_protocol::ctl_file::{LOGIN_HEADER, SOCKET};

/// Who may connect: the service's user and its group.
const MODE: u32 = 0o660;

/// Bytes that the path of a socket may have, by the kernel's own shape of an address.
const MAX_PATH: usize = 107;

/// Bytes of a login name that are believed.
const MAX_LOGIN: usize = 64;

/// A directory of users that does not answer in this time is not waited for.
const LOOK_UP: Duration = Duration::from_secs(5);

/// A login name is good for this long: a user may be removed, and the number given to another.
const REMEMBERED: Duration = Duration::from_secs(300);

/// Login names that are remembered.
const MAX_LOGINS: usize = 1024;

/// The other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug)]
struct PeerUser(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for PeerUser {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|peer| peer.uid()))
    }
}

/// Login names that were looked up.
type Logins = Arc<Mutex<HashMap<u32, (Stopwatch, String)>>>;

/// Where the socket lies: in the service's folder below `/run`, else beside the store. `None`: its path would be too long.
pub fn path(runtime: Option<&Path>, data: &Path) -> Option<PathBuf> {
    let path = runtime.unwrap_or(data).join(SOCKET);
    (path.as_os_str().len() <= MAX_PATH).then_some(path)
}

/// Serves the API there. Nobody else does: the store is ours alone, and so is the service's folder.
pub fn serve(path: &Path, shared: &Shared, tasks: &Tasks) -> anyhow::Result<()> {
    let place = || format!("cannot listen on {}", path.display());
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(place),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(place)?;
    std::fs::set_permissions(path, Permissions::from_mode(MODE)).with_context(place)?;
    let router: Router =
        server::people_only(shared).layer(middleware::from_fn_with_state(Logins::default(), introduce));
    let service = router.into_make_service_with_connect_info::<PeerUser>();
    tasks.spawn_cuttable(async move {
        if let Err(error) = axum::serve(listener, service).await {
            tracing::error!(%error, "the local socket ended");
        }
    });
    Ok(())
}

/// Tells the guard of the API who this is.
async fn introduce(
    State(logins): State<Logins>,
    ConnectInfo(PeerUser(user)): ConnectInfo<PeerUser>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(user) = user {
        let login = login_of(&logins, user).await;
        let peer = known_as(user, login, said_login(request.headers()));
        request.extensions_mut().insert(peer);
    }
    // For whatever asks from where a request came.
    let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    request.extensions_mut().insert(ConnectInfo(here));
    next.run(request).await
}

/// Whom root says that it acts for.
fn said_login(headers: &HeaderMap) -> Option<&str> {
    let login = headers.get(LOGIN_HEADER)?.to_str().ok()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    (!login.is_empty() && login.len() <= MAX_LOGIN && login.chars().all(is_name)).then_some(login)
}

fn known_as(user: u32, login: String, said: Option<&str>) -> LocalPeer {
    match said {
        Some(said) if user == 0 => {
            LocalPeer { login: said.to_owned(), credential: "root of this machine, by sudo".to_owned() }
        }
        _ => LocalPeer { login, credential: format!("user {user} of this machine") },
    }
}

/// The login name of a user, by whatever source of users this machine has.
async fn login_of(logins: &Logins, user: u32) -> String {
    let known = logins.lock().unwrap_or_else(PoisonError::into_inner).get(&user).cloned();
    if let Some((_, login)) = known.filter(|(since, _)| since.elapsed() < REMEMBERED) {
        return login;
    }
    let found = timeout(LOOK_UP, tokio::task::spawn_blocking(move || look_up(user))).await;
    let login = found.ok().and_then(Result::ok).flatten().unwrap_or_else(|| format!("uid {user}"));
    let mut known = logins.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MAX_LOGINS {
        known.clear();
    }
    known.insert(user, (Stopwatch::start(), login.clone()));
    login
}

fn look_up(user: u32) -> Option<String> {
    let found = Command::new("getent").args(["passwd", &user.to_string()]).output().ok()?;
    let line = String::from_utf8(found.stdout).ok()?;
    let (login, _) = line.split_once(':')?;
    (!login.is_empty()).then(|| login.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_says_whom_it_acts_for_and_nobody_else_does() {
        let sudo = known_as(0, "root".into(), Some("ada"));
        assert_eq!((sudo.login.as_str(), sudo.credential.contains("sudo")), ("ada", true));
        assert_eq!(known_as(1000, "eve".into(), Some("ada")).login, "eve");
        assert_eq!(known_as(0, "root".into(), None).login, "root");
        let mut headers = HeaderMap::new();
        for (said, is_believed) in [("ada", true), ("ada lovelace", false), ("", false), ("<b>", false)] {
            headers.insert(LOGIN_HEADER, said.parse().unwrap());
            assert_eq!(said_login(&headers).is_some(), is_believed, "{said}");
        }
        headers.insert(LOGIN_HEADER, "a".repeat(MAX_LOGIN + 1).parse().unwrap());
        assert_eq!(said_login(&headers), None);
    }

    #[test]
    fn a_path_that_the_kernel_does_not_take_is_none() {
        let data = Path::new("/var/lib/hal-o-swarm");
        assert_eq!(path(None, data).unwrap(), data.join("ctl.sock"));
        let runtime = Path::new("/run/hal-o-swarm");
        assert_eq!(path(Some(runtime), data).unwrap(), runtime.join("ctl.sock"));
        assert_eq!(path(None, &data.join("x".repeat(90))), None);
    }
}
