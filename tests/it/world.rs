//! A `World`: a folder of its own, free ports, and the true programs in it. Scenes say what people do and see.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reqwest::header::AUTHORIZATION;
use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::patience::{PATIENCE, wait_until};
use crate::program::Program;

/// The token of every supervisor in the tests.
pub const TOKEN: &str = "a-token-for-the-tests-that-nobody-else-uses-0123456789";

/// The executable under test.
pub const HAL: &str = env!("CARGO_BIN_EXE_hal");

/// The certificate of a supervisor and who signed it.
pub struct Tls {
    /// The supervisor's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority.
    pub ca: PathBuf,
}

/// An answer of the HTTP API.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body; text where it is no JSON.
    pub body: Value,
}

/// Everything one scene needs. What was started in it ends with it.
pub struct World {
    agents: BTreeMap<String, Program>,
    supervisor: Option<Program>,
    port: u16,
    /// How often agents send a heartbeat; to be set before the supervisor is started.
    pub heartbeat_sec: u32,
    /// More variables for the environment of its programs.
    pub environment: Vec<(String, String)>,
    /// The address the supervisor listens on.
    pub bind: String,
    /// The command that starts the next programs: it sets limits or enters a namespace, and then becomes the program.
    pub under: Vec<String>,
    tls: Option<Tls>,
    http: reqwest::Client,
    runtime: Runtime,
    dir: TempDir,
}

impl World {
    /// A folder and nothing in it.
    pub fn empty() -> Self {
        Self::empty_in(&std::env::temp_dir())
    }

    /// A folder in another one and nothing in it.
    pub fn empty_in(parent: &Path) -> Self {
        // Two crates of ours bring a provider along, and it can be installed once only.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self {
            agents: BTreeMap::new(),
            supervisor: None,
            port: 0,
            heartbeat_sec: 1,
            environment: Vec::new(),
            bind: "127.0.0.1".to_owned(),
            under: Vec::new(),
            tls: None,
            http: reqwest::Client::new(),
            runtime: runtime.expect("threads can be started"),
            dir: TempDir::with_prefix_in("hal-", parent).expect("there is room for a temporary folder"),
        }
    }

    /// A supervisor that is ready.
    pub fn supervised() -> Self {
        let mut world = Self::empty();
        world.start_supervisor();
        world
    }

    /// A supervisor and the node `web-1` with the project `shop`, online.
    pub fn with_node() -> Self {
        let mut world = Self::supervised();
        world.start_agent("web-1", "shop");
        world
    }

    /// The folder of this world.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs something asynchronous to its end.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A command of the executable, in the environment of this world.
    pub fn hal(&self, args: &[&str]) -> Command {
        let mut words = self.under.iter().map(String::as_str).chain([HAL]);
        let mut command = Command::new(words.next().expect("there is at least one"));
        command.args(words).args(args).current_dir(self.path()).env_clear();
        for kept in ["PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command
            .env("HOME", self.path())
            .env("NO_COLOR", "1")
            .env("XDG_STATE_HOME", self.path().join("state"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The supervisor.
impl World {
    /// Says which certificate the supervisor shows; before it is started.
    pub fn use_tls(&mut self, tls: Tls) {
        let pem = std::fs::read(&tls.ca).expect("the authority was just written");
        let authority = reqwest::Certificate::from_pem(&pem).expect("it is a certificate");
        self.http =
            reqwest::Client::builder().add_root_certificate(authority).build().expect("it can be trusted");
        self.tls = Some(tls);
    }

    /// Starts the supervisor, or starts it again at the same port, and waits until it is ready.
    pub fn start_supervisor(&mut self) {
        self.start_supervisor_by(self.supervisor_command());
        self.wait_for_supervisor();
    }

    /// Waits until the supervisor is ready.
    pub fn wait_for_supervisor(&mut self) {
        wait_until("the supervisor is ready", PATIENCE, || self.supervisor_is_ready());
    }

    /// Starts the supervisor by this command and does not wait.
    pub fn start_supervisor_by(&mut self, command: Command) {
        let _ = std::fs::remove_file(self.path().join("supervisor/ctl.json"));
        self.supervisor = Some(Program::start("supervisor", command));
    }

    /// Learns the supervisor's port once it is ready; else how things stand.
    pub fn supervisor_is_ready(&mut self) -> Result<(), String> {
        let ready = self.path().join("supervisor/ctl.json");
        let text = std::fs::read_to_string(&ready)
            .map_err(|e| format!("{}: {e}\n{}", ready.display(), self.supervisor().said()))?;
        let file: Value = serde_json::from_str(&text).map_err(|e| format!("{text:?}: {e}"))?;
        let url = file["url"].as_str().and_then(|url| reqwest::Url::parse(url).ok());
        self.port = url.and_then(|url| url.port()).ok_or(text)?;
        Ok(())
    }

    /// What starts the supervisor of this world, at its port once it has one.
    pub fn supervisor_command(&self) -> Command {
        let config = self.write("supervisor.json", &self.supervisor_config(self.port).to_string());
        self.hal(&["supervisor", "--config", &config.to_string_lossy()])
    }

    /// What the supervisor of this world is configured with.
    pub fn supervisor_config(&self, port: u16) -> Value {
        let tls =
            self.tls.as_ref().map(|tls| json!({"enabled": true, "cert_path": tls.cert, "key_path": tls.key}));
        let folder = self.path().join("supervisor");
        std::fs::create_dir_all(&folder).expect("the folder is ours");
        json!({
            "server": {"bind": self.bind, "port": port, "auth_token": TOKEN,
                "heartbeat_interval_sec": self.heartbeat_sec, "heartbeat_timeout_count": 5},
            "database": {"path": folder.join("supervisor.db")},
            "security": {"tls": tls.unwrap_or_else(|| json!({"enabled": false}))},
        })
    }

    /// Asks the supervisor to end, and waits for it.
    pub fn end_supervisor(&mut self) {
        let (status, said) = self.supervisor.take().expect("the scene has started it").end_with(Signal::TERM);
        assert!(status.success(), "{status}\n{said}");
    }

    /// Ends the supervisor as a power cut would; gives what it has said.
    pub fn kill_supervisor(&mut self) -> String {
        self.supervisor.take().expect("the scene has started it").kill()
    }

    /// True while the scene has a supervisor.
    pub fn has_supervisor(&self) -> bool {
        self.supervisor.is_some()
    }

    /// The running supervisor.
    pub fn supervisor(&self) -> &Program {
        self.supervisor.as_ref().expect("the scene has started it")
    }

    /// The running supervisor, to ask how it ended.
    pub fn supervisor_mut(&mut self) -> &mut Program {
        self.supervisor.as_mut().expect("the scene has started it")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address with this scheme; on loopback by name, since the certificate is for that name.
    pub fn url(&self, scheme: &str) -> String {
        let host = if self.bind == "127.0.0.1" { "localhost" } else { &self.bind };
        format!("{scheme}://{host}:{}", self.port)
    }
}

/// Agents.
impl World {
    /// Starts an agent with one project that follows words, and waits until its node is online.
    pub fn start_agent(&mut self, node: &str, project: &str) {
        let directory = self.path().join(node).join(project);
        std::fs::create_dir_all(&directory).expect("the folder is ours");
        let config = self.agent_config(node, project);
        self.start_agent_with(node, &config);
        self.wait_for_node(node, "online");
    }

    /// What an agent of this world is configured with.
    pub fn agent_config(&self, node: &str, project: &str) -> Value {
        let home = self.path().join(node);
        let mut config = json!({
            "supervisor_url": self.url(if self.tls.is_some() { "wss" } else { "ws" }),
            "auth_token": TOKEN,
            "node_id": node,
            "data_dir": home.join("data"),
            "projects": [{"name": project, "directory": home.join(project), "backend": "echo"}],
        });
        if let Some(tls) = &self.tls {
            config["ca_file"] = json!(tls.ca);
        }
        config
    }

    /// Starts an agent with this configuration and does not wait.
    pub fn start_agent_with(&mut self, node: &str, config: &Value) {
        std::fs::create_dir_all(self.path().join(node).join("data")).expect("the folder is ours");
        self.write(&format!("{node}.json"), &config.to_string());
        self.start_agent_again(node);
    }

    /// Starts an agent that was there before, and does not wait.
    pub fn start_agent_again(&mut self, node: &str) {
        self.start_agent_by(node, self.agent_command(node));
    }

    /// What starts the agent of a node.
    pub fn agent_command(&self, node: &str) -> Command {
        let config = self.path().join(format!("{node}.json"));
        self.hal(&["agent", "--config", &config.to_string_lossy()])
    }

    /// Starts an agent by this command and does not wait.
    pub fn start_agent_by(&mut self, node: &str, command: Command) {
        self.agents.insert(node.to_owned(), Program::start(node, command));
    }

    /// The running agent of a node.
    pub fn agent(&self, node: &str) -> &Program {
        &self.agents[node]
    }

    /// True when the agent of a node was started.
    pub fn has_agent(&self, node: &str) -> bool {
        self.agents.contains_key(node)
    }

    /// The running agent of a node, to ask how it ended.
    pub fn agent_mut(&mut self, node: &str) -> &mut Program {
        self.agents.get_mut(node).expect("the scene has started it")
    }

    /// Takes the agent of a node out of the world, to be ended.
    pub fn take_agent(&mut self, node: &str) -> Program {
        self.agents.remove(node).expect("the scene has started it")
    }

    /// Waits until a node has this status, and gives the node.
    pub fn wait_for_node(&self, node: &str, status: &str) -> Value {
        wait_until(&format!("{node} is {status}"), PATIENCE, || {
            let reply = self.get(&format!("/api/v1/nodes/{node}"));
            let agent = self.agents.get(node).map(Program::said).unwrap_or_default();
            let is_so = reply.status == StatusCode::OK && reply.body["data"]["status"] == status;
            if is_so { Ok(reply.body["data"].clone()) } else { Err(format!("{}\n{agent}", reply.body)) }
        })
    }
}

/// The HTTP API.
impl World {
    /// A request as anybody may make it.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Reply {
        self.try_request(method, path, token, headers, body).unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    /// The same where the supervisor may be away.
    pub fn try_request(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, reqwest::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut request = self.http.request(method, format!("{}{path}", self.url(scheme)));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        self.run(async move {
            let response = request.send().await?;
            let status = response.status();
            let text = response.text().await?;
            Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
        })
    }

    /// Asks for something with the token.
    pub fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, Some(TOKEN), &[], None)
    }

    /// Asks for something that must be there: the `data` of its answer.
    pub fn data(&self, path: &str) -> Value {
        let mut reply = self.get(path);
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
        reply.body["data"].take()
    }

    /// Asks a node for something, whatever comes of it.
    pub fn ask(&self, command: &Value) -> Reply {
        self.request(Method::POST, "/api/v1/commands", Some(TOKEN), &[], Some(command))
    }

    /// Asks a node for something, without holding the world: the state it came to.
    pub fn asking(&self, command: &Value) -> impl Future<Output = String> + Send + 'static {
        let request =
            self.http.post(format!("{}/api/v1/commands", self.url("http"))).bearer_auth(TOKEN).json(command);
        async move {
            let response = request.send().await.expect("the supervisor answers");
            let body: Value = response.json().await.expect("it answers in JSON");
            body["data"]["state"].as_str().map_or_else(|| body.to_string(), str::to_owned)
        }
    }

    /// Asks a node for something that must be done: the command as it ended.
    pub fn done(&self, command: &Value) -> Value {
        let mut reply = self.ask(command);
        assert_eq!(reply.status, StatusCode::OK, "{command}: {}", reply.body);
        assert_eq!(reply.body["data"]["state"], "done", "{command}: {}", reply.body);
        reply.body["data"].take()
    }

    /// Begins a session: its name.
    pub fn start_session(&self, project: &str, prompt: &str) -> String {
        let command =
            self.done(&json!({"type": "create_session", "project": project, "args": {"prompt": prompt}}));
        let id = command["output"].as_str().unwrap_or_default().to_owned();
        assert!(!id.is_empty(), "no session came of {command}");
        id
    }

    /// Waits until a session has this status, and gives the session.
    pub fn wait_for_session(&self, id: &str, status: &str) -> Value {
        wait_until(&format!("session {id} is {status}"), PATIENCE, || {
            let reply = self.get(&format!("/api/v1/sessions/{id}"));
            let is_so = reply.status == StatusCode::OK && reply.body["data"]["status"] == status;
            if is_so { Ok(reply.body["data"].clone()) } else { Err(reply.body.to_string()) }
        })
    }

    /// How many events match, all pages together.
    pub fn count_events(&self, query: &str) -> u64 {
        let reply = self.get(&format!("/api/v1/events?limit=1&{query}"));
        assert_eq!(reply.status, StatusCode::OK, "{query}: {}", reply.body);
        reply.body["meta"]["total"].as_u64().expect("meta.total is a number")
    }

    /// Every event that matches, oldest first, through all pages.
    pub fn events(&self, query: &str) -> Vec<Value> {
        self.pages(&format!("/api/v1/events?order=asc&limit=1000&{query}"))
    }

    /// Every record of a list, through all pages.
    pub fn pages(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let reply = self.get(&format!("{path}&cursor={cursor}"));
            assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.body);
            all.extend(reply.body["data"].as_array().expect("data is a list").iter().cloned());
            match reply.body["meta"]["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return all,
            }
        }
    }

    /// The value of a counter; 0 when it is not there.
    pub fn metric(&self, name_and_labels: &str) -> f64 {
        let reply = self.get("/metrics");
        let text = reply.body.as_str().expect("metrics are text");
        let line = text.lines().find_map(|line| line.strip_prefix(name_and_labels));
        line.map_or(0.0, |value| value.trim().parse().expect("a metric is a number"))
    }
}

/// halctl.
impl World {
    /// Runs halctl as its operator would, and gives what came of it.
    pub fn ctl(&self, args: &[&str]) -> Output {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut command = self.hal(&["ctl"]);
        command.args(args).env("HALCTL_SUPERVISOR_URL", self.url(scheme)).env("HALCTL_AUTH_TOKEN", TOKEN);
        if let Some(tls) = &self.tls {
            command.env("HALCTL_CA_FILE", &tls.ca);
        }
        command.output().expect("halctl can be started")
    }

    /// Runs halctl, which must end well: what it printed.
    pub fn ctl_says(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "halctl {}: {}\n{said}\n{complained}",
            args.join(" "),
            output.status
        );
        said
    }

    /// Runs halctl, which must end badly: its exit code and its sentence.
    pub fn ctl_fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.ctl(args);
        assert!(!output.status.success(), "halctl {} went well: {}", args.join(" "), text(&output.stdout));
        (output.status.code().expect("it ended by itself"), text(&output.stderr))
    }

    /// Writes a file into the folder of this world; as it may hold the token, others cannot read it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let written = std::fs::write(&path, text)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(0o600)));
        written.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Agents first: they end what they have started, and need nobody else for it.
        self.agents.clear();
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.kill();
        }
    }
}

/// What a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
