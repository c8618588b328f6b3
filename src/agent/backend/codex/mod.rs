//! Codex, spoken to natively: `codex app-server`, JSON-RPC in lines over pipes (see `backend::piped`).
//!
//! ```text
//!   begin: thread/start -> its id is the session's    prompt: (thread/resume) -> turn/start, which a running turn hears too
//! ```
//! - `tongue`: how one session is spoken with; `server`: how the program is started and called.
//! - `turn`: what it says, as events. `usage`: what it used, out of sums that may be repeated and begin anew.
//! - `classify`: what its words mean, said in ours. `items`: pieces of a turn.
//! - `words`: its language; `read`: how it is read.
//!
//! Its configuration and its record, under `CODEX_HOME`, are the user's: nothing here writes there. What is set for a
//! session is told with the session, and so is that the project is not trusted, since Codex would note the contrary there.

mod classify;
mod items;
mod read;
mod server;
mod tongue;
mod turn;
mod usage;
mod words;

use std::sync::Arc;

use serde_json::{Value, json};

use super::piped::host::{Host, OpenConfig};
use super::piped::{Kind, NewSession, Piped, Unknowable, fresh, names};
use super::program::{ProgramSpec, home_of, login_by_file, login_by_variable};
use super::{BackendError, KnownSessions, Modes, Opening, Reports};
use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;
use hal_protocol::session::{Session as Known, SessionId};
use server::Server;
use tongue::CodexTongue;

/// The program.
const SPEC: ProgramSpec = ProgramSpec {
    name: "codex",
    title: "Codex",
    key: "tool_paths.codex",
    majors: &[0],
    tested: "0.169.0",
    quiet: &[],
    marks: &["AGENTS.md", ".codex"],
    install: "install it with: npm install -g @openai/codex@0.169.0",
    other: |version, program| {
        format!(
            "{} is Codex {version}, and only 0.x is supported; install that with: npm install --prefix ~/codex-0 \
             @openai/codex@0.169.0, then name ~/codex-0/node_modules/.bin/codex in tool_paths.codex",
            program.display()
        )
    },
    login: || {
        let by_key = login_by_variable(&["CODEX_API_KEY", "OPENAI_API_KEY"]);
        let file = home_of("CODEX_HOME", ".codex")?.join("auth.json");
        login_by_file(&file).or(by_key)
    },
};

/// When it asks, the way that holds otherwise first: for all that is not known to only read.
const POLICIES: &[&str] = &["untrusted", "on-request", NEVER];

/// The one in which it asks nobody: only who says so has it.
const NEVER: &str = "never";

/// What holds its commands, the one that holds otherwise first.
const SANDBOXES: &[&str] = &["workspace-write", "read-only", UNHELD];

/// What holds nothing: only who says so has it.
const UNHELD: &str = "danger-full-access";

/// Bytes of the name of a thread: a UUID has 36.
const MAX_NAME: usize = 64;

/// Threads of a directory that are looked through for the one that a command has begun: it is among the newest.
const SEARCHED: usize = 100;

/// The Codex backend. Clones share it.
pub type Codex = Piped<CodexKind>;

/// The kind.
#[derive(Debug)]
pub struct CodexKind;

impl Codex {
    pub(super) const PROGRAM: Option<ProgramSpec> = Some(SPEC);

    pub(super) const ABILITIES: Abilities = Abilities {
        cost: false,
        tokens: UsageTold::Cumulative,
        context: true,
        compaction: true,
        todo: false,
        permission: true,
        question: true,
        steer: true,
        resume: true,
        survives: false,
    };

    pub(super) const MODES: Modes =
        Modes { permission: POLICIES, sandbox: SANDBOXES, unguarded: &[NEVER, UNHELD] };

    /// Files of a checkout by which it runs something.
    pub(super) const BROUGHT: &[&str] = &[".codex"];

    /// Whether it can leave those out and work all the same.
    pub(super) const LEAVES_OUT: bool = true;

    pub(super) fn open_with(opening: Opening) -> Self {
        let Opening { program: binary, data_dir, places, memory, reports, .. } = opening;
        Self::open(OpenConfig { binary, data_dir, places, ..OpenConfig::default() }, memory, reports)
    }

    /// Begins; returns at once. What happens is reported. Needs a running tokio runtime.
    pub fn open(config: OpenConfig, memory: KnownSessions, reports: Reports) -> Self {
        Self::begin(CodexKind, config, memory, reports)
    }
}

/// By what a thread is known to be the one of a command: Codex keeps it with the thread.
fn source_of(command: &CommandId) -> String {
    format!("hal-{}", names::session_of(command))
}

impl Kind for CodexKind {
    type Tongue = CodexTongue;

    fn spec(&self) -> ProgramSpec {
        SPEC
    }

    /// The thread is given a name, so that it is kept before anything is said in it.
    async fn begin(
        &self,
        host: &Arc<Host>,
        command: &CommandId,
        new: NewSession,
    ) -> Result<(Known, CodexTongue), BackendError> {
        if !new.wish.agent.is_empty() {
            let why = format!("Codex has no kind of agent {:?}: leave the agent out", new.wish.agent);
            return Err(BackendError::Refused(why));
        }
        let mut server = Server::open(host, Some(&new.directory)).await?;
        let mut settings = tongue::settings(host, &new.directory, &new.wish.model);
        settings["threadSource"] = json!(source_of(command));
        let begun = server.ask("thread/start", settings).await?;
        let id = begun["thread"]["id"].as_str().unwrap_or_default().to_owned();
        // It becomes the session's: other sessions have names that we make, with a line below in them.
        if id.is_empty()
            || id.len() > MAX_NAME
            || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(BackendError::Refused(format!(
                "Codex has begun a thread of the name {id:?}, which is none"
            )));
        }
        server.ask("thread/name/set", json!({"threadId": id, "name": new.title})).await?;
        let known = fresh(&SessionId::new(id), &new.directory, new.title);
        let mut tongue = CodexTongue::new(host, &known, false, new.wish.model);
        match new.is_spoken_to {
            // A thread that nothing was said in has fewer tools when it is resumed.
            true => tongue.adopt(server, &begun),
            false => server.end().await,
        }
        Ok((known, tongue))
    }

    fn again(&self, host: &Arc<Host>, known: &Known, is_told: bool) -> CodexTongue {
        // It goes on with the model that it has had, whatever the user's is by now.
        let named = known.model.as_ref().filter(|model| !model.id.is_empty());
        let model = named.map(|model| format!("{}/{}", model.provider, model.id)).unwrap_or_default();
        CodexTongue::new(host, known, is_told, model)
    }

    async fn find(
        &self,
        host: &Arc<Host>,
        command: &CommandId,
        directory: &str,
    ) -> Result<Option<SessionId>, Unknowable> {
        let _held = server::leave_to_look().await?;
        let mut server = Server::open(host, None).await.map_err(|_| Unknowable)?;
        let query =
            json!({"cwd": directory, "limit": SEARCHED, "sortKey": "created_at", "modelProviders": []});
        let listed = server.ask("thread/list", query).await.map_err(|_| Unknowable)?;
        let wanted = source_of(command);
        let mut found = None;
        for thread in listed["data"].as_array().into_iter().flatten() {
            let read = server.ask("thread/read", json!({"threadId": thread["id"]})).await;
            let read = read.map_err(|_| Unknowable)?;
            if read["thread"]["threadSource"] == Value::String(wanted.clone()) {
                found = thread["id"].as_str().map(SessionId::new);
                break;
            }
        }
        server.end().await;
        Ok(found)
    }

    async fn has_taken(&self, host: &Arc<Host>, id: &SessionId, message: &str) -> Result<bool, Unknowable> {
        server::has_taken(host, id, message).await
    }
}
