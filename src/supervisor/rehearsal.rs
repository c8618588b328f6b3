//! Rehearsals of a recovery: the newest backup is restored into a supervisor of its own, beside the running one, and looked
//! at. It listens on this machine alone, knows no channel, no provider and no policy, and ends when it was looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process, setpriority_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::auth::did;
use super::shared::Shared;
use super::spent::add_up;
use hal_base::clock::{self, Stopwatch, Time};
use hal_base::{child, file, id};
use hal_protocol::backup::{Rehearsal, RehearsalCounts};
use hal_protocol::who::Who;
use hal_rules::ledger::day_of;
use hal_rules::rehearsal::{is_due, judge};
use hal_rules::report::Period;
use hal_store::mirror::backup::{Saved, verify};

/// The folder beside the store in which the other supervisor works; there is nothing else in it.
const FOLDER: &str = "rehearsal";

/// Nobody else's business.
const OWNERS_ALONE: u32 = 0o600;

/// A backup, the store that is made of it, and its log: so many times the backup's size, and so much beside.
const ROOM: (u64, u64) = (3, 128 << 20);

/// A restored supervisor is ready within this; more than 10 million events take minutes.
const LONGEST: Duration = Duration::from_secs(1800);

/// It ends within this when it is told to.
const END: Duration = Duration::from_secs(30);

/// How often it is looked whether it is ready.
const LOOK: Duration = Duration::from_millis(50);

/// And whether a rehearsal is due, at least and at most.
const DUE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// So nice is the other supervisor: whoever works goes first.
const NICE: i32 = 15;

/// Days before the backup's whose cost is compared.
const DAYS: Duration = Duration::from_secs(30 * 86_400);

/// An answer of it takes at most this long.
const ANSWER: Duration = Duration::from_secs(60);

/// Rehearses whenever it is due.
pub async fn rehearse_when_due(shared: Shared) {
    loop {
        let every = shared.rehearsals.every();
        sleep((every / 4).clamp(DUE.0, DUE.1)).await;
        let known = shared.rehearsals.known();
        // Without any backup there is an alert already.
        let has_backup = !shared.backups.list().is_empty();
        if has_backup && is_due(known.last.as_ref(), known.since, every, clock::now()) {
            rehearse(&shared, &Who::itself("rehearsal")).await;
        }
    }
}

/// Rehearses now, writes down what came of it, and gives that.
pub async fn rehearse(shared: &Shared, who: &Who) -> Rehearsal {
    let _one_at_a_time = shared.rehearsals.at_work.lock().await;
    let began = Stopwatch::start();
    let mut made = Rehearsal { at: clock::now(), also_needed: also_needed(shared), ..Rehearsal::default() };
    if let Err(error) = carry_out(shared, &mut made).await {
        made.problem = Some(format!("{error:#}"));
    }
    let target = made.problem.clone().map_or_else(|| Ok(made.backup.clone()), Err);
    shared.hub.audit(did(who, "rehearse_recovery", target, began.elapsed()));
    match &made.problem {
        None => tracing::info!(
            backup = made.backup,
            rpo_seconds = made.rpo_seconds,
            rto_seconds = made.rto_seconds,
            "a recovery was rehearsed"
        ),
        Some(why) => tracing::error!("the rehearsal of a recovery failed: {why}"),
    }
    let last = made.clone();
    shared.rehearsals.remember(|known| known.last = Some(last));
    made
}

/// What a new machine needs beside the backup.
fn also_needed(shared: &Shared) -> Vec<String> {
    let mut all = vec!["supervisor.config.json, with the files that it names".to_owned()];
    if let Some(keys) = shared.hub.view().kept(hal_store::kept::FLEET_KEYS, hal_store::kept::OWN_KEYS) {
        all.push(match keys.recovery_made {
            Some(made) => format!(
                "the recovery key that {} has made at {} (hal-supervisor tls recover)",
                made.by, made.at
            ),
            None => "a recovery key: none was made yet (sudo hal-supervisor recovery-key)".to_owned(),
        });
    }
    all
}

async fn carry_out(shared: &Shared, made: &mut Rehearsal) -> anyhow::Result<()> {
    let saved = shared.backups.list().into_iter().next().context("there is no backup: halctl backup now")?;
    made.backup = saved.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    made.made_at = saved.at;
    let folder = shared.hub.store().path().parent().unwrap_or(Path::new(".")).join(FOLDER);
    let scratch = Scratch::make(folder, &saved)?;
    let view = shared.hub.view();
    let (running_newest, running_last) = (view.stored.last_seq, view.stored.last_time);
    let (from, to) = days_before(saved.at);
    let (all, period) = (shared.clone(), Period::between(&from, &to).map_err(anyhow::Error::msg)?);
    let cost = tokio::task::spawn_blocking(move || add_up(all.hub.store(), period)).await??.total;
    made.running = RehearsalCounts {
        events: 0,
        newest_event: running_newest,
        sessions: view.stored.sessions.len() as u64,
        cost_micros: cost.cost_micros.unwrap_or_default(),
        tokens: cost.tokens,
    };
    let rto = Stopwatch::start();
    let path = saved.path.clone();
    let copy = scratch.database();
    let standing = tokio::task::spawn_blocking(move || {
        fs::copy(&path, &copy).with_context(|| format!("cannot copy {}", path.display()))?;
        verify(&copy).map_err(anyhow::Error::new)
    });
    let standing = standing.await??;
    let mut other = scratch.start().await?;
    let looked = async {
        let client = other.wait_until_ready(&scratch).await?;
        made.rto_seconds = rto.elapsed().as_secs_f64();
        look(&client, &from, &to).await
    };
    let looked = looked.await;
    other.end().await;
    let (restored, newest_at) = looked?;
    made.rpo_seconds = running_last.since(newest_at.unwrap_or(running_last)).as_secs_f64();
    let rows = |table: &str| standing.counts.get(table).copied().unwrap_or_default();
    let saved = RehearsalCounts {
        events: standing.events(),
        sessions: rows("sessions"),
        ..RehearsalCounts::default()
    };
    made.problem = judge(&saved, &restored, &made.running);
    made.restored = restored;
    Ok(())
}

/// The days before the one on which a backup was made: nothing of them changes any more.
fn days_before(made: Time) -> (String, String) {
    let last = made.minus(Duration::from_secs(86_400));
    (day_of(last.minus(DAYS)), day_of(last))
}

/// What the other supervisor answers, and when its newest event was stored.
async fn look(client: &Asking, from: &str, to: &str) -> anyhow::Result<(RehearsalCounts, Option<Time>)> {
    let events = client.get("events?limit=1&order=desc").await?;
    let sessions = client.get("sessions?limit=1&all=true").await?;
    let cost = client.get(&format!("cost?from={from}&to={to}")).await?;
    let newest = &events["data"][0];
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let restored = RehearsalCounts {
        events: number(&events["meta"]["total"]),
        newest_event: number(&newest["seq"]),
        sessions: number(&sessions["meta"]["total"]),
        cost_micros: number(&cost["data"]["total"]["cost_micros"]),
        tokens: number(&cost["data"]["total"]["tokens"]),
    };
    Ok((restored, newest["timestamp"].as_str().and_then(Time::parse)))
}

/// The folder of a rehearsal. It is gone when this is dropped.
struct Scratch {
    folder: PathBuf,
    token: String,
}

impl Scratch {
    fn make(folder: PathBuf, saved: &Saved) -> anyhow::Result<Self> {
        let place = || format!("cannot make {}", folder.display());
        // What a rehearsal that was cut off has left.
        file::unless_gone(fs::remove_dir_all(&folder)).with_context(place)?;
        let disk = rustix::fs::statvfs(folder.parent().unwrap_or(Path::new("."))).with_context(place)?;
        let (free, needed) = (disk.f_bavail * disk.f_frsize, saved.bytes * ROOM.0 + ROOM.1);
        if free < needed {
            let mib = |bytes: u64| bytes >> 20;
            bail!("there is no room: {} MiB are free, and a rehearsal needs {} MiB", mib(free), mib(needed));
        }
        fs::create_dir(&folder).with_context(place)?;
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .with_context(place)?;
        let scratch = Self { folder, token: id::fresh_secret() };
        let config = json!({
            "server": {"bind": "127.0.0.1", "port": 0, "auth_token": scratch.token},
            "database": {"path": scratch.database()},
            "backup": {"enabled": false, "rehearse": "0s"},
            "alerts": {"enabled": false},
        });
        file::replace(&scratch.config(), config.to_string().as_bytes(), OWNERS_ALONE)
            .with_context(|| format!("cannot write {}", scratch.config().display()))?;
        Ok(scratch)
    }

    fn database(&self) -> PathBuf {
        self.folder.join("supervisor.db")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("supervisor.json")
    }

    async fn start(&self) -> anyhow::Result<Other> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        child::keep_for_us(command.as_std_mut());
        command.args(["supervisor", "--config"]).arg(self.config());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let said = fs::File::create(self.folder.join("said")).context("cannot write what it says")?;
        command.stderr(said).kill_on_drop(true);
        let child = command.spawn().context("cannot start another supervisor")?;
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // Where that is not allowed it is only less polite.
            let _as_it_is = setpriority_process(Some(pid), NICE);
        }
        Ok(Other(child))
    }

    /// The last line that it has said.
    fn said(&self) -> String {
        let said = fs::read_to_string(self.folder.join("said")).unwrap_or_default();
        said.lines().last().unwrap_or("nothing").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = file::unless_gone(fs::remove_dir_all(&self.folder)) {
            tracing::warn!(%error, "cannot remove {}", self.folder.display());
        }
    }
}

/// The other supervisor.
struct Other(Child);

impl Other {
    async fn wait_until_ready(&mut self, scratch: &Scratch) -> anyhow::Result<Asking> {
        let ready = async {
            loop {
                if let Some(ended) = self.0.try_wait().context("cannot look at the restored supervisor")? {
                    bail!("the restored supervisor did not start ({ended}): {}", scratch.said());
                }
                if let Some(asking) = Asking::of(scratch)?
                    && asking.is_ready().await
                {
                    return Ok(asking);
                }
                sleep(LOOK).await;
            }
        };
        let late = || format!("the restored supervisor was not ready within {} s", LONGEST.as_secs());
        timeout(LONGEST, ready).await.with_context(late)?
    }

    async fn end(mut self) {
        if let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _gone_already = kill_process(pid, Signal::TERM);
        }
        if timeout(END, self.0.wait()).await.is_err() {
            let _gone_already = self.0.kill().await;
        }
    }
}

/// How it is asked.
struct Asking {
    client: Client,
    url: String,
    token: String,
}

impl Asking {
    /// `None`: it has not said yet where it listens.
    fn of(scratch: &Scratch) -> anyhow::Result<Option<Self>> {
        let Ok(note) = fs::read(scratch.folder.join("ctl.json")) else { return Ok(None) };
        let Ok(note) = serde_json::from_slice::<Value>(&note) else { return Ok(None) };
        let Some(url) = note["url"].as_str() else { return Ok(None) };
        let client =
            Client::builder().no_proxy().timeout(ANSWER).build().context("cannot make an HTTP client")?;
        Ok(Some(Self { client, url: url.to_owned(), token: scratch.token.clone() }))
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    async fn get(&self, what: &str) -> anyhow::Result<Value> {
        let place = || format!("cannot ask the restored supervisor for {what}");
        let asked = self.client.get(format!("{}/api/v1/{what}", self.url)).bearer_auth(&self.token);
        let answer = asked.send().await.and_then(reqwest::Response::error_for_status).with_context(place)?;
        answer.json().await.with_context(place)
    }
}
