//! Claude Code, spoken to natively: `claude -p` with stream-json, over pipes (see `backend::piped`).
//!
//! - `tongue`: how one session is spoken with. `turn`: what it says, as events.
//! - `account`: what it used and cost; `classify`: what its words mean, said in ours.
//! - `transcript`: its own record, where it is looked up what it has taken.
//! - `words`: its language; `read`: how it is read.

mod account;
mod classify;
mod login;
mod read;
mod tongue;
mod transcript;
mod turn;
mod words;

use std::sync::Arc;

use super::piped::host::{Host, OpenConfig};
use super::piped::{Kind, NewSession, Piped, Unknowable, Wish, fresh, names};
use super::program::ProgramSpec;
use super::{BackendError, KnownSessions, Modes, Opening, Reports};
use hal_protocol::backend::{Abilities, UsageTold};
use hal_protocol::command::CommandId;
use hal_protocol::session::{Model, Session as Known, SessionId};
use tongue::ClaudeTongue;
use transcript::Transcripts;

/// The program.
const SPEC: ProgramSpec = ProgramSpec {
    name: "claude",
    title: "Claude Code",
    key: "tool_paths.claude",
    majors: &[2],
    tested: "2.1.330",
    quiet: &[("DISABLE_AUTOUPDATER", "1")],
    marks: &["CLAUDE.md", ".claude"],
    install: "install it with: npm install -g @anthropic-ai/claude-code@2.1.330",
    other: |version, program| {
        format!(
            "{} is Claude Code {version}, and only 2.x is supported; install that with: npm install --prefix \
             ~/claude-2 @anthropic-ai/claude-code@2.1.330, then name ~/claude-2/node_modules/.bin/claude in \
             tool_paths.claude",
            program.display()
        )
    },
    login: login::told,
};

/// Its permission modes, the one that holds otherwise first: it asks for what changes anything.
const PERMISSION_MODES: &[&str] = &["default", "acceptEdits", "plan", UNGUARDED];

/// The mode in which it asks nobody: only who says so has it.
const UNGUARDED: &str = "bypassPermissions";

/// The Claude Code backend. Clones share it.
pub type Claude = Piped<ClaudeCode>;

/// The kind.
#[derive(Debug)]
pub struct ClaudeCode {
    transcripts: Transcripts,
}

impl Claude {
    pub(super) const PROGRAM: Option<ProgramSpec> = Some(SPEC);

    pub(super) const ABILITIES: Abilities = Abilities {
        cost: true,
        tokens: UsageTold::PerTurn,
        context: true,
        compaction: true,
        todo: false,
        permission: true,
        question: true,
        steer: false,
        resume: true,
        survives: false,
    };

    pub(super) const MODES: Modes =
        Modes { permission: PERMISSION_MODES, sandbox: &[], unguarded: &[UNGUARDED] };

    /// Files of a checkout by which it runs something.
    pub(super) const BROUGHT: &[&str] = &[
        ".mcp.json",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".claude/agents",
        ".claude/commands",
        ".claude/skills",
    ];

    /// Whether it can leave those out and work all the same.
    pub(super) const LEAVES_OUT: bool = true;

    pub(super) fn open_with(opening: Opening) -> Self {
        let Opening { program: binary, data_dir, places, memory, reports, .. } = opening;
        Self::open(OpenConfig { binary, data_dir, places, ..OpenConfig::default() }, memory, reports)
    }

    /// Begins; returns at once. What happens is reported. Needs a running tokio runtime.
    pub fn open(config: OpenConfig, memory: KnownSessions, reports: Reports) -> Self {
        Self::begin(
            ClaudeCode { transcripts: Transcripts::of(|name| config.variable(name)) },
            config,
            memory,
            reports,
        )
    }
}

impl Kind for ClaudeCode {
    type Tongue = ClaudeTongue;

    fn spec(&self) -> ProgramSpec {
        SPEC
    }

    async fn begin(
        &self,
        host: &Arc<Host>,
        command: &CommandId,
        new: NewSession,
    ) -> Result<(Known, ClaudeTongue), BackendError> {
        let known = fresh(&names::session_of(command), &new.directory, new.title);
        let tongue = ClaudeTongue::new(host, &self.transcripts, &known, false, new.wish);
        Ok((known, tongue))
    }

    fn again(&self, host: &Arc<Host>, known: &Known, is_told: bool) -> ClaudeTongue {
        let model = known.model.as_ref().map(|model: &Model| model.id.clone()).unwrap_or_default();
        let wish = Wish { model, agent: String::new() };
        ClaudeTongue::new(host, &self.transcripts, known, is_told, wish)
    }

    async fn find(
        &self,
        _host: &Arc<Host>,
        command: &CommandId,
        _directory: &str,
    ) -> Result<Option<SessionId>, Unknowable> {
        Ok(Some(names::session_of(command)))
    }

    async fn has_taken(&self, _host: &Arc<Host>, id: &SessionId, message: &str) -> Result<bool, Unknowable> {
        Ok(self.transcripts.has(id, message).await)
    }
}
