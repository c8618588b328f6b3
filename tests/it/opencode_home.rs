//! A true opencode for a scene: a home of its own, configured for a fake model, and projects to work in.
//!
//! ```text
//! let model = FakeModel::start();
//! let home = OpencodeHome::new(&model, json!({"*": "allow"}));
//! let project = home.project("web");
//! // start a program with home.environment(), tell it that opencode is home.binary()
//! let bill = model.bill("ses_..");   // what the model charged that session
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::fake_model;
use crate::tool::{npm, processes_at};

/// Tokens that the fake model can hold.
pub const CONTEXT_LIMIT: u64 = 100_000;

/// The fake model, running in this process on a port of its own until it is dropped.
pub struct FakeModel {
    ledger: fake_model::Ledger,
    book: tempfile::NamedTempFile,
    /// Where it listens, for example `http://127.0.0.1:40001`.
    pub url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a session was billed: tokens by kind, and the price in millionths of a dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Billed {
    /// Answers given.
    pub calls: u64,
    /// Tokens read, without cached ones.
    pub input: u64,
    /// Tokens written, without reasoning.
    pub output: u64,
    /// Tokens read from the cache.
    pub cached: u64,
    /// Tokens reasoned.
    pub reasoning: u64,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
    /// Calls for a title, which are not in the numbers above.
    pub title_calls: u64,
}

impl FakeModel {
    /// Starts it.
    pub fn start() -> Self {
        let book = tempfile::NamedTempFile::new().unwrap();
        let ledger = fake_model::Ledger::kept_in(book.reopen().unwrap());
        let router = fake_model::router(ledger.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let url = format!("http://{}", told.recv().unwrap());
        Self { ledger, book, url, stop: Some(stop), thread: Some(thread) }
    }

    /// What a session was billed so far.
    pub fn bill(&self, session: &str) -> Billed {
        let bill = self.ledger.read().remove(session).unwrap_or_default();
        Billed {
            calls: bill.calls,
            input: bill.input,
            output: bill.output,
            cached: bill.cached,
            reasoning: bill.reasoning,
            cost_micros: bill.cost_micros,
            title_calls: bill.title_calls,
        }
    }

    /// A line for every call so far: see `fake_model::Ledger::kept_in`.
    pub fn book(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.book.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The sessions that were billed.
    pub fn sessions(&self) -> Vec<String> {
        self.ledger.read().into_keys().collect()
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A home for one opencode. It is removed when dropped, so drop what runs in it first.
pub struct OpencodeHome {
    root: TempDir,
}

impl OpencodeHome {
    /// A home whose only model is the fake one. `permission` is opencode's setting of that name; `{"*": "allow"}`
    /// asks for nothing.
    pub fn new(model: &FakeModel, permission: Value) -> Self {
        let root = tempfile::Builder::new().prefix("hal-opencode-").tempdir().unwrap();
        let home = Self { root };
        let folder = home.path(".config/opencode");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("opencode.json"), config(model, permission).to_string()).unwrap();
        // opencode would fetch packages for plugins in the background; nothing listens there.
        fs::write(home.path(".npmrc"), "registry=http://127.0.0.1:9/\nfetch-retries=0\n").unwrap();
        home
    }

    /// The variables under which opencode finds this home and asks nothing of the outside world.
    pub fn environment(&self) -> Vec<(String, String)> {
        let place = |under: &str| self.path(under).to_str().unwrap().to_owned();
        let mut out = vec![
            ("HOME".to_owned(), place("")),
            ("XDG_CONFIG_HOME".to_owned(), place(".config")),
            ("XDG_DATA_HOME".to_owned(), place(".local/share")),
            ("XDG_STATE_HOME".to_owned(), place(".local/state")),
            ("XDG_CACHE_HOME".to_owned(), place(".cache")),
        ];
        for switch in [
            "AUTOUPDATE",
            "MODELS_FETCH",
            "LSP_DOWNLOAD",
            "DEFAULT_PLUGINS",
            "CLAUDE_CODE",
            "EXTERNAL_SKILLS",
            "SHARE",
        ] {
            out.push((format!("OPENCODE_DISABLE_{switch}"), "1".to_owned()));
        }
        out
    }

    /// The true opencode, installed once for all scenes.
    ///
    /// # Panics
    /// When it cannot be installed, with what to do about it.
    pub fn binary(&self) -> PathBuf {
        npm("opencode").unwrap_or_else(|why| panic!("these scenes need the true opencode:\n{why}"))
    }

    /// A new project: a folder that is a git repository. Its path is the real one.
    pub fn project(&self, name: &str) -> PathBuf {
        let folder = self.path("projects").join(name);
        fs::create_dir_all(&folder).unwrap();
        let git = |arguments: &[&str]| {
            let done = Command::new("git")
                .current_dir(&folder)
                .args(["-c", "user.name=scene", "-c", "user.email=scene@localhost"])
                .args(arguments)
                .output()
                .unwrap();
            assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        };
        git(&["init", "-q", "."]);
        // opencode knows a project by its first commit, so that two projects must not begin alike.
        git(&["commit", "-q", "--allow-empty", "-m", &format!("{name} {}", folder.display())]);
        folder.canonicalize().unwrap()
    }

    /// Processes of this home whose command line is what is looked for.
    pub fn processes(&self, is_it: impl Fn(&str) -> bool) -> Vec<i32> {
        processes_at(self.root.path(), is_it)
    }

    /// The process numbers of all opencode servers of this home.
    pub fn servers(&self) -> Vec<i32> {
        self.processes(|command| command.contains(" serve --hostname "))
    }

    /// The password of the running opencode, which only its environment tells.
    pub fn password(&self) -> String {
        let environ = fs::read(format!("/proc/{}/environ", self.servers()[0])).unwrap();
        let variables = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let found = variables
            .filter_map(|one| Some(one.strip_prefix("OPENCODE_SERVER_PASSWORD=")?.to_owned()))
            .next();
        found.unwrap()
    }

    /// A place under this home.
    pub fn path(&self, under: &str) -> PathBuf {
        self.root.path().join(under)
    }
}

fn config(model: &FakeModel, permission: Value) -> Value {
    json!({
        "autoupdate": false, "share": "disabled", "snapshot": false,
        "model": "fake/fake-1", "small_model": "fake/fake-1", "enabled_providers": ["fake"],
        "provider": {"fake": {
            "npm": "@ai-sdk/openai-compatible", "name": "Fake",
            "options": {"baseURL": format!("{}/v1", model.url), "apiKey": "none"},
            "models": {"fake-1": {
                "name": "Fake One", "tool_call": true, "reasoning": true,
                "limit": {"context": CONTEXT_LIMIT, "output": 8_000},
                "cost": {"input": 3.0, "output": 15.0, "cache_read": 0.3, "cache_write": 3.75}}}}},
        "permission": permission,
    })
}
