//! What an agent keeps through cut links, restarts, damage, and supervisors that know less or more than they should.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use hal_o_swarm::base::clock::now;
use hal_o_swarm::base::secret::Secret;
use hal_o_swarm::protocol::command::CommandState;
use hal_o_swarm::store::journal::{Bounds, Change, CommandRecord, Journal};

use super::hub::{Book, Hub};
use super::{Machine, at, echo_project, scene, shop};

#[tokio::test]
async fn a_cut_link_loses_nothing_and_doubles_nothing() {
    let (hub, _machine, agent, mut book, mut link) = scene().await;
    link.acks = false;
    link.command("c1", "create_session", shop(), json!({"prompt": "burst 3000"})).await;
    let mut cuts = 0;
    while book.count("session.idle") == 0 {
        let before = book.last();
        link.until(&mut book, "some events", |book| {
            book.last() >= before + 200 || book.count("session.idle") == 1
        })
        .await;
        drop(link);
        cuts += 1;
        link = hub.accept(&mut book).await;
    }
    assert!(cuts > 3, "only {cuts} cuts");
    assert!(book.is_gapless());
    assert_eq!(book.count("echo.tick"), 3000);
    link.until(&mut book, "the result", |book| book.result("c1").is_some()).await;
    agent.stop().await;
}

#[tokio::test]
async fn unacknowledged_bytes_stay_within_the_credit() {
    let (_hub, _machine, agent, mut book, mut link) = scene().await;
    link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": ""})).await;
    link.acks = false;
    link.ack(&book, book.last(), 4_096).await;
    link.command("c2", "create_session", shop(), json!({"prompt": "burst 500"})).await;
    let acknowledged = book.last();
    link.until(&mut book, "what credit allows", |book| book.last() > acknowledged + 5).await;
    let beats = book.heartbeats.len();
    link.until(&mut book, "heartbeats instead of events", |book| book.heartbeats.len() >= beats + 2).await;
    let bytes: usize = book.events.range(acknowledged + 1..).map(|(_, event)| event.data.get().len()).sum();
    assert!(bytes < 8_192, "{bytes} bytes on the way");
    link.acks = true;
    link.ack(&book, book.last(), 1 << 20).await;
    link.until(&mut book, "the rest", |book| book.count("echo.tick") == 500).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_numbers_and_says_what_was_interrupted() {
    let (hub, machine, agent, mut book, mut link) = scene().await;
    let id = link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "run 600"})).await;
    let incarnation = link.hello.incarnation.clone();
    let (stopped, took) = tokio::join!(agent.stop(), async {
        while link.take(&mut book).await {}
        link
    });
    drop((stopped, took));
    assert_eq!(book.count("session.interrupted"), 1, "the last words were said: {:?}", book.kinds());

    let agent = machine.start();
    let mut link = hub.accept(&mut book).await;
    assert_eq!(link.hello.incarnation, incarnation);
    link.until(&mut book, "a snapshot", |book| book.snapshots.len() > 1).await;
    let session = &book.snapshots.last().unwrap().sessions[0];
    assert_eq!(session.id.as_str(), id);
    assert!(session.error.as_ref().unwrap().starts_with("interrupted"), "{session:?}");
    link.ask(&mut book, "c2", "prompt_session", at(&id), json!({"message": "burst 2"})).await;
    link.until(&mut book, "the new turn", |book| book.count("echo.tick") == 2).await;
    assert!(book.is_gapless());
    agent.stop().await;
}

#[tokio::test]
async fn a_supervisor_that_knows_less_gets_it_again() {
    let (hub, machine, agent, mut book, mut link) = scene().await;
    link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "burst 50"})).await;
    link.until(&mut book, "all", |book| book.count("session.idle") == 1).await;
    let whole = book.kinds().into_iter().map(str::to_owned).collect::<Vec<_>>();
    drop(link);
    // Restored from a backup: it has forgotten all but ten.
    book.events.split_off(&11);
    let mut link = hub.accept(&mut book).await;
    link.until(&mut book, "the same again", |book| book.events.len() >= whole.len()).await;
    assert_eq!(book.kinds(), whole);
    agent.stop().await;
    drop(machine);
}

#[tokio::test]
async fn a_supervisor_that_knows_more_makes_a_new_incarnation() {
    let (hub, _machine, agent, mut book, link) = scene().await;
    let first = link.hello.incarnation.clone();
    drop(link);
    let mut link = hub.try_accept().await.unwrap();
    link.welcome(1_000_000).await;
    let mut link = hub.accept(&mut book).await;
    assert_ne!(link.hello.incarnation, first);
    link.until(&mut book, "a gap", |book| book.events.get(&1).is_some_and(|event| event.kind == "gap")).await;
    link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "burst 1"})).await;
    assert!(book.is_gapless());
    agent.stop().await;
}

#[tokio::test]
async fn commands_of_a_life_before_are_settled_by_looking() {
    let hub = Hub::open().await;
    let machine = Machine::new(&hub);
    std::fs::create_dir_all(machine.data()).unwrap();
    let bounds = Bounds { keep: Duration::from_secs(1), keep_bytes: 1 << 20, hard_bytes: 1 << 30 };
    let (journal, mut writer, _) = Journal::open(machine.data(), bounds, now()).unwrap();
    let begun = CommandRecord {
        frame: serde_json::from_value(json!({"command_id": "c1", "type": "create_session",
            "target": {"project": "shop"}, "args": {"prompt": "burst 1"}, "ttl_ms": 5000}))
        .unwrap(),
        received_at: now(),
        changed_at: now(),
        state: CommandState::Running,
        output: String::new(),
        error: None,
    };
    writer.commit(&[Change::Command(Box::new(begun))], 0, now()).unwrap();
    drop((journal, writer));

    let agent = machine.start();
    let mut book = Book::default();
    let mut link = hub.accept(&mut book).await;
    let result = link.result(&mut book, "c1").await;
    assert_eq!(result.state, Some(CommandState::Failed));
    assert!(result.error.unwrap().contains("ended before it began"));
    assert_eq!(book.count("session.created"), 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_damaged_journal_is_set_aside_and_said_first() {
    let (hub, machine, agent, mut book, mut link) = scene().await;
    link.ask(&mut book, "c1", "create_session", shop(), json!({"prompt": "burst 5"})).await;
    let first = link.hello.incarnation.clone();
    agent.stop().await;
    let path = machine.data().join("agent.redb");
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::write(&path, vec![0x5a; usize::try_from(len).unwrap()]).unwrap();

    let agent = machine.start();
    let mut link = hub.accept(&mut book).await;
    assert_ne!(link.hello.incarnation, first);
    link.until(&mut book, "the gap", |book| !book.events.is_empty()).await;
    assert_eq!(book.events[&1].kind, "gap");
    let aside = book.data("gap").unwrap()["set_aside"].as_str().unwrap().to_owned();
    assert!(aside.contains("agent.redb.corrupt.") && std::path::Path::new(&aside).exists());
    agent.stop().await;
}

#[tokio::test]
async fn projects_can_be_missing_appear_and_be_replaced() {
    let hub = Hub::open().await;
    let mut machine = Machine::new(&hub);
    let missing = machine.folder.path().join("blog");
    machine.config.projects.push(echo_project("blog", &missing));
    let agent = machine.start();
    let mut book = Book::default();
    let mut link = hub.accept(&mut book).await;
    link.until(&mut book, "the error", |book| book.count("project.error") == 1).await;
    assert!(book.data("project.error").unwrap()["error"].as_str().unwrap().contains("does not exist"));
    link.until(&mut book, "it in the snapshot", |book| {
        book.snapshots.iter().any(|shot| shot.projects.iter().any(|project| project.error.is_some()))
    })
    .await;
    std::fs::create_dir(&missing).unwrap();
    let mut config = machine.config.clone();
    config.projects.remove(0);
    agent.reload.take(config).await;
    link.until(&mut book, "the new picture", |book| {
        book.count("project.ok") == 1
            && book.snapshots.last().is_some_and(|shot| {
                shot.projects.len() == 1
                    && shot.projects[0].name.as_str() == "blog"
                    && shot.projects[0].error.is_none()
            })
    })
    .await;
    agent.stop().await;
}

/// What was logged, as text.
#[derive(Clone, Default)]
struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    more: Arc<Notify>,
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Waits until a sentence was logged.
    async fn until(&self, sentence: &str) {
        let looked = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let more = self.more.notified();
                if self.text().contains(sentence) {
                    return;
                }
                more.await;
            }
        });
        assert!(looked.await.is_ok(), "{sentence:?} was not logged: {}", self.text());
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        self.more.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen() -> (Log, tracing::subscriber::DefaultGuard) {
    // Without a listener on every thread, a sentence that another test says first is never said here.
    let _set_before = tracing::subscriber::set_global_default(
        tracing_subscriber::fmt().with_writer(std::io::sink).finish(),
    );
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn a_wrong_token_is_a_sentence_in_the_log() {
    let (log, _guard) = listen();
    let hub = Hub::open().await;
    let mut machine = Machine::new(&hub);
    machine.config.auth_token = Secret::new("not-the-token");
    let agent = machine.start();
    assert!(hub.try_accept().await.is_none());
    log.until("does not accept this agent's token: check auth_token").await;
    assert!(!log.text().contains("not-the-token"));
    agent.stop().await;
}

#[tokio::test]
async fn a_supervisor_that_is_away_is_said_once_and_its_return_too() {
    let (log, _guard) = listen();
    let hub = Hub::open().await;
    let machine = Machine::new(&hub);
    let url = hub.url.clone();
    drop(hub);
    let agent = machine.start();
    log.until("connection refused").await;
    assert_eq!(log.text().matches("connection refused").count(), 1, "{}", log.text());
    let hub = Hub::at(&url).await;
    let mut book = Book::default();
    let link = hub.accept(&mut book).await;
    log.until("connected again to the supervisor").await;
    link.close("maintenance").await;
    log.until("closed the link: maintenance").await;
    let mut link = hub.accept(&mut book).await;
    link.until(&mut book, "a snapshot", |book| !book.snapshots.is_empty()).await;
    agent.stop().await;
}
